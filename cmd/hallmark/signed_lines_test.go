package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestSignedLines attaches a document of several envelopes, one in a line, as slsa-github-generator writes them: each is verified by
// itself, and a good one says nothing of its neighbours.
func TestSignedLines(t *testing.T) {
	t.Parallel()
	key, stranger := newSigner(t), newSigner(t)
	s := startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "trust:\n  file: "+key.file+"\n"))
	p := pusher{s, "team/app", digest.SHA256}
	image := p.image("1.0", "amd64")
	const release, slsa = "https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v1"
	const said = `{"buildDefinition":{"externalParameters":{"configSource":{"uri":"https://git.example/NAME/app","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}}},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`
	lines := []string{
		stranger.sealed(image.Digest, slsa, strings.ReplaceAll(said, "NAME", "mallory")),
		key.sealed(image.Digest, release, "{}"),
		key.sealed(image.Digest, slsa, strings.ReplaceAll(said, "NAME", "team")),
		"no envelope",
		key.sealed(digest.FromString("another image"), slsa, strings.ReplaceAll(said, "NAME", "other")),
	}
	for range 2 { // the second time is no news
		p.attach(image, "application/vnd.dsse.envelope.v1+json", strings.Join(lines[:4], "\n")+"\n")
	}
	type found struct {
		Verdict struct {
			Line                           int
			Result, Reason, Signer, Detail string
		}
		Attested []struct{ Fact, Value string }
	}
	var page struct{ Records []found }
	s.readJSON("/api/v1/records?action=attest&order=asc&repo=team/app", &page)
	want := []string{"foreign", "good", "good", "foreign"}
	if len(page.Records) != len(want) {
		t.Fatalf("%+v", page)
	}
	for i, r := range page.Records {
		if r.Verdict.Line != i+1 || r.Verdict.Result != want[i] || (len(r.Attested) > 0) != (i == 2) {
			t.Errorf("line %d: %+v", i+1, r)
		}
	}
	report := s.hallmark("inspect", "image", "team/app:1.0")
	for _, text := range []string{"pass  12/12  signature", "It was built from https://git.example/team/app at aaf4c61", "signed by release-key, who may not vouch for the builder"} {
		if !strings.Contains(report, text) {
			t.Errorf("the report does not say %q:\n%s", text, report)
		}
	}
	if shown := s.hallmark("show", "team/app:1.0"); !strings.Contains(shown, "dsse by release-key, provenance over "+slsa+", line 3, ") || !strings.Contains(shown, "https://git.example/team/app (slsa v1 configSource, signed by release-key") {
		t.Errorf("show says\n%s", shown)
	}
	checkAnswers(t, s, []asked{
		{method: "GET", path: "/api/v1/records?action=attest", status: 200},
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/report?repo=team/app&ref=1.0", status: 200},
	})
	p.attach(image, "application/vnd.dsse.envelope.v1+json", strings.Join(lines, "\n"))
	s.says("/api/v1/report?repo=team/app&ref=1.0", "A signature of release-key does not hold", `"line":5`)
}
