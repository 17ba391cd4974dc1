package mirror_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/mirror"
)

// TestParse wants every mistake in a file of mirrors to be refused in words, with its line.
func TestParse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"empty": "", "password": "hunter2\n", "ca.pem": "no certificate"} {
		write(t, filepath.Join(dir, name), []byte(content))
	}
	rule := func(lines ...string) string {
		base := map[string]string{"name": "hub", "upstream": "docker.io", "repositories": "library/alpine", "into": "mirror/hub"}
		for _, line := range lines {
			key, value, _ := strings.Cut(line, ": ")
			base[key] = value
		}
		text := "- name: " + base["name"] + "\n"
		delete(base, "name")
		for key, value := range base {
			if value != "" {
				text += "  " + key + ": " + strings.ReplaceAll(value, "DIR", dir) + "\n"
			}
		}
		return text
	}
	for want, text := range map[string]string{
		"":                                      rule() + rule("name: other", "into: mirror/hubs", "upstream: http://127.0.0.1:5000", "tags: ['3.*', latest]", "every: 1m", "deleted: delete", "rate: 5", "addresses: 127.0.0.1"),
		"name has 1 to 40":                      rule("name: Hub"),
		"upstream is missing":                   rule("upstream: "),
		"is no registry":                        rule("upstream: docker.io/library"),
		"this registry itself":                  rule("upstream: Registry.Example"),
		"f:2: mirror hub: repositories is":      rule("repositories: "),
		"pattern":                               rule("repositories: '***'"),
		"into is":                               rule("into: Mirror/Hub"),
		"every is 30s, and is 1m":               rule("every: 30s"),
		"deleted is \"gone\"":                   rule("deleted: gone"),
		"rate is 0":                             rule("rate: 0"),
		"addresses":                             rule("addresses: localhost"),
		"login.username is missing":             rule("login: {passwordFile: DIR/password}"),
		"login.passwordFile is missing":         rule("login: {username: me}"),
		"is empty":                              rule("login: {username: me, passwordFile: DIR/empty}"),
		"login.docker":                          rule("login: {docker: DIR/none}"),
		"either docker":                         rule("login: {docker: DIR/password, passwordFile: DIR/password}"),
		"no login is sent over":                 rule("upstream: http://reg.example", "login: {username: me, passwordFile: DIR/password}"),
		"has no PEM certificate":                rule("ca: DIR/ca.pem"),
		"f:6: mirror hub: there is a mirror of": rule() + rule("into: other"),
		"overlaps with mirror/hub":              rule() + rule("name: two", "into: mirror/hub"),
		"overlaps with mirror/hub of":           rule() + rule("name: two", "into: mirror"),
		"into is mirror/hub/x, and overlaps":    rule() + rule("name: two", "into: mirror/hub/x"),
		`unknown key "upstreams"`:               rule("upstreams: x"),
	} {
		_, err := mirror.Parse("f", []byte("mirrors:\n"+text), "registry.example:443", "")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s\n%v\nwant %q", text, err, want)
		}
	}
	if _, err := mirror.ReadFile(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Error(err)
	}
}
