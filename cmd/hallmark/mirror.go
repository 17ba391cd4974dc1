package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

const mirrorsPath = "/api/v1/mirrors"

// mirrorStatus is how a mirror is, as the API has it.
type mirrorStatus struct {
	Name         string           `json:"name"`
	Upstream     string           `json:"upstream"`
	Repositories []string         `json:"repositories"`
	Tags         []string         `json:"tags,omitempty"`
	Platforms    []string         `json:"platforms,omitempty"`
	Into         string           `json:"into"`
	Every        string           `json:"every"`
	Deleted      string           `json:"deleted"`
	Hold         string           `json:"hold,omitempty"`
	Waiting      []mirrorWaiting  `json:"waiting,omitempty"`
	WaitingCut   bool             `json:"waitingCut,omitempty"`
	Running      *importCounts    `json:"running,omitempty"`
	Began        *provenance.Time `json:"began,omitempty"`
	Ended        *provenance.Time `json:"ended,omitempty"`
	By           string           `json:"by,omitempty"`
	Succeeded    *provenance.Time `json:"succeeded,omitempty"`
	Next         *provenance.Time `json:"next,omitempty"`
	Failures     int              `json:"failures"`
	Why          string           `json:"why,omitempty"`
	Last         *mirrorReport    `json:"last,omitempty"`
}

// mirrorWaiting is a tag that waits.
type mirrorWaiting struct {
	Repository string          `json:"repository"`
	Tag        string          `json:"tag"`
	Digest     digest.Digest   `json:"digest"`
	Seen       provenance.Time `json:"seen"`
	Left       string          `json:"left,omitempty"`
}

// mirrorReport is what came of a run.
type mirrorReport struct {
	importReport
	Removed int64 `json:"removed"`
	Held    int64 `json:"held"`
}

// mirror is the verb `hallmark mirror`.
func (e *env) mirror() *cobra.Command {
	c := &cobra.Command{
		Use: "mirror", Short: "Keep repositories as other registries have them",
		Long: "Rules in the file `mirrors.file` say which repositories of which registry are followed, into which prefix, and how often. Nobody\n" +
			"pushes below that prefix. For administrators.",
	}
	t := addTarget(c)
	c.AddCommand(e.mirrorList(t), e.mirrorStatus(t), e.mirrorRun(t), e.mirrorApprove())
	return c
}

func (e *env) mirrorList(t *target) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the mirrors, and how they are", Args: cobra.NoArgs, Example: "  hallmark mirror list"}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var answer struct {
				Mirrors []mirrorStatus `json:"mirrors"`
			}
			if err := cl.get(ctx, mirrorsPath, nil, &answer); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, answer)
			}
			tab := e.table("MIRROR", "OF", "INTO", "UP TO DATE", "NEXT", "STATE…")
			for _, m := range answer.Mirrors {
				tab.row(m.Name, m.Upstream, m.Into, localOr(m.Succeeded, "never"), localOr(m.Next, "now"), m.state())
			}
			return tab.flush()
		})
	}
	return c
}

// localOr is a time, or what stands for none.
func localOr(t *provenance.Time, none string) string {
	if t == nil {
		return none
	}
	return local(*t)
}

// state says in a few words how a mirror is.
func (m *mirrorStatus) state() string {
	switch {
	case m.Running != nil:
		return fmt.Sprintf("running: %s looked at", number(m.Running.Images, "image"))
	case m.Failures > 0:
		return fmt.Sprintf("failed %s: %s", number(m.Failures, "time"), m.Why)
	case m.Why != "":
		return m.Why
	case m.Last == nil:
		return "has not run yet"
	case m.Last.Refused > 0:
		return areRefused(m.Last.Refused) + " refused"
	}
	return "good"
}

func (e *env) mirrorStatus(t *target) *cobra.Command {
	c := &cobra.Command{Use: "status NAME", Short: "Show how a mirror is, and what its last run brought", Args: one("the name of a mirror"), Example: "  hallmark mirror status hub"}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var m mirrorStatus
			if err := cl.get(ctx, mirrorsPath+"/"+url.PathEscape(args[0]), nil, &m); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, m)
			}
			e.showMirror(&m)
			return nil
		})
	}
	return c
}

func (e *env) showMirror(m *mirrorStatus) {
	w := e.stdout
	line(w, "mirror", "%s", m.Name)
	line(w, "of", "%s: %s", m.Upstream, list(m.Repositories))
	line(w, "tags", "%s", firstOf(list(m.Tags), "all"))
	lineIf(w, "platforms", list(m.Platforms))
	line(w, "into", "%s", m.Into)
	line(w, "gone upstream", "%s", m.Deleted)
	line(w, "every", "%s", m.Every)
	lineIf(w, "holds", m.Hold)
	line(w, "state", "%s", clean(m.state()))
	line(w, "up to date", "%s", localOr(m.Succeeded, "never"))
	line(w, "next run", "%s", localOr(m.Next, "now"))
	if m.Began != nil {
		line(w, "last run", "%s, by %s", local(*m.Began), firstOf(m.By, "the schedule"))
	}
	for _, x := range m.Waiting {
		left := "until it is let through"
		if x.Left != "" {
			left = "for " + x.Left + " more at most"
		}
		line(w, "waits", "%s:%s, %s, since %s, %s", clean(x.Repository), clean(x.Tag), short(x.Digest), local(x.Seen), left)
	}
	if m.WaitingCut {
		line(w, "waits", "more than these")
	}
	if m.Last != nil {
		e.printFollowed(m.Last)
	}
}

// printFollowed is the report for people.
func (e *env) printFollowed(r *mirrorReport) {
	e.printImport(&r.importReport)
	if r.Removed > 0 && r.DryRun {
		fmt.Fprintf(e.stdout, "%s would be removed, because upstream they are gone; those that are held or immutable stay\n", number(r.Removed, "tag"))
	} else if r.Removed > 0 {
		fmt.Fprintf(e.stdout, "%s removed, because upstream they are gone\n", number(r.Removed, "tag"))
	}
	if r.Held > 0 && r.DryRun {
		fmt.Fprintf(e.stdout, "%s would be held\n", number(r.Held, "tag"))
	} else if r.Held > 0 {
		fmt.Fprintf(e.stdout, "%s held: `hallmark mirror status` lists what waits\n", number(r.Held, "tag"))
	}
}

// mirrorTime bounds how long a run by hand may take.
const mirrorTime = 7 * 24 * time.Hour

func (e *env) mirrorRun(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "run NAME", Short: "Bring a mirror up to date now", Args: one("the name of a mirror"),
		Long: "Bring a mirror up to date now, and wait for its end. What comes is on record in your name, with the rule. Tags that are gone upstream\n" +
			"are dealt with as the rule says, also where they are so many that a schedule leaves them. Exit status 1 says that something was refused.",
		Example: "  hallmark mirror run hub\n  hallmark mirror run hub --dry-run",
	}
	dry := c.Flags().Bool("dry-run", false, "count what would come and go, and change nothing")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return e.askWithin(c.Context(), mirrorTime, t, func(ctx context.Context, cl *client) error {
			return e.runMirror(ctx, cl, args[0], *dry, *asJSON)
		})
	}
	return c
}

// runMirror asks for a run, and shows how it goes on.
func (e *env) runMirror(ctx context.Context, cl *client, name string, dry, asJSON bool) error {
	var report mirrorReport
	if err := e.followLines(ctx, cl, mirrorsPath+"/"+url.PathEscape(name)+"/run", map[string]bool{"dryRun": dry}, asJSON, "the run", &report); err != nil {
		return err
	}
	if !asJSON {
		e.printFollowed(&report)
	}
	return report.refusals()
}

func (e *env) mirrorApprove() *cobra.Command {
	c := &cobra.Command{
		Use: "approve REF", Short: "Let through what a mirror holds", Args: one("an image that waits, as mirror/hub/library/alpine:3.20"),
		Long: "Let through an image that a mirror holds because it is new upstream: the tag is set, and the record names you. A digest stands for all\n" +
			"tags that wait for it. For those who administer the repository.",
		Example: "  hallmark mirror approve mirror/hub/library/alpine:3.20",
	}
	t := addTarget(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		repo, name, err := t.imageIn(args[0], "hallmark mirror status --json NAME")
		if err != nil {
			return err
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			return e.approve(ctx, cl, repo, name)
		})
	}
	return c
}

func (e *env) approve(ctx context.Context, cl *client, repo, name string) error {
	var answer struct {
		Approved []struct {
			Repository, Tag string
			Digest          digest.Digest
			Record          *uint64
		}
	}
	if err := cl.send(ctx, http.MethodPost, mirrorsPath+"/approve", map[string]string{"repository": repo, "reference": name}, &answer); err != nil {
		return err
	}
	for _, a := range answer.Approved {
		record := "which it meant already"
		if a.Record != nil {
			record = fmt.Sprintf("record %d", *a.Record)
		}
		fmt.Fprintf(e.stdout, "%s:%s means %s now: %s\n", clean(a.Repository), clean(a.Tag), clean(a.Digest.String()), record)
	}
	return nil
}
