package evidence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The bounds of what goes into a layout.
const (
	maxReferrers = 200      // of one manifest
	maxManifests = 1000     // of all kinds
	maxHeld      = 64 << 20 // bytes of all manifests: they are held in memory until they are written
	maxAttached  = 64 << 20 // bytes of a blob of a referrer, without the image's layers
	maxNested    = 3        // a signature of an SBOM of an image
	maxLeftOut   = 1000     // that are named
)

// furtherLeft stands for all that is left out beyond the bound of what is named.
const furtherLeft = "further manifests and blobs"

// tooMany says why a manifest is left out.
var tooMany = fmt.Sprintf("a file holds up to %d manifests, of %d MiB together", maxManifests, maxHeld>>20)

// Content is what a registry has of one repository. Absent tells its error for what is not there.
type Content interface {
	// Manifest returns what a tag or digest names.
	Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error)
	// Referrers lists up to n manifests whose subject is d.
	Referrers(ctx context.Context, d digest.Digest, n int) ([]ocispec.Descriptor, error)
	// Blob opens a blob, and returns its size.
	Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error)
	Absent(err error) bool
}

// A layout is what the OCI part of a file is made of, small enough to be held: manifests, and the sizes of blobs.
type layout struct {
	content Content
	layers  bool

	manifests map[digest.Digest][]byte
	held      int                     // bytes of these
	blobs     map[digest.Digest]int64 // sizes
	roots     []ocispec.Descriptor    // of index.json
	referrers map[digest.Digest][]ocispec.Descriptor
	leftOut   []LeftOut
}

// A ref is an image that was looked up.
type ref struct {
	tag  string
	desc ocispec.Descriptor
	body []byte
}

// gather reads the manifests of an image and of all that is attached to it, and measures their blobs.
func gather(ctx context.Context, content Content, image ref, layers bool) (*layout, error) {
	l := &layout{
		content: content, layers: layers, manifests: map[digest.Digest][]byte{}, blobs: map[digest.Digest]int64{},
		referrers: map[digest.Digest][]ocispec.Descriptor{},
	}
	root := ocispec.Descriptor{MediaType: image.desc.MediaType, Digest: image.desc.Digest, Size: image.desc.Size}
	if image.tag != "" {
		root.Annotations = map[string]string{ocispec.AnnotationRefName: image.tag}
	}
	l.roots = append(l.roots, root)
	parts, err := l.image(ctx, image)
	if err != nil {
		return nil, err
	}
	for _, d := range parts {
		if err := l.attached(ctx, d, 0); err != nil {
			return nil, err
		}
		if err := l.tagged(ctx, d); err != nil {
			return nil, err
		}
	}
	return l, errors.Join(l.leaveListed(), l.listReferrers())
}

// leave names something that is left out. A manifest may name any number of blobs that nobody has.
func (l *layout) leave(why, format string, args ...any) {
	switch n := len(l.leftOut); {
	case n == maxLeftOut:
		why, format, args = fmt.Sprintf("a file names up to %d that it leaves out", maxLeftOut), furtherLeft, nil
	case n > maxLeftOut:
		return
	}
	l.leftOut = append(l.leftOut, LeftOut{fmt.Sprintf(format, args...), why})
}

func (l *layout) hold(d digest.Digest, body []byte) {
	l.manifests[d] = body
	l.held += len(body)
}

// full says that no further manifest goes in.
func (l *layout) full() bool { return len(l.manifests) >= maxManifests || l.held >= maxHeld }

// image adds the manifests of an image, with their configs and statements, and returns their digests.
func (l *layout) image(ctx context.Context, image ref) (parts []digest.Digest, err error) {
	m, err := parseManifest(image.body)
	if err != nil {
		return nil, fmt.Errorf("the manifest %s: %w", image.desc.Digest, err)
	}
	l.hold(image.desc.Digest, image.body)
	parts = []digest.Digest{image.desc.Digest}
	if err := l.measure(ctx, m, func(d ocispec.Descriptor) bool { return l.layers || d.MediaType == statementType }); err != nil {
		return nil, err
	}
	for _, child := range m.Manifests {
		if _, known := l.manifests[child.Digest]; known {
			continue
		}
		if l.full() {
			l.leave(tooMany, "the manifest %s, which %s lists", child.Digest, image.desc.Digest)
			continue
		}
		desc, body, err := l.content.Manifest(ctx, child.Digest.String())
		switch {
		case err != nil && l.content.Absent(err):
			l.leave("the registry does not have it", "the manifest %s, which %s lists", child.Digest, image.desc.Digest)
			continue
		case err != nil:
			return nil, err
		}
		more, err := l.image(ctx, ref{desc: desc, body: body})
		if err != nil {
			return nil, err
		}
		parts = append(parts, more...)
	}
	return parts, nil
}

// measure adds the blobs of a manifest that are wanted, and its config.
func (l *layout) measure(ctx context.Context, m *manifest, wanted func(ocispec.Descriptor) bool) error {
	var all []ocispec.Descriptor
	if m.Config != nil {
		all = append(all, *m.Config)
	}
	for _, d := range m.content() {
		if wanted(d) {
			all = append(all, d)
		}
	}
	for _, d := range all {
		if err := l.measureOne(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) measureOne(ctx context.Context, d ocispec.Descriptor) error {
	if _, known := l.blobs[d.Digest]; known {
		return nil
	}
	body, size, err := l.content.Blob(ctx, d.Digest)
	switch {
	case err != nil && l.content.Absent(err):
		l.leave("the registry does not have it", "the blob %s (%s)", d.Digest, d.MediaType)
		return nil
	case err != nil:
		return err
	case size > maxEntry:
		l.leave("it is larger than a file in a tar can be", "the blob %s (%s)", d.Digest, d.MediaType)
	default:
		l.blobs[d.Digest] = size
	}
	return body.Close()
}

// attached adds the referrers of a manifest, and theirs.
func (l *layout) attached(ctx context.Context, subject digest.Digest, depth int) error {
	list, err := l.content.Referrers(ctx, subject, maxReferrers+1)
	if err != nil {
		return err
	}
	if len(list) > maxReferrers {
		l.leave(fmt.Sprintf("a file holds up to %d of one manifest", maxReferrers), "further referrers of %s", subject)
		list = list[:maxReferrers]
	}
	for _, d := range list {
		added, err := l.attach(ctx, d.Digest.String(), "")
		if err != nil {
			return err
		}
		if added != nil {
			l.referrers[subject] = append(l.referrers[subject], *added)
		}
		if added != nil && depth < maxNested {
			if err := l.attached(ctx, d.Digest, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// tagged adds what cosign attaches to a manifest by tags.
func (l *layout) tagged(ctx context.Context, subject digest.Digest) error {
	for _, suffix := range []string{".att", ".sbom", ".sig"} {
		tag := fallbackTag(subject) + suffix
		if _, err := l.attach(ctx, tag, tag); err != nil {
			return err
		}
	}
	return nil
}

// attach adds a manifest that says something about another, with all its blobs, and returns its descriptor; or nil where it is
// not there, is there already, or is too large.
func (l *layout) attach(ctx context.Context, name, tag string) (*ocispec.Descriptor, error) {
	desc, body, err := l.content.Manifest(ctx, name)
	if err != nil {
		if l.content.Absent(err) {
			return nil, nil
		}
		return nil, err
	}
	if _, known := l.manifests[desc.Digest]; known {
		return nil, nil
	}
	m, err := parseManifest(body)
	if err != nil {
		return nil, fmt.Errorf("the manifest %s: %w", desc.Digest, err)
	}
	large := slices.ContainsFunc(m.content(), func(d ocispec.Descriptor) bool { return d.Size > maxAttached })
	switch {
	case l.full():
		l.leave(tooMany, "the referrer %s (%s)", desc.Digest, m.artifactType())
		return nil, nil
	case large && !l.layers:
		l.leave("it is large: it goes in with the layers", "the referrer %s (%s)", desc.Digest, m.artifactType())
		return nil, nil
	}
	l.hold(desc.Digest, body)
	root := ocispec.Descriptor{MediaType: desc.MediaType, ArtifactType: m.artifactType(), Digest: desc.Digest, Size: desc.Size}
	listed := root
	if tag != "" {
		listed.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	l.roots = append(l.roots, listed)
	return &root, l.measure(ctx, m, func(ocispec.Descriptor) bool { return true })
}

// leaveListed says that what attached indexes list is left out, but for what is there anyway.
func (l *layout) leaveListed() error {
	for _, root := range l.roots[1:] {
		m, err := parseManifest(l.manifests[root.Digest])
		if err != nil {
			return err
		}
		for _, child := range m.Manifests {
			if _, there := l.manifests[child.Digest]; !there {
				l.leave("what an attached index lists is not looked for", "the manifest %s, which %s lists", child.Digest, root.Digest)
			}
		}
	}
	return nil
}

// listReferrers adds a list of the referrers of each manifest that has some, for clients that look for one.
func (l *layout) listReferrers() error {
	subjects := make([]digest.Digest, 0, len(l.referrers))
	for d := range l.referrers {
		subjects = append(subjects, d)
	}
	slices.Sort(subjects)
	for _, subject := range subjects {
		body, err := encodeJSON(newIndex(l.referrers[subject]))
		if err != nil {
			return err
		}
		d := digest.FromBytes(body)
		l.manifests[d] = body
		l.roots = append(l.roots, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(body)),
			Annotations: map[string]string{ocispec.AnnotationRefName: fallbackTag(subject)},
		})
	}
	return nil
}

// errChanged says that a blob is not any more what it was when it was measured.
var errChanged = errors.New("it changed while the file was made")

// write writes the blobs, in the order of their names.
func (l *layout) write(ctx context.Context, t *tarWriter) error {
	names := map[string]digest.Digest{}
	for d := range l.manifests {
		names[blobName(d)] = d
	}
	for d := range l.blobs {
		names[blobName(d)] = d
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		if err := l.writeOne(ctx, t, name, names[name]); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) writeOne(ctx context.Context, t *tarWriter, name string, d digest.Digest) error {
	if body, ok := l.manifests[d]; ok {
		return t.bytes(name, body)
	}
	body, size, err := l.content.Blob(ctx, d)
	if err != nil {
		return err
	}
	if size != l.blobs[d] {
		return errors.Join(fmt.Errorf("the blob %s: %w", d, errChanged), body.Close())
	}
	v := d.Verifier()
	err = errors.Join(t.add(name, size, io.TeeReader(body, v)), body.Close())
	if err == nil && !v.Verified() {
		err = fmt.Errorf("the blob %s: its bytes have another digest", d)
	}
	return err
}
