package main

import (
	"fmt"
	"io"
	"os"

	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/spf13/cobra"
)

// policy is the verb `hallmark policy`.
func (e *env) policy() *cobra.Command {
	c := &cobra.Command{
		Use: "policy", Short: "Rules about what may be pushed, tagged and pulled",
		Long: "Rules about what may be pushed, tagged and pulled, in a file: docs/policy.md.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(e.policyCheck())
	return c
}

// policyCheck is the verb `hallmark policy check`.
func (e *env) policyCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Compile a file of rules and say what is wrong with it", Args: one("a file of rules"),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "%s is good: %d rules\n", args[0], len(set.Rules))
			return nil
		},
	}
}

// readPolicy reads a file of rules; of no file it reads none.
func readPolicy(path string) (*policy.Set, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readPolicyFile(path)
	if err != nil {
		return nil, usagef("policy: %w", err)
	}
	set, err := policy.Parse(path, data)
	if err != nil {
		return nil, usagef("policy: %w", err)
	}
	return set, nil
}

// readPolicyFile reads one byte more than a file may have, so that a longer one is seen.
func readPolicyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, policy.MaxFile+1))
}
