package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// group is verbs that the help shows together.
type group struct {
	id, title string
	verbs     []*cobra.Command
}

// forItself is the group of verbs about the command itself.
const forItself = "itself"

// groups are all verbs.
func (e *env) groups() []group {
	return []group{
		{"serve", "Run a registry", []*cobra.Command{e.serve(), e.config(), e.health(), e.cert(), e.key()}},
		{"people", "People and what they may do", []*cobra.Command{
			e.user(), e.team(), e.robot(), e.grant(), e.revoke(), e.grants(), e.may(), e.tags(), e.access(), e.issuers(), e.token(), e.session(), e.login(), e.logout(),
		}},
		{"images", "Images and where they came from", []*cobra.Command{
			e.list(), e.show(), e.history(), e.records(), e.sources(), e.descendants(), e.inspect(), e.policy(), e.trustDocument(), e.delete(), e.undelete(), e.trash(), e.hold(), e.pulls(), e.importImages(), e.mirror(),
		}},
		{"evidence", "Evidence that others can check", []*cobra.Command{e.verify(), e.evidence(), e.log(), e.audit(), e.witness()}},
		{"operation", "Keep it whole", []*cobra.Command{e.backup(), e.restore(), e.move(), e.fsck(), e.scrub(), e.retention(), e.quota(), e.du()}},
		{forItself, "This command", []*cobra.Command{e.version()}},
	}
}

// strictGroups lets no command that only groups verbs pass for one: cobra answers `user remov alice` with help and success,
// and a script that mistypes a verb goes on as if all had been done.
func strictGroups(c *cobra.Command) {
	for _, verb := range c.Commands() {
		strictGroups(verb)
	}
	if takes := c.Args; takes != nil {
		c.Args = func(c *cobra.Command, args []string) error { return inWords(c, args, takes(c, args), takes) }
	}
	switch {
	case c.Name() == "help":
		c.Args = knownTopic
	case c.HasParent() && c.HasSubCommands() && !c.Runnable():
		c.Args = cobra.ArbitraryArgs
		c.RunE = wantsVerb
	}
}

// inWords says in our words which argument is too many, where cobra says it in its own.
func inWords(c *cobra.Command, args []string, err error, takes cobra.PositionalArgs) error {
	if err == nil || errors.As(err, new(exitError)) {
		return err
	}
	for i := range args {
		if takes(c, args[:i+1]) != nil {
			return usagef("%s takes no argument %.60q; see `%[1]s --help`", c.CommandPath(), args[i])
		}
	}
	return err
}

// knownTopic wants the words behind `help` to be a verb.
func knownTopic(c *cobra.Command, args []string) error {
	at, rest, err := c.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = wantsVerb(at, rest)
	}
	return err
}

func wantsVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		var verbs []string
		for _, verb := range c.Commands() {
			if verb.IsAvailableCommand() {
				verbs = append(verbs, verb.Name())
			}
		}
		return usagef("%s wants one of its verbs: %s; see `%[1]s --help`", c.CommandPath(), strings.Join(verbs, ", "))
	}
	near := ""
	c.SuggestionsMinimumDistance = 2 // letters
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		near = "; did you mean " + strings.Join(like, " or ") + "?"
	}
	return usagef("%s has no verb %.60q%s; see `%[1]s --help`", c.CommandPath(), args[0], near)
}
