package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/spf13/cobra"
)

// logFork is the verb `hallmark log fork`.
func (e *env) logFork(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "fork RECORD -o FILE", Short: "Write the proof that another registry's log has two histories, from the records here",
		Long: "Write the proof that the log of another registry, whose records came here with images, has two histories. RECORD is\n" +
			"one of the two that `hallmark show` or the other one names; each keeps a checkpoint that the log signed.\n" +
			"`hallmark log proof FILE` checks the file offline, by that log's key.",
		Example: "  hallmark log fork 57 -o fork.json\n  hallmark log proof fork.json --trusted-root upstream/logs.json",
		Args:    one("the number of a record"),
	}
	out := c.Flags().StringP("output", "o", "", "write this `file`")
	c.RunE = func(c *cobra.Command, args []string) error {
		index, err := strconv.ParseUint(args[0], 10, 63)
		if err != nil || *out == "" {
			return usagef("give the number of a record, and -o FILE")
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			then, now, err := forkOf(ctx, cl, index)
			if err != nil {
				return err
			}
			if then.Word.Contradicts(now.Word) == "" { // a registry that is honest names no such records
				return nof("the records %d and %d keep no checkpoints that contradict each other", then.Index, now.Index)
			}
			kept := keptProof{Registry: cl.Name, Checked: time.Now().UTC().Truncate(time.Second), Report: forkReport(then, now)}
			if err := kept.write(*out, 0o644); err != nil {
				return usagef("-o %s: %w", *out, err)
			}
			return e.say(fmt.Sprintf("%s: the checkpoints in the records %d and %d. `hallmark log proof %s` checks it, by the log's key that you kept.", *out, then.Index, now.Index, *out))
		})
	}
	return c
}

// forkOf finds the two records that prove a fork, of which one is given: the newer one names the older.
func forkOf(ctx context.Context, cl *client, index uint64) (then, now *provenance.Record, err error) {
	if now, err = recordAt(ctx, cl, index); err != nil {
		return nil, nil, err
	}
	if now.Word != nil && now.Word.Against != nil {
		then, err = recordAt(ctx, cl, *now.Word.Against)
		return then, now, err
	}
	if _, ok := now.Word.Shows(); !ok {
		return nil, nil, nof("record %d keeps no checkpoint of another registry", index)
	}
	query := url.Values{"action": {string(provenance.Attest)}, "order": {"asc"}, "after": {fmt.Sprint(index)}}
	later, err := allRecords(ctx, cl, query)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range later {
		if r.Word != nil && r.Word.Against != nil && *r.Word.Against == index {
			return now, r, nil
		}
	}
	return nil, nil, nof("record %d keeps no checkpoint that another one here contradicts, as far as you may see them", index)
}

func recordAt(ctx context.Context, cl *client, index uint64) (*provenance.Record, error) {
	var r provenance.Record
	return &r, cl.send(ctx, http.MethodGet, fmt.Sprintf("/api/v1/records/%d", index), nil, &r)
}

// forkReport is what two records show to anyone who relies on the log's key.
func forkReport(then, now *provenance.Record) *follow.Report {
	c, _ := now.Word.Shows()
	sighting := func(r *provenance.Record) *follow.Sighting {
		return &follow.Sighting{Checkpoint: r.Word.Checkpoint, Time: r.Time.Time}
	}
	return &follow.Report{
		Outcome: follow.Rewritten, Says: now.Word.Detail, Origin: c.Origin, Then: sighting(then), Now: sighting(now),
		Included: []checkpoint.Inclusion{then.Word.Included(), now.Word.Included()},
	}
}

// printWord says what was found of another registry's record when it came, and shows the checkpoint that was kept.
func printWord(w io.Writer, of *provenance.Word) {
	if of == nil {
		return
	}
	fmt.Fprintln(w, "\nother registry: what was found of its record, as that came")
	line(w, "  result", "%s%s", of.Result, strings.TrimSuffix(": "+of.Detail, ": "))
	if of.Said != nil {
		line(w, "  says", "%s", of.Said)
	}
	if of.Against != nil {
		line(w, "  against", "record %d: `hallmark log fork %d -o FILE` writes the proof", *of.Against, *of.Against)
	}
	if of.Checkpoint != "" {
		fmt.Fprintf(w, "\nthe checkpoint of its log that was kept:\n%s", indent(of.Checkpoint))
	}
}
