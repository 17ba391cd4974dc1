package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// demandFlags say which witnesses are demanded, and how fresh their word has to be.
type demandFlags struct {
	witnesses           []string
	policy, wait, fresh string
	maxLag              int64
}

func (f *demandFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.witnesses, "witness", nil, "demand that the witness with this `key`, NAME+HASH+KEY, has cosigned the log; may be repeated")
	c.Flags().StringVar(&f.policy, "policy", "", "demand the quorum of this `file`, a C2SP tlog-policy, and one of its logs")
	c.Flags().StringVar(&f.wait, "wait", "2m", "how `long` to wait for their cosignatures")
	c.Flags().Int64Var(&f.maxLag, "max-lag", 0, "how many `leaves` less than are seen may be cosigned; -1: any number, but what was seen before --max-age has to be")
	c.Flags().StringVar(&f.fresh, "max-age", "24h", "how `old` the witnesses' times may be")
}

// demand is what is wanted of witnesses.
type demand struct {
	policies  []*witness.Policy
	witnesses []note.Verifier // of all policies, each once
	wait      time.Duration
	maxAge    time.Duration
	maxLag    int64 // leaves; -1: any number
	file      string
}

func (f *demandFlags) parse(c *cobra.Command) (d demand, err error) {
	if len(f.witnesses) == 0 && f.policy == "" {
		for _, name := range []string{"wait", "max-lag", "max-age"} {
			if c.Flags().Changed(name) {
				return d, usagef("--%s is about witnesses: name them with --witness or --policy", name)
			}
		}
		return d, nil
	}
	if d.wait, err = lengthOf("--wait", f.wait); err != nil {
		return d, err
	}
	if d.maxAge, err = lengthOf("--max-age", f.fresh); err != nil {
		return d, err
	}
	if d.maxLag = f.maxLag; d.maxLag < -1 {
		return d, usagef("--max-lag %d is no number of leaves, nor -1, which is any", d.maxLag)
	}
	if err := d.readPolicy(f.policy); err != nil {
		return d, err
	}
	var all []note.Verifier
	for _, vkey := range f.witnesses {
		w, err := witness.ParseKey(vkey)
		if err != nil {
			return d, usagef("--witness %w", err)
		}
		all = append(all, w)
	}
	d.want(witness.Demand(all))
	return d, nil
}

func lengthOf(flag, text string) (time.Duration, error) {
	var d units.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return 0, usagef("%s: %w", flag, err)
	}
	return time.Duration(d), nil
}

func (d *demand) readPolicy(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return usagef("--policy: %w", err)
	}
	p, err := witness.ParsePolicy(data)
	if err != nil {
		return usagef("--policy %s: %w", path, err)
	}
	d.file = path
	d.want(p)
	return nil
}

func (d *demand) want(p *witness.Policy) {
	d.policies = append(d.policies, p)
	for _, w := range p.Witnesses {
		if !slices.ContainsFunc(d.witnesses, func(v note.Verifier) bool { return v.Name() == w.Name() && v.KeyHash() == w.KeyHash() }) {
			d.witnesses = append(d.witnesses, w)
		}
	}
}

// askCosigned is how often it is asked whether witnesses have come.
const askCosigned = 2 * time.Second

// check wants the witnesses that are demanded to have cosigned what was seen of the newest log, and waits for them. What
// contradicts a cosigned checkpoint is a rewritten history, seen by others: then the report says so.
func (d demand) check(ctx context.Context, remote *follow.Remote, state *follow.State, report *follow.Report) error {
	newest := state.Logs[len(state.Logs)-1]
	w := waiting{demand: d, remote: remote, state: state, report: report, seen: newest.Sightings[len(newest.Sightings)-1]}
	if err := w.knows(newest.VKey); err != nil || len(d.witnesses) == 0 {
		return err
	}
	for deadline := time.Now().Add(d.wait); ; {
		if err := w.look(ctx); err != nil || report.Outcome.Bad() {
			return err
		}
		missing := w.missing(time.Now())
		if missing == "" {
			w.describe(time.Now())
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			w.describe(time.Now())
			return nof("%s%s", missing, w.advice())
		}
		if err := pause(ctx, min(left, askCosigned)); err != nil {
			return askf("waiting for witnesses: %w", err)
		}
	}
}

// waiting is one wait for witnesses.
type waiting struct {
	demand
	remote *follow.Remote
	state  *follow.State
	report *follow.Report
	seen   follow.Sighting // what has to be cosigned
	served bool            // there is a cosigned checkpoint, by whomever
	best   []follow.Cosignature
}

// knows wants the log to be one that the policies list.
func (w *waiting) knows(vkey string) error {
	log, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	for _, p := range w.policies {
		if !p.Knows(log) {
			return nof("the log %s is not in %s: compare its key, %s, with what its operator says", log.Name(), w.file, vkey)
		}
	}
	return nil
}

// look fetches what was cosigned last, and what each witness cosigned last that is not among those.
func (w *waiting) look(ctx context.Context) error {
	signed, by, err := w.remote.Cosigned(ctx, w.witnesses)
	if exitCode(err) == exitNo { // there is none
		return nil
	}
	if err == nil {
		err = w.take(ctx, signed, by)
	}
	for _, v := range w.witnesses {
		if err != nil || w.report.Outcome.Bad() {
			return err
		}
		if slices.ContainsFunc(by, func(c follow.Cosignature) bool { return c.By(v) }) {
			continue
		}
		signed, own, err := w.remote.CosignedBy(ctx, v)
		if code := exitCode(err); code == exitNo || code == exitUsage { // it never came; or an older registry, which takes no such question
			continue
		}
		if err == nil {
			err = w.take(ctx, signed, own)
		}
		if err != nil {
			return err
		}
	}
	return err
}

// take wants a cosigned checkpoint to be of the history that was seen, and remembers who cosigned it.
func (w *waiting) take(ctx context.Context, signed string, by []follow.Cosignature) error {
	w.served = true
	cosigned := follow.Sighting{Time: time.Now().UTC().Truncate(time.Second), Checkpoint: signed}
	other, err := w.remote.Agree(ctx, w.seen, cosigned)
	if err != nil {
		return err
	}
	if other != nil {
		other.More, other.Closings = w.report.More, w.report.Closings
		other.Says = fmt.Sprintf("the log %s shows you another history than the one whose %d leaves its witnesses cosigned", w.remote.Origin, cosigned.Size())
		*w.report = *other
		return nil
	}
	if cosigned.Size() > w.seen.Size() {
		w.state.Saw(cosigned) // it grew meanwhile, or less was shown here: either way this is what has to go on
	}
	for _, c := range by {
		w.keep(c)
	}
	return nil
}

// keep remembers a cosignature, if it counts for more than what is known of that witness.
func (w *waiting) keep(c follow.Cosignature) {
	for i, known := range w.best {
		if known.Witness == c.Witness && known.KeyHash == c.KeyHash {
			if c.Size > known.Size || c.Size == known.Size && c.Time.After(known.Time) {
				w.best[i] = c
			}
			return
		}
	}
	w.best = append(w.best, c)
}

// of returns what is known of a witness.
func (w *waiting) of(v note.Verifier) (c follow.Cosignature, ok bool) {
	i := slices.IndexFunc(w.best, func(c follow.Cosignature) bool { return c.By(v) })
	if i < 0 {
		return c, false
	}
	return w.best[i], true
}

// missing says what the first policy still lacks, or "".
func (w *waiting) missing(now time.Time) string {
	for _, p := range w.policies {
		if p.Satisfied(func(v note.Verifier) bool { return w.lacks(v, now) == "" }) {
			continue
		}
		if !w.served {
			return fmt.Sprintf("no witness has cosigned the log %s", w.remote.Origin)
		}
		var all []string
		for _, v := range p.Witnesses {
			if lacks := w.lacks(v, now); lacks != "" {
				all = append(all, lacks)
			}
		}
		return strings.Join(all, "; ")
	}
	return ""
}

// maxClock is how far a witness's clock may be ahead of this machine's.
const maxClock = time.Hour

// lacks says why the word of a witness is not enough, or "".
func (w *waiting) lacks(v note.Verifier, now time.Time) string {
	c, ok := w.of(v)
	size, age := w.seen.Size(), now.Sub(c.Time)
	switch {
	case !ok:
		return fmt.Sprintf("the witness %s has not cosigned the log %s", v.Name(), w.remote.Origin)
	case w.maxLag >= 0 && c.Size < size && size-c.Size > uint64(w.maxLag):
		return fmt.Sprintf("the witness %s has cosigned %d of %d leaves of the log %s, and no more in %s", v.Name(), c.Size, size, w.remote.Origin, units.Duration(w.wait))
	case c.Size < w.state.Before(now.Add(-w.maxAge)):
		return fmt.Sprintf("the witness %s has cosigned %d leaves of the log %s, and %d were seen here more than %s ago", v.Name(), c.Size, w.remote.Origin, w.state.Before(now.Add(-w.maxAge)), units.Duration(w.maxAge))
	case age > w.maxAge:
		return fmt.Sprintf("the witness %s cosigned the log %s last at %s, more than %s ago: what is shown may be an old view", v.Name(), w.remote.Origin, c.Time.Format(time.RFC3339), units.Duration(w.maxAge))
	case age < -maxClock:
		return fmt.Sprintf("the witness %s cosigned the log %s at %s, and here it is %s: one of both clocks is wrong", v.Name(), w.remote.Origin, c.Time.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return ""
}

// advice is what to do about a witness that has not come.
func (w *waiting) advice() string {
	if w.maxLag < 0 {
		return ". Ask the witness whether it runs; if it does, the registry keeps its cosignatures or its records from somebody"
	}
	return ". Ask the witness whether it runs; one that comes once a day wants --max-lag -1 --max-age 48h"
}

// describe puts into the report what the witnesses have cosigned, the largest first.
func (w *waiting) describe(now time.Time) {
	w.report.Cosigned = slices.Clone(w.best)
	slices.SortFunc(w.report.Cosigned, func(a, b follow.Cosignature) int { return strings.Compare(a.Witness, b.Witness) })
	by := map[uint64][]string{}
	var sizes []uint64
	for _, c := range w.report.Cosigned {
		if by[c.Size] == nil {
			sizes = append(sizes, c.Size)
		}
		by[c.Size] = append(by[c.Size], c.Witness)
	}
	slices.Sort(sizes)
	for _, size := range slices.Backward(sizes) {
		w.say("%d of %d leaves are cosigned by %s", size, max(size, w.seen.Size()), strings.Join(by[size], ", "))
	}
	for _, c := range w.report.Cosigned {
		w.say("%s cosigned at %s, %s ago", c.Witness, c.Time.Format(time.RFC3339), max(0, now.Sub(c.Time)).Round(time.Second))
	}
}

func (w *waiting) say(format string, args ...any) {
	w.report.More = append(w.report.More, fmt.Sprintf(format, args...))
}
