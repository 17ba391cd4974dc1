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
		e.robotSecret(t, &cobra.Command{Use: "add NAME", Short: "Add a robot, and print its secret"}, newRobot),
		e.robotSecret(t, &cobra.Command{
			Use: "rotate NAME", Short: "Give a robot a new secret; the old one ends at once",
			Long: "Give a robot a new secret, which is good for as long as the former one was, unless --expires says otherwise. The\n" +
				"former one ends at once.",
		}, rotatedRobot),
		e.onNames(t, &cobra.Command{Use: "remove NAME", Short: "Remove a robot and its grants", Args: one("a name")}, "removed robot %s\n", func(ctx context.Context, cl *client, args []string) error {
			return cl.send(ctx, "DELETE", robotsPath+"/"+url.PathEscape(args[0]), nil, nil)
		}),
		e.robotList(t))
	return c
}

// never is the --expires of a secret that does not.
const never = "never"

// newSecret is where a secret is made, by which request, and how long it is good where nobody says so; "" is never.
type newSecret struct {
	path, lasts string
	body        map[string]any
}

func newRobot(_ context.Context, _ *client, name string) (newSecret, error) {
	return newSecret{robotsPath, "365d", map[string]any{"name": name}}, nil
}

// rotatedRobot keeps the time that the former secret had.
func rotatedRobot(ctx context.Context, cl *client, name string) (newSecret, error) {
	made := newSecret{path: robotsPath + "/" + url.PathEscape(name) + "/secret", lasts: never, body: map[string]any{}}
	all, err := pages(ctx, cl, robotsPath, nil, 0, func(p struct{ Robots []access.Robot }) []access.Robot { return p.Robots })
	for _, r := range all {
		if r.Name == name && r.Expires != nil {
			made.lasts = units.Duration(r.Expires.Sub(r.SecretSet.Time).Round(time.Second)).String()
		}
	}
	return made, err
}

// robotSecret makes a verb that prints a new secret: alone on standard output, so that it can go on through
// a pipe.
func (e *env) robotSecret(t *target, c *cobra.Command, ask func(context.Context, *client, string) (newSecret, error)) *cobra.Command {
	c.Args = one("a name")
	expires := c.Flags().String("expires", "", "how `long` the secret is good, as 90d or 12h, or never (default 365d, or as long as the former one)")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := checkLasts(*expires); err != nil {
			return err
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			want, err := ask(ctx, cl, args[0])
			if err != nil {
				return err
			}
			if lasts := firstOf(*expires, want.lasts); lasts != never {
				var d units.Duration
				if err := d.UnmarshalText([]byte(lasts)); err != nil {
					return err
				}
				want.body["expires"] = time.Now().Add(time.Duration(d)).UTC()
			}
			return e.makeSecret(ctx, cl, want, *asJSON)
		})
	}
	return c
}

func checkLasts(s string) error {
	var d units.Duration
	if s != "" && s != never && (d.UnmarshalText([]byte(s)) != nil || d <= 0) {
		return usagef("--expires is %q, and should be a time as 90d or 12h, or never", s)
	}
	return nil
}

func (e *env) makeSecret(ctx context.Context, cl *client, want newSecret, asJSON bool) error {
	var made struct {
		access.Robot
		Secret string `json:"secret"`
	}
	if err := cl.send(ctx, "POST", want.path, want.body, &made); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, made)
	}
	fmt.Fprintf(e.stderr, "The secret of robot %s, good until %s, shown only now:\n", made.Name, expiry(made.Robot))
	fmt.Fprintln(e.stdout, made.Secret)
	return nil
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
			tab := e.table("NAME", "CREATED", "SECRET SET", "EXPIRES", "LAST USE", "FROM…")
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
