package policy

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/image"
	"golang.org/x/sync/singleflight"
)

// An Engine asks the rules in force about what happens in a registry. It is a registry.Policy, and safe for
// concurrent use.
type Engine struct {
	c         Config
	inForce   atomic.Pointer[inForce] // never nil
	uses      atomic.Uint64           // how often rules were put in force
	reporting chan struct{}           // holds one for each report that is being made
	decided   *lru.Cache[registry.RepoDigest, *decision]
	deciding  singleflight.Group
	wanted    *wanted
	tried     *lru.Cache[registry.RepoDigest, tried] // reports that somebody read, until they should be made again to be kept
	now       func() time.Time
}

// Config is what an Engine looks at. All fields are needed.
type Config struct {
	Registry *registry.Registry
	Book     *provenance.Book
	// Inspect is how images are inspected now. The engine adds the repository, its name in the subject, and what
	// a push would record.
	Inspect func() image.Config
	// Version names what makes reports, beside the image and what Inspect returns: under another one, they are made
	// anew.
	Version string
	Log     *slog.Logger
	// Holders tells who has the names now of those who did something with an image. Default: only what they did is known.
	Holders provenance.Holders
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// inForce is what is asked. Everything that was decided by another one is forgotten.
type inForce struct {
	*Set
	n uint64 // no other has it
}

// maxReports bounds the reports that are made at once: each may read many MB.
const maxReports = 2

// NewEngine returns an engine with no rules.
func NewEngine(c Config) (*Engine, error) {
	decided, err := lru.New[registry.RepoDigest, *decision](decisions)
	made, triedErr := lru.New[registry.RepoDigest, tried](maxTried)
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Engine{c: c, reporting: make(chan struct{}, maxReports), decided: decided, wanted: newWanted(), tried: made, now: c.Now}
	e.Use(nil)
	return e, errors.Join(err, triedErr)
}

// Use puts other rules in force, for all that is asked from now on, and forgets what was decided. It is also called
// when Inspect trusts others than before.
func (e *Engine) Use(s *Set) { e.inForce.Store(&inForce{s, e.uses.Add(1)}) }

// Forget forgets what was decided, and leaves the rules as they are.
func (e *Engine) Forget() {
	for {
		now := e.inForce.Load()
		if e.inForce.CompareAndSwap(now, &inForce{now.Set, e.uses.Add(1)}) {
			return
		}
	}
}

// Rules returns the rules in force, or nil.
func (e *Engine) Rules() *Set { return e.inForce.Load().Set }

// AtPush implements registry.Policy.
func (e *Engine) AtPush(repo string) bool { return e.Rules().asksAny(repo, Push, Tag) }

// Push implements registry.Policy: it asks the rules at push, and for each tag those at tag.
func (e *Engine) Push(ctx context.Context, p registry.Pending) (warnings []string, err error) {
	repo, set := p.Event.Repository, e.Rules()
	push, tag := set.For(Push, repo), set.For(Tag, repo)
	if len(p.Event.Tags) == 0 {
		tag = nil
	}
	if len(push) == 0 && len(tag) == 0 {
		return nil, nil
	}
	c, err := e.pendingQuestion(p)
	if err != nil {
		return nil, err
	}
	c.object.Action = Push
	if len(p.Event.Tags) > 0 {
		c.setTag(p.Event.Tags[0])
	}
	if err := e.ask(ctx, c, Push, push); err != nil {
		return nil, err
	}
	c.object.Action = Tag
	for _, move := range p.Event.Tags {
		c.setTag(move)
		if err := e.ask(ctx, c, Tag, tag); err != nil {
			return nil, err
		}
	}
	return c.warnings, nil
}

// question is a manifest that rules are asked about.
type question struct {
	digest       digest.Digest
	about        image.Description
	event        provenance.Event
	from         image.Source
	records      records
	object       Object
	warnings     []string
	listed       listing             // when the carriers were
	optional     []registry.Optional // what the image and its parts name and may lack
	manyOptional bool                // there is more of it than is remembered, and optional is empty
	carriers     []digest.Digest     // of what is attached to it, where a rule asks for what depends on who signed them
	stored       bool                // it is in its repository
	kept         *keptReport         // beside it there; nil where none counts
	trial        bool                // nothing is kept of it
	until        time.Time           // as long as what rules have read holds; zero where there is no end
}

// holdsUntil notes until when something holds that rules have read; zero is for ever.
func (c *question) holdsUntil(at time.Time) {
	if c.until.IsZero() || !at.IsZero() && at.Before(c.until) {
		c.until = at
	}
}

func (c *question) setTag(m provenance.TagMove) {
	c.object.Tag, c.object.Previous = m.Name, m.Previous.String()
	if c.object.Image != nil && !c.stored {
		c.object.Image.Tagged.Tag = m.Name // it is one act that sets them all
	}
}

// ask asks rules, and returns the refusal of the first that denies.
func (e *Engine) ask(ctx context.Context, c *question, p Point, rules []*Rule) error {
	for _, r := range rules {
		if r.NeedsReport() && c.about.Document {
			continue
		}
		if err := e.look(ctx, c, r); err != nil {
			return err
		}
		v := r.Ask(ctx, &c.object)
		switch {
		case v.Holds:
		case v.Denies():
			e.c.Log.Info("refused by policy", "rule", r.Name, "at", p, "repository", c.object.Repository, "tag", c.object.Tag,
				"digest", c.digest, "who", c.object.Who.Kind+":"+c.object.Who.Handle, "missed", v.Missed, "err", v.Err)
			return registry.Refuse(r.Name, v.Says(p))
		default:
			c.warnings = append(c.warnings, v.Says(p))
		}
	}
	return nil
}

// look gives the question what a rule reads and it does not have yet.
func (e *Engine) look(ctx context.Context, c *question, r *Rule) (err error) {
	if r.reads.manifest && c.object.Manifest == nil {
		if c.object.Manifest, err = c.manifest(ctx); err != nil {
			return err
		}
	}
	if r.reads.report && c.object.Report == nil {
		report := e.report
		if c.stored && !c.trial {
			report = e.storedReport
		}
		if c.object.Report, err = report(ctx, c); err != nil {
			return err
		}
	}
	if r.reads.image && c.object.Image == nil {
		c.object.Image, err = e.image(ctx, c)
	}
	return err
}

// whoOf is an identity as rules see it.
func whoOf(id provenance.Identity) Who {
	w := Who{Kind: string(id.Actor.Kind), Handle: id.Actor.Handle, Account: id.Actor.Account}
	if l := id.Login; l != nil {
		w.Method, w.Issuer, w.Identity, w.Claims = l.Method, l.Issuer, l.Identity, l.Claims
	}
	return w
}

// pendingQuestion is the question about a manifest that is not stored yet: it is read as if it were.
func (e *Engine) pendingQuestion(p registry.Pending) (*question, error) {
	about, err := image.Describe(p.Body)
	if err != nil {
		return nil, errors.Join(errors.New("a manifest that was parsed before is none"), err)
	}
	event := p.Event
	return &question{
		digest: event.Digest, about: about, event: event,
		from:    pending{image.Local{From: e.c.Registry, Repository: event.Repository, Absent: registry.ErrUnknown}, p},
		records: records{e.c.Book, e.pending(event), e.c.Holders},
		object:  Object{Repository: event.Repository, Who: whoOf(event.Who)},
	}, nil
}
