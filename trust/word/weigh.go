package word

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/note"
)

// Weigh says what a word of now or of before is worth in a repository.
func (t *Trust) Weigh(w provenance.Word, repository string) provenance.WeighedWord {
	why, detail := t.standing(&w, repository)
	weighed := provenance.Weigh(w, why, detail)
	if r := t.find(func(r *Registry) bool { return r.name == w.Registry }); weighed.Class == provenance.Attested && r.policy != nil {
		c, _ := w.Shows()
		by, _ := r.quorum(w.Checkpoint, c)
		for _, s := range by {
			weighed.Witnesses = append(weighed.Witnesses, s.Witness)
		}
	}
	return weighed
}

// standing says why a word does not count, or "".
func (t *Trust) standing(w *provenance.Word, repository string) (provenance.Reason, string) {
	if w.Result != provenance.Good {
		return w.Reason, w.Detail
	}
	if w.Own {
		return "", ""
	}
	c, ok := w.Shows()
	r := t.find(func(r *Registry) bool { return r.name == w.Registry })
	if !ok || r == nil || r.log(c.Origin) == nil {
		return provenance.NotTrusted, fmt.Sprintf("the registry %s is not among those whose word counts any more, or its log %s is not", w.Registry, c.Origin)
	}
	l := *r.log(c.Origin)
	if record, forked := t.forked[l.Origin]; forked && !provedToEnd(l, c) {
		return provenance.LogForked, fmt.Sprintf("the log %s of the registry %s has shown two histories, as record %d and the one against it prove: nothing in it counts", l.Origin, r.name, record)
	}
	for _, ask := range []func(*provenance.Word, receipt.LogEntry, checkpoint.Checkpoint) (provenance.Reason, string){r.signed, r.ended, r.cosigned} {
		if why, detail := ask(w, l, c); why != "" {
			return why, detail
		}
	}
	if !slices.Contains(r.ours(w.Said.Repository), repository) {
		return provenance.OtherPlace, fmt.Sprintf("it is about %s at the registry %s, which is not called %s here", w.Said.Repository, r.name, repository)
	}
	return "", ""
}

// signed wants the checkpoint to be of the log as it is known now, and the key of the record to be in force for it, as far as that is
// known: one that was followed need not be.
func (r *Registry) signed(w *provenance.Word, l receipt.LogEntry, _ checkpoint.Checkpoint) (provenance.Reason, string) {
	if err := signedBy(l, w.Checkpoint); err != nil {
		return provenance.NotTrusted, fmt.Sprintf("the log %s of the registry %s has another key now: %v", l.Origin, r.name, err)
	}
	known := slices.ContainsFunc(r.keys, func(k receipt.KeyEntry) bool { return k.Hint == w.Key })
	if known && !r.trust(r.keys).InForce(w.Key, l.Origin, w.Said.Record, w.Said.Log.Leaf) {
		return provenance.UnknownKey, fmt.Sprintf("its key %.12s… was not in force at the registry %s for record %d", w.Key, r.name, w.Said.Record)
	}
	return "", ""
}

// ended wants what is in a closed log to be proved to its end: somebody else may have its keys.
func (r *Registry) ended(_ *provenance.Word, l receipt.LogEntry, c checkpoint.Checkpoint) (provenance.Reason, string) {
	if l.Closed == nil {
		return "", ""
	}
	if err := l.Ends(c); err != nil {
		return provenance.LogClosed, fmt.Sprintf("the registry %s closed its log %s on %s (%s), and this record is not proved to the end of that: anyone who has had the keys since could have made it",
			r.name, l.Origin, l.Closed.Time.UTC().Format(time.DateOnly), l.Closed.Reason)
	}
	return "", ""
}

// cosigned wants a quorum of witnesses, where one is configured.
func (r *Registry) cosigned(w *provenance.Word, l receipt.LogEntry, c checkpoint.Checkpoint) (provenance.Reason, string) {
	if r.policy == nil {
		return "", ""
	}
	v, err := note.NewVerifier(l.VKey)
	if err != nil || !r.policy.Knows(v) {
		return provenance.NotCosigned, fmt.Sprintf("the witness policy of the registry %s does not name its log %s", r.name, l.Origin)
	}
	if by, is := r.quorum(w.Checkpoint, c); !is {
		return provenance.NotCosigned, fmt.Sprintf("its checkpoint of %d leaves has not the cosignatures that are wanted of the registry %s: there are %d of the witnesses that are known",
			c.Size, r.name, len(by))
	}
	return "", ""
}

// Fork says that a word is proved by a checkpoint that contradicts one of those that records here have kept of the same log: then
// its registry has shown two histories. The word does not hold, and keeps the proof.
func (t *Trust) Fork(w provenance.Word, kept []*provenance.Record) provenance.Word {
	c, ok := w.Shows()
	if !ok || w.Result != provenance.Good && w.Result != provenance.Unread {
		return w
	}
	r := t.find(func(r *Registry) bool { return r.name == w.Registry })
	if r == nil || r.log(c.Origin) == nil {
		return w
	}
	l := *r.log(c.Origin)
	for _, k := range kept {
		if how := w.Contradicts(k.Word); how != "" && signedBy(l, k.Word.Checkpoint) == nil && !stolenSince(l, c, k.Word) {
			w.Result, w.Reason, w.Against = provenance.Failed, provenance.LogForked, &k.Index
			w.Detail = fmt.Sprintf("the log %s of the registry %s has %s, this one and that in record %d; its key signed both: it shows different people different histories",
				c.Origin, w.Registry, how, k.Index)
			break
		}
	}
	return w
}

// provedToEnd says that a log was closed because its keys were stolen, and a checkpoint is part of what it was then: what somebody else
// signs with them takes nothing away from that.
func provedToEnd(l receipt.LogEntry, c checkpoint.Checkpoint) bool {
	return l.Closed != nil && l.Closed.Reason == receipt.Stolen && l.Ends(c) == nil
}

// stolenSince says that one of two words may be a thief's: their log was closed because its keys were stolen, and one of them is not
// proved to its end. Then the two do not show that the registry has two histories.
func stolenSince(l receipt.LogEntry, c checkpoint.Checkpoint, kept *provenance.Word) bool {
	k, ok := kept.Shows()
	return l.Closed != nil && l.Closed.Reason == receipt.Stolen && (!ok || !provedToEnd(l, c) || !provedToEnd(l, k))
}

// signedBy wants a log, as it is known now, to have signed a checkpoint: under that name there may have been another.
func signedBy(l receipt.LogEntry, signed string) error {
	v, err := note.NewVerifier(l.VKey)
	if err == nil {
		_, err = checkpoint.Open(signed, v)
	}
	return err
}
