package main

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/spf13/cobra"
)

// completer offers what an argument may be; see cobra.Command.ValidArgsFunction.
type completer = func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective)

// completionTime bounds how long a shell waits for what it offers.
const completionTime = 2 * time.Second

// mostCompletions bounds what is read for a completion.
const mostCompletions = 1000

// inOrder completes each argument by its own completer.
func inOrder(each ...completer) completer {
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(each) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return each[len(args)](c, args, begun)
	}
}

func completeRoles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var roles []cobra.Completion
	for r := access.Pull; r <= access.Admin; r++ {
		roles = append(roles, r.String())
	}
	return roles, cobra.ShellCompDirectiveNoFileComp
}

// completeFrom asks the registry that the command line names. Where it cannot be asked, nothing is offered.
func (e *env) completeFrom(c *cobra.Command, read func(context.Context, *client) ([]string, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	var found []string
	_ = e.ask(ctx, targetOf(c), func(ctx context.Context, cl *client) (err error) {
		found, err = read(ctx, cl)
		return err
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}

// targetOf is the registry that a command's flags name, none of which needs a password from standard input here.
func targetOf(c *cobra.Command) *target {
	flag := func(name string) string {
		value, _ := c.Flags().GetString(name) // it fails where there is no such flag
		return value
	}
	return &target{data: flag("data"), server: flag("server"), ca: flag("ca"), user: flag("user")}
}

func (e *env) completeRepositories(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return e.completeFrom(c, repositoryNames)
}

func repositoryNames(ctx context.Context, cl *client) (names []string, err error) {
	all, err := pages(ctx, cl, "/api/v1/repositories", nil, mostCompletions, func(p struct{ Repositories []listedRepository }) []listedRepository { return p.Repositories })
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names, err
}

func (e *env) completeUsers(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return e.completeFrom(c, userNames)
}

func userNames(ctx context.Context, cl *client) (names []string, err error) {
	all, err := pages(ctx, cl, "/api/v1/users", nil, mostCompletions, func(p struct{ Users []access.User }) []access.User { return p.Users })
	for _, u := range all {
		names = append(names, u.Name)
	}
	return names, err
}

// completeSubjects offers whom rights can be given to. Anyone who may not see all of them gets the others.
func (e *env) completeSubjects(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return e.completeFrom(c, func(ctx context.Context, cl *client) ([]string, error) {
		subjects := []string{string(access.EveryoneSubject), string(access.AnonymousSubject)}
		for kind, names := range map[string]func(context.Context, *client) ([]string, error){"user:": userNames, "team:": teamNames, "robot:": robotNames} {
			found, err := names(ctx, cl)
			if err != nil {
				continue
			}
			for _, name := range found {
				subjects = append(subjects, kind+name)
			}
		}
		slices.Sort(subjects)
		return subjects, nil
	})
}

func teamNames(ctx context.Context, cl *client) (names []string, err error) {
	all, err := pages(ctx, cl, teamsPath, nil, mostCompletions, func(p struct{ Teams []access.TeamEntry }) []access.TeamEntry { return p.Teams })
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names, err
}

func (e *env) completeTeams(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return e.completeFrom(c, teamNames)
}

func robotNames(ctx context.Context, cl *client) (names []string, err error) {
	all, err := pages(ctx, cl, robotsPath, nil, mostCompletions, func(p struct{ Robots []access.Robot }) []access.Robot { return p.Robots })
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names, err
}

func (e *env) completeRobots(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return e.completeFrom(c, robotNames)
}

// completeReferences offers repositories, and behind a colon the tags of one.
func (e *env) completeReferences(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	repo, _, ok := strings.Cut(begun, ":")
	if !ok {
		found, directive := e.completeFrom(c, repositoryNames)
		return found, directive | cobra.ShellCompDirectiveNoSpace
	}
	return e.completeFrom(c, func(ctx context.Context, cl *client) (refs []string, err error) {
		names, err := tagsIn(ctx, cl, repo)
		for _, name := range names {
			refs = append(refs, repo+":"+name)
		}
		return refs, err
	})
}

// addCompletions says of every verb what its arguments may be.
func (e *env) addCompletions(root *cobra.Command) {
	grant := inOrder(e.completeSubjects, e.completeRepositories, completeRoles)
	for path, complete := range map[string]completer{
		"list": e.completeRepositories, "show": e.completeReferences, "history": e.completeReferences, "delete": e.completeReferences,
		"verify": e.completeFilesToo(e.completeReferences), "evidence": e.completeReferences, "policy test": e.completeRepositories,
		"tags immutable": inOrder(e.completeRepositories), "tags mutable": inOrder(e.completeRepositories),
		"descendants": e.completeReferences, "inspect image": e.completeReferences, "inspect repository": e.completeRepositories,
		"may":   inOrder(e.completeSubjects, completeRoles, e.completeRepositories),
		"grant": grant, "revoke": grant,
		"hold": e.completeReferences, "hold release": e.completeReferences, "hold list": inOrder(e.completeRepositories),
		"undelete": e.completeReferences, "trash list": inOrder(e.completeRepositories), "trash empty": inOrder(e.completeRepositories),
		"pulls forget": inOrder(e.completeRepositories), "du": inOrder(e.completeRepositories), "quota set": inOrder(e.completeRepositories),
		"user passwd": inOrder(e.completeUsers), "user remove": inOrder(e.completeUsers), "user rename": inOrder(e.completeUsers),
		"robot rotate": inOrder(e.completeRobots), "robot remove": inOrder(e.completeRobots),
		"team join": e.completeMembers, "team leave": e.completeMembers, "team remove": inOrder(e.completeTeams),
	} {
		c, _, err := root.Find(strings.Fields(path))
		if err == nil {
			c.ValidArgsFunction = complete
		}
	}
	e.completeFlags(root)
}

// completeMembers offers a team, then users.
func (e *env) completeMembers(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return e.completeTeams(c, args, begun)
	}
	return e.completeUsers(c, args, begun)
}

// completeFilesToo offers files beside what another completer does.
func (e *env) completeFilesToo(other completer) completer {
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		found, directive := other(c, args, begun)
		found = slices.DeleteFunc(found, func(name string) bool { return !strings.HasPrefix(name, begun) })
		return found, directive &^ cobra.ShellCompDirectiveNoFileComp // a shell offers files where nothing else is left
	}
}

// completeTags offers the tags of --repo.
func (e *env) completeTags(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	repo, _ := c.Flags().GetString("repo") // it fails where there is no such flag
	return e.completeFrom(c, func(ctx context.Context, cl *client) ([]string, error) { return tagsIn(ctx, cl, repo) })
}

func tagsIn(ctx context.Context, cl *client, repo string) (names []string, err error) {
	all, err := pages(ctx, cl, "/api/v1/tags", url.Values{"repo": {repo}}, mostCompletions, func(p struct{ Tags []listedTag }) []listedTag { return p.Tags })
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names, err
}

// words offers what is always the same.
func words(all ...string) completer {
	return cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)
}

// completeFlags offers what flags may be, which mean the same with every verb.
func (e *env) completeFlags(c *cobra.Command) {
	for name, complete := range map[string]completer{
		"repo": e.completeRepositories, "identity": e.completeUsers, "of": e.completeUsers, "subject": e.completeSubjects, "tag": e.completeTags,
		"action": words(actionNames()...), "class": words("observed", "authenticated", "attested", "claimed"), "order": words("asc", "desc"),
	} {
		if c.Flags().Lookup(name) != nil {
			_ = c.RegisterFlagCompletionFunc(name, complete) // it fails where there is no such flag
		}
	}
	for _, verb := range c.Commands() {
		e.completeFlags(verb)
	}
}
