package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// checkNamed wants the first record of each log but the first to name the end of the log before, and remembers
// that it does. Without it a registry could tell one that follows the log of another beginning than those who hold
// its receipts. The record is for those who sign in: for others the report says that it was not read.
func (l logCheck) checkNamed(ctx context.Context, cl *client, state *follow.State, report *follow.Report) error {
	if !slices.ContainsFunc(state.Logs[1:], func(s follow.Seen) bool { return !s.Named }) {
		return nil
	}
	logs, err := cl.logs(ctx)
	if err != nil {
		return err
	}
	for i := 1; i < min(len(state.Logs), len(logs)); i++ {
		this, before := &state.Logs[i], logs[i-1]
		if this.Named {
			continue
		}
		err := namesEnd(ctx, cl, this.First, before)
		switch {
		case errors.As(err, new(loginError)):
			report.More = append(report.More, fmt.Sprintf("not checked: whether the log %s names the end of the log %s; sign in to read record %d", this.Origin, before.Origin, this.First))
		case errors.Is(err, receipt.ErrRefused):
			return nof("the log %s goes on in %s, whose first record does not say so: %w", before.Origin, this.Origin, err)
		case err != nil:
			return err
		default:
			this.Named = true
			report.More = append(report.More, fmt.Sprintf("the log %s begins with record %d, which names the end of the log %s", this.Origin, this.First, before.Origin))
		}
	}
	return nil
}

// namesEnd wants a record, by its receipt, to name the end of a log. ErrRefused when it does not.
func namesEnd(ctx context.Context, cl *client, index uint64, before receipt.LogEntry) error {
	data, err := cl.fetch(ctx, fmt.Sprintf("/api/v1/records/%d/receipt", index), receipt.MaxBundle)
	if err != nil {
		return err
	}
	var v verification
	if err := v.fetchTrust(ctx, cl); err != nil {
		return err
	}
	r, err := v.add(data)
	if err != nil {
		return err
	}
	return continues(r.record, index, before)
}

// continues says whether a record names the end of a log: the checkpoint that the log was closed with, and how
// many records are before it.
func continues(r *provenance.Record, index uint64, before receipt.LogEntry) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: record %d %s", receipt.ErrRefused, index, fmt.Sprintf(format, args...))
	}
	end := before.Closed
	if end == nil || r.Index != index || r.Continues == nil {
		return refuse("names no log that it continues")
	}
	cp, err := checkpoint.Parse(end.Checkpoint)
	if err != nil {
		return err
	}
	c := r.Continues
	switch {
	case c.Origin != before.Origin || c.Checkpoint != end.Checkpoint:
		return refuse("continues %s, by another checkpoint than that log's last one", c.Origin)
	case c.Size != cp.Size || !bytes.Equal(c.RootHash, cp.Root[:]):
		return refuse("says that %s ended at %d leaves, and its last checkpoint has %d", c.Origin, c.Size, cp.Size)
	case c.Records != index:
		return refuse("says that %d records are before it", c.Records)
	}
	return nil
}
