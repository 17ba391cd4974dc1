package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Judge decides by rules what may be pushed and pulled. It is asked before any transaction.
// trust/policy has one.
type Judge interface {
	// AtPush says whether Push would ask anything at all in a repository.
	AtPush(repo string) bool
	// Push decides about a manifest that is not stored yet. What it returns without an error goes to the
	// client as warnings. An error of Refuse is the answer to the client.
	Push(ctx context.Context, a Arrival) (warnings []string, err error)
	// Pull decides about a manifest that somebody reads. It has to be quick: Mark says when to think again.
	Pull(ctx context.Context, repo string, d digest.Digest) (warnings []string, err error)
}

// An Arrival is a manifest that came and is not stored.
type Arrival struct {
	// Event is what its record would say: who pushes it, under which tags, and what these mean now.
	Event provenance.Event
	Body  []byte
}

// SetJudge sets who is asked. It is called before the registry serves.
func (g *Registry) SetJudge(j Judge) { g.judge = j }

// Refuse is the error of what a rule refuses: a sentence of less than 200 bytes.
func Refuse(says string) error {
	f := newFailure(http.StatusForbidden, "DENIED", "%s", says)
	f.refused = true
	return f
}

// IsRefusal says whether an error is one of Refuse.
func IsRefusal(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.refused
}

// askJudge asks about a push, whose claims are read and of which nothing is stored.
func (g *Registry) askJudge(ctx context.Context, p *push) error {
	if g.judge == nil || !g.judge.AtPush(p.repo) {
		return nil
	}
	e := p.pushEvent()
	err := g.store.View(ctx, func(tx storage.Reader) (err error) {
		e.Tags, err = g.tagMoves(tx, p)
		return err
	})
	if err != nil {
		return err
	}
	p.warnings, err = g.judge.Push(ctx, Arrival{Event: e, Body: p.body})
	return err
}

// maxWarnings keeps the headers of an answer within the 4096 bytes that the specification wants.
const maxWarnings = 16

// addWarnings tells a client what it should know (OCI distribution specification 1.1, "Warnings").
func addWarnings(h http.Header, warnings []string) {
	for _, w := range warnings[:min(len(warnings), maxWarnings)] {
		h.Add("Warning", `299 - "`+strings.NewReplacer(`"`, "'", `\`, "/").Replace(cut(w))+`"`)
	}
}
