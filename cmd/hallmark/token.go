package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/spf13/cobra"
)

// token is the verb `hallmark token`.
func (e *env) token() *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Make, list and end personal access tokens",
		Long: "Make, list and end personal access tokens: secrets that stand in for your password, and may do less. They are\n" +
			"of the one who signs in, so this needs a server, and a login with your password (`hallmark login`).",
	}
	t := addTarget(c)
	c.AddCommand(e.tokenAdd(t), e.sessionList(t, "token", "/api/v1/access/tokens"), e.sessionRemove(t, "token", "/api/v1/access/tokens/"))
	return c
}

// session is the verb `hallmark session`.
func (e *env) session() *cobra.Command {
	c := &cobra.Command{
		Use: "session", Short: "List and end sessions",
		Long: "List and end what is signed in: logins of docker and other clients, personal access tokens, and CI jobs.",
	}
	t := addTarget(c)
	c.AddCommand(e.sessionList(t, "session", "/api/v1/access/sessions"), e.sessionRemove(t, "session", "/api/v1/access/sessions/"))
	return c
}

func (e *env) tokenAdd(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "add NAME --scope 'PATTERN ROLE'", Short: "Make a token, and print its secret once", Args: one("a name, which says what the token is for"),
		Long: "Make a token, and print its secret once. It may do what its scopes say and you may do yourself, no more: each is a\n" +
			"pattern of repositories and a role, as 'team/** push'.",
	}
	scopes := c.Flags().StringArray("scope", nil, "what it may do, as `'PATTERN ROLE'`; may be repeated")
	expires := c.Flags().String("expires", access.TokenLasts.String(), "`time` after which it ends by itself")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		want := access.NewToken{Name: args[0]}
		var err error
		if want.Scopes, err = parseScopeFlags(*scopes); err != nil {
			return err
		}
		if err := want.Lasts.UnmarshalText([]byte(*expires)); err != nil {
			return usagef("--expires: %w", err)
		}
		if want.Lasts == units.Duration(0) {
			return usagef("--expires: %w", access.ErrSessionLasts)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var made struct {
				access.Session
				Secret string `json:"secret"`
			}
			if err := cl.send(ctx, "POST", "/api/v1/access/tokens", want, &made); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, made)
			}
			fmt.Fprintf(e.stdout, "made %s, which ends %s\n", made.ID, local(made.Expires))
			fmt.Fprintf(e.stdout, "user name  %s\npassword   %s   (shown only now)\n", made.Owner.Handle, made.Secret)
			return nil
		})
	}
	return c
}

func parseScopeFlags(flags []string) (scopes access.Scopes, err error) {
	for _, f := range flags {
		fields := strings.Fields(f)
		if len(fields) != 2 {
			return nil, usagef("--scope %q should be 'PATTERN ROLE', as 'team/** push'", f)
		}
		pattern, err := access.ParsePattern(fields[0])
		if err != nil {
			return nil, usagef("--scope: %w", err)
		}
		role, err := access.ParseRight(fields[1])
		if err != nil {
			return nil, usagef("--scope: %w", err)
		}
		scopes = append(scopes, access.UpTo(pattern, role))
	}
	if len(scopes) == 0 {
		return nil, usagef("give at least one --scope: %w", access.ErrNoScope)
	}
	return scopes, nil
}

func (e *env) sessionList(t *target, what, path string) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List your " + what + "s", Args: cobra.NoArgs}
	of := c.Flags().String("of", "", "those of another `user`, for administrators")
	account := c.Flags().String("account", "", "those of an `account`, as a CI repository's in its records, for administrators")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		q := url.Values{}
		addFilter(q, "user", *of)
		addFilter(q, "account", *account)
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			list, err := pages(ctx, cl, path, q, 0, func(p struct{ Sessions []access.Session }) []access.Session { return p.Sessions })
			if err != nil {
				if t.server == "" && t.user == "" && *of == "" && *account == "" && exitCode(err) != exitAsk {
					return usagef("%w (--of NAME or --account ACCOUNT): the data directory's operator has none", err)
				}
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, map[string]any{"sessions": list})
			}
			return e.showSessions(list)
		})
	}
	return c
}

func (e *env) showSessions(list []access.Session) error {
	tab := e.table("ID", "NAME…", "CREATED", "EXPIRES", "USED", "FROM…", "SCOPES…")
	for _, s := range list {
		used := ""
		if s.Used != nil {
			used = local(*s.Used)
		}
		var scopes []string
		for _, scope := range s.Scopes {
			scopes = append(scopes, fmt.Sprintf("%s %s", scope.Pattern, joinRights(scope.Rights)))
		}
		tab.row(s.ID, s.Name, local(s.Created), local(s.Expires), used, s.UsedFrom, strings.Join(scopes, "; "))
	}
	return tab.flush()
}

func joinRights(rights []access.Right) string {
	names := make([]string, len(rights))
	for i, r := range rights {
		names[i] = r.String()
	}
	return strings.Join(names, ",")
}

func (e *env) sessionRemove(t *target, what, path string) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "End a " + what + ", everywhere and at once", Args: one("an id"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
				if err := cl.send(ctx, "DELETE", path+url.PathEscape(args[0]), nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(e.stdout, "ended %s\n", args[0])
				return nil
			})
		},
	}
}
