package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// readDoc reads a file of the documentation.
func readDoc(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readDescribed is the description of the API.
func readDescribed(t *testing.T) string {
	t.Helper()
	text, err := api.Description()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryVerbIsDocumented wants each verb somewhere in the documentation.
func TestEveryVerbIsDocumented(t *testing.T) {
	var all strings.Builder
	for _, path := range docs(t) {
		all.WriteString(readDoc(t, path))
	}
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if c.HasSubCommands() {
			for _, sub := range c.Commands() {
				look(sub)
			}
		} else if path := c.CommandPath(); !strings.Contains(all.String(), path) {
			t.Errorf("no page says `%s`", path)
		}
	}
	for _, verb := range (&env{}).root().Commands() {
		if verb.Name() != "help" {
			look(verb)
		}
	}
}

func docs(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/design/*.md"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			paths = append(paths, strings.TrimPrefix(path, "../../"))
		}
	}
	if len(paths) < 10 {
		t.Fatalf("there are only %d pages", len(paths))
	}
	return paths
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinks wants every link from a page to a file to lead somewhere.
func TestLinks(t *testing.T) {
	for _, path := range docs(t) {
		for _, found := range link.FindAllStringSubmatch(readDoc(t, path), -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(path), found[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, found[1], err)
			}
		}
	}
}

// TestRecordSchema wants the schema for readers of records to be that of the API.
func TestRecordSchema(t *testing.T) {
	var described struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(readDescribed(t), "#/components/schemas/", "#/$defs/")), &described); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(readDoc(t, "docs/record.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	for name, definition := range schema["$defs"].(map[string]any) {
		if !reflect.DeepEqual(definition, described.Components.Schemas[name]) {
			t.Errorf("docs/record.schema.json and the description of the API differ about %s", name)
		}
	}
	for _, key := range []string{"$schema", "$id", "title", "$defs"} {
		delete(schema, key)
	}
	if !reflect.DeepEqual(any(schema), described.Components.Schemas["Record"]) {
		t.Error("docs/record.schema.json and the description of the API differ about a record")
	}
}

// TestActionsAreDescribed wants the description of the API to name every action of a record, and as those that can be asked for.
func TestActionsAreDescribed(t *testing.T) {
	type actions struct{ Enum []provenance.Action }
	var doc struct {
		Paths map[string]struct {
			Get struct {
				Parameters []struct {
					Name   string
					Schema actions
				}
			}
		}
		Components struct {
			Schemas struct {
				Record struct{ Properties struct{ Action actions } }
			}
		}
	}
	if err := json.Unmarshal([]byte(readDescribed(t)), &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string][]provenance.Action{"a record": doc.Components.Schemas.Record.Properties.Action.Enum}
	for _, p := range doc.Paths["/api/v1/records"].Get.Parameters {
		if p.Name == "action" {
			described["the parameter"] = p.Schema.Enum
		}
	}
	for _, of := range []string{"a record", "the parameter"} {
		if !slices.Equal(described[of], provenance.Actions) {
			t.Errorf("the actions of %s are %q, and should be %q", of, described[of], provenance.Actions)
		}
	}
}
