package evidence

import (
	"bytes"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// walk goes through the manifests of a layout, from those that its index names.
type walk struct {
	f         *File
	mentioned map[digest.Digest]bool
	seen      map[digest.Digest]*manifest
	tags      map[string]bool // where clients look for what is attached to those that were seen
}

// checkLayout wants index.json to begin with the image; everything that is said to belong to the image to be there, or to be
// left out openly; what is attached to be about it; and no blob that nothing mentions.
func (f *File) checkLayout() error {
	text, err := f.read(indexName, maxFile)
	if err != nil {
		return err
	}
	var index indexFile
	if err := strictjson.UnmarshalKnown(text, &index); err != nil {
		return refusef("%s: %w", indexName, err)
	}
	if again, err := encodeJSON(index); err != nil || !bytes.Equal(again, text) {
		return refusef("%s is spelled otherwise than its content is", indexName)
	}
	c := &f.Cover
	image := ocispec.Descriptor{MediaType: c.MediaType, Digest: c.Digest, Size: c.Size}
	if len(index.Manifests) == 0 || index.Manifests[0].Digest != image.Digest || index.Manifests[0].MediaType != image.MediaType ||
		index.Manifests[0].Size != image.Size || index.Manifests[0].Annotations[ocispec.AnnotationRefName] != c.Tag {
		return refusef("%s does not begin with the image that %s is about", indexName, coverName)
	}
	w := &walk{f, map[digest.Digest]bool{}, map[digest.Digest]*manifest{}, map[string]bool{}}
	if err := w.image(image); err != nil {
		return err
	}
	f.parts = map[digest.Digest]bool{}
	for d := range w.seen {
		f.parts[d] = true
	}
	for _, root := range index.Manifests[1:] {
		if err := w.attached(root); err != nil {
			return err
		}
	}
	return w.noOthers()
}

// read reads a manifest that has to be there.
func (w *walk) read(d ocispec.Descriptor) (*manifest, error) {
	if d.Digest.Validate() != nil {
		return nil, refusef("%.100q is no digest of a manifest", d.Digest)
	}
	body, err := w.f.read(blobName(d.Digest), maxManifest)
	if err != nil {
		return nil, err
	}
	if int64(len(body)) != d.Size {
		return nil, refusef("the manifest %s has %d bytes, and is said to have %d", d.Digest, len(body), d.Size)
	}
	m, err := parseManifest(body)
	if err != nil {
		return nil, refusef("%s is no manifest: %w", d.Digest, err)
	}
	w.mentioned[d.Digest], w.seen[d.Digest], w.tags[fallbackTag(d.Digest)] = true, m, true
	return m, nil
}

// image walks the image and what it lists.
func (w *walk) image(d ocispec.Descriptor) error {
	if w.seen[d.Digest] != nil {
		return nil
	}
	m, err := w.read(d)
	if err != nil {
		return err
	}
	if err := w.blobs(m, func(d ocispec.Descriptor) bool {
		return (w.f.Cover.Layers || d.MediaType == statementType) && !isForeign(d.MediaType)
	}); err != nil {
		return err
	}
	for _, child := range m.Manifests {
		there, err := w.present(child.Digest, true)
		if err != nil || !there {
			if err != nil {
				return err
			}
			continue
		}
		e, _ := w.f.find(blobName(child.Digest))
		child.Size = e.size // what the index says of it is what a client wrote
		if err := w.image(child); err != nil {
			return err
		}
	}
	return nil
}

// blobs wants the config of a manifest, and those of its blobs that are needed.
func (w *walk) blobs(m *manifest, needed func(ocispec.Descriptor) bool) error {
	if m.Config != nil {
		if _, err := w.present(m.Config.Digest, true); err != nil {
			return err
		}
	}
	for _, d := range m.content() {
		if _, err := w.present(d.Digest, needed(d)); err != nil {
			return err
		}
	}
	return nil
}

// present says whether a blob is there. One that is needed and is not there has to be among what is left out.
func (w *walk) present(d digest.Digest, needed bool) (bool, error) {
	if d.Validate() != nil {
		return false, nil // nothing can have it
	}
	w.mentioned[d] = true
	if _, ok := w.f.find(blobName(d)); ok {
		return true, nil
	}
	left := slices.ContainsFunc(w.f.Cover.LeftOut, func(l LeftOut) bool { return l.What == furtherLeft || strings.Contains(l.What, string(d)) })
	if needed && !left {
		return false, refusef("the blob %s belongs to it, is not there, and is not among what was left out", d)
	}
	return false, nil
}

// attached walks a manifest beside the image, which has to be about it: as its subject, by its tag, or as the list of referrers.
func (w *walk) attached(root ocispec.Descriptor) error {
	tag, _, _ := strings.Cut(root.Annotations[ocispec.AnnotationRefName], ".") // without cosign's suffix
	about := w.tags[tag]                                                       // as of before it is read itself
	m, err := w.read(root)
	if err != nil {
		return err
	}
	if isSubject := m.Subject != nil && w.seen[m.Subject.Digest] != nil; !isSubject && !about {
		return refusef("the manifest %s is in it, and is not about the image", root.Digest)
	}
	for _, child := range m.Manifests {
		if _, err := w.present(child.Digest, true); err != nil {
			return err
		}
	}
	if len(m.Manifests) == 0 {
		w.f.parts[root.Digest] = true
	}
	return w.blobs(m, func(d ocispec.Descriptor) bool { return !isForeign(d.MediaType) })
}

// noOthers wants each blob to be mentioned.
func (w *walk) noOthers() error {
	for _, e := range w.f.entries {
		if isBlob(e.name) && !w.mentioned[blobDigest(e.name)] {
			return refusef("the blob %s is in it, and nothing mentions it", blobDigest(e.name))
		}
	}
	return nil
}
