// Package mirror brings in images from elsewhere: a registry's data directory, an OCI image layout, an archive of one, or a registry
// that runs.
//
// Everything ends in the registry's own transaction, with a record of the action import, and is checked like a push. Bytes are never
// rewritten, and each is compared with its digest while it streams. An import keeps nothing of its own: what is here already is seen
// here, so that one that stopped, wherever that was, is run again and brings the rest.
package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A Source is a place that images are taken from. It is safe for concurrent use. What it gives is compared with its digest by whoever
// asks. Error of all of its methods: ErrAbsent, where there is no such thing.
type Source interface {
	// Repositories yields the names of its repositories. A name may be "", where images have none there. An error beside a name is about
	// that repository alone; one without ends the list.
	Repositories(ctx context.Context) iter.Seq2[string, error]
	// Images yields what a repository has: its tags and then, where the place tells, manifests without one.
	Images(ctx context.Context, repo string) iter.Seq2[Image, error]
	// Manifest returns what a tag or a digest means there now.
	Manifest(ctx context.Context, repo, ref string) (Manifest, error)
	// Blob opens a blob, and returns how many bytes it has at most.
	Blob(ctx context.Context, repo string, b Blob) (io.ReadCloser, int64, error)
	// Referrers returns the manifests whose subject is d, which Images does not yield.
	Referrers(ctx context.Context, repo string, d digest.Digest) ([]digest.Digest, error)
	// Close gives back what the source holds open.
	Close() error
}

// An Image is something that a repository has: a tag, or a manifest without one.
type Image struct {
	Tag    string
	Digest digest.Digest // of one without a tag
	// Broken is why it cannot be read, or nil.
	Broken error
}

// ref is how the image is asked for.
func (i Image) ref() string {
	if i.Tag != "" {
		return i.Tag
	}
	return i.Digest.String()
}

// A Manifest is one as its source has it.
type Manifest struct {
	MediaType string // "" where neither the place nor the document says it
	Body      []byte
	Origin    provenance.Origin
	Claimed   []provenance.Claim // what the place says of it
}

// A Blob is one that a manifest names.
type Blob struct {
	Digest digest.Digest
	Size   int64 // as the manifest has it
}

// ErrAbsent says that a source does not have what was asked for.
var ErrAbsent error = fault.New(fault.Missing, "the source does not have it")

// ErrSource says that a place cannot be read as what it was given for.
var ErrSource error = fault.New(fault.Invalid, "nothing can be imported from there")

// maxManifest bounds a manifest, in bytes. What a registry takes of it is bounded by its own configuration.
const maxManifest = 16 << 20

// errTooLarge is about a document that is larger than any is read.
func errTooLarge(what string, most int64) error {
	return fmt.Errorf("%s has more than %d bytes, which is more than is read of one", what, most)
}

// readBounded reads all of what has so many bytes at most, and closes it.
func readBounded(from io.ReadCloser, what string, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, most+1))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%s broke off after %d bytes: %w", what, len(data), err)
	}
	err = errors.Join(err, from.Close())
	if err == nil && int64(len(data)) > most {
		err = errTooLarge(what, most)
	}
	return data, err
}

// kindOf is the media type of a manifest whose document and source state none: of what it has.
func kindOf(doc document) string {
	switch {
	case doc.MediaType != "":
		return doc.MediaType
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case doc.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return ""
}

// document is what is looked at of a manifest before the registry reads it.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	FSLayers      []any                `json:"fsLayers"` // of schema 1
}

// documentOf is what bytes say that may be a manifest. Those that are none say nothing, and the registry refuses them.
func documentOf(body []byte) (doc document) {
	_ = json.Unmarshal(body, &doc)
	return doc
}

// schemaOf is the version that a manifest states, and whether it has the layers of docker's schema 1.
func schemaOf(body []byte) (version int, old bool) {
	doc := documentOf(body)
	return doc.SchemaVersion, doc.FSLayers != nil
}

// isIndex says whether a manifest lists others.
func isIndex(body []byte) bool { return documentOf(body).Manifests != nil }
