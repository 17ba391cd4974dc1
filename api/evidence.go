package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/registry"
)

// maxEvidence bounds the evidence files that are made at once: each reads as many records as an image has.
const maxEvidence = 2

// evidence answers GET /api/v1/evidence: one file with all that an auditor needs.
func (a *API) evidence(c *call) (any, error) {
	q := c.query()
	repo, ref := q.needed("repo"), q.needed("ref")
	layers := q.oneOf("layers", "true", "false") == "true"
	documents := q.oneOf("documents", "true", "false") != "false"
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	order, described, err := a.evidenceOrder(c, repo, ref, documents)
	if err != nil {
		return nil, err
	}
	order.Layers = layers
	switch err := a.exporting.take(c.Context(), c.caller()); {
	case errors.Is(err, errLine):
		return nil, problemf(http.StatusTooManyRequests, "%s", err).retryAfter(1)
	case err != nil:
		return nil, err
	}
	defer a.exporting.done()
	draft, err := evidence.Prepare(c.Context(), order)
	if err == nil && draft.Cover().Digest != described {
		err = evidence.ErrMoved
	}
	if isOne(err, evidence.ErrMoved) {
		return nil, problemf(http.StatusConflict, "%s", err)
	}
	if err != nil {
		return nil, a.orGone(c.Context(), repo, ref, err)
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Cache-Control", cacheNever)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", path.Base(repo)+".evidence.tar"))
	if err := draft.Write(c.Context(), c.w); err != nil {
		if c.Context().Err() == nil {
			a.Log.Error("an evidence file broke off", "repository", repo, "reference", ref, "err", err)
		}
		panic(http.ErrAbortHandler) // so that the client sees that it has half a file
	}
	return streamed{}, nil
}

// evidenceOrder is what is asked for, as far as the caller may see it, and the digest of the image that it describes.
func (a *API) evidenceOrder(c *call, repo, ref string, documents bool) (o evidence.Order, d digest.Digest, err error) {
	o = evidence.Order{
		Registry: a.URL, Repository: repo, Reference: ref, Book: a.Evidence, Content: evidenceContent{a.Content, repo},
		Made: time.Now(), Program: "hallmark " + version.String(),
		Rights: func(q *provenance.Query) {
			q.Visible = a.mayPull(c) // what is asked for is of this repository, or of none
			q.Administers = func(pattern string) bool { return a.Gate.AdministersAll(c.who, pattern) }
		},
	}
	// The file is for others: it does not tell them where else the caller may see this image.
	here := func(other string) bool { return other == repo }
	described, err := a.describe(c, repo, ref, here)
	if err != nil {
		return o, "", err
	}
	d = described.Descriptor.Digest
	report, err := a.inspect(c, repo, d.String(), here)
	if err != nil {
		return o, "", err
	}
	if o.Image, err = json.Marshal(described); err != nil {
		return o, "", err
	}
	if o.Report, err = json.Marshal(report); err != nil {
		return o, "", err
	}
	const what = "the policy, trust and access documents"
	switch {
	case !documents:
		o.LeftOut = append(o.LeftOut, evidence.LeftOut{What: what, Why: "they were not asked for"})
	case !a.Gate.Administers(c.who):
		o.LeftOut = append(o.LeftOut, evidence.LeftOut{What: what, Why: "the one who asked for the file may not see them: administrators of the registry may"})
	default:
		o.Documents, err = a.documentFiles(c.Context())
	}
	return o, d, err
}

// documentFiles are the documents in force, those that there are.
func (a *API) documentFiles(ctx context.Context) (files []evidence.DocumentFile, err error) {
	add := func(name string, text []byte) {
		if text != nil {
			files = append(files, evidence.DocumentFile{Name: name, Content: text})
		}
	}
	if rules := a.Policy.Rules(); rules != nil {
		add(evidence.Policy, rules.Text)
	}
	add(evidence.Trust, a.trust().Text())
	text, err := a.Document.DocumentText(ctx)
	add(evidence.Access, text)
	return files, err
}

// evidenceContent is a repository as evidence reads it.
type evidenceContent struct {
	Content
	repo string
}

// Manifest implements evidence.Content.
func (e evidenceContent) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	return e.Content.Manifest(ctx, e.repo, ref)
}

// Referrers implements evidence.Content.
func (e evidenceContent) Referrers(ctx context.Context, d digest.Digest, n int) ([]ocispec.Descriptor, error) {
	return e.ReferrersOf(ctx, e.repo, d, n)
}

// Blob implements evidence.Content.
func (e evidenceContent) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, int64, error) {
	return e.Content.Blob(ctx, e.repo, d)
}

// Absent implements evidence.Content.
func (e evidenceContent) Absent(err error) bool { return isOne(err, registry.ErrUnknown) }
