package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/spf13/cobra"
)

const scrubPath = "/api/v1/scrub"

// scrub is the verb `hallmark scrub`.
func (e *env) scrub() *cobra.Command {
	c := &cobra.Command{
		Use: "scrub", Short: "Read every blob in the background, and mark what is damaged", Args: cobra.NoArgs,
		Long: "A running server reads every blob and manifest each `scrub.every`, no faster than `scrub.rate`, and compares it with its digest. What is lost\n" +
			"or damaged is marked: it is not served until it is pushed again, or its file restored. Without a verb, the status is shown.",
	}
	t := addTarget(c)
	asJSON := c.PersistentFlags().Bool("json", false, "print JSON, for programs")
	show := func(c *cobra.Command, _ []string) error { return e.scrubStatus(c.Context(), t, *asJSON) }
	c.RunE = show
	status := &cobra.Command{
		Use: "status", Short: "Show the scrub's progress, when everything was last read, and what is damaged", Args: cobra.NoArgs,
		RunE: show,
	}
	now := &cobra.Command{
		Use: "now", Short: "Read everything now, and say what is damaged", Args: cobra.NoArgs,
		Long: "Read everything now, from the beginning, and wait for its end. One that was asked for before and is under way is waited for instead. Exit status 1\n" +
			"says that something is lost or damaged. The server goes on when this command is interrupted.",
	}
	now.RunE = func(c *cobra.Command, _ []string) error {
		return e.withScrub(c.Context(), t, func(cl *client) error { return e.scrubNow(c.Context(), cl, *asJSON) })
	}
	c.AddCommand(status, now)
	return c
}

// withScrub asks a registry. Where no server runs on the directory, this process does what the server would.
func (e *env) withScrub(ctx context.Context, t *target, ask func(*client) error) error {
	cl, err := e.connect(ctx, t)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	if cl.background != nil {
		group.Go(func() { cl.background(ctx) })
	}
	defer func() {
		stop()
		group.Wait()
		_ = cl.close() // what was asked is answered
	}()
	return ask(cl)
}

func (e *env) scrubStatus(ctx context.Context, t *target, asJSON bool) error {
	cl, err := e.connect(ctx, t)
	if err != nil {
		return err
	}
	defer cl.close() //nolint:errcheck // what was asked is answered
	var st registry.ScrubStatus
	if err := cl.get(ctx, scrubPath, nil, &st); err != nil {
		return err
	}
	return e.showScrub(st, asJSON)
}

// scrubNow begins a pass, and shows how far it is until its end.
func (e *env) scrubNow(ctx context.Context, cl *client, asJSON bool) error {
	var st registry.ScrubStatus
	if err := cl.send(ctx, "POST", scrubPath, struct{}{}, &st); err != nil {
		return err
	}
	for st.Running != nil && st.Running.Asked {
		if isTerminal(e.stderr) {
			fmt.Fprintf(e.stderr, "\r\x1b[K%s", scrubbedSoFar(st))
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return askf("the scrub goes on; `hallmark scrub status` says how far it is: %w", err)
		}
		st = registry.ScrubStatus{}
		if err := cl.get(ctx, scrubPath, nil, &st); err != nil {
			return err
		}
	}
	if isTerminal(e.stderr) {
		fmt.Fprint(e.stderr, "\r\x1b[K")
	}
	if err := e.showScrub(st, asJSON); err != nil {
		return err
	}
	switch {
	case len(st.Damaged) > 0:
		return nof("%s lost or damaged: push it again, or put its file back", damagedCount(st))
	case st.Last != nil && st.Last.Unread > 0:
		return askf("%d blobs could not be read now; the server's log says why", st.Last.Unread)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func damagedCount(st registry.ScrubStatus) string {
	more := ""
	if st.More {
		more = "more than "
	}
	if n := len(st.Damaged); n != 1 {
		return fmt.Sprintf("%s%d are", more, n)
	}
	return "1 is"
}

func scrubbedSoFar(st registry.ScrubStatus) string {
	return fmt.Sprintf("scrubbing: %.0f %%, %s", st.Done*100, inPass(st.Running))
}

func inPass(p *registry.ScrubPass) string {
	s := fmt.Sprintf("%d blobs and %d manifests read, %s, %d damaged", p.Blobs, p.Manifests, units.Bytes(p.Bytes), p.Damaged)
	if p.Unread > 0 {
		s += fmt.Sprintf(", %d could not be read", p.Unread)
	}
	return s
}

func (e *env) showScrub(st registry.ScrubStatus, asJSON bool) error {
	if asJSON {
		return writeJSON(e.stdout, st)
	}
	switch {
	case st.Every == "0s":
		fmt.Fprintln(e.stdout, "scrub.every is 0: nothing is scrubbed unless it is asked for")
	case st.Rate > 0:
		fmt.Fprintf(e.stdout, "every %s, at %s a second\n", st.Every, units.Bytes(int64(min(st.Rate, 1<<62))))
	default:
		fmt.Fprintf(e.stdout, "every %s\n", st.Every)
	}
	if p := st.Last; p != nil && p.Finished != nil {
		fmt.Fprintf(e.stdout, "last: %s to %s, %s\n", local(p.Started), local(*p.Finished), inPass(p))
	} else {
		fmt.Fprintln(e.stdout, "last: none came to its end yet")
	}
	if p := st.Running; p != nil {
		fmt.Fprintf(e.stdout, "now: since %s, %.0f %%, %s\n", local(p.Started), st.Done*100, inPass(p))
	} else if st.Next != nil {
		fmt.Fprintf(e.stdout, "next: %s\n", local(*st.Next))
	}
	if len(st.Damaged) == 0 {
		fmt.Fprintln(e.stdout, "nothing is marked as damaged")
		return nil
	}
	tab := e.table("DAMAGED", "REPOSITORY", "SINCE", "WHAT…")
	for _, d := range st.Damaged {
		tab.row(d.Digest.String(), d.Repository, local(d.Found), d.What)
	}
	if err := tab.flush(); err != nil {
		return err
	}
	if st.More {
		fmt.Fprintf(e.stdout, "and more: these are the first %d\n", len(st.Damaged))
	}
	return nil
}
