package image

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// TestImagesBefore compares an image with the images that came before it: not with those that came later, and not with
// signatures and other things that are attached to images, under whatever tag.
func TestImagesBefore(t *testing.T) {
	it := ocispec.Descriptor{Digest: digest.FromString("it")}
	s, hex := &subject{desc: it, now: clock}, strings.Repeat("a", 64)
	push := func(name string, size int64, subject digest.Digest, tags ...string) {
		r := &provenance.Record{Index: uint64(len(s.pushes)), Action: provenance.Push, Time: provenance.At(clock), Digest: digest.FromString(name)}
		for _, tag := range tags {
			r.Tags = append(r.Tags, provenance.TagMove{Name: tag})
		}
		r.Observed.ImageSize, r.Observed.Subject = size, subject
		s.pushes = slices.Insert(s.pushes, 0, r) // newest first
	}
	push("one", 1, "", "1.0")
	push("a signature", 2, "", "sha256-"+hex+".sig")
	push("an attestation", 3, "", "sha256-"+hex+".att")
	push("a list of referrers", 4, "", "sha256-"+hex)
	push("a referrer", 5, digest.FromString("one"), "sbom")
	push("a platform", 6, "")
	push("two, which an index was copied with", 7, "", "sha256-"+hex, "2.0")
	push("it", 8, "", "3.0")
	push("later", 9, "", "4.0")
	push("it", 8, "", "again")
	if got := s.sizesBefore(&platform{desc: it}); !slices.Equal(got, []int64{7, 1}) {
		t.Errorf("it is compared with the sizes %v", got)
	}
	s.Pending = &provenance.Record{Action: provenance.Push, Digest: it.Digest}
	s.about = []*provenance.Record{s.Pending}
	if got := s.sizesBefore(&platform{desc: it}); !slices.Equal(got, []int64{7, 1}) {
		t.Errorf("before it is pushed again, it is compared with the sizes %v", got)
	}
	s.about = s.pushes[:1]
	if got := s.checkFresh().Evidence.(FreshEvidence); got.ImagesTaggedInHalfAYear != 4 {
		t.Errorf("images that were tagged: %+v", got)
	}
}
