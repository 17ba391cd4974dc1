package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
)

// printActs says who pushed the image first, who tagged it, and what is said of its build: three questions.
func (img *shownImage) printActs(w io.Writer) {
	if says := img.Says(img.Repository); says != "" {
		line(w, "pushed", "%s", says)
	}
	if b := img.Built; b == nil {
		line(w, "built", "nothing says from what")
	} else {
		line(w, "built", "%s", builtSays(b))
	}
}

// builtSays is what is said of a build, and by whom.
func builtSays(b *provenance.Built) string {
	if b.Class == "" {
		return "it is not known from what: " + b.Unread
	}
	says := "from " + firstOf(b.Source, "a source that is disputed")
	if b.Revision != "" {
		says += " at " + b.Revision
	}
	if b.Builder != "" {
		says += " by " + b.Builder
	}
	if b.Class == provenance.Attested {
		says += ": attested, signed by " + b.Signer
	} else {
		says += ": claimed (" + b.From + "), and nobody has proved it"
	}
	if b.Unread != "" {
		says += "; more may be said, but " + b.Unread
	}
	return says
}

// names are those that do not tell who it was.
func (img *shownImage) names() namesakes { return newNamesakes(img.Namesakes) }

// didWhat is an action in the words of who did it.
func didWhat(a provenance.Action) string {
	words := map[provenance.Action]string{
		provenance.Push: "pushed", provenance.Import: "imported", provenance.Tag: "tagged", provenance.Untag: "untagged",
		provenance.Delete: "deleted", provenance.Undelete: "brought back", provenance.Purge: "removed from the trash",
		provenance.Attest: "evidence attached", provenance.HoldChange: "hold changed",
	}
	return firstOf(words[a], string(a))
}

// printArrivals says when and where these bytes came, when that was not once.
func (img *shownImage) printArrivals(w io.Writer) {
	asOne := img.First == nil || img.First.Job == nil || img.First.Job.Counts
	if len(img.Arrivals) < 2 && len(img.Removals) == 0 && asOne {
		return
	}
	fmt.Fprintln(w, "\narrivals: when and where these bytes came, oldest first")
	acts := slices.Concat(img.Arrivals, img.Removals)
	slices.SortFunc(acts, func(a, b provenance.Act) int { return cmp.Compare(a.Record, b.Record) })
	for _, a := range acts {
		by := "by"
		if a.Action != provenance.Push {
			by = didWhat(a.Action) + " by"
		}
		line(w, "  "+local(a.Time), " %s, %s %s (record %d)%s", a.Repository, by, img.names().who(a.Actor), a.Record, jobSays(a.Job))
	}
	if img.ArrivalsCut {
		fmt.Fprintln(w, "  These are not all: hallmark records --digest shows the others.")
	}
	for _, p := range img.Platforms {
		if p.First == nil {
			line(w, "  of "+short(p.Digest), "who was the first to push it is not known")
			continue
		}
		line(w, "  of "+short(p.Digest), "first %s by %s (record %d)%s", didWhat(p.First.Action), img.names().who(p.First.Actor), p.First.Record, jobSays(p.First.Job))
	}
}

// jobSays is where a CI job ran, and what started it.
func jobSays(j *provenance.Job) string {
	if j == nil {
		return ""
	}
	says := ""
	if j.Source != "" {
		says = " of " + j.Source
	}
	if j.Revision != "" {
		says += " at " + j.Revision
	}
	if j.Event != "" {
		says += ", started by " + j.Event
	}
	return says
}
