// Package apitest compares answers of the API with their description, the OpenAPI document of /openapi.json.
package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Description is an OpenAPI document. It is not safe for concurrent use.
type Description struct {
	paths   map[string]map[string]operation // by path and method, in lower case
	schemas *schemas
}

type operation struct {
	Parameters []struct {
		Name string `json:"name"`
		In   string `json:"in"`
	} `json:"parameters"`
	Responses map[string]struct {
		Content map[string]any `json:"content"`
	} `json:"responses"`
}

// An Answer is what came, and to what.
type Answer struct {
	Method string
	Route  string // the path as the description names it
	Status int
	Header http.Header
	Body   string
}

// Parse reads a document.
func Parse(document []byte) (*Description, error) {
	var read struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal(document, &read); err != nil {
		return nil, err
	}
	schemas, err := newSchemas(document)
	return &Description{read.Paths, schemas}, err
}

// Operations are what the description names, as "GET /path", sorted.
func (d *Description) Operations() (all []string) {
	for path, methods := range d.paths {
		for method := range methods {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// Statuses are those that the description names for an operation, sorted; "default" is one of them.
func (d *Description) Statuses(operation string) []string {
	method, path, _ := strings.Cut(operation, " ")
	return slices.Sorted(maps.Keys(d.paths[path][strings.ToLower(method)].Responses))
}

// Parameters are the names of an operation's query parameters, sorted.
func (d *Description) Parameters(operation string) (names []string) {
	method, path, _ := strings.Cut(operation, " ")
	for _, p := range d.paths[path][strings.ToLower(method)].Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Check is an error where an answer is not as the description says: its status, its content type, or the shape of its body. For
// a failure of the server (5xx) that is not named, the default counts.
func (d *Description) Check(a Answer) error {
	name := fmt.Sprint(a.Status)
	responses := d.paths[a.Route][strings.ToLower(a.Method)].Responses
	if _, ok := responses[name]; !ok && a.Status >= 500 {
		name = "default"
	}
	response, ok := responses[name]
	if !ok {
		return fmt.Errorf("the status %d is not described", a.Status)
	}
	if len(response.Content) == 0 {
		if a.Body != "" {
			return fmt.Errorf("there is a body, and none is described: %s", a.Body)
		}
		return nil
	}
	kind := a.Header.Get("Content-Type")
	if _, ok := response.Content[kind]; !ok {
		return fmt.Errorf("the content type %q is not described", kind)
	}
	at := fmt.Sprintf("/paths/%s/%s/responses/%s/content/%s/schema", pointerPart(a.Route), strings.ToLower(a.Method), name, pointerPart(kind))
	return d.schemas.check(at, kind, a.Body)
}

// pointerPart escapes a key for a JSON pointer in a URL.
func pointerPart(s string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
}
