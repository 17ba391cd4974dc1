package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// A rule may hold what is new upstream: the image comes, the tag goes on meaning what it did, and nobody pulls the new one. It is let
// through when one of the rule's conditions holds, or a person lets it.

// A Hold says what lets through what is new. The first condition that holds is enough. The zero value holds nothing.
type Hold struct {
	For    time.Duration // since it was seen here first, by the registry's clock; 0: no time is enough
	Until  Until
	Signer string // whose signature counts, as the trust file names it; "": of anybody whom it trusts for the repository
}

// Until is what lets an image through beside time and people.
type Until string

// The kinds of Until.
const (
	UntilApproved Until = "approved" // people alone
	UntilSigned   Until = "signed"
)

// MaxHold bounds Hold.For.
const MaxHold = 365 * 24 * time.Hour

func (h Hold) check() error {
	switch {
	case h.Until != "" && h.Until != UntilApproved && h.Until != UntilSigned:
		return fmt.Errorf("hold.until is %.40q, and is signed or approved", h.Until)
	case h.For < 0 || h.For > MaxHold:
		return fmt.Errorf("hold.for is %s, and is at most %s", units.Duration(h.For), units.Duration(MaxHold))
	case h.Signer != "" && h.Until != UntilSigned:
		return errors.New("hold.signer wants hold.until: signed")
	case strings.Trim(h.Signer, signerLetters) != "" || len(h.Signer) > maxSigner:
		return fmt.Errorf("hold.signer is %.40q, and is the name of a signer in the trust file", h.Signer)
	}
	return nil
}

const (
	signerLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	maxSigner     = 100
)

// String says it in words.
func (h Hold) String() string {
	var all []string
	if h.For > 0 {
		all = append(all, "for "+units.Duration(h.For).String())
	}
	switch {
	case h.Signer != "":
		all = append(all, "until signed by "+h.Signer)
	case h.Until != "":
		all = append(all, "until "+string(h.Until))
	}
	return strings.Join(all, ", or ")
}

// Signatures knows what is signed by those who are trusted.
type Signatures interface {
	// Signed says whether an image that is here has a signature that counts: by a signer of that name, or where it is "", by any.
	Signed(ctx context.Context, repo string, d digest.Digest, signer string) (bool, error)
}

// waiting is a tag that moved upstream, and does not mean here yet what it means there.
type waiting struct {
	Rule   string        `json:"rule"`
	Digest digest.Digest `json:"digest"`
	Seen   uint64        `json:"seen"` // microseconds of the registry's clock, which nobody sets forward
	At     time.Time     `json:"at"`   // the same by the machine's, for people
}

func waitingKey(repo, tag string) []byte { return []byte(repo + "\x00" + tag) }

// see notes when what a tag means upstream was seen here first. If we stop behind it, that counts all the same: the image has not
// come, and comes with the next run.
func (m *Mirrors) see(ctx context.Context, rule, repo, tag string, d digest.Digest) (w waiting, err error) {
	err = m.c.Store.Update(ctx, func(tx storage.Tx) error {
		if w, err = readWaiting(tx, repo, tag); err != nil || w.Digest == d && w.Rule == rule {
			return err
		}
		w = waiting{Rule: rule, Digest: d, Seen: m.c.Registry.Clock(), At: m.now()}
		value, err := json.Marshal(w)
		if err == nil {
			tx.Put(waitingTable, waitingKey(repo, tag), value)
		}
		return err
	})
	return w, err
}

// readWaiting reads a row, or the zero value where there is none that can be read.
func readWaiting(tx storage.Reader, repo, tag string) (w waiting, err error) {
	value, err := tx.Get(waitingTable, waitingKey(repo, tag))
	if errors.Is(err, storage.ErrNotFound) {
		return w, nil
	}
	if err == nil && json.Unmarshal(value, &w) != nil {
		w = waiting{}
	}
	return w, err
}

// seen removes the rows of tags that wait no more.
func (m *Mirrors) seen(ctx context.Context, repo string, tags ...string) error {
	for some := range slices.Chunk(tags, maxWaiting) {
		err := m.c.Store.Update(ctx, func(tx storage.Tx) error {
			for _, tag := range some {
				tx.Delete(waitingTable, waitingKey(repo, tag))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settle ends the waiting of a tag that means what it means upstream; and what belongs to its image waits no longer: a rule that held it
// may have changed, or a run have stopped before it let all of it through.
func (f *following) settle(ctx context.Context, into, tag string, d digest.Digest) error {
	if f.DryRun {
		return nil
	}
	if err := f.here.Free(ctx, into, d); err != nil {
		return err
	}
	var w waiting
	err := f.m.c.Store.View(ctx, func(tx storage.Reader) (err error) {
		w, err = readWaiting(tx, into, tag)
		return err
	})
	if err != nil || w.Digest == "" {
		return err
	}
	return f.m.seen(ctx, into, tag)
}

// maxWaiting bounds what is shown of what waits, and what is read or removed in one transaction.
const maxWaiting = 1000

// someWaiting calls fn for what waits between two keys, at most maxWaiting, and returns the key of the row behind, or nil.
func (m *Mirrors) someWaiting(ctx context.Context, from, to []byte, fn func(repo, tag string, w waiting)) (next []byte, err error) {
	err = m.c.Store.View(ctx, func(tx storage.Reader) (err error) {
		next, err = storage.SomeRows(tx, waitingTable, from, to, maxWaiting, func(item storage.Item) error {
			repo, tag, _ := strings.Cut(string(item.Key), "\x00")
			var w waiting
			if json.Unmarshal(item.Value, &w) == nil {
				fn(repo, tag, w)
			}
			return nil
		})
		return err
	})
	return next, err
}

// eachWaiting calls fn for all that waits in a repository.
func (m *Mirrors) eachWaiting(ctx context.Context, repo string, fn func(tag string, w waiting)) (err error) {
	from := waitingKey(repo, "")
	for to := storage.PrefixEnd(from); from != nil && err == nil; {
		from, err = m.someWaiting(ctx, from, to, func(_, tag string, w waiting) { fn(tag, w) })
	}
	return err
}

// holds says whether a tag has to wait that means d upstream: d is not here, or is held. What was let through once is not held again.
func (f *following) holds(ctx context.Context, w *work, tag string, d digest.Digest) (bool, error) {
	if f.rule.Hold == (Hold{}) || registry.IsBeside(tag) { // evidence is not held: it lets others through
		return false, nil
	}
	here, err := w.present(ctx, d)
	if err != nil || !here {
		return !here, err
	}
	return f.m.c.Registry.Withheld(ctx, w.into, d)
}

// waits says whether what a tag means upstream is here already, and held.
func (f *following) waits(ctx context.Context, w *work, d digest.Digest) (bool, error) {
	if d == "" || f.rule.Hold == (Hold{}) {
		return false, nil
	}
	here, err := w.present(ctx, d)
	if err != nil || !here {
		return false, err
	}
	return f.m.c.Registry.Withheld(ctx, w.into, d)
}

// bringHeld brings the image of a tag that has to wait, with its evidence, and sets the tag if it need not wait any longer.
func (f *following) bringHeld(ctx context.Context, w *work, tag string, d digest.Digest, m *Manifest) error {
	seen, err := f.see(ctx, w.into, tag, d)
	if err != nil {
		return err
	}
	w.withheld = true
	if m != nil {
		err = w.take(ctx, *m, nil)
	} else {
		w.seen[d] = true
		err = w.attached(ctx, d)
	}
	if err == nil {
		err = f.bringBeside(ctx, w)
	}
	if err != nil {
		return err
	}
	w.withheld = false
	goes, err := f.goes(ctx, w.into, seen)
	if err != nil {
		return err
	}
	if !goes {
		f.heldBack.Add(1)
		return nil
	}
	w.came = true
	if f.DryRun {
		return nil
	}
	if _, err := f.here.LetThrough(ctx, w.into, tag, d); err != nil {
		return err
	}
	return f.m.seen(ctx, w.into, tag)
}

// see notes when what a tag means upstream was seen here first. A dry run only looks.
func (f *following) see(ctx context.Context, into, tag string, d digest.Digest) (w waiting, err error) {
	if !f.DryRun {
		return f.m.see(ctx, f.rule.Name, into, tag, d)
	}
	err = f.m.c.Store.View(ctx, func(tx storage.Reader) (err error) {
		w, err = readWaiting(tx, into, tag)
		return err
	})
	if w.Digest != d || w.Rule != f.rule.Name {
		w = waiting{Rule: f.rule.Name, Digest: d, Seen: f.m.c.Registry.Clock()}
	}
	return w, err
}

// goes says whether a tag need not wait any longer.
func (f *following) goes(ctx context.Context, into string, w waiting) (bool, error) {
	h := f.rule.Hold
	now := f.m.c.Registry.Clock()
	if h.For > 0 && now >= w.Seen && now-w.Seen >= uint64(h.For.Microseconds()) {
		return true, nil
	}
	if h.Until != UntilSigned || f.m.c.Signatures == nil {
		return false, nil
	}
	return f.m.c.Signatures.Signed(ctx, into, w.Digest, h.Signer)
}

// forget removes the rows of tags that are gone upstream, or are not followed any more: nothing lets them through. A rule that
// holds nothing may have held them before.
func (f *following) forget(ctx context.Context, repo string, has map[string]bool) error {
	into := path.Join(f.Into, repo)
	var gone []string
	err := f.m.eachWaiting(ctx, into, func(tag string, _ waiting) {
		if !has[tag] || !f.rule.wantsTag(tag) {
			gone = append(gone, tag)
		}
	})
	if err != nil || f.DryRun {
		return err
	}
	return f.m.seen(ctx, into, gone...)
}

// A Waiting is a tag that waits, as it is shown.
type Waiting struct {
	Repository string          `json:"repository"` // here
	Tag        string          `json:"tag"`
	Digest     digest.Digest   `json:"digest"` // that it means upstream
	Seen       provenance.Time `json:"seen"`   // here first
	// Left is for how long it still waits at most while the registry runs; absent where no time lets it through.
	Left string `json:"left,omitempty"`
}

// waitingOf lists what waits of a rule, at most maxWaiting, and says whether more does.
func (m *Mirrors) waitingOf(ctx context.Context, r *Rule) (list []Waiting, cut bool, err error) {
	now, below := m.c.Registry.Clock(), []byte(r.Into+"/")
	next, err := m.someWaiting(ctx, below, storage.PrefixEnd(below), func(repo, tag string, w waiting) {
		x := Waiting{Repository: repo, Tag: tag, Digest: w.Digest, Seen: provenance.At(w.At)}
		if r.Hold.For > 0 && now >= w.Seen {
			x.Left = units.Duration(max(r.Hold.For-time.Duration(now-w.Seen)*time.Microsecond, 0).Round(time.Second)).String()
		}
		list = append(list, x)
	})
	return list, next != nil, err
}

// ErrNotWaiting says that nothing waits to be let through.
var ErrNotWaiting error = fault.New(fault.Missing, "nothing waits there under this tag or digest; `hallmark mirror status` lists what does")

// Approved is what a person has let through.
type Approved struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Digest     digest.Digest `json:"digest"`
	Record     *uint64       `json:"record,omitempty"` // absent where the tag meant it already
}

// Approve lets through, in somebody's name, what waits under a tag, or all that has a digest. Errors: ErrNotWaiting, and those that
// registry.AnswerOf knows.
func (m *Mirrors) Approve(ctx context.Context, who provenance.Identity, r *http.Request, repo, ref string) (done []Approved, err error) {
	var all []Approved
	rules := map[string]string{}
	err = m.eachWaiting(ctx, repo, func(tag string, w waiting) {
		if tag == ref || w.Digest.String() == ref {
			all = append(all, Approved{Repository: repo, Tag: tag, Digest: w.Digest})
			rules[tag] = w.Rule
		}
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrNotWaiting
	}
	for _, a := range all {
		record, err := m.c.Registry.Importer(who, r).ByRule(rules[a.Tag]).LetThrough(ctx, repo, a.Tag, a.Digest)
		if err != nil {
			return done, err
		}
		if record != nil {
			a.Record = &record.Index
		}
		if err := m.seen(ctx, repo, a.Tag); err != nil {
			return done, err
		}
		done = append(done, a)
	}
	return done, nil
}
