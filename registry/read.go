package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/storage"
)

// What other rooms read of images. They check the caller's rights.

// Manifest returns what a tag or digest names in a repository, and its bytes. Error: ErrUnknown.
func (g *Registry) Manifest(ctx context.Context, repo, ref string) (d ocispec.Descriptor, body []byte, err error) {
	named, isDigest := parseDigest(ref)
	if !validName(repo) || !isDigest && !validTag(ref) {
		return d, nil, errManifestUnknown(repo, ref)
	}
	f, err := g.findManifest(ctx, g.view, repo, ref, named)
	if err != nil {
		return d, nil, err
	}
	err = g.loadContent(ctx, f)
	return ocispec.Descriptor{MediaType: f.mediaType, Digest: f.digest, Size: f.size}, f.content, err
}

// A TooLargeError is what BlobInto does not read.
type TooLargeError struct {
	Digest     digest.Digest
	Size, Most int64 // bytes: what it has, and what is read
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes, and at most %d are read", e.Digest, e.Size, e.Most)
}

// BlobInto returns a blob of a repository, which may have at most most bytes, whatever a manifest says that it has, in the
// room that it asks for. Of what is larger no room is asked. Errors: ErrUnknown, TooLargeError, and that of room.
func (g *Registry) BlobInto(ctx context.Context, repo string, d digest.Digest, most int64, room func(n int) ([]byte, error)) (body []byte, err error) {
	f, _, err := g.findBlob(ctx, g.view, repo, d, g.openBlob)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.Size() > most {
		return nil, &TooLargeError{d, f.Size(), most}
	}
	if body, err = room(int(f.Size())); err != nil {
		return nil, err
	}
	if _, err = io.ReadFull(f, body); err == nil {
		err = compare(d, body)
	}
	if errors.Is(err, storage.ErrCorrupt) {
		return nil, g.lost(ctx, d, blobRow{}, err)
	}
	return body, err
}

// Blob opens a blob of a repository, and returns its size in bytes. Error: ErrUnknown.
func (g *Registry) Blob(ctx context.Context, repo string, d digest.Digest) (io.ReadCloser, int64, error) {
	f, _, err := g.findBlob(ctx, g.view, repo, d, g.openBlob)
	if err != nil {
		return nil, 0, err
	}
	return watched{f, func(err error) { _ = g.lost(ctx, d, blobRow{}, err) }}, f.Size(), nil
}

// ReferrersOf lists up to n manifests of a repository whose subject is d.
func (g *Registry) ReferrersOf(ctx context.Context, repo string, d digest.Digest, n int) (found []ocispec.Descriptor, err error) {
	list := &referrerList{repo: repo, subject: d, page: page{n: n}, hold: math.MaxInt}
	if err := g.store.View(ctx, list.begin); err != nil {
		return nil, err
	}
	err = json.Unmarshal([]byte("["+string(list.text)+"]"), &found)
	return found, err
}
