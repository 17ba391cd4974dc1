package registry

import (
	"context"
	"errors"
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

// Measure returns the size in bytes of what the repository holds of an image, and the sizes that its manifest has
// wrong, as the record of a push would have them now. Error: ErrUnknown.
func (g *Registry) Measure(ctx context.Context, repo string, d digest.Digest) (size int64, wrong []provenance.WrongSize, err error) {
	desc, body, err := g.Manifest(ctx, repo, d.String())
	if err != nil {
		return 0, nil, err
	}
	m, err := parseStored(desc.MediaType, body)
	if err != nil {
		return 0, nil, err
	}
	p := &push{call: &call{request: request{repo: repo}}, manifest: m}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		p.sizes = sizes{}
		return errors.Join(p.measureBlobs(tx), p.measureChildren(tx), p.lookAtSubject(tx))
	})
	return p.sizes.total, p.sizes.wrong, err
}

// measureBlobs notes the sizes of the config, the layers and the blobs that are here.
func (p *push) measureBlobs(tx storage.Reader) error {
	blobs := p.manifest.blobs()
	links, err := tx.GetMany(linkTable, p.linkKeys(digestsOf(blobs)))
	if err != nil {
		return err
	}
	for i, b := range blobs {
		if links[i] == nil {
			continue
		}
		row, err := readBlobRow(tx, b.Digest)
		if err != nil {
			return err
		}
		p.sizes.content(b, row.size)
	}
	return nil
}

// measureChildren notes the sizes of the children that are here.
func (p *push) measureChildren(tx storage.Reader) error {
	rows, err := tx.GetMany(manifestTable, p.linkKeys(digestsOf(p.manifest.children)))
	if err != nil {
		return err
	}
	for i, value := range rows {
		if value == nil {
			continue
		}
		row, err := decodeManifestRow(value)
		if err != nil {
			return err
		}
		p.sizes.named(p.manifest.children[i], row.size)
	}
	return nil
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
