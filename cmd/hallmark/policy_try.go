package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/spf13/cobra"
)

// policyTest is the verb `hallmark policy test`.
func (e *env) policyTest() *cobra.Command {
	c := &cobra.Command{
		Use: "test [REPO...]", Short: "Try rules on existing images before you switch them on",
		Long: "Try rules on the images behind the tags of the repositories that the patterns name, or of all: what would be\n" +
			"refused or warned of, were they pushed, tagged and pulled now? Nothing changes. It exits with 1 where something\n" +
			"would be refused, and where there is no image to try them on.",
		Example: "  hallmark policy test --file policy.yaml\n  hallmark policy test 'prod/**' --json",
	}
	t, asJSON := addTarget(c), addJSON(c)
	file := c.Flags().String("file", "", "try the rules of this `file` (default: those that the server has in force)")
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := newPolicyTrial(args, *file)
		if err != nil {
			return usagef("%w", err)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			if err := p.run(ctx, cl); err != nil {
				return err
			}
			return e.printTrial(p, *asJSON)
		})
	}
	return c
}

// policyTrial tries rules on images, some at a time.
type policyTrial struct {
	patterns []access.Pattern
	file     *string
	waiting  []tagged

	Rules   int             `json:"rules"`
	Images  int             `json:"images"`
	Refused int             `json:"refused"` // images of which something would be
	Results []policy.Result `json:"results"`
}

// tagged names an image.
type tagged struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
}

func newPolicyTrial(patterns []string, file string) (*policyTrial, error) {
	p := &policyTrial{Results: []policy.Result{}}
	for _, a := range patterns {
		pattern, err := access.ParsePattern(a)
		if err != nil {
			return nil, err
		}
		p.patterns = append(p.patterns, pattern)
	}
	if file == "" {
		return p, nil
	}
	data, err := yamlfile.Read(file, policy.MaxFile)
	if err != nil {
		return nil, err
	}
	text := string(data)
	p.file = &text
	_, err = policy.Parse(file, data)
	return p, err
}

// trialSize is how many images are tried with one request.
const trialSize = 50

func (p *policyTrial) run(ctx context.Context, cl *client) error {
	type named struct{ Name string }
	repos, err := pages(ctx, cl, "/api/v1/repositories", nil, 0, func(a struct{ Repositories []named }) []named { return a.Repositories })
	if err != nil {
		return err
	}
	for _, repo := range repos {
		if !p.wants(repo.Name) {
			continue
		}
		tags, err := pages(ctx, cl, "/api/v1/tags", url.Values{"repo": {repo.Name}}, 0, func(a struct{ Tags []named }) []named { return a.Tags })
		if err != nil {
			return err
		}
		for _, t := range tags {
			p.waiting = append(p.waiting, tagged{repo.Name, t.Name})
			if len(p.waiting) == trialSize {
				if err := p.send(ctx, cl); err != nil {
					return err
				}
			}
		}
	}
	return p.send(ctx, cl)
}

func (p *policyTrial) wants(repo string) bool {
	return len(p.patterns) == 0 || slices.ContainsFunc(p.patterns, func(w access.Pattern) bool { return w.Matches(repo) })
}

// send tries what waits.
func (p *policyTrial) send(ctx context.Context, cl *client) error {
	body := map[string]any{"images": p.waiting}
	if p.file != nil {
		body["file"] = *p.file
	}
	if p.waiting == nil {
		body["images"] = []tagged{}
	}
	var answer policyTrial
	if err := cl.send(ctx, "POST", "/api/v1/policy/test", body, &answer); err != nil {
		return err
	}
	p.waiting = nil
	p.Rules = answer.Rules
	p.Images += answer.Images
	p.Results = append(p.Results, answer.Results...)
	return nil
}

// printTrial shows what would not go on, and says no where something would be refused.
func (e *env) printTrial(p *policyTrial, asJSON bool) error {
	refused := map[tagged]bool{}
	for _, r := range p.Results {
		if r.Outcome == policy.Deny {
			refused[tagged{r.Repository, r.Tag}] = true
		}
	}
	p.Refused = len(refused)
	if asJSON {
		if err := writeJSON(e.stdout, p); err != nil {
			return err
		}
	} else {
		tab := e.table("REPOSITORY", "TAG", "RULE", "AT", "OUTCOME", "SAYS…")
		for _, r := range p.Results {
			tab.row(r.Repository, r.Tag, r.Rule, string(r.At), string(r.Outcome), r.Says)
		}
		if err := tab.flush(); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "rules: %d, images: %d, with something that would be refused: %d\n", p.Rules, p.Images, p.Refused)
	}
	if p.Images == 0 {
		return nof("nothing was tried: there is no image in the repositories that were asked for")
	}
	if p.Refused > 0 {
		return nof("of %d images, %d would be refused something", p.Images, p.Refused)
	}
	return nil
}
