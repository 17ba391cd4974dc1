package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/spf13/cobra"
)

// policy is the verb `hallmark policy`.
func (e *env) policy() *cobra.Command {
	c := &cobra.Command{
		Use: "policy", Short: "Rules about what may be pushed, tagged and pulled",
		Long: "Rules about what may be pushed, tagged and pulled: docs/policy.md. They are a document in the store, or a file that the configuration\n" +
			"names, where there is no document.",
	}
	c.AddCommand(e.policyCheck(), e.policyShow(), e.policyTest())
	c.AddCommand(e.documentVerbs(provenance.PolicyRules, "policy.yaml", false)...)
	return c
}

// policyCheck is the verb `hallmark policy check`.
func (e *env) policyCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Compile a file of rules and report its errors", Args: one("a file of rules"),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := policy.ReadFile(args[0])
			if err != nil {
				return usagef("policy: %w", err)
			}
			fmt.Fprintf(e.stdout, "%s is good: %d rules\n", args[0], len(set.Rules))
			return nil
		},
	}
}

// policyShow is the verb `hallmark policy show`.
func (e *env) policyShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the rules that a server has in force", Args: cobra.NoArgs}
	t, asJSON := addTarget(c), addJSON(c)
	text := c.Flags().Bool("text", false, "print the document in the store, as a file to apply")
	version := addDocumentVersion(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			if *text || *version > 0 {
				return e.showDocument(ctx, cl, provenance.PolicyRules, *version, *asJSON)
			}
			var answer struct {
				Rules []policy.Rule `json:"rules"`
			}
			if err := cl.get(ctx, "/api/v1/policy", nil, &answer); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, answer)
			}
			tab := e.table("RULE", "REPOSITORIES", "AT", "EFFECT", "REQUIRE…", "OWNER…")
			for _, r := range answer.Rules {
				tab.row(r.Name, list(r.Repositories), list(r.At), string(r.Effect), strings.Join(strings.Fields(r.Require), " "), r.Owner)
			}
			return tab.flush()
		})
	}
	return c
}

func list[T any](all []T) string {
	var words []string
	for _, one := range all {
		words = append(words, fmt.Sprint(one))
	}
	return strings.Join(words, ",")
}
