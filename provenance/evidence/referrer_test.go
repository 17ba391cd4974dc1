package evidence_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// artifact is a provenance referrer as its registry makes it, before it is written.
type artifact struct {
	h           *house
	subject     digest.Digest
	layers      []layer
	annotations map[string]string
}

type layer struct {
	mediaType string
	content   []byte
}

// referrer is that of a record, with the records by which its key came into force.
func (h *house) referrer(index uint64, steps ...uint64) *artifact {
	h.t.Helper()
	bundle := func(index uint64) ([]byte, *receipt.Receipt) {
		size := index + 1
		data, err := h.book.Receipt(h.t.Context(), index, &size)
		fatal(h.t, err)
		p, err := h.book.Prover(h.t.Context(), index)
		fatal(h.t, err)
		made, err := p.Receipts(h.t.Context(), []uint64{index})
		fatal(h.t, err)
		return data, made[0]
	}
	own, made := bundle(index)
	r, err := h.book.Get(h.t.Context(), index)
	fatal(h.t, err)
	a := &artifact{h, r.Digest, []layer{{provenance.EnvelopeType, receipt.Envelope(made.Payload, made.Signature)}, {receipt.LayerType, own}}, map[string]string{
		"vnd.hallmark.record": fmt.Sprint(index), "vnd.hallmark.pushed-by": "alice", "vnd.hallmark.pushed-at": r.Time.String(),
		ocispec.AnnotationSource: "https://git.example/app", "vnd.hallmark.source-class": "claimed", "org.example.note": "whatever",
	}}
	for _, step := range steps {
		data, _ := bundle(step)
		a.layers = append(a.layers, layer{receipt.LayerType, data})
	}
	return a
}

// verify checks it as some registry serves it.
func (a *artifact) verify(trust receipt.Trust) (*evidence.Carried, error) {
	content, layers := map[digest.Digest][]byte{}, []ocispec.Descriptor{}
	for _, l := range a.layers {
		d := digest.FromBytes(l.content)
		content[d] = l.content
		layers = append(layers, ocispec.Descriptor{MediaType: l.mediaType, Digest: d, Size: int64(len(l.content))})
	}
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestMT, "artifactType": provenance.ReferrerType, "layers": layers,
		"subject": ocispec.Descriptor{MediaType: manifestMT, Digest: a.subject, Size: 3}, "annotations": a.annotations,
	})
	fatal(a.h.t, err)
	if !evidence.IsReferrer(body) {
		a.h.t.Error("it is not taken for a provenance referrer")
	}
	return evidence.VerifyReferrer(body, func(d ocispec.Descriptor) ([]byte, error) { return content[d.Digest], nil }, trust)
}

// TestReferrer checks what is copied with an image into any registry: by what was kept, before a key was rotated and afterwards.
func TestReferrer(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	for name, c := range map[string]struct {
		of    *artifact
		trust receipt.Trust
		by    bool
	}{
		"by the keys of now":         {h.referrer(2), h.trust(), false},
		"by those of before":         {h.referrer(2, 1), kept, true},
		"of before":                  {h.referrer(0), kept, false},
		"by a step that is not new":  {h.referrer(2, 1), h.trust(), false},
		"with a step from elsewhere": {h.referrer(0, 3), kept, false},
	} {
		got, err := c.of.verify(c.trust)
		if err != nil || got.Receipt == nil || got.Subject != got.Record.Digest || (got.By != nil) != c.by {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	newer := h.referrer(2)
	newer.annotations = maps.Clone(newer.annotations)
	newer.annotations["vnd.hallmark.grade"], newer.annotations["org.example"] = "A", "x"
	if got, err := newer.verify(h.trust()); err != nil || !slices.Equal(got.Unknown, []string{"vnd.hallmark.grade"}) {
		t.Errorf("an annotation that is not known: %+v, %v", got, err)
	}
	alone := h.referrer(0)
	alone.layers = alone.layers[:1]
	if got, err := alone.verify(kept); err != nil || got.Receipt != nil || got.Signed == nil || got.Record.Index != 0 {
		t.Errorf("the statement alone: %+v, %v", got, err)
	}
}

// TestBadReferrers are artifacts of the type that a client made of something else.
func TestBadReferrers(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	stranger, _ := lived(t)
	other := h.referrer(0)
	for says, change := range map[string]func(a *artifact){
		"its receipt is not of its statement":                      func(a *artifact) { a.layers[1] = other.layers[1] },
		"it refers to sha256:":                                     func(a *artifact) { a.subject = digest.FromString("another image") },
		"which is not a trusted one":                               func(a *artifact) { a.layers = stranger.referrer(2).layers },
		`its annotation vnd.hallmark.record is "3"`:                func(a *artifact) { a.annotations["vnd.hallmark.record"] = "3" },
		`its annotation vnd.hallmark.pushed-by is "bob"`:           func(a *artifact) { a.annotations["vnd.hallmark.pushed-by"] = "bob" },
		`its annotation vnd.hallmark.pushed-at is "2020"`:          func(a *artifact) { a.annotations["vnd.hallmark.pushed-at"] = "2020" },
		`its annotation vnd.hallmark.source-class is "attested"`:   func(a *artifact) { a.annotations["vnd.hallmark.source-class"] = "attested" },
		`is "https://evil.example", which its record does not say`: func(a *artifact) { a.annotations[ocispec.AnnotationSource] = "https://evil.example" },
		`it has a layer of the type "application/vnd.dev.sigstore`: func(a *artifact) { a.layers[1].mediaType = receipt.MediaType },
		"it is no provenance referrer":                             func(a *artifact) { a.layers = a.layers[1:] },
		"the proof does not show this statement at leaf 2": func(a *artifact) {
			a.layers[1].content = replaced(a.layers[1].content, `"hashes":["`, `"hashes":["AAAA`, 4)
		},
		"no key that is trusted signed this statement":  func(a *artifact) { a.layers = stranger.referrer(2).layers[:1] },
		"it is no envelope that all readers read alike": func(a *artifact) { a.layers = []layer{{provenance.EnvelopeType, []byte("hello")}} },
	} {
		a := h.referrer(2, 1)
		a.annotations = maps.Clone(a.annotations)
		change(a)
		if _, err := a.verify(kept); !errors.Is(err, evidence.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want a refusal with %q", err, says)
		}
	}
}

// replaced puts something behind a mark in place of as many bytes.
func replaced(content []byte, mark, with string, n int) []byte {
	before, after, _ := strings.Cut(string(content), mark)
	return []byte(before + with + after[n:])
}
