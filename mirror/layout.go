package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
)

// maxIndex bounds the list of images of a layout, in bytes.
const maxIndex = 64 << 20

// layouts are OCI image layouts (image specification, "Image Layout"): one, an archive of one, or one for each repository below a
// directory, as zot keeps them.
type layouts struct {
	kind  provenance.OriginKind
	root  files
	repos map[string]*layout
}

// layout is where the images of a repository are.
type layout struct {
	files
	index []ocispec.Descriptor
	named map[string]ocispec.Descriptor // the entries by tag and by digest; the first counts
	// broken is why its list of images cannot be read, or nil.
	broken error
}

func newLayout(in files) *layout { return &layout{files: in, named: map[string]ocispec.Descriptor{}} }

func (l *layout) add(entries ...ocispec.Descriptor) {
	for _, d := range entries {
		l.index = append(l.index, d)
		for _, name := range []string{tagOf(d), d.Digest.String()} {
			if _, known := l.named[name]; !known && name != "" {
				l.named[name] = d
			}
		}
	}
}

// nameAnnotation is how containerd and docker state the whole name of an image in a layout.
const nameAnnotation = "io.containerd.image.name"

// openLayout opens one layout, whose images may belong to several repositories. Error: ErrSource.
func openLayout(kind provenance.OriginKind, in files) (*layouts, error) {
	index, err := readIndex(in)
	if err != nil {
		return nil, err
	}
	l := &layouts{kind: kind, root: in, repos: map[string]*layout{}}
	for _, d := range index {
		repo := repoOf(d)
		if l.repos[repo] == nil {
			l.repos[repo] = newLayout(in)
		}
		l.repos[repo].add(d)
	}
	return l, nil
}

// readIndex reads the list of images of a layout.
func readIndex(in files) ([]ocispec.Descriptor, error) {
	data, err := readFile(in, ocispec.ImageIndexFile, maxIndex)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, ocispec.ImageIndexFile, err)
	}
	var index ocispec.Index
	if err := strictjson.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSource, ocispec.ImageIndexFile, err)
	}
	return index.Manifests, nil
}

// repoOf is the repository that an entry of a layout belongs to, as its annotations have it, or "".
func repoOf(d ocispec.Descriptor) string {
	for _, name := range []string{d.Annotations[nameAnnotation], d.Annotations[ocispec.AnnotationRefName]} {
		if !strings.Contains(name, "/") && name != d.Annotations[nameAnnotation] {
			continue // a tag alone
		}
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue
		}
		return strings.TrimPrefix(reference.Path(named), "library/")
	}
	return ""
}

// tagOf is the tag that an entry of a layout has, or "".
func tagOf(d ocispec.Descriptor) string {
	name := cmp.Or(d.Annotations[ocispec.AnnotationRefName], d.Annotations[nameAnnotation])
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[i+1:]
	}
	if strings.Contains(name, "/") {
		return ""
	}
	return name
}

// openLayouts opens every layout below a directory. Error: ErrSource.
func openLayouts(root directory) (*layouts, error) {
	l := &layouts{kind: provenance.FromLayout, root: root, repos: map[string]*layout{}}
	err := fs.WalkDir(root.FS(), ".", func(dir string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.repos[dir] = newLayout(root.in(dir))
			l.repos[dir].broken = err
			return nil // its siblings go on
		case !entry.IsDir():
			return nil
		case dir != "." && strings.HasPrefix(entry.Name(), "."), l.repos[path.Dir(dir)] != nil && entry.Name() == "blobs":
			return fs.SkipDir
		}
		if _, err := root.Stat(path.Join(dir, ocispec.ImageLayoutFile)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		index, broken := readIndex(root.in(dir))
		l.repos[dir] = newLayout(root.in(dir))
		l.repos[dir].broken = broken
		l.repos[dir].add(index...)
		return nil
	})
	if err == nil && len(l.repos) == 0 {
		err = fmt.Errorf("%w: there is neither a registry's data nor an OCI image layout in this directory", ErrSource)
	}
	return l, err
}

// Repositories implements Source.
func (l *layouts) Repositories(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(l.repos)) {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// Images implements Source.
func (l *layouts) Images(_ context.Context, repo string) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		if err := l.repos[repo].broken; err != nil {
			yield(Image{}, err)
			return
		}
		for _, tagged := range []bool{true, false} {
			for _, d := range l.repos[repo].index {
				if tag := tagOf(d); (tag != "") == tagged && !yield(Image{Tag: tag, Digest: d.Digest}, nil) {
					return
				}
			}
		}
	}
}

// Manifest implements Source. Manifests and blobs lie side by side in a layout: what its list does not have is a manifest only where it
// shows that it is one. An index may list blobs, too, as those of BuildKit's cache do.
func (l *layouts) Manifest(_ context.Context, repo, ref string) (m Manifest, err error) {
	in := l.repos[repo]
	d, mediaType := digest.Digest(ref), ""
	listed, isListed := in.named[ref]
	if isListed {
		d, mediaType = listed.Digest, listed.MediaType
	}
	f, size, err := openBlob(in, d)
	if err != nil {
		return m, err
	}
	if !isListed && size > maxManifest {
		return m, errors.Join(ErrAbsent, f.Close())
	}
	m.Body, err = readBounded(f, "the manifest "+d.String(), maxManifest)
	doc := documentOf(m.Body)
	if err == nil && !isListed && !showsManifest(doc) {
		return m, ErrAbsent
	}
	m.MediaType = cmp.Or(kindOf(doc), mediaType)
	m.Origin = provenance.Origin{Kind: l.kind, Reference: referenceTo(repo, ref), Digest: d}
	return m, err
}

// showsManifest says whether a document states what every manifest does, and no config.
func showsManifest(doc document) bool { return doc.SchemaVersion != 0 || doc.MediaType != "" }

// typeOf is the media type that a document states or shows, or "".
func typeOf(body []byte) string { return kindOf(documentOf(body)) }

// referenceTo names something in a repository, as people write it.
func referenceTo(repo, ref string) string {
	switch {
	case strings.Contains(ref, ":"):
		return repo + "@" + ref
	case repo == "":
		return ref
	}
	return repo + ":" + ref
}

// Blob implements Source.
func (l *layouts) Blob(_ context.Context, repo string, b Blob) (io.ReadCloser, int64, error) {
	return openBlob(l.repos[repo], b.Digest)
}

// Referrers implements Source: what a layout has of them, it lists.
func (l *layouts) Referrers(context.Context, string, digest.Digest) ([]digest.Digest, error) {
	return nil, nil
}

// Close implements Source.
func (l *layouts) Close() error { return l.root.Close() }
