package provenance

import (
	"strings"
	"testing"
)

func TestNormalSource(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/team/app":                  "github.com/team/app",
		"https://github.com/team/app.git":              "github.com/team/app",
		"https://github.com/team/app/":                 "github.com/team/app",
		"http://GitHub.com:80/Team/App":                "github.com/Team/App",
		"https://user:secret@github.com/team/app.git":  "github.com/team/app",
		"git@github.com:team/app.git":                  "github.com/team/app",
		"ssh://git@github.com:22/team/app.git":         "github.com/team/app",
		"git+https://github.com/team/app":              "github.com/team/app",
		"git+https://github.com/team/app@refs/heads/x": "github.com/team/app",
		"git://github.com/team/app":                    "github.com/team/app",
		"github.com/team/app":                          "github.com/team/app",
		"https://github.com/team/app.git#main:dir":     "github.com/team/app",
		"https://github.com/team/app?x=1":              "github.com/team/app",
		"https://git.example:8443/team/app":            "git.example:8443/team/app",
		"git.example:8443/team/app":                    "git.example:8443/team/app",
		" https://github.com/team/app \n":              "github.com/team/app",
		"alice@git.example:app":                        "git.example/app",
		"https://[2001:db8::1]:8443/team/app":          "[2001:db8::1]:8443/team/app",
		"":                                             "",
		"just words":                                   "just words",
		"https://":                                     "",
		"://":                                          "",
		"@":                                            "",
		":":                                            "",
		"https://github.com/team/app/tree/main/sub/":   "github.com/team/app/tree/main/sub",
		"https://a@b@github.com/team/app":              "github.com/team/app",
	} {
		if got := NormalSource(in); got != want {
			t.Errorf("NormalSource(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNormalRevision(t *testing.T) {
	for in, want := range map[string]string{
		"0123ABCD":       "0123abcd",
		" 0123abcd\n":    "0123abcd",
		"0123ABCD-dirty": "0123abcd-dirty",
		"v1.0-RC":        "v1.0-RC",
		"Release-dirty":  "Release-dirty",
		"":               "",
		"-dirty":         "-dirty",
	} {
		if got := NormalRevision(in); got != want {
			t.Errorf("NormalRevision(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCutUserinfo(t *testing.T) {
	for in, want := range map[string]string{
		"https://github.com/team/app":                "https://github.com/team/app",
		"https://user:secret@github.com/team/app":    "https://github.com/team/app",
		"https://secret@github.com/team/app?x=y@z":   "https://github.com/team/app?x=y@z",
		"https://a:b@c@github.com":                   "https://github.com",
		"git@github.com:team/app":                    "git@github.com:team/app",
		"oauth2:secret@gitlab.com/team/app":          "gitlab.com/team/app",
		"see https://u:p@a/b and http://x@c/d":       "see https://a/b and http://c/d",
		"docker.io/library/alpine:3@sha256:abc":      "docker.io/library/alpine:3@sha256:abc",
		"0123abcd":                                   "0123abcd",
		"https://user:sec%2Fret@github.com/team/app": "https://github.com/team/app",
		"ssh://git@github.com/team/app":              "ssh://github.com/team/app",
		"https://user:secret@":                       "https://",
		"":                                           "",
	} {
		if got := CutUserinfo(in); got != want {
			t.Errorf("CutUserinfo(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestClaimsOf(t *testing.T) {
	config := `{"created":"2026-01-02T03:04:05Z","config":{"Labels":{
		"org.opencontainers.image.source":"https://user:secret@git.example/app",
		"org.opencontainers.image.authors":"Alice <alice@example.com>",
		"org.opencontainers.image.revision":""}}}`
	annotations := map[string]string{
		"org.opencontainers.image.source":   "https://git.example/other",
		"org.opencontainers.image.revision": "abc123",
		"org.opencontainers.image.version":  strings.Repeat("ä", MaxValue),
		"unknown":                           "x",
	}
	var got []string
	for _, c := range ClaimsOf(dig("x"), annotations, []byte(config)) {
		if c.About != dig("x") {
			t.Errorf("about %s", c.About)
		}
		if len(c.Value) > MaxValue || c.Cut != (c.Fact == "version") {
			t.Errorf("%s has %d bytes, cut %v", c.Fact, len(c.Value), c.Cut)
		}
		if c.Cut {
			c.Value = "cut"
		}
		got = append(got, c.Fact+"="+c.Value+" ("+c.From+")")
	}
	want := []string{
		"revision=abc123 (annotation org.opencontainers.image.revision)",
		"source=https://git.example/other (annotation org.opencontainers.image.source)",
		"version=cut (annotation org.opencontainers.image.version)",
		"source=https://git.example/app (label org.opencontainers.image.source)",
		"created=2026-01-02T03:04:05Z (config created)",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, config := range []string{"", "null", "[]", "{", `{"config":null}`, `{"config":{"Labels":[]}}`, "\x1f\x8b"} {
		if got := ClaimsOf(dig("x"), nil, []byte(config)); len(got) != 0 {
			t.Errorf("config %q claims %v", config, got)
		}
	}
}

func FuzzCutUserinfo(f *testing.F) {
	for _, s := range []string{"https://user:secret@host/x", "git@host:x", "a://b@c://d@e", "x@", "://@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		NormalSource(s)
		if again := CutUserinfo(CutUserinfo(s)); strings.Contains(s, "://") && again != CutUserinfo(s) {
			t.Errorf("%q is cut to %q, and again to %q", s, CutUserinfo(s), again)
		}
	})
}
