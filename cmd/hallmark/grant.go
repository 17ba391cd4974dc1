package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/spf13/cobra"
)

const aboutGrants = "SUBJECT is user:NAME, team:NAME, robot:NAME, ci:ISSUER:CLAIM=GLOB,…, everyone (users and robots, once signed\n" +
	"in) or anonymous. PATTERN is a repository, in which * stands for any characters but /, and ** for any characters.\n" +
	"ROLE is pull, push, delete or admin, each with the former; admin may grant rights under the pattern."

// grant is the verb `hallmark grant`.
func (e *env) grant() *cobra.Command {
	c := &cobra.Command{Use: "grant SUBJECT PATTERN ROLE", Short: "Give a role in some repositories", Long: "Give a role in some repositories.\n\n" + aboutGrants}
	return e.onGrant(c, func(ctx context.Context, cl *client, g access.Grant) error {
		if err := cl.send(ctx, "POST", "/api/v1/access/grants", g, nil); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s has %s on %s\n", g.Subject, g.Role, g.Pattern)
		return nil
	})
}

// revoke is the verb `hallmark revoke`.
func (e *env) revoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke SUBJECT PATTERN ROLE", Short: "Take a role away, at once", Long: "Take a role away, at once, as it was granted.\n\n" + aboutGrants}
	return e.onGrant(c, func(ctx context.Context, cl *client, g access.Grant) error {
		q := url.Values{"subject": {g.Subject.String()}, "pattern": {g.Pattern.String()}, "role": {g.Role.String()}}
		if err := cl.send(ctx, "DELETE", "/api/v1/access/grants?"+q.Encode(), nil, nil); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s no longer has %s on %s by this grant\n", g.Subject, g.Role, g.Pattern)
		return nil
	})
}

// onGrant makes a verb of what is done with a grant.
func (e *env) onGrant(c *cobra.Command, fn func(context.Context, *client, access.Grant) error) *cobra.Command {
	t := addTarget(c)
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) != 3 {
			return usagef("%s wants SUBJECT PATTERN ROLE; see `%s --help`", c.CommandPath(), c.CommandPath())
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		var g access.Grant
		if g.Subject, err = access.ParseSubject(args[0]); err != nil {
			return usagef("%w", err)
		}
		if g.Pattern, err = access.ParsePattern(args[1]); err != nil {
			return usagef("%w", err)
		}
		if g.Role, err = access.ParseRight(args[2]); err != nil {
			return usagef("%w", err)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return fn(ctx, cl, g) })
	}
	return c
}

// grants is the verb `hallmark grants`.
func (e *env) grants() *cobra.Command {
	c := &cobra.Command{
		Use: "grants", Short: "List who has which role where", Args: cobra.NoArgs,
		Long: "List who has which role where: all grants under patterns that you administrate, and those that count for you.\n" +
			nothingFound,
	}
	t := addTarget(c)
	asJSON := addJSON(c)
	repo := c.Flags().String("repo", "", "only those that count in this `repository`")
	subject := c.Flags().String("subject", "", "only those given to this `subject`, as team:core")
	c.RunE = func(c *cobra.Command, _ []string) error {
		q := url.Values{}
		addFilter(q, "repo", *repo)
		addFilter(q, "subject", *subject)
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			grants, err := pages(ctx, cl, "/api/v1/access/grants", q, 0, func(p struct{ Grants []access.GrantEntry }) []access.GrantEntry { return p.Grants })
			if err != nil {
				return err
			}
			var none error
			if len(grants) == 0 {
				none = nof("no grant was found")
			}
			if *asJSON {
				return errors.Join(writeJSON(e.stdout, map[string]any{"grants": grants}), none)
			}
			if none != nil {
				return none
			}
			tab := e.table("SUBJECT", "PATTERN", "ROLE")
			for _, g := range grants {
				tab.row(g.Subject.String(), g.Pattern.String(), g.Role.String())
			}
			return tab.flush()
		})
	}
	return c
}

// addFilter asks for something, unless it is empty.
func addFilter(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}
