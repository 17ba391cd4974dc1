package main

import (
	"context"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/spf13/cobra"
)

// logAdopt is the verb `hallmark log adopt`.
func (e *env) logAdopt(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "adopt", Short: "Put on record what is from before it was on record", Args: cobra.NoArgs,
		Long: "Begin the log of a registry whose records are from before there was one. They are not signed: the first record of\n" +
			"the log says how many were found, with a digest over them. Look at them first, with `hallmark records`: somebody\n" +
			"who could write the store may have put them there. Where there is a log, put on record which accounts and tokens are\n" +
			"there that `hallmark fsck` lists as not on record. It runs on the machine of the registry, once each.",
	}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.asOperator(c.Context(), t, func(ctx context.Context, cl *client) error {
			var r provenance.Record
			if err := cl.send(ctx, "POST", server.AdoptLogPath, struct{}{}, &r); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, r)
			}
			if r.Found == nil {
				for _, f := range r.Baseline {
					fmt.Fprintf(e.stdout, "record %d: %d %ss from before they were on record were found, with the digest %s\n", r.Index, f.Count, f.Kind, f.Digest)
				}
				return nil
			}
			fmt.Fprintf(e.stdout, "record %d: %d records were found, with the digest %s\nthe log %s begins with it; accounts from before there were grants: `hallmark access adopt`\n",
				r.Index, r.Found.Records, r.Found.Statements, r.Log.Origin)
			return nil
		})
	}
	return c
}

// accessAdopt is the verb `hallmark access adopt`.
func (e *env) accessAdopt(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "adopt", Short: "Take over accounts from before there were grants, with the administrators among them", Args: cobra.NoArgs,
		Long: "Take over accounts from before there were grants. Who was an administrator then is granted admin on **, on record;\n" +
			"everybody else has what they are granted from now on. Look at what it prints: somebody who could write the store\n" +
			"may have made themselves one. It runs on the machine of the registry, once.",
	}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.asOperator(c.Context(), t, func(ctx context.Context, cl *client) error {
			var a server.Adopted
			if err := cl.send(ctx, "POST", server.AdoptAccessPath, struct{}{}, &a); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, a)
			}
			for _, change := range a.Changes {
				fmt.Fprintln(e.stdout, clean(describeChange(change)))
			}
			fmt.Fprintf(e.stdout, "%d accounts taken over, %d rights granted\n", a.Accounts, len(a.Changes))
			return nil
		})
	}
	return c
}

// asOperator asks what only the operator may, who is never a remote one.
func (e *env) asOperator(ctx context.Context, t *target, fn func(context.Context, *client) error) error {
	if t.data == "" && firstOf(t.server, e.getenv("HALLMARK_SERVER")) != "" {
		return usagef("this runs on the machine of the registry: name its data directory with --data, and no --server")
	}
	return e.ask(ctx, t, fn)
}
