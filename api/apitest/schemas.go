//go:build !noschemas

package apitest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas are those of a document.
type schemas struct{ compiler *jsonschema.Compiler }

func newSchemas(document []byte) (*schemas, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return &schemas{compiler}, compiler.AddResource("openapi.json", value)
}

// check validates a JSON value, each of several that stand one a line, or a text, by the schema at a JSON pointer.
func (s *schemas) check(at, kind, body string) error {
	schema, err := s.compiler.Compile("openapi.json#" + at)
	if err != nil {
		return err
	}
	if !strings.Contains(kind, "json") {
		return schema.Validate(body)
	}
	lines := []string{body}
	if strings.HasSuffix(kind, "ndjson") {
		lines = strings.Split(strings.TrimSpace(body), "\n")
	}
	for _, line := range lines {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			return fmt.Errorf("the body does not have the shape that is described: %w\n%s", err, line)
		}
	}
	return nil
}
