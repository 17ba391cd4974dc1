package mirror

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Harbor keeps tags in its database alone from 2.15 on. They are exported into a file, which stands beside the directory:
//
//	library/app:1.0 sha256:…

// tagged is a data directory of distribution's whose tags a file has.
type tagged struct {
	*distribution
	tags map[string]map[string]digest.Digest // by repository and tag
}

const (
	maxTagLine  = 1024    // bytes
	maxTagLines = 500_000 // which are all in memory
)

// withTagsOf is a source with the tags of a file, and no others. Error: ErrSource, with the number of the line.
func withTagsOf(from Source, name string) (Source, error) {
	tags, err := readTagFile(name)
	dir, ok := from.(*distribution)
	if err == nil && !ok {
		err = fmt.Errorf("%w: a file of tags goes with the data directory of distribution's registry or of Harbor: this has its own", ErrSource)
	}
	if err != nil {
		return nil, errors.Join(err, from.Close())
	}
	return &tagged{dir, tags}, nil
}

func readTagFile(name string) (map[string]map[string]digest.Digest, error) {
	if !filepath.IsAbs(name) {
		return nil, fmt.Errorf("%w: the path %.200q of the tags is not absolute", ErrSource, name)
	}
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	return readTags(f, filepath.Base(name))
}

// readTags reads lines of REPOSITORY:TAG DIGEST. Blank lines, and those that begin with #, say nothing.
func readTags(from io.Reader, name string) (map[string]map[string]digest.Digest, error) {
	all := map[string]map[string]digest.Digest{}
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, maxTagLine), maxTagLine)
	n := 0
	for lines.Scan() {
		n++
		if n > maxTagLines {
			return nil, fmt.Errorf("%w: %s has more than %d lines: import some repositories at a time", ErrSource, name, maxTagLines)
		}
		if err := readTagLine(all, lines.Text()); err != nil {
			return nil, fmt.Errorf("%w: %s, line %d: %w", ErrSource, name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %s, line %d: %w", ErrSource, name, n+1, err)
	}
	return all, nil
}

func readTagLine(all map[string]map[string]digest.Digest, line string) error {
	fields := strings.Fields(line)
	if len(fields) == 0 || strings.HasPrefix(line, "#") {
		return nil
	}
	if len(fields) != 2 {
		return fmt.Errorf("%.100q is not REPOSITORY:TAG DIGEST", line)
	}
	colon := strings.LastIndexByte(fields[0], ':')
	if colon < 1 || colon == len(fields[0])-1 {
		return fmt.Errorf("%.100q is not REPOSITORY:TAG", fields[0])
	}
	repo, tag, d := fields[0][:colon], fields[0][colon+1:], digest.Digest(fields[1])
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%.100q is no digest: %w", fields[1], err)
	}
	if all[repo] == nil {
		all[strings.Clone(repo)] = map[string]digest.Digest{}
	}
	if before, ok := all[repo][tag]; ok && before != d {
		return fmt.Errorf("%s means %s before", fields[0], before)
	}
	all[repo][tag] = d
	return nil
}

// Repositories implements Source: a repository of the file that the directory does not have stands there with an error.
func (t *tagged) Repositories(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for repo, err := range t.distribution.Repositories(ctx) {
			seen[repo] = true
			if !yield(repo, err) {
				return
			}
		}
		for _, repo := range slices.Sorted(maps.Keys(t.tags)) {
			if !seen[repo] && !yield(repo, fmt.Errorf("%w: the file of tags names it, and the directory has no such repository", ErrAbsent)) {
				return
			}
		}
	}
}

// Images implements Source: the tags of the file, then the manifests of the directory.
func (t *tagged) Images(ctx context.Context, repo string) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		for _, tag := range slices.Sorted(maps.Keys(t.tags[repo])) {
			if !yield(Image{Tag: tag}, ctx.Err()) {
				return
			}
		}
		for image, err := range t.distribution.Images(ctx, repo) {
			if (image.Tag == "" || err != nil) && !yield(image, err) {
				return
			}
		}
	}
}

// Manifest implements Source.
func (t *tagged) Manifest(ctx context.Context, repo, ref string) (Manifest, error) {
	d, ok := t.tags[repo][ref]
	if !ok {
		return t.distribution.Manifest(ctx, repo, ref)
	}
	if err := t.deleted(revision(repo, d)); err != nil {
		return Manifest{}, fmt.Errorf("%s, which the file of tags names: %w", d, err)
	}
	m, err := t.distribution.Manifest(ctx, repo, d.String())
	m.Origin.Reference = referenceTo(repo, ref)
	return m, err
}
