package image

import (
	"context"
	"errors"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// ErrNotFound says that there is no such manifest or blob.
var ErrNotFound = errors.New("there is no such image")

// The bounds of what is read of one image.
const (
	MaxManifest  = 4 << 20 // bytes
	maxConfig    = 8 << 20 // bytes of a config
	maxPlatforms = 16
	maxDocuments = 48       // SBOMs, statements, signatures and reports, of the image and its platforms together
	maxBytes     = 96 << 20 // of documents together
	maxConfigs   = 4 << 20  // bytes of the configs of all platforms, after which no further one is read
	maxRecords   = 200
)

// Room returns n bytes to read into.
type Room = func(n int) ([]byte, error)

func newRoom(n int) ([]byte, error) { return make([]byte, n), nil }

// A Source reads one repository. What it returns has the digest that was asked for, or it is an error.
type Source interface {
	// Manifest returns what a tag or digest names. Error: ErrNotFound.
	Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error)
	// Blob returns a blob of at most most bytes, in the room that it asks for. Error: ErrNotFound.
	Blob(ctx context.Context, d ocispec.Descriptor, most int64, room Room) ([]byte, error)
	// Referrers lists the manifests whose subject is d.
	Referrers(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error)
}

// Records are what a registry recorded of its pushes. A provenance.Book has them.
type Records interface {
	Find(ctx context.Context, q provenance.Query) (provenance.Page, error)
	// Acts returns who did what with an image, as far as the one who asks may know.
	Acts(ctx context.Context, q provenance.ActsOf) (provenance.Acts, error)
}
