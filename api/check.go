package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// Checks compare everything that is stored, and report to bad what does not fit. They return how much they looked at.
type Checks struct {
	Store    func(ctx context.Context, bad func(error)) error // the store's own file. Default: it is not checked
	Records  func(ctx context.Context, bad func(error)) (records uint64, err error)
	Accounts func(ctx context.Context, bad func(error)) (accounts int, err error)
	Images   func(ctx context.Context, deep bool, bad func(error)) (registry.Checked, error) // deep: their bytes, too
}

// checkLine is one line of the answer to GET /api/v1/check. Exactly one field is set.
type checkLine struct {
	Step    string   `json:"step,omitempty"`    // what is being checked now
	Problem string   `json:"problem,omitempty"` // something that does not fit
	Note    string   `json:"note,omitempty"`    // something that cannot be told, and is no problem
	Done    *checked `json:"done,omitempty"`    // the last line
	Failed  string   `json:"failed,omitempty"`  // the last line, when the check could not go on
}

// checked counts what was looked at.
type checked struct {
	Records      uint64 `json:"records"`
	Accounts     int    `json:"accounts"`
	Repositories int    `json:"repositories"`
	Manifests    int    `json:"manifests"`
	Tags         int    `json:"tags"`
	Blobs        int    `json:"blobs"`
	BytesRead    int64  `json:"bytesRead"`
	Problems     int    `json:"problems"`
}

// check answers GET /api/v1/check with one JSON object a line, as they come.
func (a *API) check(c *call) (any, error) {
	q := c.query()
	deep := q.oneOf("deep", "true", "false") == "true"
	if err := q.end(); err != nil {
		return nil, err
	}
	c.w.Header().Set("Content-Type", jsonLines)
	enc, flush := json.NewEncoder(c.w), http.NewResponseController(c.w)
	say := func(line checkLine) {
		_ = enc.Encode(line) // a client that left ends the check through its context
		_ = flush.Flush()
	}
	result, err := a.runChecks(c, deep, say)
	if err != nil {
		a.Log.Error("a check could not go on", "err", err)
		say(checkLine{Failed: err.Error()})
		return streamed{}, nil
	}
	say(checkLine{Done: &result})
	return streamed{}, nil
}

func (a *API) runChecks(c *call, deep bool, say func(checkLine)) (result checked, err error) {
	bad := func(err error) {
		var older *access.NotOnRecordError
		if errors.As(err, &older) {
			say(checkLine{Note: err.Error()})
			return
		}
		result.Problems++
		say(checkLine{Problem: err.Error()})
	}
	for _, step := range []struct {
		name  string
		check func() error
	}{
		{"pages of the store", func() error {
			if a.Checks.Store == nil {
				return nil
			}
			return a.Checks.Store(c.Context(), bad)
		}},
		{"records", func() (err error) { result.Records, err = a.Checks.Records(c.Context(), bad); return err }},
		{"accounts and rights", func() (err error) { result.Accounts, err = a.Checks.Accounts(c.Context(), bad); return err }},
		{"images and files", func() error {
			images, err := a.Checks.Images(c.Context(), deep, bad)
			result.Repositories, result.Manifests, result.Tags = images.Repositories, images.Manifests, images.Tags
			result.Blobs, result.BytesRead = images.Blobs, images.Bytes
			return err
		}},
	} {
		say(checkLine{Step: step.name})
		err := step.check()
		if errors.Is(err, storage.ErrCorrupt) { // what is damaged in one place keeps nobody from looking at others
			bad(fmt.Errorf("%w; the rest of the %s could not be checked", err, step.name))
		} else if err != nil {
			return result, err
		}
	}
	return result, nil
}
