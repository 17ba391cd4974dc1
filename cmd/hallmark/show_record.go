package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
)

// showRecord prints one record.
func (e *env) showRecord(ctx context.Context, t *target, index uint64, asJSON bool) error {
	return e.ask(ctx, t, func(ctx context.Context, cl *client) error {
		var raw json.RawMessage
		if err := cl.send(ctx, http.MethodGet, fmt.Sprintf("/api/v1/records/%d", index), nil, &raw); err != nil {
			return err
		}
		if asJSON {
			return writeJSON(e.stdout, raw)
		}
		var r provenance.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return askf("an answer that is not understood: %w", err)
		}
		printRecord(e.stdout, &r)
		return nil
	})
}

// printRecord writes a record for people: what happened, then what is known of it, by class of evidence.
func printRecord(w io.Writer, r *provenance.Record) {
	line(w, "record", "%d", r.Index)
	line(w, "time", "%s", local(r.Time))
	line(w, "action", "%s", r.Action)
	lineIf(w, "about", topic(r))
	lineIf(w, "digest", r.Digest.String())
	for _, t := range r.Tags {
		line(w, "tag", "%s%s", t.Name, before(t))
		if r.MovedElsewhere(t) {
			line(w, "", "it moved upstream; who moved it there is unknown")
		}
	}
	if r.Reason != nil {
		line(w, "rule", "%s", clean(r.Reason.Rule))
	}
	if from := r.Observed.Origin; from != nil {
		line(w, "from", "%s", from)
	}
	if r.Hold != nil {
		line(w, "hold", "%s", saysHold(r.Hold))
	}
	by := who(r.Actor)
	if r.Actor.Account != "" {
		by += " (account " + r.Actor.Account + ")"
	}
	line(w, "by", "%s", by)
	printObserved(w, r)
	printLogin(w, r)
	if len(r.Claimed) > 0 {
		fmt.Fprintln(w, "\nclaimed: the image says so, or what is attached to it, and nobody has proved it")
	}
	for _, c := range r.Claimed {
		line(w, "  "+c.Fact, "%s%s (%s)", c.Value, named(c), c.From)
	}
	for _, u := range r.Unread {
		line(w, "  not read", "%s about %s: %s", u.Document, short(u.About), u.Why)
	}
	if len(r.Attested) > 0 {
		fmt.Fprintln(w, "\nattested: a signature over it was verified when it came, by somebody who was trusted then")
	}
	for _, a := range r.Attested {
		line(w, "  "+a.Fact, "%s (%s, signed by %s)", strings.TrimSpace(a.Value+" "+a.Name), a.From, a.Signer)
	}
	printWord(w, r.Word)
	if r.Log != nil {
		fmt.Fprintln(w)
		line(w, "log", "%s, leaf %d: `hallmark show %d --tlog-proof` proves it", r.Log.Origin, r.Log.Leaf, r.Index)
	}
}

// lineIf is line for what may be absent.
func lineIf(w io.Writer, name, value string) {
	if value != "" {
		line(w, name, "%s", value)
	}
}

// saysHold is what a record says of a hold.
func saysHold(h *provenance.Hold) string {
	if h.Ends() {
		return "released"
	}
	return "until " + local(*h.Until) + ": " + clean(h.Reason)
}

// before is what a tag meant before it was moved.
func before(t provenance.TagMove) string {
	if t.Previous == "" {
		return ""
	}
	return ", which was " + t.Previous.String()
}

func printObserved(w io.Writer, r *provenance.Record) {
	o := r.Observed
	if o.MediaType == "" && len(o.Children) == 0 && o.Subject == "" {
		return
	}
	fmt.Fprintln(w, "\nobserved: the registry saw it itself")
	if o.MediaType != "" {
		line(w, "  type", "%s, %d bytes, and %d with all that it needs", o.MediaType, o.Size, o.ImageSize)
	}
	lineIf(w, "  kind", o.ArtifactType)
	lineIf(w, "  attached to", o.Subject.String())
	for _, c := range o.Children {
		line(w, "  contains", "%s %s", c.Digest, c.Platform)
	}
}

func printLogin(w io.Writer, r *provenance.Record) {
	l := r.Authenticated
	if l == nil {
		return
	}
	fmt.Fprintln(w, "\nauthenticated: the login proves it, and nothing of the build")
	line(w, "  identity", "%s, signed in by %s at %s", l.Identity, r.Means(), l.Issuer)
	lineIf(w, "  credential", l.Credential)
	for _, name := range slices.Sorted(maps.Keys(l.Claims)) {
		line(w, "  "+name, "%s", l.Claims[name])
	}
}
