package main

import (
	"context"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/spf13/cobra"
)

// logContinue is the verb `hallmark log continue`.
func (e *env) logContinue(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "continue --restored", Short: "Close the log after an older store was put back, and begin another", Args: cobra.NoArgs,
		Long: "Close the log of a store that was put back from an older copy, at the latest checkpoint that is known, and begin\n" +
			"another with new keys, as `hallmark restore` does. What was recorded in between is lost, and those who follow the log\n" +
			"are told so. Where the newer store can be put back, do that instead. It runs on the machine of the registry, once.",
	}
	restored := c.Flags().Bool("restored", false, "say that the store is an older copy that was put back")
	known := c.Flags().String("checkpoint", "", "`file` with the newest checkpoint that is known of the log (default: the one beside the keys)")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !*restored {
			return usagef("say --restored: the records that the store has lost are given up, and the keys are replaced")
		}
		signed, err := readCheckpoint(*known)
		if err != nil {
			return err
		}
		return e.asOperator(c.Context(), t, func(ctx context.Context, cl *client) error {
			var r provenance.Record
			if err := cl.send(ctx, "POST", server.ContinueLogPath, server.Continuing{Checkpoint: signed}, &r); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, r)
			}
			fmt.Fprintf(e.stdout, "record %d: the log %s is closed at %d leaves, and never signed again; %s goes on with new keys\n",
				r.Index, r.Continues.Origin, r.Continues.Size, r.Log.Origin)
			return nil
		})
	}
	return c
}
