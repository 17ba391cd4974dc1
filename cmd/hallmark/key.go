package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/spf13/cobra"
)

// key is the verb `hallmark key`.
func (e *env) key() *cobra.Command {
	c := &cobra.Command{
		Use: "key", Short: "Show and change the keys that sign records",
		Long: "Show and change the keys that sign records. On the machine of the registry this needs no password: anyone who can\n" +
			"open the data directory may do it, also while the server runs.",
	}
	t := addTarget(c)
	c.AddCommand(e.keyRotate(t), e.keyList(t))
	return c
}

func (e *env) keyRotate(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "rotate", Short: "Sign with another key from now on", Args: cobra.NoArgs,
		Long: "Sign with another key from now on. The key that goes signs a record of the change, and what it has signed\n" +
			"stays good. Use --stolen when somebody else may have a key: the log is closed with its last checkpoint, and a new\n" +
			"log with new keys goes on. Bearer tokens end, and what was thought of images is thought anew, because the keys of both\n" +
			"are new too. --lost begins a new log when a key is gone.",
	}
	stolen := c.Flags().Bool("stolen", false, "somebody else may have the keys: begin a new log")
	lost := c.Flags().Bool("lost", false, "a key is gone: begin a new log")
	c.MarkFlagsMutuallyExclusive("stolen", "lost")
	c.RunE = func(c *cobra.Command, _ []string) error {
		reason := "rotated"
		switch {
		case *stolen:
			reason = "stolen"
		case *lost:
			reason = "lost"
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var r provenance.Record
			if err := cl.send(ctx, "POST", "/api/v1/keys", map[string]string{"reason": reason}, &r); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "record %d: the receipt key is now %s\n", r.Index, r.Key.Hint)
			if r.Continues != nil {
				fmt.Fprintf(e.stdout, "the log %s is closed at %d leaves; %s goes on\n", r.Continues.Origin, r.Continues.Size, r.Log.Origin)
			}
			if *stolen {
				fmt.Fprintln(e.stdout, "bearer tokens have ended, and clients fetch the next by themselves: keys/bearer.key and keys/kept.key are new")
			}
			return nil
		})
	}
	return c
}

// keyList shows what /keys/receipts.json and /keys/logs.json say.
func (e *env) keyList(t *target) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys, with the records that each has signed", Args: cobra.NoArgs}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var list keyList
			if err := cl.get(ctx, "/keys/receipts.json", nil, &list); err != nil {
				return err
			}
			if err := cl.get(ctx, "/keys/logs.json", nil, &list); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, list)
			}
			return e.keyTable(list)
		})
	}
	return c
}

// keyList is the keys of a registry.
type keyList struct {
	receipt.KeyFile
	receipt.LogFile
}

func (e *env) keyTable(list keyList) error {
	tab := e.table("KIND", "KEY", "FIRST RECORD", "BEFORE RECORD")
	for _, k := range list.Keys {
		for _, r := range k.Ranges {
			end := ""
			if r.To != nil {
				end = strconv.FormatUint(*r.To, 10)
			}
			tab.row("receipt", k.Hint, strconv.FormatUint(r.From, 10), end)
		}
	}
	for i, l := range list.Logs {
		if l.First == nil {
			return askf("the registry does not say where its log %q begins", l.Origin)
		}
		end := ""
		if l.Closed != nil && i+1 < len(list.Logs) && list.Logs[i+1].First != nil {
			end = strconv.FormatUint(*list.Logs[i+1].First, 10) + " (" + l.Closed.Reason + ")"
		}
		tab.row("log", l.VKey, strconv.FormatUint(*l.First, 10), end)
	}
	return tab.flush()
}
