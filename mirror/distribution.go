package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// distribution is the data directory of distribution's registry, or of what is built upon it, as Harbor before 2.15:
//
//	repositories/NAME/_manifests/tags/TAG/current/link              the digest that a tag means
//	repositories/NAME/_manifests/revisions/ALGORITHM/HEX/link       a manifest of the repository
//	blobs/ALGORITHM/HE/HEX/data                                     the bytes of manifests and blobs
//
// A registry may still write to it: a file gets its name once it is whole, and what has another digest than its name is not taken.
type distribution struct{ root directory }

// distributionDir is where the data is below the directory that the registry is configured with.
const distributionDir = "docker/registry/v2"

// openDistribution opens a data directory, or returns nil where this is none.
func openDistribution(root directory) (*distribution, error) {
	for _, dir := range []string{distributionDir, "."} {
		if info, err := root.Stat(path.Join(dir, "repositories")); err != nil || !info.IsDir() {
			continue
		}
		data, err := root.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		return &distribution{directory{data}}, root.Close()
	}
	return nil, nil
}

// Repositories implements Source.
func (d *distribution) Repositories(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := fs.WalkDir(d.root.FS(), "repositories", func(dir string, entry fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil || err != nil && dir == "repositories":
				return errors.Join(err, ctx.Err())
			case err != nil:
				if !yield(strings.TrimPrefix(dir, "repositories/"), err) {
					return fs.SkipAll
				}
				return nil // its siblings go on
			case !entry.IsDir():
				return nil
			case strings.HasPrefix(entry.Name(), "_"):
				return fs.SkipDir // names of repositories do not begin so
			}
			_, err = d.root.Stat(path.Join(dir, "_manifests"))
			if err == nil && !yield(strings.TrimPrefix(dir, "repositories/"), nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", err)
		}
	}
}

// Images implements Source: the tags first, then all manifests, of which most have come with a tag by then.
func (d *distribution) Images(ctx context.Context, repo string) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		manifests := path.Join("repositories", repo, "_manifests")
		for tag, err := range d.names(ctx, path.Join(manifests, "tags")) {
			if !yield(Image{Tag: tag}, err) {
				return
			}
		}
		for algorithm, err := range d.names(ctx, path.Join(manifests, "revisions")) {
			if err != nil {
				yield(Image{}, err)
				return
			}
			for hex, err := range d.names(ctx, path.Join(manifests, "revisions", algorithm)) {
				named, broken := digest.Digest(algorithm+":"+hex), error(nil)
				if err == nil {
					broken = d.deleted(path.Join(manifests, "revisions", algorithm, hex))
				}
				if errors.Is(broken, errDeleted) {
					continue
				}
				if !yield(Image{Digest: named, Broken: broken}, err) {
					return
				}
			}
		}
	}
}

// names yields what a directory has, or nothing where there is no such directory. It reads some at a time: there may be many.
func (d *distribution) names(ctx context.Context, dir string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := d.root.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield("", err)
			return
		}
		defer f.Close() //nolint:errcheck // it was only read
		for {
			entries, err := f.ReadDir(256)
			for _, entry := range entries {
				if !yield(entry.Name(), ctx.Err()) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
		}
	}
}

// errDeleted: a manifest was deleted, and its directory stayed.
var errDeleted = errors.New("it was deleted there")

// deleted is errDeleted where a revision has no link any more, or why its link cannot be read.
func (d *distribution) deleted(dir string) error {
	_, err := d.root.Stat(path.Join(dir, "link"))
	if errors.Is(err, fs.ErrNotExist) {
		return errDeleted
	}
	return err
}

// maxLink is more than any link has, in bytes.
const maxLink = 512

// link reads which digest a link names.
func (d *distribution) link(name string) (digest.Digest, error) {
	data, err := readFile(d.root, name, maxLink)
	if err != nil {
		return "", absentOr(err)
	}
	named := digest.Digest(strings.TrimSpace(string(data)))
	if named.Validate() != nil {
		return "", fmt.Errorf("the link holds %.80q, which is no digest", data)
	}
	return named, nil
}

// Manifest implements Source.
func (d *distribution) Manifest(_ context.Context, repo, ref string) (m Manifest, err error) {
	manifests := path.Join("repositories", repo, "_manifests")
	named, link := digest.Digest(ref), ""
	if named.Validate() == nil {
		// What has no link is no manifest of the repository, whatever bytes there are: it was deleted, or is a blob, as an index of BuildKit's cache lists them.
		link = path.Join(revision(repo, named), "link")
		if _, err := d.root.Stat(link); err != nil {
			return m, absentOr(err)
		}
	} else {
		link = path.Join(manifests, "tags", ref, "current", "link")
		if named, err = d.link(link); err != nil {
			return m, fmt.Errorf("the tag: %w", err)
		}
	}
	f, _, err := d.open(named)
	if err != nil {
		return m, err
	}
	m.Body, err = readBounded(f, "the manifest "+named.String(), maxManifest)
	m.MediaType = typeOf(m.Body)
	m.Origin = provenance.Origin{Kind: provenance.FromDistribution, Reference: referenceTo(repo, ref), Digest: named}
	if info, err := d.root.Stat(link); err == nil {
		m.Claimed = append(m.Claimed, provenance.Claim{
			Fact: provenance.FactPushedAt, Value: info.ModTime().UTC().Format(time.RFC3339), About: named, From: "time of the file in the directory that it was imported from",
		})
	}
	return m, err
}

// revision is where the link of a manifest is.
func revision(repo string, d digest.Digest) string {
	return path.Join("repositories", repo, "_manifests", "revisions", d.Algorithm().String(), d.Encoded())
}

// open opens the bytes of a digest.
func (d *distribution) open(named digest.Digest) (io.ReadCloser, int64, error) {
	if err := named.Validate(); err != nil {
		return nil, 0, err
	}
	hex := named.Encoded()
	f, size, err := d.root.open(path.Join("blobs", named.Algorithm().String(), hex[:2], hex, "data"))
	return f, size, absentOr(err)
}

// Blob implements Source.
func (d *distribution) Blob(_ context.Context, _ string, b Blob) (io.ReadCloser, int64, error) {
	return d.open(b.Digest)
}

// Referrers implements Source: Images yields them.
func (d *distribution) Referrers(context.Context, string, digest.Digest) ([]digest.Digest, error) {
	return nil, nil
}

// Close implements Source.
func (d *distribution) Close() error { return d.root.Close() }

// OpenPath opens what is on this machine's disk: a data directory of distribution's, an OCI image layout or a directory of them, or
// a tar file of a layout. Error: ErrSource.
func OpenPath(name string) (Source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if !info.IsDir() {
		return openFile(name)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	dir := directory{root}
	s, err := openDirectory(dir)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return s, nil
}

func openDirectory(root directory) (Source, error) {
	if d, err := openDistribution(root); d != nil || err != nil {
		return d, err
	}
	if _, err := root.Stat("index.json"); err == nil {
		return openLayout(provenance.FromLayout, root)
	}
	return openLayouts(root)
}

// openFile opens an archive. Error: ErrSource.
func openFile(name string) (Source, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	a, err := openArchive(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, old := a.members["manifest.json"]; old && a.members["index.json"] == (member{}) {
		err = fmt.Errorf("%w: this archive of `docker save` has no OCI layout in it, and so no manifest whose digest could be kept; convert it, as with `skopeo copy docker-archive:%s oci:DIR:TAG`, and import DIR", ErrSource, path.Base(name))
		return nil, errors.Join(err, f.Close())
	}
	l, err := openLayout(provenance.FromArchive, a)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}
