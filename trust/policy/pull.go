package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// A decision about a pull is the same for everybody, and holds until the rules change, or what is known of
// the image, or a moment comes at which its grade gets worse by itself. So nearly every pull finds one.

// The bounds of what is thought of a pull.
const (
	decisions  = 16 << 10         // kept in memory
	reportKept = 24 * time.Hour   // what follows from other images, as whether a base is current, may be this old
	decideTime = 30 * time.Second // of one decision, which may read an image and what is attached to it
	maxTries   = 3                // of a decision about what changes meanwhile
)

// decision is what the rules said of a pull, and as long as what it holds.
type decision struct {
	by       *inForce
	until    time.Time
	marks    []registry.Mark
	warnings []string
	refusal  error
}

// watch has a decision end when something changes in what is known of digests, which were read after a moment.
func (e *Engine) watch(d *decision, since registry.Moment, digests ...digest.Digest) {
	for _, one := range digests {
		d.marks = append(d.marks, e.c.Registry.Mark(one, since))
	}
}

func (d *decision) holds(by *inForce, now time.Time) bool {
	return d.by == by && now.Before(d.until) && !slices.ContainsFunc(d.marks, registry.Mark.Moved)
}

// known returns what was decided and still holds, or nil.
func (e *Engine) known(by *inForce, p registry.RepoDigest) *decision {
	if d, ok := e.decided.Get(p); ok && d.holds(by, e.now()) {
		return d
	}
	return nil
}

// Decided implements registry.Policy.
func (e *Engine) Decided(repo string, d digest.Digest) (warnings []string, refusal error, known bool) {
	by := e.inForce.Load()
	if !by.asksAny(repo, Pull) {
		return nil, nil, true
	}
	if made := e.known(by, registry.RepoDigest{Repository: repo, Digest: d}); made != nil {
		return made.warnings, made.refusal, true
	}
	return nil, nil, false
}

// Pull implements registry.Policy.
func (e *Engine) Pull(ctx context.Context, p registry.Reading) (warnings []string, err error) {
	by := e.inForce.Load()
	if !by.asksAny(p.Repository, Pull) {
		return nil, nil
	}
	made, err := e.decideTogether(ctx, by, p)
	if err != nil {
		return nil, err
	}
	return made.warnings, made.refusal
}

// decideTogether decides, once for all who wait for the same. Who comes later has other rules, or knows of something
// that was attached meanwhile, and must not be given what was thought before: so both are in the key; and what a
// decision turns out to have looked at has to be as it was when it is over, or it is made again.
func (e *Engine) decideTogether(ctx context.Context, by *inForce, p registry.Reading) (made *decision, err error) {
	for try := range maxTries {
		since := e.c.Registry.Changed(p.Digest)
		if try > 0 || p.At < since { // it has changed, or something that it is about
			if p, err = e.c.Registry.Reading(ctx, p.Repository, p.Digest); err != nil {
				return nil, err
			}
		}
		key := fmt.Sprint(by.n, " ", since, " ", p.Repository, "@", p.Digest)
		v, err, _ := e.deciding.Do(key, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), decideTime)
			defer cancel()
			return e.decide(ctx, by, p, true)
		})
		if err != nil {
			return nil, err
		}
		if made = v.(*decision); made.holds(by, e.now()) {
			return made, nil
		}
	}
	return made, nil // it changes all the time: this was so at some moment of the last try
}

// decide asks the rules about a pull. What they refuse may pass through an index that lists it, unless it is one itself
// through which another would pass.
func (e *Engine) decide(ctx context.Context, by *inForce, p registry.Reading, through bool) (*decision, error) {
	at := registry.RepoDigest{Repository: p.Repository, Digest: p.Digest}
	if known := e.known(by, at); known != nil {
		return known, nil
	}
	made := &decision{by: by, until: e.now().Add(reportKept)}
	c, err := e.stored(p)
	if err != nil {
		return nil, err
	}
	rules := by.For(Pull, p.Repository)
	if err := e.findCarriers(ctx, c, rules); err != nil {
		return nil, err
	}
	if err := e.findOptional(ctx, c); err != nil {
		return nil, err
	}
	e.watch(made, p.At, c.dependsOn()...)
	e.watchOptional(made, p.At, c)
	err = e.ask(ctx, c, Pull, rules)
	if err != nil && !registry.IsRefusal(err) {
		return nil, err
	}
	made.warnings, made.refusal = c.warnings, err
	if !c.until.IsZero() && c.until.Before(made.until) {
		made.until = c.until
	}
	if made.refusal != nil && through {
		if err := e.passThrough(ctx, made, p); err != nil {
			return nil, err
		}
	}
	if made.refusal == nil || through { // else it might pass through another
		e.decided.Add(at, made)
	}
	return made, nil
}

// passThrough looks for an index in the repository that lists the manifest and may be pulled itself.
func (e *Engine) passThrough(ctx context.Context, made *decision, p registry.Reading) error {
	for _, d := range p.Parents {
		e.watch(made, p.At, d)
		parent, err := e.decideIndex(ctx, made.by, registry.RepoDigest{Repository: p.Repository, Digest: d})
		if errors.Is(err, registry.ErrUnknown) {
			continue // it was deleted
		}
		if err != nil {
			return err
		}
		made.marks = append(made.marks, parent.marks...)
		if parent.until.Before(made.until) {
			made.until = parent.until
		}
		if parent.refusal == nil {
			made.refusal, made.warnings = nil, parent.warnings
			return nil
		}
	}
	return nil
}

// decideIndex decides about an index through which one of its manifests may be pulled.
func (e *Engine) decideIndex(ctx context.Context, by *inForce, p registry.RepoDigest) (*decision, error) {
	if known := e.known(by, p); known != nil {
		return known, nil
	}
	read, err := e.c.Registry.Reading(ctx, p.Repository, p.Digest)
	if err != nil {
		return nil, err
	}
	return e.decide(ctx, by, read, false)
}

// stored is the question about a manifest that is in its repository, and was read there.
func (e *Engine) stored(p registry.Reading) (*question, error) {
	about, err := image.Describe(p.Body)
	if err != nil {
		return nil, err
	}
	c := &question{
		digest: p.Digest, about: about, stored: true,
		from:    reading{image.Local{From: e.c.Registry, Repository: p.Repository, Absent: registry.ErrUnknown}, p},
		records: records{Book: e.c.Book, holders: e.c.Holders},
		object:  Object{Repository: p.Repository, Action: Pull},
	}
	c.kept = e.openKept(p.Kept)
	return c, nil
}

// parts are the digests of an image and of what it lists, as far as a report or the image's records look at
// them: what is decided about the image depends on what is known of each. The image is the first.
func (c *question) parts() []digest.Digest {
	parts := provenance.Parts(c.digest, c.about.Children)
	for _, d := range c.about.Inspected {
		if !slices.Contains(parts, d) {
			parts = append(parts, d)
		}
	}
	return parts
}

// dependsOn are the digests of what a decision looks at: the image, its parts, and what is attached to them. A report that is
// kept says which they are: it would not count if there were others by now.
func (c *question) dependsOn() []digest.Digest {
	if c.kept != nil {
		return c.kept.of
	}
	return append(c.parts(), c.carriers...)
}

// findCarriers finds the manifests of what is attached to the image, where a rule asks for what depends on who signed them and no
// report is kept.
func (e *Engine) findCarriers(ctx context.Context, c *question, rules []*Rule) (err error) {
	if c.kept != nil || !slices.ContainsFunc(rules, (*Rule).NeedsReport) {
		return nil
	}
	return e.listCarriers(ctx, c)
}

// listCarriers finds the manifests of what is attached to the image.
func (e *Engine) listCarriers(ctx context.Context, c *question) (err error) {
	config := e.c.Inspect()
	if c.listed, err = e.listing(ctx, c, config); err != nil {
		return err
	}
	if config.Trust.Expects(c.object.Repository) {
		c.carriers, err = image.Carriers(ctx, c.from, append([]digest.Digest{c.digest}, c.about.Inspected...))
	}
	return err
}

// findOptional finds what the image and its parts name, and what may come or go without a record about them: what is said of
// sizes depends on it.
func (e *Engine) findOptional(ctx context.Context, c *question) (err error) {
	if c.kept != nil {
		c.optional = c.kept.optional
		return nil
	}
	c.optional, c.manyOptional, err = e.c.Registry.OptionalOf(ctx, c.object.Repository, c.parts())
	return err
}

// watchOptional has a decision end when something optional comes or goes; where there is too much of it, when anything changes.
func (e *Engine) watchOptional(d *decision, since registry.Moment, c *question) {
	if c.manyOptional {
		d.marks = append(d.marks, e.c.Registry.AnyMark(since))
	}
	for _, o := range c.optional {
		e.watch(d, since, o.Digest)
	}
}

// listing is when carriers were listed: what was known of the image then, and the configuration by which they matter.
type listing struct {
	version uint64
	stamp   string
}

// listing is what listing carriers would go by now.
func (e *Engine) listing(ctx context.Context, c *question, config image.Config) (listing, error) {
	version, err := e.c.Registry.Version(ctx, c.object.Repository, c.parts())
	return listing{version, e.stamp(config)}, err
}

// isCurrent says whether the carriers that were listed are still all. What was attached since is in a report that is made now,
// and when that is signed later, nothing but a mark on it tells.
func (e *Engine) isCurrent(ctx context.Context, c *question, config image.Config) (bool, error) {
	now, err := e.listing(ctx, c, config)
	return c.listed == now, err
}

// keptReport is a report as it is kept beside its image.
type keptReport struct {
	By     string          `json:"by"` // what made it: another version, or another configuration, makes another
	Until  time.Time       `json:"until"`
	Grade  trust.Grade     `json:"grade"` // that of the report, before it: lists of images read no further
	Report json.RawMessage `json:"report"`

	of       []digest.Digest     // what it is about
	optional []registry.Optional // what that names and may lack
}

// stamp names what makes reports, by the configuration that they are made with: a moment later there may be another.
func (e *Engine) stamp(config image.Config) string {
	return e.c.Version + " " + config.Subject + " " + config.Trust.Stamp()
}

// openKept opens a report that is kept, or returns nil where it does not count any more.
func (e *Engine) openKept(k registry.Kept) *keptReport {
	kept := &keptReport{of: k.Of, optional: k.Optional}
	if k.Body == nil || json.Unmarshal(k.Body, kept) != nil || kept.By != e.stamp(e.c.Inspect()) || !e.now().Before(kept.Until) {
		return nil
	}
	return kept
}

// storedReport returns the report that is kept beside an image, or makes and keeps it.
func (e *Engine) storedReport(ctx context.Context, c *question) (*Report, error) {
	kept := c.kept
	if kept == nil {
		var err error
		if kept, err = e.makeReport(ctx, c, e.inspect, e.c.Registry.KeepSoon); err != nil {
			return nil, err
		}
	}
	c.holdsUntil(kept.Until)
	r := new(Report)
	return r, json.Unmarshal(kept.Report, r)
}

// inspection makes a report about an image.
type inspection func(ctx context.Context, c *question, config image.Config) (*image.Report, error)

// keeping keeps what was thought of an image beside it.
type keeping func(ctx context.Context, repo string, version uint64, k registry.Kept) error

// makeReport makes a report, and keeps it beside its image. What is optional in that was found before.
func (e *Engine) makeReport(ctx context.Context, c *question, inspect inspection, keep keeping) (*keptReport, error) {
	repo, parts := c.object.Repository, c.dependsOn()
	config := e.c.Inspect()
	version, err := e.c.Registry.Version(ctx, repo, parts)
	if err != nil {
		return nil, err
	}
	current, err := e.isCurrent(ctx, c, config) // behind the version: what is attached from now on makes that another
	if err != nil {
		return nil, err
	}
	made, err := inspect(ctx, c, config)
	if err != nil {
		return nil, err
	}
	kept := &keptReport{By: e.stamp(config), Until: firstDrop(made, e.now(), e.now().Add(reportKept)), Grade: made.Grade}
	if kept.Report, err = json.Marshal(made); err != nil {
		return nil, err
	}
	if !current || c.manyOptional {
		return kept, nil // for this once
	}
	text, err := json.Marshal(kept)
	if err == nil {
		err = keep(ctx, repo, version, registry.Kept{Of: parts, Optional: c.optional, Body: text})
	}
	if err != nil { // pulls go on where nothing can be written
		e.c.Log.Warn("a report was not kept", "repository", repo, "digest", c.digest, "err", err)
	}
	return kept, nil
}

// firstDrop is the first moment at which a check of a report is worth less, or the latest.
func firstDrop(r *image.Report, now, latest time.Time) time.Time {
	all := r.Checks
	for _, p := range r.Platforms {
		all = append(all[:len(all):len(all)], p.Checks...)
	}
	for _, c := range all {
		for _, d := range c.Drops {
			if d.At.After(now) && d.At.Before(latest) {
				latest = d.At
			}
		}
	}
	return latest
}
