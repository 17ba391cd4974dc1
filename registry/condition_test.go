package registry

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
)

// TestConditions changes tags and manifests with what a client says to have seen (RFC 9110, section 13.1).
func TestConditions(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one, two := s.pushImage("app", "1.0", "one"), s.pushImage("app", "", "two")
	quoted := func(d digest.Digest) string { return `"` + d.String() + `"` }
	for _, c := range []struct {
		method, ref, condition, value string
		status                        int
	}{
		{"PUT", "1.0", "If-Match", quoted(two.digest), 412},
		{"PUT", "1.0", "If-None-Match", "*", 412},
		{"PUT", "1.0", "If-None-Match", quoted(one.digest), 412},
		{"PUT", "1.0", "If-Match", "W/" + quoted(one.digest), 412},
		{"PUT", "new", "If-Match", "*", 412},
		{"PUT", "new", "If-Match", quoted(one.digest), 412},
		{"PUT", "new", "If-None-Match", "*", 201},
		{"PUT", "new", "If-None-Match", "*", 412},
		{"PUT", "1.0", "If-Match", quoted(one.digest), 201}, // now it is two
		{"PUT", "1.0", "If-Match", `"x", ` + quoted(two.digest), 201},
		{"PUT", two.digest.String(), "If-None-Match", "*", 412},
		{"DELETE", one.digest.String(), "If-Match", quoted(two.digest), 412},
		{"DELETE", "new", "If-Match", quoted(one.digest), 412},
		{"DELETE", "new", "If-Match", "*", 202},
		{"DELETE", one.digest.String(), "If-Match", quoted(one.digest), 202},
	} {
		body := io.Reader(nil)
		if c.method == "PUT" {
			body = strings.NewReader(two.body)
		}
		got := s.do(c.method, "/v2/app/manifests/"+c.ref, body, header("Content-Type", "application/vnd.oci.image.manifest.v1+json"), header(c.condition, c.value))
		if got.status != c.status {
			t.Errorf("%s %s, %s: %s: %d %s", c.method, c.ref, c.condition, c.value, got.status, got.body)
		}
	}
	s.wantClean()
}

// TestConditionsTellNothing has a token that may push and not pull: what a tag means is not told to it.
func TestConditionsTellNothing(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one, two := s.pushImage("app", "1.0", "one"), s.pushImage("app", "", "two")
	r, err := http.NewRequest("GET", s.http.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice", password)
	caller, err := s.gate.Begin(r)
	if err != nil {
		t.Fatal(err)
	}
	for rights, tells := range map[access.Right]bool{access.Push: false, access.Pull: true} {
		scope := access.Scope{Pattern: access.Everything, Rights: []access.Right{access.Push, rights}}
		_, secret, err := s.gate.(*access.Access).AddToken(background, caller.Who, access.NewToken{Name: "ci", Scopes: access.Scopes{scope}})
		if err != nil {
			t.Fatal(err)
		}
		token := func(r *http.Request) { r.SetBasicAuth("alice", secret) }
		got := s.want(s.putManifest("app", "1.0", two.body, token, header("If-Match", `"`+two.digest.String()+`"`)), 412, "DENIED")
		if strings.Contains(got.body, one.digest.String()) != tells {
			t.Errorf("a token for push and %s is told %s", rights, got.body)
		}
		s.want(s.putManifest("app", "1.0", one.body, token, header("If-Match", `"`+one.digest.String()+`"`)), 201, "")
	}
}
