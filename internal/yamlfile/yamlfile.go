// Package yamlfile reads files that people write, YAML or JSON, strictly: anything that it does not understand is an error
// that names the line.
package yamlfile

import (
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Load reads a document into a struct. An unknown key is an error; a document of comments alone says
// nothing. name stands before each line of an error, as its file or variable.
func Load(name string, data []byte, into any) error {
	err := yaml.Load(data, into, yaml.WithKnownFields())
	if err == nil || strings.Contains(err.Error(), "no documents") {
		return nil
	}
	return explain(name, err)
}

// LoadSome reads of a document that Load has taken what a struct names, as its lines.
func LoadSome(data []byte, into any) { _ = yaml.Load(data, into) } // it was read before

// Read returns a file of at most most bytes.
func Read(path string, most int64) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if data, err = io.ReadAll(io.LimitReader(f, most+1)); err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s: it may have %d bytes", path, most)
	}
	return data, nil
}

// A Word is a scalar that remembers its line.
type Word struct {
	Text string
	Line int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (w *Word) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: there should be one word here", n.Line)
	}
	w.Text, w.Line = n.Value, n.Line
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (w Word) MarshalYAML() (any, error) { return w.Text, nil }

// IsZero says that nothing was written.
func (w Word) IsZero() bool { return w.Line == 0 && w.Text == "" }

// A List is one word, or a list of them.
type List []Word

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *List) UnmarshalYAML(n *yaml.Node) error {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, n := range nodes {
		var w Word
		if err := w.UnmarshalYAML(n); err != nil {
			return err
		}
		*l = append(*l, w)
	}
	return nil
}
