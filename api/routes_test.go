package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestDescribed wants every route in the description. That everything described is there, and answers as it says,
// is tested against a real server (cmd/hallmark).
func TestDescribed(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	a := new(API)
	for _, r := range append(a.routes(), a.publicRoutes()...) {
		method, path, _ := strings.Cut(strings.ReplaceAll(r.pattern, "...", ""), " ")
		if doc.Paths[path][strings.ToLower(method)] == nil {
			t.Errorf("%s is not described", r.pattern)
		}
	}
}
