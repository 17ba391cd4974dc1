package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/spf13/cobra"
)

const teamsPath = "/api/v1/access/teams"

// team is the verb `hallmark team`.
func (e *env) team() *cobra.Command {
	c := &cobra.Command{
		Use: "team", Short: "Make teams and manage their members",
		Long: "Make teams and manage their members. `hallmark grant team:NAME PATTERN ROLE` gives all of a team a role.",
	}
	t := addTarget(c)
	c.AddCommand(
		e.onNames(t, &cobra.Command{Use: "add NAME", Short: "Make a team", Args: one("a name")}, "made team %s\n", func(ctx context.Context, cl *client, args []string) error {
			return cl.send(ctx, "POST", teamsPath, map[string]string{"name": args[0]}, nil)
		}),
		e.onNames(t, &cobra.Command{Use: "join NAME USER...", Short: "Add users to a team", Args: atLeastTwo}, "%s has joined: %s\n", func(ctx context.Context, cl *client, args []string) error {
			return cl.send(ctx, "POST", teamPath(args[0])+"/members", map[string][]string{"users": args[1:]}, nil)
		}),
		e.onNames(t, &cobra.Command{Use: "leave NAME USER...", Short: "Take users out of a team", Args: atLeastTwo}, "%s has left: %s\n", leaveTeam),
		e.onNames(t, &cobra.Command{Use: "remove NAME", Short: "Remove a team and its grants", Args: one("a name")}, "removed team %s\n", func(ctx context.Context, cl *client, args []string) error {
			return cl.send(ctx, "DELETE", teamPath(args[0]), nil, nil)
		}),
		e.teamList(t))
	return c
}

func teamPath(name string) string { return teamsPath + "/" + url.PathEscape(name) }

func leaveTeam(ctx context.Context, cl *client, args []string) error {
	for _, user := range args[1:] {
		if err := cl.send(ctx, "DELETE", teamPath(args[0])+"/members/"+url.PathEscape(user), nil, nil); err != nil {
			return err
		}
	}
	return nil
}

func atLeastTwo(c *cobra.Command, args []string) error {
	if len(args) < 2 {
		return usagef("%s wants a team, then users; see `%s --help`", c.CommandPath(), c.CommandPath())
	}
	return nil
}

// onNames makes a verb that asks for something with its arguments, and then says it: of the first
// argument, or of all others and the first.
func (e *env) onNames(t *target, c *cobra.Command, says string, fn func(context.Context, *client, []string) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			if err := fn(ctx, cl, args); err != nil {
				return err
			}
			if strings.Count(says, "%s") == 2 {
				fmt.Fprintf(e.stdout, says, args[0], strings.Join(args[1:], ", "))
			} else {
				fmt.Fprintf(e.stdout, says, args[0])
			}
			return nil
		})
	}
	return c
}

func (e *env) teamList(t *target) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the teams with their members", Args: cobra.NoArgs}
	asJSON := addJSON(list)
	list.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			teams, err := pages(ctx, cl, teamsPath, nil, 0, func(p struct{ Teams []access.TeamEntry }) []access.TeamEntry { return p.Teams })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, map[string]any{"teams": teams})
			}
			tab := e.table("TEAM", "MEMBERS")
			for _, team := range teams {
				tab.row(team.Name, strings.Join(team.Members, ", "))
			}
			return tab.flush()
		})
	}
	return list
}
