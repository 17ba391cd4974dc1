package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Imports brings in images from elsewhere.
type Imports interface {
	// Import imports in somebody's name, and tells now and then how far it is. Errors before anything came: mirror.ErrSource,
	// mirror.ErrImporting.
	Import(ctx context.Context, who provenance.Identity, r *http.Request, o mirror.Options, tell func(mirror.Counts)) (mirror.Report, error)
}

// wantImport is what is to be imported, from where, and to where.
type wantImport struct {
	Path         string            `json:"path"`     // on the server's machine
	Registry     string            `json:"registry"` // that runs
	Username     string            `json:"username"`
	Password     string            `json:"password"`
	RefreshToken string            `json:"refreshToken"` // in place of a name and a password
	CA           string            `json:"ca"`           // PEM
	Addresses    []netip.Addr      `json:"addresses"`
	Rate         int               `json:"rate"`
	Tags         string            `json:"tags"` // the path of a file
	Repositories []access.Pattern  `json:"repositories"`
	Platforms    []mirror.Platform `json:"platforms"`
	Into         string            `json:"into"`
	DryRun       bool              `json:"dryRun"`
}

// importLine is one line of the answer. Exactly one field is set.
type importLine struct {
	Progress *mirror.Counts `json:"progress,omitempty"`
	Report   *mirror.Report `json:"report,omitempty"` // the last line, or the last but one
	Failed   string         `json:"failed,omitempty"` // the last line, where the import ended before its end
}

// importImages answers POST /api/v1/import with one JSON object a line, as it goes on.
func (a *API) importImages(c *call) (any, error) {
	var want wantImport
	if err := c.body(&want); err != nil {
		return nil, err
	}
	switch {
	case (want.Path == "") == (want.Registry == ""):
		return nil, problemf(http.StatusBadRequest, "either path, of a directory or an archive, or registry says from where")
	case want.Tags != "" && want.Path == "":
		return nil, problemf(http.StatusBadRequest, "tags is a file beside path: a registry that runs has its own")
	case want.Path != "" && c.who.Actor.Kind != provenance.System:
		return nil, c.forbid("a path of the server's machine is read for its operator alone: run `hallmark import` there, without --server")
	case want.Rate < 0:
		return nil, problemf(http.StatusBadRequest, "rate is how many requests a second the registry is asked, at least 1")
	}
	out := &begun{c: c}
	enc := json.NewEncoder(out)
	report, err := a.Imports.Import(c.Context(), c.who, c.Request, want.options(), func(n mirror.Counts) {
		_ = enc.Encode(importLine{Progress: &n}) // a client that left ends the import through its context
	})
	if err != nil && !out.wrote && report.Repositories == 0 {
		return nil, err
	}
	sent := enc.Encode(importLine{Report: &report})
	return out.end(a, "import", a.sendFailed(c, enc, sent, err))
}

// sendFailed sends why an import ended before its end, if it did and what came before was sent.
func (a *API) sendFailed(c *call, enc *json.Encoder, sent, err error) error {
	if err == nil || sent != nil {
		return sent
	}
	if p := a.problemFor(c.Request, err); p != nil {
		return enc.Encode(importLine{Failed: p.Detail})
	}
	return nil
}

func (w wantImport) options() mirror.Options {
	return mirror.Options{
		Path: w.Path, Registry: w.Registry, Username: w.Username, Password: w.Password, RefreshToken: w.RefreshToken, Roots: []byte(w.CA), Addresses: w.Addresses, Rate: w.Rate,
		Tags: w.Tags, Platforms: w.Platforms, Repositories: w.Repositories, Into: w.Into, DryRun: w.DryRun,
	}
}
