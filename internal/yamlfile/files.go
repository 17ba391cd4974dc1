package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// WithFiles returns a document that holds the files which it names, by the names that it has for them: in the key files, behind all
// else. So it can go where the files are not.
func WithFiles(name string, data []byte, files map[string][]byte) ([]byte, error) {
	if len(files) == 0 {
		return data, nil
	}
	var section struct {
		Files map[string]string `yaml:"files"`
	}
	section.Files = map[string]string{}
	for file, content := range files {
		if !utf8.Valid(content) {
			return nil, fmt.Errorf("%s: %s is no text, and cannot be put into the document", name, file)
		}
		section.Files[file] = string(content)
	}
	text, err := yaml.Dump(section)
	if err != nil {
		return nil, err
	}
	whole := bytes.Join([][]byte{bytes.TrimRight(data, "\n"), text}, []byte("\n"))
	var read map[string]any
	if yaml.Load(whole, &read) != nil {
		return nil, errors.New(name + ": the files that it names cannot be put into it: write it as YAML and not as JSON, and put them under the key files yourself where it has that")
	}
	return whole, nil
}
