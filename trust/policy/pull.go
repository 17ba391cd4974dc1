package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// A decision about a pull is the same for everybody, and holds until the rules change, or what is known of
// the image, or a moment comes at which its grade gets worse by itself. So nearly every pull finds one.

// The bounds of what is thought of a pull.
const (
	decisions  = 16 << 10         // kept in memory
	reportKept = 24 * time.Hour   // what follows from other images, as whether a base is current, may be this old
	decideTime = 30 * time.Second // of one decision, which may read an image and what is attached to it
	maxParents = 8                // indexes that a refused manifest may pass through
	maxTries   = 3                // of a decision about what changes meanwhile
)

// place is a manifest in a repository.
type place struct {
	repo   string
	digest digest.Digest
}

// decision is what the rules said of a pull, and as long as what it holds.
type decision struct {
	by       *inForce
	until    time.Time
	marks    []mark
	warnings []string
	refusal  error
}

// mark is a counter of changes, and how it stood.
type mark struct {
	now *atomic.Uint32
	was uint32
}

func (j *Judge) mark(d digest.Digest) mark {
	m := j.c.Registry.Mark(d)
	return mark{m, m.Load()}
}

func (d *decision) holds(by *inForce, now time.Time) bool {
	if d.by != by || !now.Before(d.until) {
		return false
	}
	for _, m := range d.marks {
		if m.now.Load() != m.was {
			return false
		}
	}
	return true
}

// Pull implements registry.Judge.
func (j *Judge) Pull(ctx context.Context, repo string, d digest.Digest) (warnings []string, err error) {
	by := j.inForce.Load()
	if !by.asksAny(repo, Pull) {
		return nil, nil
	}
	p := place{repo, d}
	if known, ok := j.decided.Get(p); ok && known.holds(by, j.now()) {
		return known.warnings, known.refusal
	}
	made, err := j.decideTogether(ctx, by, p)
	if err != nil {
		return nil, err
	}
	return made.warnings, made.refusal
}

// decideTogether decides, once for all who wait for the same. Who comes later has other rules, or knows of something
// that was attached meanwhile, and must not be given what was thought before: so both are in the key; and what a
// decision turns out to have looked at has to be as it was when it is over, or it is made again.
func (j *Judge) decideTogether(ctx context.Context, by *inForce, p place) (made *decision, err error) {
	for range maxTries {
		key := fmt.Sprint(by.n, " ", j.mark(p.digest).was, " ", p.repo, "@", p.digest)
		v, err, _ := j.deciding.Do(key, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), decideTime)
			defer cancel()
			return j.decide(ctx, by, p, maxParents)
		})
		if err != nil {
			return nil, err
		}
		if made = v.(*decision); made.holds(by, j.now()) {
			return made, nil
		}
	}
	return made, nil // it changes all the time: this was so at some moment of the last try
}

// decide asks the rules about a pull. What they refuse may pass through an index that lists it.
func (j *Judge) decide(ctx context.Context, by *inForce, p place, parents int) (*decision, error) {
	if known, ok := j.decided.Get(p); ok && known.holds(by, j.now()) {
		return known, nil
	}
	made := &decision{by: by, until: j.now().Add(reportKept), marks: []mark{j.mark(p.digest)}}
	c, err := j.stored(ctx, p)
	if err != nil {
		return nil, err
	}
	rules := by.For(Pull, p.repo)
	for _, d := range c.parts()[1:] {
		made.marks = append(made.marks, j.mark(d))
	}
	if err := j.findCarriers(ctx, c, rules); err != nil { // which move the marks of the parts as they come
		return nil, err
	}
	for _, d := range c.carriers {
		made.marks = append(made.marks, j.mark(d))
	}
	err = j.ask(ctx, c, Pull, rules)
	if err != nil && !registry.IsRefusal(err) {
		return nil, err
	}
	made.warnings, made.refusal = c.warnings, err
	if !c.until.IsZero() && c.until.Before(made.until) {
		made.until = c.until
	}
	if made.refusal != nil && parents > 0 {
		if err := j.passThrough(ctx, made, p, parents); err != nil {
			return nil, err
		}
	}
	if made.refusal == nil || parents > 0 { // else it might pass through another
		j.decided.Add(p, made)
	}
	return made, nil
}

// passThrough looks for an index in the repository that lists the manifest and may be pulled itself.
func (j *Judge) passThrough(ctx context.Context, made *decision, p place, parents int) error {
	page, err := j.c.Book.Find(ctx, provenance.Query{Repository: p.repo, Child: p.digest, Descending: true, Limit: parents})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		made.marks = append(made.marks, j.mark(r.Digest))
		parent, err := j.decide(ctx, made.by, place{p.repo, r.Digest}, 0)
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

// stored is the question about a manifest that is in its repository.
func (j *Judge) stored(ctx context.Context, p place) (*question, error) {
	_, body, err := j.c.Registry.Manifest(ctx, p.repo, p.digest.String())
	if err != nil {
		return nil, err
	}
	about, err := image.Describe(body)
	if err != nil {
		return nil, err
	}
	return &question{
		digest: p.digest, about: about, stored: true,
		from:    image.Local{From: j.c.Registry, Repository: p.repo, Absent: registry.ErrUnknown},
		records: records{Book: j.c.Book},
		object:  Object{Repository: p.repo, Action: Pull},
	}, nil
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

// findCarriers finds the manifests of what is attached to the image, where a rule asks for what depends on who signed them.
func (j *Judge) findCarriers(ctx context.Context, c *question, rules []*Rule) (err error) {
	if j.c.Inspect().Trust.Expects(c.object.Repository) && slices.ContainsFunc(rules, (*Rule).NeedsReport) {
		c.carriers, err = image.Carriers(ctx, c.from, append([]digest.Digest{c.digest}, c.about.Inspected...))
	}
	return err
}

// keptReport is a report as it is kept beside its image.
type keptReport struct {
	By     string          `json:"by"` // what made it: another version, or another configuration, makes another
	Until  time.Time       `json:"until"`
	Report json.RawMessage `json:"report"`
}

// storedReport returns the report that is kept beside an image, or makes and keeps it. What it is kept under is
// taken from the configuration that it is made with: a moment later there may be another.
func (j *Judge) storedReport(ctx context.Context, c *question) (*Report, error) {
	repo, parts := c.object.Repository, append(c.parts(), c.carriers...)
	config := j.c.Inspect()
	stamp := j.c.Version + " " + config.Subject + " " + config.Trust.Stamp()
	version, text, err := j.c.Registry.Evidence(ctx, repo, parts)
	if err != nil {
		return nil, err
	}
	var kept keptReport
	r := new(Report)
	if text != nil && json.Unmarshal(text, &kept) == nil && kept.By == stamp && j.now().Before(kept.Until) {
		c.holdsUntil(kept.Until)
		return r, json.Unmarshal(kept.Report, r)
	}
	made, err := j.inspect(ctx, c, config)
	if err != nil {
		return nil, err
	}
	kept = keptReport{By: stamp, Until: firstDrop(made, j.now(), j.now().Add(reportKept))}
	c.holdsUntil(kept.Until)
	if kept.Report, err = json.Marshal(made); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(kept); err == nil {
		err = j.c.Registry.Keep(ctx, repo, parts, version, text)
	}
	if err != nil { // pulls go on where nothing can be written
		j.c.Log.Warn("a report was not kept", "repository", repo, "digest", c.digest, "err", err)
	}
	return r, json.Unmarshal(kept.Report, r)
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
