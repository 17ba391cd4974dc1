package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestSignedCarrier signs the manifest that holds a statement without a signature, as BuildKit pushes one, and wants what it says to
// be attested in the record of that signature, and shown of the image, where the statement or the manifest names the image and the
// signer vouches for its kind. Where the index alone says what it is about, it stays claimed.
func TestSignedCarrier(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	key := newSigner(t)
	s := startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "trust:\n  file: "+key.file+"\n"))
	const bare, envelope, release = "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json", "https://sigstore.dev/cosign/sign/v1"
	const said = `{"buildDefinition":{"externalParameters":{"configSource":{"uri":"https://git.example/team/app","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}}},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`
	for repo, c := range map[string]struct {
		named, bound, listed bool // the statement names the image; the manifest's subject does; an index lists both
		vouches              string
		attested             bool
	}{
		"team/both":      {true, true, true, "[image, provenance]", true},
		"team/statement": {true, false, true, "[image, provenance]", true},
		"team/manifest":  {false, true, true, "[image, provenance]", true},
		"team/referrer":  {true, true, false, "[image, provenance]", true},
		"team/index":     {false, false, true, "[image, provenance]", false},
		"team/image":     {true, true, true, "image", false},
		"team/sbom":      {true, true, true, "[provenance, sbom]", false},
	} {
		p := pusher{s, repo, digest.SHA256}
		image := p.image("", "amd64")
		key.write("    vouches: " + c.vouches + "\n")
		s.reload("configuration, policy, retention, mirrors and certificate reloaded")
		about := image.Digest
		statement := string(statementAbout(about, "https://slsa.dev/provenance/v1", said))
		if !c.named {
			statement = strings.Replace(statement, `"name":"registry.example/team/app","digest":{"sha256":"`+about.Encoded()+`"}`, `"name":"app"`, 1)
		}
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: p.blob(ocispec.MediaTypeEmptyJSON, "{}")}
		m.Layers = []ocispec.Descriptor{p.blob(bare, statement)}
		if c.bound {
			m.Subject = &ocispec.Descriptor{MediaType: image.MediaType, Digest: about, Size: image.Size}
		}
		carrier := p.manifest("", m.MediaType, m)
		carrier.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about.String()}
		carrier.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
		shown := about
		if c.listed {
			shown = p.manifest("", ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{image, carrier}}).Digest
		}
		signature := p.attach(carrier, envelope, key.sealed(carrier.Digest, release, "{}"))

		type facts []struct{ Fact, Value, About, Signer string }
		var records struct{ Records []struct{ Attested facts } }
		s.readJSON("/api/v1/records?action=attest&repo="+repo, &records)
		if len(records.Records) != 1 || (len(records.Records[0].Attested) > 0) != c.attested {
			t.Errorf("%s: the record of the signature says %+v", repo, records)
		}
		for _, d := range []digest.Digest{about, shown} {
			var answer struct {
				Provenance struct{ Attested facts }
				Built      struct{ Class, Signer, Source string }
			}
			s.readJSON("/api/v1/image?repo="+repo+"&ref="+d.String(), &answer)
			is := answer.Built.Class == "attested" && answer.Built.Signer == "release-key" && len(answer.Provenance.Attested) > 0 && answer.Provenance.Attested[0].About == about.String()
			if is != c.attested {
				t.Errorf("%s: what is said of %s is %+v", repo, d, answer)
			}
		}
		if c.attested {
			if status, _, _ := s.do("DELETE", "/v2/"+repo+"/manifests/"+signature.Digest.String(), "", ""); status != 202 {
				t.Errorf("%s: the signature cannot be deleted: %d", repo, status)
			}
			s.says("/api/v1/image?repo="+repo+"&ref="+shown.String(), `"built":{"class":"claimed"`)
		}
		var of struct{ Provenance struct{ Attested facts } }
		if s.readJSON("/api/v1/image?repo="+repo+"&ref="+carrier.Digest.String(), &of); len(of.Provenance.Attested) > 0 {
			t.Errorf("%s: the facts about the image are taken for some of the manifest that holds them: %+v", repo, of)
		}
	}
	s.hallmark("fsck")
}
