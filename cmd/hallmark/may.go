package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/spf13/cobra"
)

// may is the verb `hallmark may`.
func (e *env) may() *cobra.Command {
	c := &cobra.Command{
		Use: "may SUBJECT ROLE REPO", Short: "Say whether somebody may do something in a repository, and why",
		Long: "Say whether somebody has a role in a repository, and by which grants: their own, those of their teams, and those of\n" +
			"everyone and of anonymous. Exit status 1 says no. Of others, only those who have admin on the repository may ask.\n\n" +
			"SUBJECT and ROLE are as in `hallmark grant`; a CI subject stands for a job that has exactly these claims.",
		Example: "  hallmark may user:alice push team/app\n  hallmark may anonymous pull open/tools",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 3 {
				return usagef("%s wants SUBJECT ROLE REPO; see `%s --help`", c.CommandPath(), c.CommandPath())
			}
			return nil
		},
	}
	t := addTarget(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		subject, err := access.ParseSubject(args[0])
		if err != nil {
			return usagef("%w", err)
		}
		role, err := access.ParseRight(args[1])
		if err != nil {
			return usagef("%w", err)
		}
		query := url.Values{"subject": {subject.String()}, "role": {role.String()}, "repo": {args[2]}}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.sayMay(ctx, cl, query, *asJSON) })
	}
	return c
}

// mayAnswer is what the API says to it.
type mayAnswer struct {
	Subject    access.Subject `json:"subject"`
	Role       access.Right   `json:"role"`
	Repository string         `json:"repository"`
	Allowed    bool           `json:"allowed"`
	Grants     []struct {
		access.GrantEntry
		Record *uint64 `json:"record,omitempty"`
	} `json:"grants"`
}

func (e *env) sayMay(ctx context.Context, cl *client, query url.Values, asJSON bool) error {
	var a mayAnswer
	if err := cl.get(ctx, "/api/v1/access/may", query, &a); err != nil {
		return err
	}
	var no error
	if !a.Allowed {
		no = nof("no: no grant gives %s the role %s on %s", a.Subject, a.Role, a.Repository)
	}
	if asJSON {
		return errors.Join(writeJSON(e.stdout, a), no)
	}
	if no != nil {
		return no
	}
	fmt.Fprintf(e.stdout, "yes: %s may %s in %s\n", a.Subject, a.Role, clean(a.Repository))
	tab := e.table("BY THE GRANT TO", "PATTERN", "ROLE", "RECORD")
	for _, g := range a.Grants {
		record := ""
		if g.Record != nil {
			record = strconv.FormatUint(*g.Record, 10)
		}
		tab.row(g.Subject.String(), g.Pattern.String(), g.Role.String(), record)
	}
	return tab.flush()
}
