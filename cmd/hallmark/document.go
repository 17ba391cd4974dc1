package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/linediff"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/documents"
	"github.com/spf13/cobra"
)

// trustDocument is the verb `hallmark trust`.
func (e *env) trustDocument() *cobra.Command {
	c := &cobra.Command{
		Use: "trust", Short: "Whose signatures count, as a document in the store",
		Long: "Whose signatures count: the keys, identities, builders and registries of a trust file (docs/trust.md), as a document in the store.\n" +
			"Where there is one, it is in force, and the file that the configuration names is not.",
	}
	c.AddCommand(e.documentVerbs(provenance.TrustRules, "trust.yaml", true)...)
	return c
}

// issuers is the verb `hallmark issuers`.
func (e *env) issuers() *cobra.Command {
	c := &cobra.Command{
		Use: "issuers", Short: "Whose ID tokens CI jobs sign in with, as a document in the store",
		Long: "Whose ID tokens CI jobs sign in with: a list under `oidc`, as the configuration has it (docs/ci.md), as a document in the store.\n" +
			"Where there is one, it is in force, and the list in the configuration is not.",
	}
	c.AddCommand(e.documentVerbs(provenance.IssuerRules, "issuers.yaml", true)...)
	return c
}

// documentVerbs are the verbs about documents of a kind. example is the name of a file.
func (e *env) documentVerbs(k provenance.RuleKind, example string, show bool) []*cobra.Command {
	verbs := []*cobra.Command{e.documentApply(k, example), e.documentHistory(k)}
	if show {
		verbs = append(verbs, e.documentShow(k))
	}
	return verbs
}

// ruleDocumentPath is where the API has the document of a kind.
func ruleDocumentPath(k provenance.RuleKind) string { return "/api/v1/documents/" + string(k) }

// storedDocument is a version of a document as the API shows it.
type storedDocument struct {
	Kind    provenance.RuleKind `json:"kind"`
	Version uint64              `json:"version"`
	Digest  digest.Digest       `json:"digest,omitempty"`
	Record  *uint64             `json:"record,omitempty"`
	Time    *provenance.Time    `json:"time,omitempty"`
	Actor   *provenance.Actor   `json:"actor,omitempty"`
	Text    string              `json:"text,omitempty"`
}

// applying is what a document is applied with.
type applying struct {
	dryRun  bool
	follows int64 // the version that it has to follow; -1 is the one that is shown
}

func (e *env) documentApply(k provenance.RuleKind, example string) *cobra.Command {
	c := &cobra.Command{
		Use: "apply FILE", Short: "Show what a file changes, then put it in force", Args: one("a file"),
		Long: "Show in which lines a file differs from the document in force, then put it in force: with the next request, in every process of the\n" +
			"registry, and on record. Files that it names go with it. From then on the document counts, and a file that the configuration names\n" +
			"does not. Where somebody else applies another one meanwhile, nothing happens.",
		Example: fmt.Sprintf("  hallmark %s apply %s --dry-run\n  hallmark %[1]s apply %[2]s", k, example),
	}
	t := addTarget(c)
	a := applying{}
	c.Flags().BoolVar(&a.dryRun, "dry-run", false, "only show it")
	c.Flags().Int64Var(&a.follows, "if-version", -1, "only where this `version` is in force; 0 is none (default: the one that is shown)")
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := documents.Gather(k, args[0])
		if err == nil {
			_, err = documents.Parse(k, text)
		}
		if err != nil {
			return usagef("%w", err)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.applyDocument(ctx, cl, k, string(text), a) })
	}
	return c
}

// applyDocument shows the difference, and applies the text to the very version that it was shown for.
func (e *env) applyDocument(ctx context.Context, cl *client, k provenance.RuleKind, text string, a applying) error {
	var now storedDocument
	if err := cl.get(ctx, ruleDocumentPath(k), nil, &now); err != nil {
		return err
	}
	if a.follows >= 0 && uint64(a.follows) != now.Version {
		return nof("version %d of the %s document is in force, and not %d; nothing was changed. See `hallmark %[2]s history`", now.Version, k, a.follows)
	}
	if now.Version > 0 && now.Digest == digest.FromString(text) {
		fmt.Fprintf(e.stdout, "nothing to change: it is version %d, which is in force\n", now.Version)
		return nil
	}
	for _, line := range linediff.Lines(now.Text, text) {
		fmt.Fprintln(e.stdout, clean(line))
	}
	path := ruleDocumentPath(k)
	if a.dryRun {
		path += "?dryRun=true"
	}
	var done struct {
		Version uint64
		Record  uint64
	}
	sent := struct {
		Version uint64 `json:"version"`
		Text    string `json:"text"`
	}{now.Version, text}
	if err := cl.send(ctx, "PUT", path, sent, &done); err != nil {
		return err
	}
	if a.dryRun {
		fmt.Fprintln(e.stdout, "not applied")
		return nil
	}
	fmt.Fprintf(e.stdout, "version %d of the %s document is in force: record %d\n", done.Version, k, done.Record)
	return nil
}

func (e *env) documentHistory(k provenance.RuleKind) *cobra.Command {
	c := &cobra.Command{
		Use: "history", Short: "List the versions of the document: who put each in force, when", Args: cobra.NoArgs,
	}
	t, asJSON := addTarget(c), addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			found, err := pages(ctx, cl, ruleDocumentPath(k)+"/history", nil, 0, func(p struct{ Versions []storedDocument }) []storedDocument { return p.Versions })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, map[string]any{"versions": found})
			}
			tab := e.table("VERSION", "TIME", "BY", "RECORD", "DIGEST")
			for _, v := range found {
				tab.row(strconv.FormatUint(v.Version, 10), local(*v.Time), string(v.Actor.Kind)+":"+v.Actor.Handle, strconv.FormatUint(*v.Record, 10), v.Digest.String())
			}
			return tab.flush()
		})
	}
	return c
}

func (e *env) documentShow(k provenance.RuleKind) *cobra.Command {
	c := &cobra.Command{
		Use: "show", Short: "Print the document in force, or an older version of it", Args: cobra.NoArgs,
		Long: "Print the document in force, as a file to apply. Exit status 1 says that there is none, and that what the configuration names is in force.",
	}
	t, asJSON := addTarget(c), addJSON(c)
	version := addDocumentVersion(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.showDocument(ctx, cl, k, *version, *asJSON) })
	}
	return c
}

func addDocumentVersion(c *cobra.Command) *uint64 {
	return c.Flags().Uint64("version", 0, "print this `version` (default: the one in force)")
}

// showDocument prints a version of a document; 0 is the one in force.
func (e *env) showDocument(ctx context.Context, cl *client, k provenance.RuleKind, version uint64, asJSON bool) error {
	query := url.Values{}
	if version > 0 {
		query.Set("version", strconv.FormatUint(version, 10))
	}
	var d storedDocument
	if err := cl.get(ctx, ruleDocumentPath(k), query, &d); err != nil {
		return err
	}
	if d.Version == 0 {
		return nof("there is no %s document in the store: what the configuration names is in force", k)
	}
	if asJSON {
		return writeJSON(e.stdout, d)
	}
	_, err := fmt.Fprint(e.stdout, d.Text)
	return err
}
