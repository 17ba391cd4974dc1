package registry

import (
	"context"
	"io"
	"net/http"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// namespace is what distribution's App sees of the registry: repositories with blobs that can be
// uploaded, mounted and deleted. Everything else is served without the App, and refused here.
//
// Its methods leave their errors in the call: the App would answer most of them with status 500.
type namespace struct{ g *Registry }

func (namespace) Scope() distribution.Scope { return distribution.GlobalScope }

func (n namespace) Repository(_ context.Context, name reference.Named) (distribution.Repository, error) {
	return repository{g: n.g, name: name}, nil
}

func (namespace) Repositories(context.Context, []string, string) (int, error) {
	return 0, distribution.ErrUnsupported
}

func (namespace) Blobs() distribution.BlobEnumerator { return noBlobs{} }

func (namespace) BlobStatter() distribution.BlobStatter { return noBlobs{} }

type noBlobs struct{}

func (noBlobs) Enumerate(context.Context, func(digest.Digest) error) error {
	return distribution.ErrUnsupported
}

func (noBlobs) Stat(context.Context, digest.Digest) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, distribution.ErrUnsupported
}

type repository struct {
	g    *Registry
	name reference.Named
}

func (r repository) Named() reference.Named { return r.name }

func (repository) Manifests(context.Context, ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	return nil, distribution.ErrUnsupported
}

func (repository) Tags(context.Context) distribution.TagService { return nil }

func (r repository) Blobs(context.Context) distribution.BlobStore {
	return blobStore{repository: r}
}

// blobStore is the blobs of one repository, for the App.
type blobStore struct {
	repository
	noBlobs
}

func (blobStore) Get(context.Context, digest.Digest) ([]byte, error) {
	return nil, distribution.ErrUnsupported
}

func (blobStore) Open(context.Context, digest.Digest) (io.ReadSeekCloser, error) {
	return nil, distribution.ErrUnsupported
}

func (blobStore) Put(context.Context, string, []byte) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, distribution.ErrUnsupported
}

func (blobStore) ServeBlob(context.Context, http.ResponseWriter, *http.Request, digest.Digest) error {
	return distribution.ErrUnsupported
}

// Create implements distribution.BlobIngester: it begins an upload, unless a mount makes it needless.
func (b blobStore) Create(ctx context.Context, _ ...distribution.BlobCreateOption) (distribution.BlobWriter, error) {
	c := callOf(ctx)
	desc, from, err := b.g.mount(ctx, c)
	if err == nil && desc == nil {
		var w distribution.BlobWriter
		if w, err = b.g.createUpload(ctx, c); err == nil {
			return w, nil
		}
	}
	if err != nil {
		return nil, c.failed(err)
	}
	return nil, b.mounted(*desc, from)
}

// mounted is how a namespace tells the App that no upload is needed.
func (b blobStore) mounted(desc ocispec.Descriptor, from string) error {
	name, err := reference.WithName(from)
	if err != nil {
		return err
	}
	canonical, err := reference.WithDigest(name, desc.Digest)
	if err != nil {
		return err
	}
	return distribution.ErrBlobMounted{From: canonical, Descriptor: desc}
}

// Resume implements distribution.BlobIngester.
func (b blobStore) Resume(ctx context.Context, id string) (distribution.BlobWriter, error) {
	c := callOf(ctx)
	if m := c.r.Method; m == http.MethodGet || m == http.MethodHead {
		w, err := b.g.statUpload(ctx, c, id)
		if err != nil {
			return nil, c.failed(err)
		}
		return w, nil
	}
	w, err := b.g.resumeUpload(ctx, c, id)
	if err != nil {
		return nil, c.failed(err)
	}
	return w, nil
}

// Delete implements distribution.BlobDeleter.
func (b blobStore) Delete(ctx context.Context, d digest.Digest) error {
	c := callOf(ctx)
	return c.failed(b.g.deleteBlob(ctx, c, d))
}

// failed keeps an error for the answer, and returns it.
func (c *call) failed(err error) error {
	if err != nil && c.failure == nil {
		c.failure = err
	}
	return err
}
