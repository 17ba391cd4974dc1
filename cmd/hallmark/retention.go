package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/spf13/cobra"
)

const retentionPath = "/api/v1/retention/"

// retention is the verb `hallmark retention`.
func (e *env) retention() *cobra.Command {
	c := &cobra.Command{
		Use: "retention", Short: "Remove by rules what nothing keeps",
		Long: "Rules of retention, in the file `retention.file`, say which tags stay; what nothing keeps may go. A plan lists what would go and why the\n" +
			"rest stays, and applying it removes exactly that. For administrators.",
	}
	t := addTarget(c)
	c.AddCommand(e.retentionPlan(t), e.retentionApply(t), e.retentionShow(t))
	return c
}

// retentionTime bounds how long a plan may take, and its application.
const retentionTime = 24 * time.Hour

func (e *env) retentionPlan(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "plan", Short: "List what would go by the rules, and why the rest stays", Args: cobra.NoArgs,
		Long: "List what would go by the rules in force, with the bytes that the disk would give back, and why the rest stays. Nothing is removed. A plan in a\n" +
			"file can be applied.",
		Example: "  hallmark retention plan\n  hallmark retention plan -o plan.jsonl\n  hallmark retention apply plan.jsonl",
	}
	out := c.Flags().StringP("output", "o", "", "write the whole plan to this `file`, JSON lines that can be applied")
	asJSON := addJSON(c)
	c.MarkFlagsMutuallyExclusive("output", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.askWithin(c.Context(), retentionTime, t, func(ctx context.Context, cl *client) error {
			resp, err := cl.open(ctx, http.MethodGet, retentionPath+"plan", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close() //nolint:errcheck // it was only read
			if *asJSON {
				_, err := io.Copy(e.stdout, resp.Body)
				return err
			}
			return e.takePlan(resp.Body, *out)
		})
	}
	return c
}

// takePlan keeps a plan in a file, or shows it.
func (e *env) takePlan(from io.Reader, path string) (err error) {
	var p *retention.Plan
	if path != "" {
		err = durable.Write(path, 0o644, func(w io.Writer) (err error) {
			p, err = retention.ReadPlan(io.TeeReader(from, w), nil)
			return err
		})
	} else {
		tab := e.table("GOES", "DIGEST", "RULE", "WHY…")
		p, err = retention.ReadPlan(from, func(l retention.Line) {
			if l.Goes != nil {
				tab.row(nameOf(*l.Goes), l.Goes.Digest.String(), l.Goes.Rule, l.Goes.Why)
			}
		})
		if err == nil {
			err = tab.flush()
		}
	}
	if errors.Is(err, retention.ErrPlan) {
		return askf("the plan did not arrive whole: %w", err)
	}
	if err == nil {
		e.showSummary(p)
	}
	return err
}

func nameOf(i retention.Item) string {
	if i.Tag != "" {
		return i.Repository + ":" + i.Tag
	}
	return i.Repository
}

func (e *env) showSummary(p *retention.Plan) {
	s := p.Summary
	fmt.Fprintf(e.stdout, "%s and %s would go, %s and %s stay; the disk gives back %s\n", number(s.Tags, "tag"), number(s.Manifests, "manifest"),
		number(s.StayingTags, "tag"), number(s.Staying, "manifest"), units.Bytes(s.Bytes))
	for _, w := range s.Warnings {
		fmt.Fprintf(e.stdout, "warning: %s\n", clean(w))
	}
	for _, repo := range s.Over {
		fmt.Fprintf(e.stdout, "warning: more of %s would go than retention.most lets a schedule remove: a schedule leaves it alone, and a person can apply this plan\n", repo)
	}
	if s.OverMore > 0 {
		fmt.Fprintf(e.stdout, "warning: so it is with others (%d)\n", s.OverMore)
	}
	if s.More {
		fmt.Fprintf(e.stdout, "warning: a plan removes at most %d things: make another one when this one was applied\n", retention.MaxRemovals)
	}
	fmt.Fprintf(e.stdout, "plan %s\n", p.Digest)
}

func (e *env) retentionApply(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "apply PLAN", Short: "Remove what a plan lists", Args: one("a plan, as `hallmark retention plan -o PLAN` writes it"),
		Long: "Remove what a plan lists, and nothing else. What has moved or is kept by now is skipped and reported. Applied a second time, a plan goes on\n" +
			"where it was interrupted. From then on a schedule (`retention.every`) may apply the same rules.",
	}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := os.ReadFile(args[0])
		if err != nil {
			return usagef("%w", err)
		}
		if _, err := retention.ReadPlan(bytes.NewReader(data), nil); err != nil {
			return usagef("%s: %w", args[0], err)
		}
		return e.askWithin(c.Context(), retentionTime, t, func(ctx context.Context, cl *client) error {
			resp, err := cl.Upload(ctx, http.MethodPost, retentionPath+"apply", data)
			if err != nil {
				return status(err)
			}
			defer resp.Body.Close() //nolint:errcheck // it was only read
			if *asJSON {            // the answer as it is, read all the same: one that broke off is a failure
				return showApplied(io.Discard, io.TeeReader(resp.Body, e.stdout))
			}
			return showApplied(e.stdout, resp.Body)
		})
	}
	return c
}

// showApplied prints what was skipped, and at the end what was done.
func showApplied(to io.Writer, from io.Reader) error {
	var done retention.Applied
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var l struct {
			Skipped *retention.Skipped `json:"skipped"`
			Applied *retention.Applied `json:"applied"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return askf("an answer that is not understood: %w", err)
		}
		if l.Applied != nil {
			done = *l.Applied
		}
		if s := l.Skipped; s != nil {
			fmt.Fprintf(to, "skipped %s (%s): %s\n", nameOf(retention.Item{Repository: s.Repository, Tag: s.Tag}), short(s.Digest), clean(s.Why))
		}
	}
	if err := lines.Err(); err != nil {
		return askf("the answer broke off: %w; apply the plan again to go on", err)
	}
	fmt.Fprintf(to, "removed %s and %s, skipped %d\n", number(done.Tags, "tag"), number(done.Manifests, "manifest"), done.Skipped)
	if !done.Done {
		return askf("the plan was not applied to its end; apply it again to go on")
	}
	return nil
}

// retentionRules are the rules in force and what the schedule did, as the API has it.
type retentionRules struct {
	Digest   string `json:"digest,omitempty"`
	Approved bool   `json:"approved"`
	Every    string `json:"every,omitempty"`
	Untagged string `json:"untagged,omitempty"`
	Rules    []struct {
		Name         string   `json:"name"`
		Repositories []string `json:"repositories"`
		Tags         []string `json:"tags,omitempty"`
		Keep         []string `json:"keep"`
	} `json:"rules"`
	LastRun *retentionRun `json:"lastRun,omitempty"`
}

type retentionRun struct {
	Time      provenance.Time `json:"time"`
	Plan      string          `json:"plan,omitempty"`
	Tags      int             `json:"tags"`
	Manifests int             `json:"manifests"`
	Skipped   int             `json:"skipped"`
	Stopped   []string        `json:"stopped,omitempty"`
	// StoppedMore is how many others there are.
	StoppedMore int    `json:"stoppedMore,omitempty"`
	Failed      string `json:"failed,omitempty"`
}

func (e *env) retentionShow(t *target) *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show the rules of retention that are in force, and what the schedule did last", Args: cobra.NoArgs}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var answer retentionRules
			if err := cl.get(ctx, retentionPath+"rules", nil, &answer); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, answer)
			}
			return e.showRules(answer)
		})
	}
	return c
}

func (e *env) showRules(answer retentionRules) error {
	tab := e.table("RULE", "REPOSITORIES", "TAGS", "KEEPS…")
	for _, r := range answer.Rules {
		tab.row(r.Name, list(r.Repositories), firstOf(list(r.Tags), "all"), strings.Join(strings.Fields(strings.Join(r.Keep, "; ")), " "))
	}
	if err := tab.flush(); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "what has no tag stays %s\n", firstOf(answer.Untagged, "for ever"))
	if !answer.Approved && len(answer.Rules) > 0 {
		fmt.Fprintln(e.stdout, "no schedule applies these rules before an administrator has applied a plan of them by hand")
	}
	if len(answer.Rules) > 0 && (answer.Approved || answer.Every == "") {
		fmt.Fprintf(e.stdout, "a schedule applies them %s\n", everyOrNever(answer.Every))
	}
	if answer.LastRun != nil {
		e.showRun(answer.LastRun)
	}
	return nil
}

func everyOrNever(every string) string {
	if every == "" {
		return "never: retention.every is not set"
	}
	return "every " + every
}

// showRun says what the schedule did last.
func (e *env) showRun(r *retentionRun) {
	says := fmt.Sprintf("removed %s and %s, skipped %d", number(r.Tags, "tag"), number(r.Manifests, "manifest"), r.Skipped)
	if r.Failed != "" {
		says += "; it stopped: " + clean(r.Failed)
	}
	fmt.Fprintf(e.stdout, "the schedule ran at %s: %s\n", local(r.Time), says)
	for _, repo := range r.Stopped {
		fmt.Fprintf(e.stdout, "warning: it left %s alone, of which more would go than retention.most: look at a plan, and apply it by hand\n", clean(repo))
	}
	if r.StoppedMore > 0 {
		fmt.Fprintf(e.stdout, "warning: it left others alone, too (%d)\n", r.StoppedMore)
	}
}
