package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// user is the verb `hallmark user`.
func (e *env) user() *cobra.Command {
	c := &cobra.Command{
		Use: "user", Short: "Add, list, rename and remove users, and set passwords",
		Long: "Add, list and remove users, and set passwords. On the machine of the registry this needs no password: anyone who\n" +
			"can open the data directory may do it, also while the server runs.",
	}
	t := addTarget(c)
	c.AddCommand(e.userAdd(t), e.userPasswd(t), e.userRename(t), e.userRemove(t), e.userList(t))
	return c
}

func (e *env) userAdd(t *target) *cobra.Command {
	admin := false
	c := &cobra.Command{
		Use: "add NAME", Short: "Add a user", Args: one("a name"),
		Example: "  hallmark user add alice\n  pass show registry/alice | hallmark user add alice --password-stdin",
		RunE: func(c *cobra.Command, args []string) error {
			if err := access.CheckUserName(args[0]); err != nil { // before anybody is asked for a password
				return usagef("user %q: %w", args[0], err)
			}
			return e.withPassword(c.Context(), t, args[0], func(ctx context.Context, cl *client, password string) error {
				body := map[string]any{"name": args[0], "password": password, "admin": admin}
				return cl.send(ctx, "POST", "/api/v1/users", body, nil)
			}, "added %s\n")
		},
	}
	c.Flags().BoolVar(&admin, "admin", false, "may administrate the registry")
	return c
}

func (e *env) userPasswd(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "passwd NAME", Short: "Set a user's password", Args: one("a name"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.withPassword(c.Context(), t, args[0], func(ctx context.Context, cl *client, password string) error {
				return cl.send(ctx, "PUT", "/api/v1/users/"+url.PathEscape(args[0])+"/password", map[string]string{"password": password}, nil)
			}, "set the password of %s\n")
		},
	}
}

func (e *env) userRemove(t *target) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a user; their records stay", Args: one("a name"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
				if err := cl.send(ctx, "DELETE", "/api/v1/users/"+url.PathEscape(args[0]), nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(e.stdout, "removed %s\n", args[0])
				return nil
			})
		},
	}
}

func (e *env) userRename(t *target) *cobra.Command {
	c := &cobra.Command{Use: "rename NAME TO", Short: "Give a user another name; rights and records stay with the account", Args: func(c *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usagef("%s wants the name that is and the name that will be", c.CommandPath())
		}
		return nil
	}}
	e.onNames(t, c, "%s is now %s\n", func(ctx context.Context, cl *client, args []string) error {
		return cl.send(ctx, "PUT", "/api/v1/users/"+url.PathEscape(args[0])+"/name", map[string]string{"name": args[1]}, nil)
	})
	return c
}

func (e *env) userList(t *target) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the users", Args: cobra.NoArgs}
	asJSON := addJSON(list)
	list.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			users, err := somePages(ctx, cl, "/api/v1/users", nil, 0, func(p struct{ Users []access.User }) []access.User { return p.Users })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, map[string]any{"users": users.items})
			}
			tab := e.table("NAME", "ADMIN", "CREATED", "PASSWORD SET")
			for _, u := range users.items {
				role := ""
				if u.Admin {
					role = "admin"
				}
				tab.row(users.names.who(provenance.Actor{Kind: provenance.User, Handle: u.Name, Account: u.Account}), role, local(u.Created), local(u.PasswordSet))
			}
			return tab.flush()
		})
	}
	return list
}

// ask connects, runs fn within the time that a short question may take, and disconnects.
func (e *env) ask(ctx context.Context, t *target, fn func(context.Context, *client) error) error {
	return e.askWithin(ctx, timeout, t, fn)
}

// askWithin is ask for what takes another time.
func (e *env) askWithin(ctx context.Context, most time.Duration, t *target, fn func(context.Context, *client) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	cl, err := e.connect(ctx, t)
	if err != nil {
		return err
	}
	defer cl.close() //nolint:errcheck // what was asked is answered
	return fn(ctx, cl)
}

// withPassword gets a new password for a user, then asks, then says what was done.
func (e *env) withPassword(ctx context.Context, t *target, name string, fn func(context.Context, *client, string) error, says string) error {
	password, err := e.newPassword(t, name)
	if err != nil {
		return err
	}
	local := *t
	local.passwordStdin = false // it was the new password, not the caller's own
	return e.ask(ctx, &local, func(ctx context.Context, cl *client) error {
		if err := fn(ctx, cl, password); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, says, name)
		return nil
	})
}

// newPassword reads a password from standard input, or asks a person for it twice.
func (e *env) newPassword(t *target, name string) (string, error) {
	first, err := e.typedPassword(t, name)
	if err != nil || t.passwordStdin {
		return first, err
	}
	second, err := e.prompt("Again: ")
	if err == nil && first != second {
		err = usagef("the two passwords differ")
	}
	return first, err
}

// typedPassword reads a password from standard input, or asks a person for it.
func (e *env) typedPassword(t *target, name string) (string, error) {
	if t.passwordStdin {
		return readPassword(e.stdin)
	}
	return e.prompt("Password for " + name + ": ")
}

// prompt asks a person for what is not shown.
func (e *env) prompt(text string) (string, error) {
	terminal, ok := e.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return "", usagef("cannot ask for a password, because standard input is not a terminal: use --password-stdin, " +
			"as in printf '%%s' \"$PASSWORD\" | hallmark … --password-stdin")
	}
	fmt.Fprint(e.stderr, text)
	typed, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(e.stderr)
	return string(typed), err
}
