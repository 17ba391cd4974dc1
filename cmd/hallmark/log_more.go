package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/audit"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// checkNamed wants the first record of each log but the first to name the end of the log before, and remembers
// that it does. Without it a registry could tell one that follows the log of another beginning than those who hold
// its receipts. The record is for those who sign in: for others the report says that it was not read.
func (l logCheck) checkNamed(ctx context.Context, cl *client, state *follow.State, report *follow.Report) error {
	if len(state.Logs) < 2 {
		return nil
	}
	logs, err := cl.logs(ctx)
	if err != nil {
		return err
	}
	for i := 1; i < min(len(state.Logs), len(logs)); i++ {
		this, before, says := &state.Logs[i], logs[i-1], saysOfEnd(logs[i-1], logs[i])
		if this.Named && this.Said == says {
			continue
		}
		err := namesEnd(ctx, cl, this.First, before, logs[i])
		switch {
		case errors.As(err, new(ask.LoginError)) && this.Said != "":
			return nof("of the log %s, which goes on in %s, the registry said %s, and says now %s", before.Origin, this.Origin, this.Said, says)
		case errors.As(err, new(ask.LoginError)):
			report.More = append(report.More, fmt.Sprintf("not checked: whether the log %s names the end of the log %s; sign in to read record %d", this.Origin, before.Origin, this.First))
		case errors.Is(err, receipt.ErrRefused):
			return nof("the log %s goes on in %s, whose first record does not say so, or not so: %w", before.Origin, this.Origin, err)
		case err != nil:
			return err
		default:
			this.Said = says
			if this.Named { // and an older version noted no more
				continue
			}
			this.Named = true
			report.More = append(report.More, fmt.Sprintf("the log %s begins with record %d, which names the end of the log %s", this.Origin, this.First, before.Origin))
		}
	}
	return nil
}

// saysOfEnd is what a registry says of the end of a log, and of the beginning of the one after it.
func saysOfEnd(before, entry receipt.LogEntry) string {
	said := "that it goes on"
	if end := before.Closed; end != nil {
		said = fmt.Sprintf("that it ended at %s (%s), with the checkpoint %s", provenance.At(end.Time), end.Reason, digest.FromString(end.Checkpoint))
	}
	if entry.From != nil {
		said += fmt.Sprintf(" and the next began at %s", provenance.At(*entry.From))
	}
	return said
}

// namesEnd wants the first record of a log, by its receipt, to name the end of the log before. ErrRefused when it does not.
func namesEnd(ctx context.Context, cl *client, index uint64, before, entry receipt.LogEntry) error {
	data, err := cl.fetch(ctx, fmt.Sprintf("/api/v1/records/%d/receipt", index), receipt.MaxBundle)
	if err != nil {
		return err
	}
	var v verification
	if err := v.fetchTrust(ctx, cl); err != nil {
		return err
	}
	r, err := v.addReceipt(data)
	if err != nil {
		return err
	}
	if err := continues(r.record, index, before); err != nil {
		return err
	}
	if why := audit.Began(r.record).Against(before, entry, index); why != "" {
		return fmt.Errorf("%w: %s", receipt.ErrRefused, why)
	}
	return nil
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
