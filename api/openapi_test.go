package api

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/seed-260924e6/hallmark/api/apitest"
)

// elsewhere are the operations that are described here and served beside the API, by server.
var elsewhere = []string{"GET /ca.pem", "GET /healthz", "GET /readyz", "GET /token", "POST /token"}

// TestDescribesEveryRoute wants the routes of the mux in the description, and nothing else.
func TestDescribesEveryRoute(t *testing.T) {
	var routes []string
	for _, pattern := range patterns() {
		routes = append(routes, strings.ReplaceAll(pattern, "...", ""))
	}
	routes = append(routes, elsewhere...)
	slices.Sort(routes)
	if described := description(t).Operations(); !slices.Equal(described, routes) {
		for _, r := range routes {
			if !slices.Contains(described, r) {
				t.Errorf("%s is not described", r)
			}
		}
		for _, r := range described {
			if !slices.Contains(routes, r) {
				t.Errorf("%s is described, and not served", r)
			}
		}
	}
}

// patterns are what the mux of the API serves.
func patterns() (all []string) {
	a := new(API)
	for _, r := range append(a.routes(), a.publicRoutes()...) {
		all = append(all, r.pattern)
	}
	return append(all, selfPattern)
}

func description(t *testing.T) *apitest.Description {
	t.Helper()
	d, err := apitest.Parse(document(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func document(t *testing.T) []byte {
	t.Helper()
	text, err := Description()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDescriptionIsOpenAPI holds the description against the schema of OpenAPI 3.1 (testdata, from
// spec.openapis.org/oas/3.1/schema/2022-10-07), and each schema in it against that of JSON Schema 2020-12.
func TestDescriptionIsOpenAPI(t *testing.T) {
	rules, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for name, text := range map[string][]byte{"rules.json": rules, "openapi.json": document(t)} {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err == nil {
			err = c.AddResource(name, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
	for name := range schemas(t) {
		if _, err := c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Error(err)
		}
	}
}

func schemas(t *testing.T) map[string]any {
	t.Helper()
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(document(t), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas
}

// TestSchemasAreUsed wants every schema that is referred to, and no other; and the names of operations to be unique.
func TestSchemasAreUsed(t *testing.T) {
	var doc any
	if err := json.Unmarshal(document(t), &doc); err != nil {
		t.Fatal(err)
	}
	used, operations := map[string]int{}, map[string]int{}
	walk(doc, func(key string, value any) {
		switch text, _ := value.(string); key {
		case "$ref":
			used[text]++
		case "operationId":
			operations[text]++
		}
	})
	there := schemas(t)
	for ref := range used {
		name, ok := strings.CutPrefix(ref, "#/components/schemas/")
		if !ok || there[name] == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
	for name := range there {
		if used["#/components/schemas/"+name] == 0 {
			t.Errorf("the schema %s is not used", name)
		}
	}
	for id, n := range operations {
		if n > 1 {
			t.Errorf("%d operations are called %s", n, id)
		}
	}
}

// walk calls f with each member of the objects in a value.
func walk(value any, f func(key string, value any)) {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			f(key, member)
			walk(member, f)
		}
	case []any:
		for _, member := range v {
			walk(member, f)
		}
	}
}

// TestJoin has parts that agree, and parts that say something twice.
func TestJoin(t *testing.T) {
	for _, test := range []struct{ one, other, want string }{
		{`{"paths":{"/a":{}}}`, `{"paths":{"/b":{}}}`, `{"paths":{"/a":{},"/b":{}}}`},
		{`{"components":{"schemas":{"A":{}}}}`, `{"components":{"schemas":{"B":{}}}}`, `{"components":{"schemas":{"A":{},"B":{}}}}`},
		{`{"paths":{"/a":{"get":{}}}}`, `{"paths":{"/a":{"post":{}}}}`, `{"paths":{"/a":{"get":{},"post":{}}}}`},
		{`{"paths":{"/a":{"get":{}}}}`, `{"paths":{"/a":{"get":{}}}}`, "/paths//a/get is in another part, too"},
		{`{"components":{"schemas":{"A":{}}}}`, `{"components":{"schemas":{"A":{}}}}`, "/components/schemas/A is in another part, too"},
		{`{"openapi":"3.1.1"}`, `{"openapi":"3.1.1"}`, "/openapi is in another part, too"},
	} {
		whole := map[string]any{}
		got := ""
		for _, text := range []string{test.one, test.other} {
			var part map[string]any
			if err := json.Unmarshal([]byte(text), &part); err != nil {
				t.Fatal(err)
			}
			if err := join(whole, part, "", 0); err != nil {
				got = err.Error()
			}
		}
		if got == "" {
			text, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		}
		if got != test.want {
			t.Errorf("%s and %s: %s, want %s", test.one, test.other, got, test.want)
		}
	}
}
