package signature

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
)

// TestFileErrors wants each mistake to be said with its line and what to do.
func TestFileErrors(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // that it is weak is the point
	fatal(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	fatal(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(m.key)
	fatal(t, err)
	key := func(more string) string { return "keys:\n  - name: a\n    file: a.pub\n" + more }
	const all = "    repositories: \"**\"\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":           {"keys:\n  - nam: a\n", `trust.yaml:2: unknown key "nam"`},
		"no name":               {"keys:\n  - file: a.pub\n" + all, "trust.yaml: keys[0]: a key needs `name`"},
		"bad name":              {"keys:\n  - name: a b\n    file: a.pub\n" + all, "trust.yaml:2: a key needs `name`"},
		"no key":                {"keys:\n  - name: a\n" + all, "trust.yaml:2: the key a needs either"},
		"no file":               {"keys:\n  - name: a\n    file: b.pub\n" + all, "b.pub: no such file"},
		"not PEM":               {"keys:\n  - name: a\n    key: hello\n" + all, "trust.yaml:3: the key a: it is no PEM"},
		"private":               {"keys:\n  - name: a\n    file: private.pem\n" + all, "trust.yaml:3: the key a: it is a private key"},
		"weak":                  {"keys:\n  - name: a\n    file: weak.pub\n" + all, "1024 bits"},
		"curve":                 {"keys:\n  - name: a\n    file: p224.pub\n" + all, "P-256, P-384 or P-521"},
		"no repositories":       {key(""), "trust.yaml:2: a needs `repositories`"},
		"bad repositories":      {key("    repositories: [Team/*]\n"), "trust.yaml:4: pattern"},
		"bad time":              {key(all + "    notAfter: soon\n"), `trust.yaml:5: "soon" should be a day`},
		"no kind":               {key(all + "    vouches: [image, sboms]\n"), `trust.yaml:5: "sboms" is no kind of signed statement: ` + "`vouches` may name image, provenance, vsa, svr, release, sbom, vulnerabilities, vex, test, or a full predicate type"},
		"no name at all":        {key(all + "    names: [\"\"]\n"), "trust.yaml:5: `names` may have the word repository, for the image's own, or patterns of names"},
		"no verifiers":          {key(all + "    vouches: vsa\n"), "trust.yaml:2: a vouches for vsa, so it needs `verifiers`"},
		"verifiers, no vsa":     {key(all + "    verifiers:\n      - id: https://v.example\n"), "trust.yaml:6: a speaks for `verifiers`, and does not vouch for their statements: add vsa to its `vouches`"},
		"no verifier":           {key(all + "    vouches: vsa\n    verifiers:\n      - maxAge: 90d\n"), "trust.yaml:2: each of the `verifiers` of a needs `id`"},
		"an age":                {key(all + "    vouches: vsa\n    verifiers:\n      - id: https://v.example\n        maxAge: old\n"), `trust.yaml:8: the verifier https://v.example: maxAge: "old" is not a length of time`},
		"no policy":             {key(all + "    vouches: vsa\n    verifiers:\n      - id: https://v.example\n        policies: [{digest: aa}]\n"), "trust.yaml:8: the verifier https://v.example: each of its `policies` needs `uri`, `digest` as sha256:…, or both"},
		"a query of a policy":   {key(all + "    vouches: vsa\n    verifiers:\n      - id: https://v.example\n        policies: [{uri: 'https://p.example/?name=a'}]\n"), `trust.yaml:8: "https://p.example/?name=a" is never found in a verification summary: a query, credentials and long texts are cut there`},
		"a query of a verifier": {key(all + "    vouches: vsa\n    verifiers:\n      - id: https://v.example/?name=a\n"), `trust.yaml:7: "https://v.example/?name=a" is never found`},
		"a query of a type":     {key(all + "    vouches: [image, 'https://t.example/?name=a']\n"), `trust.yaml:5: "https://t.example/?name=a" is no kind of signed statement`},
		"ends first":            {key(all + "    notBefore: 2026-02-01\n    notAfter: 2026-01-01\n"), "trust.yaml:6: the key a ends before it begins"},
		"same name":             {key(all + "  - name: a\n    file: a.pub\n" + all), "trust.yaml:5: the name a is taken in line 2"},
		"same key":              {key(all + "  - name: b\n    file: a.pub\n" + all), "the key b is the same as a"},
		"no such signer":        {key(all + "builders:\n  - id: https://ci.example/**\n    by: c\n"), `trust.yaml:7: the builder https://ci.example/** is vouched for by "c"`},
		"nobody vouches":        {key(all + "builders:\n  - id: https://ci.example/**\n"), "trust.yaml:6: the builder https://ci.example/** needs `by`"},
		"no identities":         {"roots:\n  - name: r\n    trustedRoot: a.pub\n", "trust.yaml:2: the root r needs"},
		"no root":               {"roots:\n  - name: r\n    trustedRoot: a.pub\n    identities: [{name: i}]\n", "trust.yaml:3: the root r: it is no trusted_root.json"},
		"too large":             {"# " + strings.Repeat("x", maxFile), "it may have 1048576 bytes"},
	} {
		_, err := readTrustError(t, map[string]string{
			"trust.yaml": c.text, "a.pub": m.pem(), "private.pem": pemOf("PRIVATE KEY", private),
			"weak.pub": maker{t, weak, 0}.pem(), "p224.pub": maker{t, p224, 0}.pem(),
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// TestFile reads the same as YAML and as JSON.
func TestFile(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	asJSON, err := json.Marshal(map[string]any{
		"keys":     []any{map[string]any{"name": "release-key", "key": m.pem(), "repositories": []string{"team/*"}, "notAfter": "2027-01-01"}},
		"builders": []any{map[string]any{"id": "https://ci.example/*", "by": "release-key"}},
	})
	fatal(t, err)
	for name, trust := range map[string]*Trust{
		"YAML": trusting(t, m, "    notAfter: 2027-01-01\nbuilders:\n  - id: https://ci.example/*\n    by: [release-key]\n"),
		"JSON": readTrust(t, map[string]string{"trust.yaml": string(asJSON)}),
	} {
		if !trust.Expects("team/app") || trust.Expects("prod/app") || (*Trust)(nil).Expects("team/app") {
			t.Errorf("%s: it expects the wrong signatures", name)
		}
		if !trust.Vouches("release-key", "https://ci.example/builder") || trust.Vouches("release-key", "https://ci.example/a/b") || trust.Vouches("other", "https://ci.example/builder") {
			t.Errorf("%s: it vouches for the wrong builders", name)
		}
	}
	if empty := readTrust(t, map[string]string{"trust.yaml": "# nobody yet\n"}); empty.Expects("team/app") {
		t.Error("a file of comments expects a signature")
	}
}
