package api

import (
	"context"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Document is the access document: teams, grants and rules for tags, as one file.
type Document interface {
	// Export returns what is in force as a document, and the digest of the one that was applied last, or "".
	Export(ctx context.Context) (f access.File, sum digest.Digest, err error)
	// Apply makes a document the one in force, and returns what that changes. Errors: *access.EntryError; access.ErrChanged,
	// ErrLastAdmin.
	Apply(ctx context.Context, by provenance.Identity, f access.File, dryRun bool) (changes []access.Change, version uint64, err error)
	// DocumentText returns the document that was applied last, byte for byte, or nil.
	DocumentText(ctx context.Context) ([]byte, error)
}

// maxDocument bounds an access document in the body of a request, in bytes.
const maxDocument = 4 << 20

// document answers GET /api/v1/access/document.
func (a *API) document(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	file, sum, err := a.Document.Export(c.Context())
	if err == nil && sum != "" {
		c.w.Header().Set("ETag", `"`+sum.String()+`"`)
	}
	return file, err
}

// applied says what an access document changed, or would.
type applied struct {
	Version uint64          `json:"version"` // of the document that is in force now
	Applied bool            `json:"applied"`
	Changes []access.Change `json:"changes"`
}

// apply answers PUT /api/v1/access/document.
func (a *API) apply(c *call) (any, error) {
	q := c.query()
	dryRun := q.oneOf("dryRun", "true", "false") == "true"
	if err := q.end(); err != nil {
		return nil, err
	}
	var f access.File
	if err := c.bodyUpTo(maxDocument, &f); err != nil {
		return nil, err
	}
	changes, version, err := a.Document.Apply(c.Context(), c.who, f, dryRun)
	if err != nil {
		return nil, err
	}
	if !dryRun {
		a.Log.Info("access document applied", "version", version, "changes", len(changes), "by", c.who.Actor.Handle)
	}
	return applied{version, !dryRun, append([]access.Change{}, changes...)}, nil
}
