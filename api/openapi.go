package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
)

// The description of the API is kept as one file a resource, each a part of an OpenAPI document: the paths of the resource
// and the schemas that no other has. about.json is the head; record.json is what a record is made of, and shared.json what
// several resources use. A response that is only a text stands for a problem with that description.
//
//go:embed openapi/*.json
var parts embed.FS

// Description returns /openapi.json: the parts joined, with sorted keys.
var Description = sync.OnceValues(func() ([]byte, error) {
	names, err := fs.Glob(parts, "openapi/*.json")
	if err != nil {
		return nil, err
	}
	whole := map[string]any{}
	for _, name := range names {
		text, err := parts.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var part map[string]any
		if err := json.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := join(whole, part, "", 0); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
	}
	expandProblems(whole)
	var joined bytes.Buffer
	enc := json.NewEncoder(&joined)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(whole)
	return joined.Bytes(), err
})

// sharedDepth is how deep two parts may have the same key: components, and schemas below it.
const sharedDepth = 2

// join adds a part to the whole. Both may have the upper objects; what is in these belongs to one part alone.
func join(whole, part map[string]any, at string, depth int) error {
	for _, key := range slices.Sorted(maps.Keys(part)) {
		below, isObject := part[key].(map[string]any)
		there, isThere := whole[key].(map[string]any)
		switch {
		case whole[key] == nil:
			whole[key] = part[key]
		case isObject && isThere && depth < sharedDepth:
			if err := join(there, below, at+"/"+key, depth+1); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s/%s is in another part, too", at, key)
		}
	}
	return nil
}

// expandProblems turns each response that is only a text into the description of a problem.
func expandProblems(whole map[string]any) {
	problem := map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}}
	for _, operation := range operationsOf(whole) {
		responses, _ := operation["responses"].(map[string]any)
		for status, response := range responses {
			if text, ok := response.(string); ok {
				responses[status] = map[string]any{"description": text, "content": problem}
			}
		}
	}
}

func operationsOf(whole map[string]any) (all []map[string]any) {
	paths, _ := whole["paths"].(map[string]any)
	for _, item := range paths {
		methods, _ := item.(map[string]any)
		for _, operation := range methods {
			if o, ok := operation.(map[string]any); ok {
				all = append(all, o)
			}
		}
	}
	return all
}

// selfPattern is the route of the description.
const selfPattern = "GET /openapi.json"

// describeSelf answers GET /openapi.json.
func (a *API) describeSelf(w http.ResponseWriter, r *http.Request) {
	text, err := Description()
	if err != nil {
		a.fail(w, r, err) // a bug
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // a client that left does not matter any more
}
