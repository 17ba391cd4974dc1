package provenance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// TestMediaTypes has the media types under which clients push statements.
func TestMediaTypes(t *testing.T) {
	for mediaType, want := range map[string][2]bool{ // of a statement, of a bundle
		"application/vnd.in-toto+json":                           {true, false},
		"application/vnd.in-toto.provenance+dsse":                {true, false},
		"application/vnd.in-toto.bundle":                         {true, false},
		"Application/vnd.in-toto+json; charset=utf-8":            {true, false},
		"application/vnd.dsse.envelope.v1+json":                  {true, false},
		"application/vnd.dev.sigstore.bundle.v0.3+json":          {true, true},
		"application/vnd.dev.sigstore.bundle.v0.1+json":          {true, true},
		"application/vnd.dev.sigstore.bundle+json;version=0.2":   {true, true},
		"application/vnd.dev.sigstore.bundle+json; version=0.1":  {true, true},
		"application/vnd.dev.sigstore.bundle+json;version=\"0.3": {true, true},
		"application/vnd.dev.sigstore.bundle+json":               {true, true},
		"application/vnd.in-totonot+json":                        {},
		"application/spdx+json":                                  {},
		"application/json":                                       {},
		"":                                                       {},
	} {
		if got := [2]bool{HoldsStatement(mediaType), IsBundle(mediaType)}; got != want {
			t.Errorf("%q: %v, want %v", mediaType, got, want)
		}
	}
	for predicateType, want := range map[string]bool{
		slsaV01: true, slsaV02: true, slsaV1: true, slsaV1 + ".1": true, slsaV1 + ".2.3": true, slsaV1 + "-rc1": true, slsaV1 + "?draft": true,
		"https://slsa.dev/provenance/v2": false, "https://slsa.dev/provenance/v10": false, "https://slsa.dev/provenance/v0.3": false,
		"https://witness.testifysec.com/attestation-collection/v0.1": true, "https://slsa.dev/verification_summary/v1": false, "": false,
	} {
		if ReadsPredicate(predicateType) != want {
			t.Errorf("%q is read: %v", predicateType, !want)
		}
	}
}

// TestForms reads one statement in every form in which clients wrap it.
func TestForms(t *testing.T) {
	statement := attestationFile(t, "github-two-refs-v1.json")
	want := strings.Join(claimLines(claimsOfText(statement, dig("layer"), built)), "\n")
	if want == "" {
		t.Fatal("the bare statement claims nothing")
	}
	// A version after 1 only adds.
	next := bytes.Replace(statement, []byte(`provenance/v1"`), []byte(`provenance/v1.2"`), 1)
	next = bytes.Replace(next, []byte(`"runDetails"`), []byte(`"new":{"more":1},"runDetails"`), 1)
	sealed := func(payloadType, payload string) string {
		return fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[{"keyid":"","sig":"AAAA"}]}`, payloadType, payload)
	}
	// Spaces make bytes whose base64 differs in the two alphabets, and is padded.
	odd := append(bytes.Clone(statement), strings.Repeat(" ", 2-len(statement)%3)...)
	odd = bytes.Replace(odd, []byte(`"inputs"`), []byte(`"inp\u003f\u003e~~??>>"`), 1)
	const now = "application/vnd.in-toto+json"
	plain := base64.StdEncoding.EncodeToString(statement)
	e := sealed(now, plain)
	for name, text := range map[string]string{
		"a later version":        string(next),
		"envelope":               e,
		"with a line end":        e + "\n",
		"JSON lines":             e + "\n" + e + "\n",
		"a bad line before it":   "{\n" + e,
		"base64url":              sealed(now, base64.URLEncoding.EncodeToString(odd)),
		"without padding":        sealed(now, base64.RawURLEncoding.EncodeToString(odd)),
		"an older payload type":  sealed("https://in-toto.io/Statement/v0.1", plain),
		"that of early DSSE":     sealed("https://in-toto.io/Statement/v1-json", plain),
		"one of a predicate":     sealed("application/vnd.in-toto.provenance+json", plain),
		"with a parameter":       sealed("application/vnd.in-toto+json; charset=utf-8", plain),
		"bundle":                 `{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.2","dsseEnvelope":` + e + `}`,
		"a bundle in JSON lines": `{"dsseEnvelope":` + e + "}\n" + `{"dsseEnvelope":` + e + "}\n",
	} {
		got := strings.Join(claimLines(claimsOfText([]byte(text), dig("layer"), built)), "\n")
		if got != want {
			t.Errorf("%s: it claims\n%s, want\n%s", name, got, want)
		}
	}
}

// TestManySubjects wants a statement to be about the image that it is attached to, wherever it names it, and about no
// other then; and one about files to be about none of them.
func TestManySubjects(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	const body = `"predicateType":"https://slsa.dev/provenance/v1","predicate":{"runDetails":{"builder":{"id":"https://builder.example"}}}}`
	of := func(names ...string) string {
		var list []string
		for _, name := range names {
			list = append(list, fmt.Sprintf(`{"digest":{"sha256":%q}}`, dig(name).Encoded()))
		}
		return `{"subject":[` + strings.Join(list, ",") + `],` + body
	}
	var files []string
	for i := range 3000 {
		files = append(files, fmt.Sprint("file", i))
	}
	for name, c := range map[string]struct {
		statement  string
		attachedTo digest.Digest
		want       []digest.Digest
	}{
		"behind thousands":        {of(append(files, "app")...), dig("app"), []digest.Digest{dig("app")}},
		"thousands behind it":     {of(append([]string{"app"}, files...)...), dig("app"), []digest.Digest{dig("app")}},
		"files":                   {of(files...), dig("app"), nil},
		"files, beside an image":  {of(files...), "", nil},
		"another image":           {of("other"), dig("app"), []digest.Digest{dig("other")}},
		"four images":             {of("a", "b", "c", "d"), "", []digest.Digest{dig("a"), dig("b"), dig("c"), dig("d")}},
		"the same several times":  {of("a", "a", "a", "a", "a", "a"), "", []digest.Digest{dig("a")}},
		"none":                    {of(), dig("app"), []digest.Digest{dig("app")}},
		"none, beside an image":   {of(), "", nil},
		"subjects after the rest": {strings.Replace("{"+body, "}}}}", `}}},"subject":[{"digest":{"sha256":"`+dig("app").Encoded()+`"}}]}`, 1), dig("x"), []digest.Digest{dig("app")}},
	} {
		var about []digest.Digest
		for _, claim := range claimsOfText([]byte(c.statement), dig("layer"), c.attachedTo) {
			about = append(about, claim.About)
		}
		if fmt.Sprint(about) != fmt.Sprint(c.want) {
			t.Errorf("%s: it is about %v, want %v", name, about, c.want)
		}
	}
}

// TestUntold has provenance in which the source cannot be told from what else was used, or is none.
func TestUntold(t *testing.T) {
	const other = "ffffffffffffffffffffffffffffffffffffffff"
	statement := func(parameters, used string) string {
		return `{"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"externalParameters":` + parameters +
			`,"resolvedDependencies":[` + used + `]},"runDetails":{"builder":{"id":"https://builder.example"}}}}`
	}
	dep := func(uri, commit string) string { return fmt.Sprintf(`{"uri":%q,"digest":{"sha1":%q}}`, uri, commit) }
	for name, c := range map[string]struct{ parameters, used, source, revision string }{
		"two repositories":             {`{}`, dep("git+https://git.example/a/b", commit) + "," + dep("git+https://git.example/c/d", other), "", ""},
		"two commits":                  {`{}`, dep("git+https://git.example/a/b", commit) + "," + dep("git+https://git.example/a/b.git", other), "git.example/a/b", ""},
		"one commit twice":             {`{}`, dep("git+https://git.example/a/b", commit) + "," + dep("git@git.example:a/b.git", commit), "git.example/a/b", commit},
		"a file with a SHA-1":          {`{}`, dep("https://git.example/a/b.tar.gz", commit), "", ""},
		"a package":                    {`{}`, dep("pkg:npm/left-pad@1.0", commit), "", ""},
		"an image":                     {`{}`, `{"uri":"oci://git.example/a/b","digest":{"sha256":"` + strings.Repeat("7", 64) + `"}}`, "", ""},
		"a target by that name":        {`{"target":"//app:image","source":"src/main.go","project":"app"}`, "", "", ""},
		"parameters that are a list":   {`[{"source":"https://git.example/a/b"}]`, "", "", ""},
		"an image as the source":       {`{"source":"registry.example/app@sha256:` + strings.Repeat("7", 64) + `"}`, "", "", ""},
		"a commit of something else":   {`{"source":"https://git.example/a/b"}`, dep("git+https://git.example/c/d", other), "git.example/a/b", ""},
		"another tag's commit":         {`{"source":{"uri":"git+https://git.example/a/b@refs/tags/v1"}}`, dep("git+https://git.example/a/b@refs/tags/v1", commit) + "," + dep("git+https://git.example/a/b@refs/tags/v2", other), "git.example/a/b", commit},
		"no hex":                       {`{"source":{"uri":"https://git.example/a/b","digest":{"gitCommit":"main"}}}`, "", "git.example/a/b", ""},
		"a signed URL":                 {`{"source":{"uri":"https://bucket.example/ctx.tgz?X-Amz-Signature=secret"}}`, "", "bucket.example/ctx.tgz", ""},
		"a token as the user":          {`{"repository":"https://oauth2:secret@git.example/a/b","commit":"` + commit + `"}`, "", "git.example/a/b", commit},
		"a digest of SHA-256 is none":  {`{"source":{"uri":"https://git.example/a/b","digest":{"sha256":"` + strings.Repeat("7", 64) + `"}}}`, "", "git.example/a/b", ""},
		"a commit of SHA-256":          {`{"source":{"uri":"https://git.example/a/b","digest":{"gitCommit":"` + strings.Repeat("7", 64) + `"}}}`, "", "git.example/a/b", strings.Repeat("7", 64)},
		"where the orders came from":   {`{"workflow":{"repository":"https://git.example/c/d"},"sourceToBuild":{"repository":"https://git.example/a/b"}}`, dep("git+https://git.example/c/d", other) + "," + dep("git+https://git.example/a/b", commit), "git.example/a/b", commit},
		"a working copy and more deps": {`{"request":{"args":{"vcs:source":"https://git.example/a/b"}}}`, dep("git+https://git.example/c/d", other), "git.example/a/b", ""},
	} {
		claims := claimsOfText([]byte(statement(c.parameters, c.used)), dig("layer"), built)
		is, _ := read(claims)
		if is.source != c.source || is.revision != c.revision {
			t.Errorf("%s: source %q at %q, want %q at %q", name, is.source, is.revision, c.source, c.revision)
		}
		for _, claim := range claims {
			if strings.Contains(claim.Value, "secret") {
				t.Errorf("%s: it claims %s", name, claim.Value)
			}
		}
	}
}

// TestLongLists has lists of what a build used that are longer than is kept: that they are is said, and what a kept part of one would
// lead to is not.
func TestLongLists(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	const v1, v01 = `{"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"externalParameters":{%s},"resolvedDependencies":[%s]}}}`,
		`{"predicateType":"https://slsa.dev/provenance/v0.1","predicate":{"recipe":{"definedInMaterial":%s},"materials":[%s]}}`
	list := func(n int, of func(n int) string) string {
		var all []string
		for i := range n {
			all = append(all, of(i))
		}
		return strings.Join(all, ",")
	}
	image := func(n int) string {
		return fmt.Sprintf(`{"uri":"pkg:docker/base@%d","digest":{"sha256":%q}}`, n, dig(fmt.Sprint(n)).Encoded())
	}
	same := func(int) string { return image(0) }
	repository := func(name string) func(int) string {
		return func(int) string {
			return fmt.Sprintf(`{"uri":"git+https://git.example/a/%s","digest":{"sha1":%q}}`, name, commit)
		}
	}
	app, web := repository("app"), repository("web")
	declared := `"source":"https://git.example/a/app"`
	for name, c := range map[string]struct{ text, source, revision, unread string }{
		"images":                   {fmt.Sprintf(v1, "", list(64, image)), "", "", ""},
		"too many":                 {fmt.Sprintf(v1, "", list(80, image)), "", "", "it lists more than 64 images that its build used, and those behind are not read"},
		"one, often":               {fmt.Sprintf(v1, "", list(80, same)), "", "", ""},
		"a repository behind":      {fmt.Sprintf(v1, "", list(80, image)+","+app(0)), "git.example/a/app", commit, "it lists more than 64 images"},
		"repositories":             {fmt.Sprintf(v1, "", list(1024, app)), "git.example/a/app", commit, ""},
		"another one past the end": {fmt.Sprintf(v1, "", list(1024, app)+","+web(0)), "", "", "it lists more than 1024 repositories"},
		"a commit past the end":    {fmt.Sprintf(v1, declared, list(1024, web)+","+app(0)), "git.example/a/app", "", "it lists more than 1024 repositories"},
		"defined in the 101st":     {fmt.Sprintf(v01, "100", list(100, web)+","+app(0)), "git.example/a/app", commit, ""},
		"defined past the end":     {fmt.Sprintf(v01, "1024", list(1024, image)+","+app(0)), "", "", "it lists more than 64 images"},
		"defined in none":          {fmt.Sprintf(v01, "7", app(0)), "", "", ""},
		"defined in an image":      {fmt.Sprintf(v01, "0", image(0)+","+app(0)), "git.example/a/app", commit, ""},
	} {
		claims, unread := ClaimsOfAttestation(background, strings.NewReader(c.text), int64(len(c.text)), dig("layer"), built)
		is, _ := read(claims)
		if is.source != c.source || is.revision != c.revision || !strings.HasPrefix(unread, c.unread) || (unread == "") != (c.unread == "") {
			t.Errorf("%s: source %q at %q, unread %q; want %q at %q, %q", name, is.source, is.revision, unread, c.source, c.revision, c.unread)
		}
	}
	docker := fmt.Sprintf(`{"predicateType":"https://witness.testifysec.com/attestation-collection/v0.1","predicate":{"attestations":[{"type":"https://witness.dev/attestations/docker/v0.1","attestation":{"products":{"a":{"materials":{"linux/amd64":[%s]}}}}}]}}`, list(80, image))
	claims, unread := ClaimsOfAttestation(background, strings.NewReader(docker), int64(len(docker)), dig("layer"), built)
	left := slices.ContainsFunc(claims, func(c Claim) bool { return c.Fact == FactMaterialsLeft && c.Value == "16" })
	if !left || !strings.HasPrefix(unread, "it lists more than 64 images") {
		t.Errorf("a build of docker: %t, %q", left, unread)
	}
	step := `{"type":"https://witness.dev/attestations/git/v0.1","attestation":{"commithash":"` + commit + `"}}`
	text := `{"predicateType":"https://witness.testifysec.com/attestation-collection/v0.1","predicate":{"attestations":[` + list(65, func(int) string { return step }) + `]}}`
	if _, unread := ClaimsOfAttestation(background, strings.NewReader(text), int64(len(text)), dig("layer"), built); unread != "it has more than 64 attestations, and those behind are not read" {
		t.Errorf("a collection: %q", unread)
	}
}
