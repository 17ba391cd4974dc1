package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// listedPulls are what is known of the pulls of something, as the API shows them.
type listedPulls struct {
	Since  provenance.Time  `json:"since"`
	Last   *provenance.Time `json:"last,omitempty"`
	Lately uint64           `json:"lately"`
}

// String is the last pull, or since when there was none.
func (p listedPulls) String() string {
	if p.Last == nil {
		return "none since " + local(p.Since)
	}
	return local(*p.Last)
}

// pulls is the verb `hallmark pulls`.
func (e *env) pulls() *cobra.Command {
	c := &cobra.Command{
		Use: "pulls", Short: "Forget when images were pulled",
		Long: "The registry counts pulls of repositories, tags and digests, and names nobody who pulled. `hallmark list` shows the last one of each.",
	}
	forget := &cobra.Command{
		Use: "forget {REPO | --all}", Short: "Forget the pulls of a repository, or of all", Args: cobra.MaximumNArgs(1),
		Long: "Forget the last pulls and the counts of a repository, or of all, which only administrators may. Counting begins anew: what a rule keeps because it may\n" +
			"have been pulled stays that much longer.",
		Example: "  hallmark pulls forget team/app\n  hallmark pulls forget --all",
	}
	t := addTarget(forget)
	all := forget.Flags().Bool("all", false, "forget the pulls of all repositories")
	forget.RunE = func(c *cobra.Command, args []string) error {
		if *all == (len(args) == 1) {
			return usagef("name a repository, or forget the pulls of all with --all")
		}
		if *all {
			return e.forgetPulls(c.Context(), t, "all=true", "all repositories")
		}
		repo, err := t.repositoryIn(args)
		if err != nil {
			return err
		}
		return e.forgetPulls(c.Context(), t, url.Values{"repo": {repo}}.Encode(), repo)
	}
	c.AddCommand(forget)
	return c
}

func (e *env) forgetPulls(ctx context.Context, t *target, query, of string) error {
	return e.ask(ctx, t, func(ctx context.Context, cl *client) error {
		if err := cl.send(ctx, "DELETE", "/api/v1/pulls?"+query, nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.stdout, "the pulls of %s are forgotten; counting begins anew\n", of)
		return err
	})
}
