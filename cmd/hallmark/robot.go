package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/spf13/cobra"
)

const robotsPath = "/api/v1/access/robots"

// robot is the verb `hallmark robot`.
func (e *env) robot() *cobra.Command {
	c := &cobra.Command{
		Use: "robot", Short: "Make accounts for machines, with secrets that expire",
		Long: "Make accounts for machines, with secrets that expire. A robot signs in with its name and its secret, as users do\n" +
			"with theirs: docker login HOST -u NAME --password-stdin. It may do nothing until `hallmark grant robot:NAME …`.",
	}
	t := addTarget(c)
	c.AddCommand(
		e.robotSecret(t, &cobra.Command{Use: "add NAME", Short: "Add a robot, and print its secret"}, func(name string) (path string, body map[string]any) {
			return robotsPath, map[string]any{"name": name}
		}),
		e.robotSecret(t, &cobra.Command{Use: "rotate NAME", Short: "Give a robot a new secret; the former one ends at once"}, func(name string) (path string, body map[string]any) {
			return robotsPath + "/" + url.PathEscape(name) + "/secret", map[string]any{}
		}),
		e.onNames(t, &cobra.Command{Use: "remove NAME", Short: "Remove a robot with what was granted to it", Args: one("a name")}, "removed robot %s\n", func(ctx context.Context, cl *client, args []string) error {
			return cl.send(ctx, "DELETE", robotsPath+"/"+url.PathEscape(args[0]), nil, nil)
		}),
		e.robotList(t))
	return c
}

// never is the --expires of a secret that does not.
const never = "never"

// robotSecret makes a verb that prints a new secret: alone on standard output, so that it can go on through
// a pipe.
func (e *env) robotSecret(t *target, c *cobra.Command, ask func(name string) (path string, body map[string]any)) *cobra.Command {
	c.Args = one("a name")
	expires := c.Flags().String("expires", "365d", "how `long` the secret is good, as 90d or 12h, or never")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		path, body := ask(args[0])
		if *expires != never {
			var d units.Duration
			if err := d.UnmarshalText([]byte(*expires)); err != nil || d <= 0 {
				return usagef("--expires is %q, and should be a time as 90d or 12h, or never", *expires)
			}
			body["expires"] = time.Now().Add(time.Duration(d)).UTC()
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var made struct {
				access.Robot
				Secret string `json:"secret"`
			}
			if err := cl.send(ctx, "POST", path, body, &made); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, made)
			}
			fmt.Fprintf(e.stderr, "The secret of robot %s, good until %s, shown only now:\n", made.Name, expiry(made.Robot))
			fmt.Fprintln(e.stdout, made.Secret)
			return nil
		})
	}
	return c
}

func expiry(r access.Robot) string {
	if r.Expires == nil {
		return never
	}
	return local(*r.Expires)
}

func (e *env) robotList(t *target) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the robots, and when and from where they last signed in", Args: cobra.NoArgs}
	asJSON := addJSON(list)
	list.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			robots, err := pages(ctx, cl, robotsPath, nil, 0, func(p struct{ Robots []access.Robot }) []access.Robot { return p.Robots })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, map[string]any{"robots": robots})
			}
			tab := e.table("NAME…", "CREATED", "SECRET SET", "EXPIRES", "LAST USE", "FROM…")
			for _, r := range robots {
				when, from := "", ""
				if r.LastUse != nil {
					when, from = local(r.LastUse.Time), r.LastUse.Address
				}
				tab.row(r.Name, local(r.Created), local(r.SecretSet), expiry(r), when, from)
			}
			return tab.flush()
		})
	}
	return list
}
