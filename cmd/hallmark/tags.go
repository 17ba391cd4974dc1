package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/spf13/cobra"
)

const rulesPath = "/api/v1/access/immutable"

// tags is the verb `hallmark tags`.
func (e *env) tags() *cobra.Command {
	c := &cobra.Command{
		Use: "tags", Short: "Manage immutable tags",
		Long: "Say which tags, once they are set, are neither moved nor removed, by anybody. PATTERN is of repositories, as in\n" +
			"`hallmark grant`; TAGS is a tag in which * stands for any characters.",
	}
	t := addTarget(c)
	c.AddCommand(e.tagsImmutable(t), e.tagsMutable(t), e.tagsRules(t))
	return c
}

func (e *env) tagsImmutable(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "immutable PATTERN TAGS", Short: "Make tags immutable once they are set", Args: patternAndTags,
		Long: "Keep tags as they are once they are set. Some signing tools keep signatures, attestations and lists of referrers under tags\n" +
			"beside the image (sha256-….sig), and move them with each one that they add. A rule for all tags keeps those too, unless\n" +
			"it says --except-signatures.",
		Example: "  hallmark tags immutable 'core/**' 'v*' --except '*-dev'\n  hallmark tags immutable 'prod/**' '*' --except-signatures",
	}
	except := c.Flags().StringArray("except", nil, "tags that may be moved all the same, as a `glob`; may be given again")
	signatures := c.Flags().Bool("except-signatures", false, "let signing tools move their own tags: the same as "+exceptSignatures())
	return e.onRule(t, c, func(ctx context.Context, cl *client, f access.FixedTags) error {
		for _, text := range *except {
			g, err := access.ParseGlob(text)
			if err != nil {
				return usagef("--except %w", err)
			}
			f.Except = append(f.Except, g)
		}
		if *signatures {
			f.Except = append(f.Except, access.AttachedTags()...)
		}
		if err := cl.send(ctx, "POST", rulesPath, f, nil); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "tags %s in %s stay as they are%s\n", f.Tags, f.Repositories, exceptions(globTexts(f.Except)))
		if f.KeepsAttached() {
			fmt.Fprintf(e.stderr, keepsAttached, f.Repositories, f.Tags, "give the rule again with all its exceptions and --except-signatures")
		}
		return nil
	})
}

// keepsAttached is what people are told who make a rule for all tags: what signs images might have to move some.
const keepsAttached = "note: the rule for %s %s also keeps the tags that signing tools move, as sha256-….sig: a second signature in cosign's older form,\n" +
	"      or an attestation after another, is refused. To let them, %s.\n"

// exceptSignatures are the flags that --except-signatures stands for.
func exceptSignatures() string {
	var flags []string
	for _, g := range access.AttachedTags() {
		flags = append(flags, "--except '"+g.String()+"'")
	}
	return strings.Join(flags, " ")
}

func globTexts(globs []access.Glob) (texts []string) {
	for _, g := range globs {
		texts = append(texts, g.String())
	}
	return texts
}

func (e *env) tagsMutable(t *target) *cobra.Command {
	c := &cobra.Command{Use: "mutable PATTERN TAGS", Short: "Take such a rule away, as it was given", Args: patternAndTags}
	return e.onRule(t, c, func(ctx context.Context, cl *client, f access.FixedTags) error {
		q := url.Values{"repositories": {f.Repositories.String()}, "tags": {f.Tags.String()}}
		if err := cl.send(ctx, "DELETE", rulesPath+"?"+q.Encode(), nil, nil); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "tags %s in %s may be moved, as far as this rule goes\n", f.Tags, f.Repositories)
		return nil
	})
}

func patternAndTags(c *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usagef("%s wants PATTERN TAGS; see `%s --help`", c.CommandPath(), c.CommandPath())
	}
	return nil
}

// onRule makes a verb of what is done with a rule for tags.
func (e *env) onRule(t *target, c *cobra.Command, fn func(context.Context, *client, access.FixedTags) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		var f access.FixedTags
		if f.Repositories, err = access.ParsePattern(args[0]); err != nil {
			return usagef("%w", err)
		}
		if f.Tags, err = access.ParseGlob(args[1]); err != nil {
			return usagef("%w", err)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return fn(ctx, cl, f) })
	}
	return c
}

func (e *env) tagsRules(t *target) *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "List the rules for repositories that you administrate", Args: cobra.NoArgs}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var found struct {
				Immutable []access.FixedTags `json:"immutable"`
			}
			if err := cl.get(ctx, rulesPath, nil, &found); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, found)
			}
			tab := e.table("REPOSITORIES", "TAGS", "EXCEPT")
			for _, f := range found.Immutable {
				tab.row(f.Repositories.String(), f.Tags.String(), strings.Join(globTexts(f.Except), ", "))
			}
			return tab.flush()
		})
	}
	return c
}
