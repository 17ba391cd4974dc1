package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// tagChain is what the moves of a tag prove: each names the record that set what the tag meant before.
type tagChain struct {
	Tag   string `json:"tag"`
	Moves int    `json:"moves"`           // how many records were followed, the newest first
	From  uint64 `json:"from"`            // the oldest of them
	Ends  string `json:"ends,omitempty"`  // why no older one was followed
	Error string `json:"error,omitempty"` // why the chain is refused
}

// chain compares what a tag is served as with its newest record, and follows the records from there to the first one that
// set it. current is the record that the registry says to have set it, whose receipt was checked. ErrRefused when they do
// not fit together.
func (v *verification) chain(ctx context.Context, cl *client, ref reference, current *provenance.Record) error {
	v.Chain = &tagChain{Tag: ref.tag}
	err := v.newestMove(ctx, cl, ref, current.Index)
	if err == nil {
		err = v.followMoves(ctx, cl, ref, current)
	}
	if err != nil {
		v.Chain.Error = err.Error()
		return fmt.Errorf("the tag %s: %w", ref.tag, err)
	}
	return nil
}

// newestMove wants no record to have moved the tag after the one by which it is served.
func (v *verification) newestMove(ctx context.Context, cl *client, ref reference, served uint64) error {
	var page struct{ Moves []provenance.Move }
	query := url.Values{"repo": {ref.repository}, "tag": {ref.tag}, "limit": {"1"}}
	if err := cl.get(ctx, "/api/v1/history", query, &page); err != nil {
		return err
	}
	if len(page.Moves) != 1 || page.Moves[0].Record == nil {
		return fmt.Errorf("%w: it is served as record %d set it, and its history is empty", receipt.ErrRefused, served)
	}
	newest := page.Moves[0]
	if newest.Record.Index == served {
		return nil
	}
	var now shownImage
	if err := cl.get(ctx, "/api/v1/image", url.Values{"repo": {ref.repository}, "ref": {ref.tag}}, &now); err != nil {
		return err
	}
	if now.Record != served {
		return askf("%s:%s moved while it was looked at: ask again", ref.repository, ref.tag)
	}
	did := "set it to " + newest.To.String()
	if newest.To == "" {
		did = "removed it"
	}
	return fmt.Errorf("%w: it is served as %s, which record %d set, and record %d %s since", receipt.ErrRefused, v.Digest, served, newest.Record.Index, did)
}

// followMoves goes from record to record, and wants each to have set the tag to what the later one says that it meant.
func (v *verification) followMoves(ctx context.Context, cl *client, ref reference, current *provenance.Record) error {
	for at, want := current, v.Digest; ; {
		move, err := at.SetsTag(ref.repository, ref.tag, want)
		if err != nil {
			return err
		}
		v.Chain.Moves, v.Chain.From = v.Chain.Moves+1, at.Index
		before, ends, err := at.Former(move)
		if err != nil || ends != "" {
			v.Chain.Ends = ends
			return err
		}
		if v.beforeLog(before) {
			v.Chain.Ends = fmt.Sprintf("record %d, which set what it meant before, is from before the log and has no receipt", before)
			return nil
		}
		if at, err = v.former(ctx, cl, before); err != nil {
			return fmt.Errorf("record %d, which set what it meant before record %d: %w", before, v.Chain.From, err)
		}
		want = move.Previous
	}
}

// beforeLog says whether a record is known to be from before the first log.
func (v *verification) beforeLog(index uint64) bool {
	return len(v.trust.Logs) > 0 && v.trust.Logs[0].First != nil && index < *v.trust.Logs[0].First
}

// former returns a record whose receipt is good: one that was checked already, or fetched now.
func (v *verification) former(ctx context.Context, cl *client, index uint64) (*provenance.Record, error) {
	for _, r := range v.Receipts {
		if r.Error == "" && r.record != nil && r.record.Index == index {
			return r.record, nil
		}
	}
	data, err := v.receipt(ctx, cl, index)
	if err != nil {
		return nil, err
	}
	r, err := (&verification{trust: v.trust}).addReceipt(data) // not one of the image's, so it is not listed
	if err == nil && r.record.Index != index {
		err = fmt.Errorf("%w: the receipt is of record %d", receipt.ErrRefused, r.record.Index)
	}
	return r.record, err
}

// print says what was followed.
func (c *tagChain) print(line func(name, format string, args ...any)) {
	if c.Error != "" {
		return // the verb ends with it
	}
	moves := "1 move"
	if c.Moves != 1 {
		moves = fmt.Sprintf("%d moves", c.Moves)
	}
	line("history", "%s of the tag %s, back to record %d: %s", moves, c.Tag, c.From, c.Ends)
}
