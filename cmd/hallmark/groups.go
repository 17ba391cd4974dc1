package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// strictGroups lets no command that only groups verbs pass for one: cobra answers `user remov alice` with help and success,
// and a script that mistypes a verb goes on as if all had been done.
func strictGroups(c *cobra.Command) {
	for _, verb := range c.Commands() {
		strictGroups(verb)
	}
	switch {
	case c.Name() == "help":
		c.Args = knownTopic
	case c.HasParent() && c.HasSubCommands() && !c.Runnable():
		c.Args = cobra.ArbitraryArgs
		c.RunE = wantsVerb
	}
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
