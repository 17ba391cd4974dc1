package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestImportLogin finds the login that docker keeps for a registry, also where docker keeps it under another name.
func TestImportLogin(t *testing.T) {
	dir := t.TempDir()
	login := func(name string) string { return base64.StdEncoding.EncodeToString([]byte(name + ":secret")) }
	config := fmt.Sprintf(`{"auths":{"https://index.docker.io/v1/":{"auth":%q},"registry.example:5000":{"auth":%q}}}`, login("hub"), login("example"))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("HOME", dir)
	for where, user := range map[string]string{
		"docker.io": "hub", "registry-1.docker.io": "hub", "https://docker.io/": "hub", "registry.example:5000": "example", "http://registry.example:5000": "example", "other.example": "",
	} {
		e := &env{getenv: func(name string) string { return map[string]string{"HOME": dir}[name] }}
		var want wantImport
		if err := e.aimImport(t.Context(), &want, where, &target{}); err != nil || want.Username != user || (want.Password == "secret") != (user != "") {
			t.Errorf("%s: signed in as %q with %q: %v", where, want.Username, want.Password, err)
		}
	}
}
