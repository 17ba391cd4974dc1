package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
)

// Retention makes plans of what goes by rules, and applies them.
type Retention interface {
	Rules() *retention.Set // or nil
	Approved(ctx context.Context) (digest.Digest, error)
	LastRun() *retention.Run  // of the schedule since the start, or nil
	Scheduled() time.Duration // how often a schedule runs, or 0
	// Expiries says what the rules in force would make of some tags of a repository, or nil where none names it.
	Expiries(ctx context.Context, repo string, tags []retention.Aged) ([]retention.Expiry, error)
	Plan(ctx context.Context, w io.Writer) (digest.Digest, *retention.Summary, error)
	// ApplyByHand applies a plan, and writes what becomes of it. Errors before it writes: retention.ErrOtherRules, retention.ErrApplying.
	ApplyByHand(ctx context.Context, who provenance.Identity, p *retention.Plan, w io.Writer) error
}

// retentionRules are the rules in force.
type retentionRules struct {
	Digest digest.Digest `json:"digest,omitempty"`
	// Approved says that an administrator has applied a plan of them by hand, so that a schedule may.
	Approved bool   `json:"approved"`
	Every    string `json:"every,omitempty"`   // how often a schedule runs; absent: there is none
	Stopped  bool   `json:"stopped,omitempty"` // its last run left the repository alone that was asked about
	// MayBeStopped says that more were left alone than a run names: it may be one of them.
	MayBeStopped bool            `json:"mayBeStopped,omitempty"`
	Untagged     string          `json:"untagged,omitempty"` // how long what has no tag stays; absent: for ever
	Rules        []retentionRule `json:"rules"`
	LastRun      *retentionRun   `json:"lastRun,omitempty"`
}

// retentionRun is the last run of the schedule.
type retentionRun struct {
	Time      provenance.Time `json:"time"`
	Plan      digest.Digest   `json:"plan,omitempty"`
	Tags      int             `json:"tags"` // removed
	Manifests int             `json:"manifests"`
	Skipped   int             `json:"skipped"`
	// Stopped are the first repositories of which nothing went, because more would go than retention.most.
	Stopped     []string `json:"stopped,omitempty"`
	StoppedMore int      `json:"stoppedMore,omitempty"` // others
	Failed      string   `json:"failed,omitempty"`
}

func (a *API) lastRun() *retentionRun {
	r := a.Retention.LastRun()
	if r == nil {
		return nil
	}
	return &retentionRun{r.Time, r.Plan, r.Tags, r.Manifests, r.Skipped, r.Stopped, r.StoppedMore, r.Failed}
}

type retentionRule struct {
	Name         string   `json:"name"`
	Repositories []string `json:"repositories"`
	Tags         []string `json:"tags,omitempty"`
	Keep         []string `json:"keep"` // each condition in words
}

// retentionRules answers GET /api/v1/retention/rules: to administrators all, and those of one repository to those who may push to it.
func (a *API) retentionRules(c *call) (any, error) {
	q := c.query()
	repo := q.text("repo")
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mayAskRules(c, repo); err != nil {
		return nil, err
	}
	answer := retentionRules{Rules: []retentionRule{}}
	if every := a.Retention.Scheduled(); every > 0 {
		answer.Every = units.Duration(every).String()
	}
	switch last := a.Retention.LastRun(); {
	case repo == "":
		answer.LastRun = a.lastRun()
	case last != nil:
		answer.Stopped = slices.Contains(last.Stopped, repo)
		answer.MayBeStopped = !answer.Stopped && last.StoppedMore > 0
	}
	set := a.Retention.Rules()
	if set == nil || repo != "" && !set.Covers(repo) {
		return answer, nil
	}
	approved, err := a.Retention.Approved(c.Context())
	answer.Digest, answer.Approved, answer.Untagged = set.Digest, approved == set.Digest, set.UntaggedText()
	for _, r := range set.Rules {
		if patterns := naming(r.Repositories, repo); len(patterns) > 0 {
			answer.Rules = append(answer.Rules, retentionRule{r.Name, texts(patterns), texts(r.Tags), r.Keep.Says()})
		}
	}
	return answer, err
}

func (a *API) mayAskRules(c *call, repo string) error {
	switch {
	case repo == "" && !a.Gate.Administers(c.who):
		return c.forbid("only administrators are shown all rules of retention; name a repository that you may push to")
	case repo == "":
		return nil
	}
	if err := a.mustPull(c, repo); err != nil {
		return err
	}
	if !a.Gate.May(c.who, access.Push, repo) {
		return c.forbid("only those who may push to the repository are told its rules of retention")
	}
	return nil
}

// naming are the patterns that name a repository; what others name is not told. All of them where it is "".
func naming(patterns []access.Pattern, repo string) []access.Pattern {
	return slices.DeleteFunc(slices.Clone(patterns), func(p access.Pattern) bool { return repo != "" && !p.Matches(repo) })
}

func texts[T interface{ String() string }](all []T) (words []string) {
	for _, one := range all {
		words = append(words, one.String())
	}
	return words
}

// begun is a stream of JSON lines whose head is not sent before the first of them.
type begun struct {
	c     *call
	wrote bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.wrote {
		b.wrote = true
		h := b.c.w.Header()
		h.Set("Content-Type", jsonLines)
		h.Set("Cache-Control", cacheNever)
	}
	n, err := b.c.w.Write(p)
	if err == nil {
		err = http.NewResponseController(b.c.w).Flush()
	}
	return n, err
}

// end is the answer behind a stream. One that broke off is cut, so that the client sees it.
func (b *begun) end(a *API, what string, err error) (any, error) {
	if err == nil || !b.wrote {
		return streamed{}, err
	}
	if b.c.Context().Err() == nil {
		a.Log.Error("an answer broke off", "what", what, "err", err)
	}
	panic(http.ErrAbortHandler)
}

// retentionPlan answers GET /api/v1/retention/plan, a line at a time.
func (a *API) retentionPlan(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	out := &begun{c: c}
	_, _, err := a.Retention.Plan(c.Context(), out)
	return out.end(a, "plan", err)
}

// retentionApply answers POST /api/v1/retention/apply: what was skipped, and how far it is, a line at a time.
func (a *API) retentionApply(c *call) (any, error) {
	p, err := retention.ReadPlan(http.MaxBytesReader(c.w, c.Body, retention.MaxPlan), nil)
	switch {
	case errors.Is(err, bufio.ErrTooLong) || errors.As(err, new(*http.MaxBytesError)):
		return nil, problemf(http.StatusRequestEntityTooLarge, "a plan has at most %d bytes, and each of its lines %d", retention.MaxPlan, retention.MaxLine)
	case err != nil:
		return nil, problemf(http.StatusBadRequest, "the body is not what is wanted here: %v", err)
	}
	out := &begun{c: c}
	err = a.Retention.ApplyByHand(c.Context(), c.who, p, out)
	return out.end(a, "apply", err)
}
