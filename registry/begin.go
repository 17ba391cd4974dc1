package registry

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// What may happen instead of an upload in many requests: a mount, or a blob whole in the POST. distribution
// v3.1 mounts only what `from` names, and answers the single POST with a session.

// minChunk is the size of chunks, but for the last, that clients are asked for. Smaller ones are taken.
const minChunk = 1 << 20

// beginUpload answers POST /v2/<name>/blobs/uploads/.
func (g *Registry) beginUpload(w http.ResponseWriter, c *call) error {
	if c.query.Has("digest") && !c.query.Has("mount") {
		d, ok := parseDigest(c.query.Get("digest"))
		if !ok {
			return errDigest(c.query.Get("digest"))
		}
		if c.r.ContentLength != 0 || d == d.Algorithm().FromBytes(nil) {
			return g.postBlob(w, c, d)
		}
		// Without a body it can only mean that the bytes come later (see the specification's fallback to
		// POST and PUT): a client that knows the digest beforehand may say so.
	}
	w.Header().Set("Oci-Chunk-Min-Length", strconv.Itoa(minChunk))
	return g.toApp(w, c)
}

// postBlob takes a blob from one POST (OCI distribution specification, "Single POST").
func (g *Registry) postBlob(w http.ResponseWriter, c *call, d digest.Digest) error {
	ctx := c.r.Context()
	u, err := g.createUpload(ctx, c)
	if err != nil {
		return err
	}
	if _, err = u.ReadFrom(c.r.Body); err == nil {
		_, err = u.Commit(ctx, ocispec.Descriptor{Digest: d})
	}
	if err != nil {
		if c.failure == nil { // what fails but the body is told to the call
			err = newFailure(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the blob did not arrive whole; send it again")
		}
		return errors.Join(err, u.Cancel(ctx)) // nobody was told of the upload, so nobody could go on with it
	}
	h := w.Header()
	h.Set("Location", "/v2/"+c.repo+"/blobs/"+d.String())
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
	return nil
}

// maxCandidates bounds the repositories that are asked for when a mount names none.
const maxCandidates = 64

// mount links a blob that the caller may pull from another repository: the one that they name, or any. It
// returns no descriptor where there is nothing to mount, or nothing that the caller may know of.
func (g *Registry) mount(ctx context.Context, c *call) (desc *ocispec.Descriptor, from string, err error) {
	d, ok := parseDigest(c.query.Get("mount"))
	if !ok {
		return nil, "", nil
	}
	from, err = g.mountFrom(ctx, c, d)
	if err != nil || from == "" {
		return nil, "", err
	}
	if desc, err = g.mountBlob(ctx, c, from, d); err == nil && desc == nil {
		desc, err = g.mountRendered(ctx, c, from, d)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return nil, "", nil
	}
	return desc, from, err
}

// mountBlob links a blob of another repository. There may be nothing to link: then it returns no descriptor.
func (g *Registry) mountBlob(ctx context.Context, c *call, from string, d digest.Digest) (desc *ocispec.Descriptor, err error) {
	if is, err := g.isThere(ctx, d); err != nil || !is {
		return nil, err
	}
	var late bool
	reads := func() []storage.Read {
		return append(g.linkReads(c.repo, d), storage.Row(linkTable, repoKey(from, digestKey(d))))
	}
	err = g.update(ctx, c, reads, func(tx storage.Tx) error {
		desc, late = nil, false
		may, err := g.gate.MayIn(tx, access.Owner(c.who), access.Pull, from)
		if err != nil || !may {
			return err
		}
		if _, err := tx.Get(linkTable, repoKey(from, digestKey(d))); err != nil {
			return err
		}
		row, err := readBlobRow(tx, d)
		if err != nil {
			return err
		}
		if row.damaged {
			return storage.ErrNotFound
		}
		if from == c.repo {
			err = g.beginLease(tx, c.repo, digestKey(d))
		} else {
			late, err = g.putLink(tx, c.repo, d, from)
		}
		desc = &ocispec.Descriptor{Digest: d, Size: row.size, MediaType: "application/octet-stream"}
		return err
	})
	g.arrived(d, late)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return desc, err
}

// mountRendered makes a blob of what is rendered in another repository, where it can be read like any other.
func (g *Registry) mountRendered(ctx context.Context, c *call, from string, d digest.Digest) (*ocispec.Descriptor, error) {
	c.from = from
	size, err := g.keepRendered(ctx, c, from, d)
	if err != nil || size == 0 {
		return nil, err
	}
	return &ocispec.Descriptor{Digest: d, Size: size, MediaType: "application/octet-stream"}, nil
}

// isThere says whether a blob is here, with its file. Where that is lost, the client is to send the blob, and
// it is whole again.
func (g *Registry) isThere(ctx context.Context, d digest.Digest) (bool, error) {
	row, err := g.blobRow(ctx, d)
	if err == nil && row.at != "" {
		err = g.there(ctx, d, row)
	}
	if errors.Is(err, ErrUnknown) || errors.Is(err, errMoved) {
		return false, nil
	}
	return err == nil && row.at != "", err
}

// mountFrom returns the repository that a blob is to be mounted from, or "" where there is none.
func (g *Registry) mountFrom(ctx context.Context, c *call, d digest.Digest) (string, error) {
	if !c.query.Has("from") {
		return g.candidate(ctx, c, d)
	}
	if from := c.query.Get("from"); validName(from) && g.gate.May(c.who, access.Pull, from) {
		return from, nil
	}
	return "", nil
}

// needsFrom says that a mount names a repository that the caller's token does not: another token is worth
// asking for, and whether anything is there is not told by it.
func (c *call) needsFrom() bool {
	from := c.query.Get("from")
	return c.kind == uploadsKind && c.query.Has("mount") && validName(from) && access.NeedsScope(c.who, access.Pull, from)
}

// candidate finds a repository that has a blob and that the caller may pull from, or "". No token can name
// it beforehand, so the rights of the token's owner count. It asks for no more than maxCandidates, so that a
// blob that all have costs no more than others.
func (g *Registry) candidate(ctx context.Context, c *call, d digest.Digest) (from string, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		from = ""
		key := digestKey(d)
		who, asked := access.Owner(c.who), 0
		for item, err := range tx.Scan(linkedTable, key, storage.PrefixEnd(key)) {
			if err != nil {
				return err
			}
			if name := string(item.Key[len(key):]); g.gate.May(who, access.Pull, name) {
				from = name
				return nil
			}
			if asked++; asked == maxCandidates {
				return nil
			}
		}
		return nil
	})
	return from, err
}
