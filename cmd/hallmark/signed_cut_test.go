package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestSignedCut signs provenance that lists more than is read, in an envelope and by a signature over its manifest, and wants the
// record of the signature, which is where its facts become attested, to say so.
func TestSignedCut(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	s := startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "trust:\n  file: "+key.file+"\n"))
	const bare, envelope, slsa = "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json", "https://slsa.dev/provenance/v1"
	var used []string
	for n := range 65 {
		used = append(used, fmt.Sprintf(`{"uri":"pkg:docker/base","digest":{"sha256":%q}}`, digest.FromString(fmt.Sprint(n)).Encoded()))
	}
	said := `{"buildDefinition":{"externalParameters":{"configSource":{"uri":"https://git.example/team/app","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}},"resolvedDependencies":[` + strings.Join(used, ",") + `]}}`

	direct := pusher{s, "team/direct", digest.SHA256}
	image := direct.image("1.0", "amd64")
	direct.attach(image, envelope, key.sealed(image.Digest, slsa, said))

	carried := pusher{s, "team/carried", digest.SHA256}
	about := carried.image("1.0", "amd64")
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: carried.blob(ocispec.MediaTypeEmptyJSON, "{}")}
	m.Subject = &ocispec.Descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size}
	for n := range 6 {
		m.Layers = append(m.Layers, carried.blob(bare, string(statementAbout(about.Digest, slsa, said))+strings.Repeat(" ", n)))
	}
	carrier := carried.manifest("", m.MediaType, m)
	carried.attach(carrier, envelope, key.sealed(carrier.Digest, "https://sigstore.dev/cosign/sign/v1", "{}"))

	for _, c := range []struct {
		repo         string
		about        digest.Digest
		unread, left int
		built        string
	}{
		{"team/direct", image.Digest, 1, 0, "it lists more than 64 images that its build used, and those behind are not read"},
		{"team/carried", about.Digest, 4, 2, "and those behind are not read; and 5 more"},
	} {
		var records struct {
			Records []struct {
				Attested      []struct{ Fact string }
				Unread        []struct{ About digest.Digest }
				UnreadLeftOut int
			}
		}
		s.readJSON("/api/v1/records?action=attest&repo="+c.repo, &records)
		if len(records.Records) != 1 || len(records.Records[0].Attested) == 0 || len(records.Records[0].Unread) != c.unread ||
			records.Records[0].UnreadLeftOut != c.left || records.Records[0].Unread[0].About != c.about {
			t.Errorf("%s: the record of the signature says %+v", c.repo, records)
		}
		var answer struct {
			Built struct{ Class, Source, Unread string }
		}
		s.readJSON("/api/v1/image?ref=1.0&repo="+c.repo, &answer)
		if b := answer.Built; b.Class != "attested" || b.Source != "https://git.example/team/app" || !strings.HasSuffix(b.Unread, c.built) {
			t.Errorf("%s: it is built %+v", c.repo, b)
		}
		checkAnswers(t, s, []asked{{method: "GET", path: "/api/v1/records?action=attest&repo=" + c.repo, status: 200}})
	}
	s.hallmark("fsck")
}
