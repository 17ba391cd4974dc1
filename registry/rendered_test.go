package registry

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// provenanceOf returns the one artifact with the registry's own record of an image.
func (s *server) provenanceOf(repo string, image digest.Digest) ocispec.Descriptor {
	s.t.Helper()
	all, _ := s.listReferrers(repo, image, "?artifactType="+provenance.ReferrerType)
	if len(all) != 1 {
		s.t.Fatalf("%s@%s has %d artifacts of provenance: %v", repo, image, len(all), all)
	}
	return all[0]
}

// TestProvenanceReferrer pulls the record of an image as any client pulls an artifact.
func TestProvenanceReferrer(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	labels := `{"config":{"Labels":{"org.opencontainers.image.source":"https://git.example/app","org.opencontainers.image.revision":"abc"}}}`
	config := s.pushBlob("app", labels)
	config.MediaType = ocispec.MediaTypeImageConfig
	image := s.pushManifest("app", "1.0", marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{s.pushBlob("app", "layer")},
	}))
	d := s.provenanceOf("app", image.digest)
	a := d.Annotations
	if a["vnd.hallmark.pushed-by"] != "alice" || a["org.opencontainers.image.source"] != "https://git.example/app" || a["org.opencontainers.image.revision"] != "abc" {
		t.Errorf("it says %v", a)
	}
	if at, err := time.Parse(time.RFC3339, a["vnd.hallmark.pushed-at"]); err != nil || time.Since(at) > time.Minute {
		t.Errorf("pushed at %q: %v", a["vnd.hallmark.pushed-at"], err)
	}
	got := s.want(s.do("GET", "/v2/app/manifests/"+d.Digest.String(), nil), 200, "")
	if digest.FromString(got.body) != d.Digest || int64(len(got.body)) != d.Size || got.header.Get("Hallmark-Record") != a["vnd.hallmark.record"] {
		t.Errorf("the manifest: %v\n%s", got.header, got.body)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(got.body), &m); err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != provenance.ReferrerType || m.Subject == nil || m.Subject.Digest != image.digest || m.Subject.Size != int64(len(image.body)) || !maps.Equal(m.Annotations, a) {
		t.Errorf("the manifest: %s", got.body)
	}
	for _, b := range []ocispec.Descriptor{m.Config, m.Layers[0]} {
		path := "/v2/app/blobs/" + b.Digest.String()
		if head := s.want(s.do("HEAD", path, nil), 200, ""); head.header.Get("Content-Length") != strconv.FormatInt(b.Size, 10) {
			t.Errorf("HEAD of %s: %v", b.MediaType, head.header)
		}
		if content := s.want(s.do("GET", path, nil), 200, "").body; digest.FromString(content) != b.Digest {
			t.Errorf("%s is %q", b.MediaType, content)
		}
	}
	var envelope struct {
		Payload     []byte
		PayloadType string
		Signatures  []struct{ Sig []byte }
	}
	if err := json.Unmarshal([]byte(s.do("GET", "/v2/app/blobs/"+m.Layers[0].Digest.String(), nil).body), &envelope); err != nil {
		t.Fatal(err)
	}
	var statement struct{ Predicate provenance.Record }
	if err := json.Unmarshal(envelope.Payload, &statement); err != nil || statement.Predicate.Digest != image.digest || len(envelope.Signatures) != 1 {
		t.Errorf("the statement is of %s, with %d signatures, %v", statement.Predicate.Digest, len(envelope.Signatures), err)
	}
	// Elsewhere none of it is there, but for what everybody knows.
	s.pushImage("other", "1.0", "else")
	s.want(s.do("GET", "/v2/other/manifests/"+d.Digest.String(), nil), 404, "MANIFEST_UNKNOWN")
	s.want(s.do("GET", "/v2/other/blobs/"+m.Layers[0].Digest.String(), nil), 404, "BLOB_UNKNOWN")
	s.want(s.do("GET", "/v2/nowhere/blobs/"+m.Config.Digest.String(), nil), 404, "BLOB_UNKNOWN")
	s.wantClean()
}

// TestProvenanceLives follows the artifact through what may happen to its image.
func TestProvenanceLives(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("app", "", "one") // a child of an index comes so
	if all, _ := s.listReferrers("app", image.digest, ""); len(all) != 0 {
		t.Errorf("without a tag: %v", all)
	}
	s.want(s.putManifest("app", "1.0", image.body), 201, "")
	first := s.provenanceOf("app", image.digest)
	s.want(s.putManifest("app", "1.0", image.body), 201, "")
	s.want(s.putManifest("app", "2.0", image.body), 201, "")
	s.want(s.do("DELETE", "/v2/app/manifests/1.0", nil), 202, "")
	s = s.restart()
	if again := s.provenanceOf("app", image.digest); marshal(again) != marshal(first) {
		t.Errorf("pushed again: %v, before %v", again, first)
	}
	about := s.artifact("app", image.digest, "application/sbom", "an sbom")
	s.want(s.putManifest("app", "sbom", about.body), 201, "")
	if all, _ := s.listReferrers("app", about.digest, ""); len(all) != 0 {
		t.Errorf("what is about an image has provenance too: %v", all)
	}
	before := s.records()
	s.want(s.do("DELETE", "/v2/app/manifests/"+image.digest.String(), nil), 202, "")
	s.want(s.do("GET", "/v2/app/manifests/"+first.Digest.String(), nil), 404, "MANIFEST_UNKNOWN")
	if all, _ := s.listReferrers("app", image.digest, ""); len(all) != 1 {
		t.Errorf("without the image: %v", all)
	}
	if after := s.records(); after != before+1 {
		t.Errorf("%d records, then %d", before, after)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+about.digest.String(), nil), 202, "")
	if list := s.want(s.do("GET", "/v2/_catalog", nil), 200, "").body; strings.Contains(list, "app") {
		t.Errorf("the repository is there yet: %s", list)
	}
	s.pushImage("app", "1.0", "one")
	if second := s.provenanceOf("app", image.digest); second.Digest == first.Digest {
		t.Error("an image that came anew has the provenance of before")
	}
	s.wantClean()
}

func (s *server) records() uint64 {
	s.t.Helper()
	n, err := s.book.Len(background)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestProvenanceIsOurs tries to delete, replace, tag and forge it.
func TestProvenanceIsOurs(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("app", "1.0", "one")
	d := s.provenanceOf("app", image.digest)
	path := "/v2/app/manifests/" + d.Digest.String()
	own := s.want(s.do("GET", path, nil), 200, "").body
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(own), &m); err != nil {
		t.Fatal(err)
	}
	before := s.records()
	got := s.want(s.do("DELETE", path, nil), 403, "DENIED")
	if !strings.Contains(got.body, "goes with the image") {
		t.Errorf("the reason: %s", got.body)
	}
	s.want(s.do("DELETE", "/v2/app/blobs/"+m.Layers[0].Digest.String(), nil), 403, "DENIED")
	s.want(s.putManifest("app", "mine", own), 403, "DENIED")
	// Copied onto itself it is taken, and nothing is stored.
	got = s.want(s.putManifest("app", d.Digest.String(), own), 201, "")
	if got.header.Get("OCI-Subject") != image.digest.String() || got.header.Get("Hallmark-Record") != d.Annotations["vnd.hallmark.record"] {
		t.Errorf("the answer: %v", got.header)
	}
	if after := s.records(); after != before {
		t.Errorf("%d records, then %d", before, after)
	}
	// What looks like it is somebody's claim.
	m.Annotations["vnd.hallmark.pushed-by"] = "root"
	m.Annotations["note"] = "mine"
	forged := s.want(s.putManifest("app", digest.FromString(marshal(m)).String(), marshal(m)), 201, "")
	all, _ := s.listReferrers("app", image.digest, "?artifactType="+provenance.ReferrerType)
	if len(all) != 2 {
		t.Fatalf("the list: %v", all)
	}
	i := slices.IndexFunc(all, func(l ocispec.Descriptor) bool { return l.Digest != d.Digest })
	if all[i].Annotations["note"] != "mine" || all[i].Annotations["vnd.hallmark.pushed-by"] != "" || all[1-i].Annotations["vnd.hallmark.pushed-by"] != "alice" {
		t.Errorf("the list: %v", all)
	}
	s.want(s.do("DELETE", forged.header.Get("Location"), nil), 202, "")
	s.provenanceOf("app", image.digest)
	s.wantClean()
}

// TestProvenanceCopied copies an image with its provenance to another repository, as `oras cp -r` does: there
// it is what somebody claims, and the image has provenance of its own.
func TestProvenanceCopied(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("app", "1.0", "one")
	d := s.provenanceOf("app", image.digest)
	own := s.do("GET", "/v2/app/manifests/"+d.Digest.String(), nil).body
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(own), &m); err != nil {
		t.Fatal(err)
	}
	s.pushImage("copy", "1.0", "one")
	for _, b := range append(m.Layers, m.Config) {
		s.pushBlob("copy", s.do("GET", "/v2/app/blobs/"+b.Digest.String(), nil).body)
	}
	s.want(s.putManifest("copy", d.Digest.String(), own), 201, "")
	all, _ := s.listReferrers("copy", image.digest, "")
	if len(all) != 2 {
		t.Fatalf("the list: %v", all)
	}
	for _, l := range all {
		if _, marked := l.Annotations["vnd.hallmark.record"]; marked == (l.Digest == d.Digest) {
			t.Errorf("%s, copied from %s, is shown with %v", l.Digest, d.Digest, l.Annotations)
		}
	}
	s.want(s.do("DELETE", "/v2/copy/manifests/"+d.Digest.String(), nil), 202, "")
	s.wantClean()
}

// TestProvenanceMounted mounts what is rendered, as `regctl image copy --referrers` does within a registry.
func TestProvenanceMounted(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("app", "1.0", "one")
	d := s.provenanceOf("app", image.digest)
	own := s.do("GET", "/v2/app/manifests/"+d.Digest.String(), nil).body
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(own), &m); err != nil {
		t.Fatal(err)
	}
	for _, b := range append(m.Layers, m.Config) {
		for _, to := range []string{"copy", "copy"} {
			got := s.want(s.do("POST", "/v2/"+to+"/blobs/uploads/?from=app&mount="+b.Digest.String(), nil), 201, "")
			if got.header.Get("Location") != "/v2/"+to+"/blobs/"+b.Digest.String() || got.header.Get("Docker-Content-Digest") != b.Digest.String() {
				t.Errorf("%v", got.header)
			}
		}
		if got := s.want(s.do("GET", "/v2/copy/blobs/"+b.Digest.String(), nil), 200, ""); digest.FromString(got.body) != b.Digest {
			t.Errorf("%s is %q", b.Digest, got.body)
		}
	}
	s.want(s.putManifest("copy", d.Digest.String(), own), 201, "")
	s.want(s.do("DELETE", "/v2/app/manifests/"+image.digest.String(), nil), 202, "")
	s.want(s.do("GET", "/v2/copy/blobs/"+m.Layers[0].Digest.String(), nil), 200, "")
	again := s.do("POST", "/v2/third/blobs/uploads/?from=app&mount="+m.Layers[0].Digest.String(), nil)
	s.want(again, 202, "") // it went with its image
	s.want(s.do("DELETE", again.header.Get("Location"), nil), 204, "")
	if uploads, _ := s.leftovers(); uploads != 0 {
		t.Errorf("%d uploads are left", uploads)
	}
	s.wantClean()
}

// TestProvenanceMountedByOthers wants it to need the right to pull, until the mount commits.
func TestProvenanceMountedByOthers(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("other/app", "1.0", "one")
	var m ocispec.Manifest
	d := s.provenanceOf("other/app", image.digest)
	if err := json.Unmarshal([]byte(s.do("GET", "/v2/other/app/manifests/"+d.Digest.String(), nil).body), &m); err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0].Digest.String()
	path := "/v2/team/app/blobs/uploads/?from=other/app&mount=" + layer
	s.only("team/** push")
	s.want(s.do("POST", path, nil, as("bob")), 202, "")
	s.only("team/** push", "other/** pull")
	s.store = &meanwhile{s.store, func() {
		if err := s.gate.(*access.Access).Revoke(background, access.Operator, s.grantOf("other/** pull")); err != nil {
			t.Fatal(err)
		}
	}}
	s.want(s.do("POST", path, nil, as("bob")), 202, "")
	s.want(s.do("HEAD", "/v2/team/app/blobs/"+layer, nil), 404, "")
}

// TestRenderedIsThere pushes an artifact without the blobs that a HEAD found: what is rendered can be needed.
func TestRenderedIsThere(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("app", "1.0", "one")
	var m ocispec.Manifest
	own := s.do("GET", "/v2/app/manifests/"+s.provenanceOf("app", image.digest).Digest.String(), nil).body
	if err := json.Unmarshal([]byte(own), &m); err != nil {
		t.Fatal(err)
	}
	m.ArtifactType, m.Annotations = "application/notes", nil
	got := s.want(s.putManifest("app", digest.FromString(marshal(m)).String(), marshal(m)), 201, "")
	s.want(s.do("DELETE", "/v2/app/manifests/"+image.digest.String(), nil), 202, "")
	s.want(s.do("GET", got.header.Get("Location"), nil), 200, "")
	for _, b := range append(m.Layers, m.Config) {
		s.want(s.do("GET", "/v2/app/blobs/"+b.Digest.String(), nil), 200, "")
	}
	s.wantClean()
}

const goldenKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----`

// TestRenderingNeverChanges holds what is made of a record: digests of it are out in the world.
func TestRenderingNeverChanges(t *testing.T) {
	image := digest.FromString("image")
	r := &provenance.Record{
		Index: 41, Digest: image, Actor: provenance.Actor{Kind: "ci", Handle: "builder <&>"},
		Time:     provenance.At(time.Date(2026, 11, 23, 9, 0, 0, 123456000, time.UTC)),
		Observed: provenance.Observation{MediaType: ocispec.MediaTypeImageIndex, Size: 1234},
		Claimed: []provenance.Claim{
			{Fact: provenance.FactSource, Value: "https://git.example/app", About: image},
			{Fact: provenance.FactRevision, Value: "abc", About: image},
			{Fact: provenance.FactSource, Value: "https://git.example/another", About: image},
		},
	}
	key, err := receipt.ParseKeys([]byte(goldenKey))
	if err != nil {
		t.Fatal(err)
	}
	proved := &receipt.Receipt{
		Payload: []byte(`{"_type":"https://in-toto.io/Statement/v1"}`), Signature: []byte("signature"), Key: key[0], LogID: []byte("log"), Leaf: 1,
		Proof: tlog.RecordProof{{1}}, Checkpoint: "log.example\n2\n" + tlog.Hash{2}.String() + "\n\n— log.example c2lnbmF0dXJl\n",
	}
	const layer = "sha256:b37b01b83af3dedf0acd8320426322520d89d8dc9228d2699acbcc2fbf50d578"
	for f, manifest := range []digest.Digest{
		withoutClass: "sha256:24f127a5dc5dce5845146e15f4347e32ac967c90344b1ec95edc799fc41f65d4",
		withClass:    "sha256:23172c5ac53333a3addb7a6a0addc31fc6bcf1fa380408b8919a1a5e682943e7",
		withReceipt:  "sha256:5989ed84a1b25299bf7f68b48192b3d26eac21ded5da1c7ee4461ea8168f8d9f",
	} {
		out, err := form(f).render(r, proved)
		if err != nil {
			t.Fatal(err)
		}
		if out.descriptor.Digest != manifest || out.layers[0].Digest != layer {
			t.Errorf("form %d: the manifest is %s, the layer %s:\n%s\n%s", f, out.descriptor.Digest, out.layers[0].Digest, out.manifest, out.layers[0].content)
		}
	}
}

// TestKeepsItsForm has images from before source and revision said of which class they are, and from before the second layer:
// their referrers stay what they were, for who reads them, for fsck, and where they are made again.
func TestKeepsItsForm(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	images := make([]digest.Digest, newestForm+1)
	want := make([]ocispec.Descriptor, len(images))
	for f := range images {
		images[f] = s.pushFrom("https://git.example/app", fmt.Sprint("t", f))
		want[f] = s.provenanceOf("app", images[f])
	}
	update := func(fn func(tx storage.Tx, f form) error) {
		t.Helper()
		err := s.store.Update(background, func(tx storage.Tx) error {
			for f := range newestForm {
				if err := fn(tx, f); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx storage.Tx, f form) error {
		out, err := f.renderRecord(tx, recordOf(t, want[f]))
		if err != nil {
			return err
		}
		tx.Put(doneTable, formMarks[f+1], binary.BigEndian.AppendUint64(nil, recordOf(t, want[f+1])))
		want[f] = out.descriptor
		return errors.Join(removeRendered(tx, "app", digestKey(images[f])), out.put(tx, "app", digestKey(images[f])))
	})
	check := func() {
		t.Helper()
		for f, image := range images {
			if p := s.provenanceOf("app", image); marshal(p) != marshal(want[f]) {
				t.Errorf("form %d: the referrer is %v, and was %v", f, p, want[f])
			}
			s.want(s.do("GET", "/v2/app/manifests/"+want[f].Digest.String(), nil), 200, "")
		}
		s.wantClean()
	}
	check()
	update(func(tx storage.Tx, f form) error { return removeRendered(tx, "app", digestKey(images[f])) })
	if n, err := s.renderOld(background); n != int(newestForm) || err != nil {
		t.Errorf("%d rendered again, %v", n, err)
	}
	check()
}

// pushFrom pushes an image that claims a source.
func (s *server) pushFrom(source, tag string) digest.Digest {
	s.t.Helper()
	config := s.pushBlob("app", `{"config":{"Labels":{"org.opencontainers.image.source":"`+source+`","tag":"`+tag+`"}}}`)
	config.MediaType = ocispec.MediaTypeImageConfig
	return s.pushManifest("app", tag, marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{s.pushBlob("app", "layer")},
	})).digest
}

func recordOf(t *testing.T, d ocispec.Descriptor) uint64 {
	t.Helper()
	record, err := strconv.ParseUint(d.Annotations["vnd.hallmark.record"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// TestReceiptLayer wants the second layer to be a receipt that verifies, with nothing in it that could change: whatever becomes of
// the log, its key and its witnesses, the artifact stays what it is.
func TestReceiptLayer(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "0", "none")
	image := s.pushImage("app", "1.0", "one")
	d := s.provenanceOf("app", image.digest)
	own := s.do("GET", "/v2/app/manifests/"+d.Digest.String(), nil).body
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(own), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 2 || m.Layers[1].MediaType != receipt.LayerType {
		t.Fatalf("its layers: %v", m.Layers)
	}
	path := "/v2/app/blobs/" + m.Layers[1].Digest.String()
	bundle := s.want(s.do("GET", path, nil), 200, "").body
	v, err := receipt.Verify([]byte(bundle), s.trust())
	if err != nil {
		t.Fatal(err)
	}
	if v.Index != recordOf(t, d) || v.Checkpoint.Size != v.Leaf+1 || len(v.Unchecked) != 0 {
		t.Errorf("it proves %+v", v)
	}
	var parts struct{ DsseEnvelope json.RawMessage }
	if err := json.Unmarshal([]byte(bundle), &parts); err != nil {
		t.Fatal(err)
	}
	if envelope := s.do("GET", "/v2/app/blobs/"+m.Layers[0].Digest.String(), nil).body; string(parts.DsseEnvelope) != envelope {
		t.Errorf("the receipt has the envelope %s\nand the first layer is %s", parts.DsseEnvelope, envelope)
	}
	s.want(s.do("DELETE", path, nil), 403, "DENIED")
	s.pushImage("app", "2.0", "two")
	before := s.trust()
	for n := range 6 {
		next, err := receipt.GenerateSigner()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.book.Rotate(background, access.Operator, next); err != nil {
			t.Fatal(err)
		}
		later := s.pushImage("app", fmt.Sprint("rotated", n), fmt.Sprint("rotated", n))
		s.wantKeySteps(before, later.digest, min(n+1, 4), n < 4)
	}
	for _, end := range []provenance.Ending{{Action: provenance.KeyChange, Reason: "stolen"}, {Action: provenance.Restore, Reason: "restored"}} {
		keys, err := provenance.GenerateKeys()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.book.Succeed(background, access.Operator, keys, end); err != nil {
			t.Fatal(err)
		}
		s.pushImage("app", end.Reason, end.Reason)
		if now := s.provenanceOf("app", image.digest); marshal(now) != marshal(d) {
			t.Errorf("%s: it is %v, and was %v", end.Reason, now, d)
		}
		if now := s.do("GET", path, nil).body; now != bundle {
			t.Errorf("%s: the receipt is\n%s\nand was\n%s", end.Reason, now, bundle)
		}
	}
	if _, err := receipt.Verify([]byte(bundle), s.trust()); !errors.Is(err, receipt.ErrRefused) {
		t.Errorf("of a closed log: %v", err)
	}
	s.wantClean()
}

// trust is what the registry says of its logs and keys.
func (s *server) trust() receipt.Trust {
	s.t.Helper()
	logs, err := s.book.LogEntries(background)
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := s.book.KeyEntries(background)
	if err != nil {
		s.t.Fatal(err)
	}
	return receipt.Trust{Logs: logs, Keys: keys}
}

// wantKeySteps wants an image to carry the changes of the receipt key, the first of which is signed by a key of before where
// that can be followed.
func (s *server) wantKeySteps(before receipt.Trust, image digest.Digest, steps int, follows bool) {
	s.t.Helper()
	var m ocispec.Manifest
	d := s.provenanceOf("app", image)
	if err := json.Unmarshal([]byte(s.want(s.do("GET", "/v2/app/manifests/"+d.Digest.String(), nil), 200, "").body), &m); err != nil {
		s.t.Fatal(err)
	}
	if len(m.Layers) != 2+steps {
		s.t.Fatalf("it has %d layers, want %d", len(m.Layers), 2+steps)
	}
	for n, l := range m.Layers[1:] {
		body := []byte(s.want(s.do("GET", "/v2/app/blobs/"+l.Digest.String(), nil), 200, "").body)
		if _, err := receipt.Verify(body, s.trust()); err != nil {
			s.t.Errorf("layer %d: %v", n+1, err)
		}
		if _, err := receipt.Verify(body, before); n == 1 && (err == nil) != follows {
			s.t.Errorf("the first change of the key, by the keys of before: %v", err)
		}
	}
}

// TestSharedLayer deletes an image whose provenance has a layer in common with that of another, as those of one key have
// the receipt by which the key came into force. The other keeps it.
func TestSharedLayer(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	next, err := receipt.GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.book.Rotate(background, access.Operator, next); err != nil {
		t.Fatal(err)
	}
	one, two := s.pushFrom("https://git.example/one", "one"), s.pushFrom("https://git.example/two", "two")
	first, second := s.layersOf(s.provenanceOf("app", one).Digest), s.layersOf(s.provenanceOf("app", two).Digest)
	shared := first[len(first)-1].Digest
	if len(first) < 3 || second[len(second)-1].Digest != shared {
		t.Fatalf("no layer in common: %v and %v", first, second)
	}
	for _, d := range []digest.Digest{two, one} {
		s.want(s.do("GET", "/v2/app/blobs/"+shared.String(), nil), 200, "")
		s.want(s.do("DELETE", "/v2/app/manifests/"+d.String(), nil), 202, "")
		s.wantClean()
	}
	s.want(s.do("GET", "/v2/app/blobs/"+shared.String(), nil), 404, "BLOB_UNKNOWN")
}

// layersOf are the layers of a manifest of the repository app.
func (s *server) layersOf(d digest.Digest) []ocispec.Descriptor {
	s.t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(s.want(s.do("GET", "/v2/app/manifests/"+d.String(), nil), 200, "").body), &m); err != nil {
		s.t.Fatal(err)
	}
	return m.Layers
}
