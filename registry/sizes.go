package registry

import (
	"math"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Sizes in a manifest are what a client wrote. Some are wrong and cannot be changed any more: docker with BuildKit
// counted one byte too many once, and others write 0. So nothing here relies on them, and the record of a push
// says what is wrong of those that can be looked at.

// sizes are what a push's repository holds of what its manifest names.
type sizes struct {
	total int64 // of the config, the layers and the blobs, each digest once
	wrong []provenance.WrongSize
	known map[digest.Digest]bool
	noted map[provenance.WrongSize]bool
}

// content notes a config, a layer or a blob, which has a size.
func (s *sizes) content(d ocispec.Descriptor, size int64) {
	if !s.known[d.Digest] {
		if s.known == nil {
			s.known = map[digest.Digest]bool{}
		}
		s.known[d.Digest] = true
		s.total += min(size, math.MaxInt64-s.total)
	}
	s.named(d, size)
}

// named notes what the manifest names in whatever way, which has a size.
func (s *sizes) named(d ocispec.Descriptor, size int64) {
	w := provenance.WrongSize{Digest: d.Digest, Says: d.Size, Has: size}
	if d.Size == size || s.noted[w] {
		return
	}
	if s.noted == nil {
		s.noted = map[provenance.WrongSize]bool{}
	}
	s.noted[w] = true
	s.wrong = append(s.wrong, w)
}

// lookAtSubject notes the size of the subject, where that is here.
func (p *push) lookAtSubject(tx storage.Reader) error {
	if p.manifest.subject == nil {
		return nil
	}
	value, err := getOrNil(tx, manifestTable, repoKey(p.repo, digestKey(p.manifest.subject.Digest)))
	if err != nil || value == nil {
		return err
	}
	row, err := decodeManifestRow(value)
	if err == nil {
		p.sizes.named(*p.manifest.subject, row.size)
	}
	return err
}
