package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/spf13/cobra"
)

// What an older version left, and nobody is known to have seen happen, comes into force by the operator's hand alone:
// through the socket, or on the files. A start that did it would do it for whoever can write the store, too.
const (
	adoptLogPath    = "/operator/log/adopt"
	adoptAccessPath = "/operator/access/adopt"
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
			if err := cl.send(ctx, "POST", adoptLogPath, struct{}{}, &r); err != nil {
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
			var a adopted
			if err := cl.send(ctx, "POST", adoptAccessPath, struct{}{}, &a); err != nil {
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

// adopted is what became of accounts.
type adopted struct {
	Accounts int             `json:"accounts"`
	Changes  []access.Change `json:"changes"`
}

// asOperator asks what only the operator may, who is never a remote one.
func (e *env) asOperator(ctx context.Context, t *target, fn func(context.Context, *client) error) error {
	if t.data == "" && firstOf(t.server, e.getenv("HALLMARK_SERVER")) != "" {
		return usagef("this runs on the machine of the registry: name its data directory with --data, and no --server")
	}
	return e.ask(ctx, t, fn)
}

func (s *services) adoptLog(ctx context.Context, _ *http.Request) (any, error) {
	r, err := s.keys.Adopt(ctx, access.Operator)
	if !errors.Is(err, provenance.ErrAdopted) {
		return r, err
	}
	r, baseline := s.access.Baseline(ctx, access.Operator)
	if errors.Is(baseline, access.ErrAdopted) {
		return nil, err
	}
	return r, baseline
}

func (s *services) adoptAccess(ctx context.Context, _ *http.Request) (any, error) {
	accounts, changes, err := s.access.Adopt(ctx, access.Operator)
	return adopted{accounts, changes}, err
}

// operatorDoes answers the operator, who is told of an error in its own words.
func operatorDoes(route string, do func(context.Context, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		obs.SetRoute(r.Context(), route)
		value, err := do(r.Context(), r)
		switch {
		case errors.Is(err, provenance.ErrAdopted), errors.Is(err, access.ErrAdopted), errors.Is(err, provenance.ErrNotBehind),
			errors.Is(err, api.ErrNoNextKey):
			api.WriteProblem(w, http.StatusConflict, err.Error())
		case errors.Is(err, checkpoint.ErrInvalid):
			api.WriteProblem(w, http.StatusBadRequest, err.Error())
		case err != nil:
			api.WriteProblem(w, access.TroubleOf(err, "").Status, err.Error())
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = writeJSON(w, value) // a client that left does not matter any more
		}
	}
}
