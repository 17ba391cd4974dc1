package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Remote is a Source over the network: a repository of any registry.
type Remote struct{ repo *remote.Repository }

// NewRemote returns a repository, named as registry.example/team/app, that is read with a client.
func NewRemote(name string, client *auth.Client) (*Remote, error) {
	repo, err := remote.NewRepository(name)
	if err != nil {
		return nil, err
	}
	repo.Client = client
	repo.MaxMetadataBytes = MaxManifest
	return &Remote{repo}, nil
}

// Manifest implements Source.
func (r *Remote) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	d, body, err := r.repo.FetchReference(ctx, ref)
	if err != nil {
		return d, nil, absentOr(err)
	}
	data, err := readBounded(body, d, MaxManifest, newRoom)
	return d, data, err
}

// Blob implements Source.
func (r *Remote) Blob(ctx context.Context, d ocispec.Descriptor, most int64, room Room) ([]byte, error) {
	// By its digest: the size in the manifest may be wrong, and the client would refuse what comes.
	found, body, err := r.repo.Blobs().FetchReference(ctx, d.Digest.String())
	if err != nil {
		return nil, absentOr(err)
	}
	return readBounded(body, found, most, room)
}

// readBounded reads what has a digest, and no more than it should have.
func readBounded(body io.ReadCloser, d ocispec.Descriptor, most int64, room Room) (data []byte, err error) {
	defer func() { err = errors.Join(err, body.Close()) }()
	if d.Size > most {
		return nil, fmt.Errorf("it has %d bytes, and at most %d are read", d.Size, most)
	}
	if data, err = room(int(d.Size)); err != nil {
		return nil, err
	}
	if _, err = io.ReadFull(body, data); err != nil {
		return nil, err
	}
	if n, _ := body.Read(make([]byte, 1)); n > 0 {
		return nil, fmt.Errorf("the registry serves more bytes than the %d that it says", d.Size)
	}
	return data, verify(data, d.Digest)
}

func verify(data []byte, want digest.Digest) error {
	if err := want.Validate(); err != nil {
		return err
	}
	if got := want.Algorithm().FromBytes(data); got != want {
		return fmt.Errorf("the registry serves other bytes under %s: they have %s", want, got)
	}
	return nil
}

// Referrers implements Source. The first page will do: there are more than are read anyway.
func (r *Remote) Referrers(ctx context.Context, d ocispec.Descriptor) (all []ocispec.Descriptor, err error) {
	err = r.repo.Referrers(ctx, d, "", func(page []ocispec.Descriptor) error {
		all = append(all, page...)
		if len(all) > maxDocuments {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if errors.Is(err, errdef.ErrInvalidReference) && d.Digest.Algorithm() != digest.SHA256 {
		return r.listed(ctx, d.Digest)
	}
	return all, err
}

// listed returns what a registry without the referrers API has under the tag that is made of a digest. The client does not
// cut what is too long for a tag, as SHA-512 is (OCI's specification of distribution, "Referrers Tag Schema").
func (r *Remote) listed(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	_, body, err := r.Manifest(ctx, fmt.Sprintf("%.32s-%.64s", d.Algorithm(), d.Encoded()))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	var list ocispec.Index
	if err == nil {
		err = strictjson.Unmarshal(body, &list)
	}
	return list.Manifests, err
}

var errEnough = errors.New("enough")

// absentOr tells what is not there from what could not be asked.
func absentOr(err error) error {
	var answer *errcode.ErrorResponse
	if errors.Is(err, errdef.ErrNotFound) || errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// Tags returns the last tags of a repository, in order, and no more than most: those of images, and not of what is attached
// to one.
func Tags(ctx context.Context, name string, client *auth.Client, most int) (tags []string, err error) {
	r, err := NewRemote(name, client)
	if err != nil {
		return nil, err
	}
	err = r.repo.Tags(ctx, "", func(page []string) error {
		tags = lastOf(append(tags, slices.DeleteFunc(page, AttachedTag)...), most)
		return nil
	})
	return tags, err
}

func lastOf(tags []string, most int) []string { return tags[max(0, len(tags)-most):] }

// Content is a registry in this process. registry.Registry is one.
type Content interface {
	// Manifest returns what a tag or digest names.
	Manifest(ctx context.Context, repo, ref string) (ocispec.Descriptor, []byte, error)
	// BlobInto returns a blob of at most most bytes, in the room that it asks for.
	BlobInto(ctx context.Context, repo string, d digest.Digest, most int64, room func(n int) ([]byte, error)) ([]byte, error)
	// Measure returns the size of what is here of an image, and the sizes that its manifest has wrong.
	Measure(ctx context.Context, repo string, d digest.Digest) (int64, []provenance.WrongSize, error)
	// ReferrersOf lists up to n manifests whose subject is d.
	ReferrersOf(ctx context.Context, repo string, d digest.Digest, n int) ([]ocispec.Descriptor, error)
}

// Local is a Source in this process.
type Local struct {
	From       Content
	Repository string
	// Absent tells an error that says that there is nothing there.
	Absent error
}

// Manifest implements Source.
func (l Local) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	d, body, err := l.From.Manifest(ctx, l.Repository, ref)
	return d, body, l.absentOr(err)
}

// IsLocal marks what is read of this registry itself.
func (l Local) IsLocal() {}

// Blob implements Source. What was hashed when it came in is not hashed again.
func (l Local) Blob(ctx context.Context, d ocispec.Descriptor, most int64, room Room) ([]byte, error) {
	body, err := l.From.BlobInto(ctx, l.Repository, d.Digest, most, room)
	return body, l.absentOr(err)
}

// Measure implements Measurer.
func (l Local) Measure(ctx context.Context, d digest.Digest) (int64, []provenance.WrongSize, error) {
	size, wrong, err := l.From.Measure(ctx, l.Repository, d)
	return size, wrong, l.absentOr(err)
}

// Referrers implements Source.
func (l Local) Referrers(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return l.From.ReferrersOf(ctx, l.Repository, d.Digest, maxDocuments+1)
}

func (l Local) absentOr(err error) error {
	if errors.Is(err, l.Absent) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
