package registry

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Policy decides by rules what may be pushed and pulled. It is asked before any transaction.
// trust/policy has one.
type Policy interface {
	// AtPush says whether Push would ask anything at all in a repository.
	AtPush(repo string) bool
	// Push decides about a manifest that is not stored yet. What it returns without an error goes to the
	// client as warnings. An error of Refuse is the answer to the client.
	Push(ctx context.Context, p Pending) (warnings []string, err error)
	// Decided returns what Pull would, where it can say so from memory; known says whether it can. It is asked within a
	// transaction, at each pull, so it has to be quick.
	Decided(repo string, d digest.Digest) (warnings []string, refusal error, known bool)
	// Pull decides about a manifest that somebody reads, no matter who it is, from what was read of it. Only a decision that
	// must be made anew reads more. What it refuses is a warning to anyone who may push.
	Pull(ctx context.Context, p Reading) (warnings []string, err error)
}

// A Pending is a manifest that was sent and is not stored yet.
type Pending struct {
	// Event is what its record would say: who pushes it, under which tags, and what these mean now.
	Event provenance.Event
	Body  []byte
}

// SetPolicy sets who is asked. It is called before the registry serves.
func (g *Registry) SetPolicy(p Policy) { g.policy = p }

// Refuse is the error of what a rule refuses, by its name: a sentence of less than 200 bytes.
func Refuse(rule, says string) error {
	f := newFailure(http.StatusForbidden, "DENIED", "%s", says)
	f.rule = rule
	return f
}

// IsRefusal says whether an error is one of Refuse.
func IsRefusal(err error) bool { return refusalOf(err) != nil }

// refusalOf returns the error of Refuse that an error is, or nil.
func refusalOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) && f.rule != "" {
		return f
	}
	return nil
}

// refusals count what rules refused, by their names, or quotas, by their patterns. The zero value has counted nothing.
type refusals struct {
	mu sync.Mutex
	by map[string]uint64 // guarded by mu; the operator's files of rules, and quotas, bound it
}

// note counts err if it is of Refuse, and returns it.
func (n *refusals) note(err error) error {
	if f := refusalOf(err); f != nil {
		n.count(f.rule)
	}
	return err
}

func (n *refusals) count(by string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil {
		n.by = map[string]uint64{}
	}
	n.by[by]++
}

// Refused counts the pushes, tags and pulls that rules refused since the start, by the name of the rule. A rule that refused
// nothing is not there.
func (g *Registry) Refused() map[string]uint64 {
	g.refused.mu.Lock()
	defer g.refused.mu.Unlock()
	return maps.Clone(g.refused.by)
}

// askPolicy asks about a push, whose claims are read and of which nothing is stored.
func (g *Registry) askPolicy(ctx context.Context, p *push) error {
	if g.policy == nil || !g.policy.AtPush(p.repo) {
		return nil
	}
	if err := g.askPolicyFor(ctx, p); err != nil {
		return err
	}
	for some := range slices.Chunk(p.later, provenance.MaxTags) {
		later := *p
		later.tags = some
		if err := g.askPolicyFor(ctx, &later); err != nil {
			return err
		}
	}
	return nil
}

// askPolicyFor asks about as many tags as a record has.
func (g *Registry) askPolicyFor(ctx context.Context, p *push) error {
	e := p.pushEvent()
	err := g.store.View(ctx, func(tx storage.Reader) (err error) {
		e.Tags, err = g.tagMoves(tx, p)
		return err
	})
	if err != nil {
		return err
	}
	p.warnings, err = g.policy.Push(ctx, Pending{Event: e, Body: p.body})
	return g.refused.note(err)
}

// findAllowed finds the manifest that a call reads, and asks about it. What is refused to others is handed out with a warning
// to anyone who may push to the repository: they are the ones who put things right, and signing, attaching, tagging and deleting all
// begin with reading the manifest. It goes by what the owner of a token may do, since clients ask for tokens to pull with
// before they sign; a token that its owner made for pulls alone stays one.
func (g *Registry) findAllowed(c *call) (f *found, warnings []string, err error) {
	if g.policy == nil {
		f, err = g.findManifest(c.r.Context(), c.view, c.repo, c.ref, c.digest)
		return f, nil, err
	}
	known := false
	var refusal error
	f, p, err := g.findPulled(c.r.Context(), c.view, c.repo, c.ref, c.digest, func(d digest.Digest) bool {
		warnings, refusal, known = g.policy.Decided(c.repo, d)
		return known
	})
	if err != nil {
		return nil, nil, err
	}
	if !known {
		warnings, refusal = g.policy.Pull(c.r.Context(), p)
	}
	if refused := refusalOf(refusal); refused != nil && g.gate.May(access.Owner(c.who), access.Push, c.repo) {
		return f, []string{refused.message}, nil
	}
	return f, warnings, g.refused.note(refusal)
}

// maxWarnings keeps the headers of an answer within the 4096 bytes that the specification wants.
const maxWarnings = 16

// addWarnings tells a client what it should know (OCI distribution specification 1.1, "Warnings").
func addWarnings(h http.Header, warnings []string) {
	for _, w := range warnings[:min(len(warnings), maxWarnings)] {
		h.Add("Warning", `299 - "`+strings.NewReplacer(`"`, "'", `\`, "/").Replace(cut(w))+`"`)
	}
}
