package web

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/provenance"
)

// recordView is one record, whole.
type recordView struct {
	Frame
	Record *provenance.Record
	What   string
	Raw    string // as the API has it, indented
	Moves  []tagMove
}

// tagMove is what a record did to one tag.
type tagMove struct {
	provenance.TagMove
	To string
}

// record shows one record.
func (pg *page) record() error {
	index, err := strconv.ParseUint(pg.r.PathValue("index"), 10, 63)
	if err != nil {
		return refusalf(404, "%q is not the number of a record.", plain(pg.r.PathValue("index")))
	}
	var raw json.RawMessage
	if err := pg.ask(fmt.Sprintf("/api/v1/records/%d", index), nil, &raw); err != nil {
		return err
	}
	view := recordView{}
	if err := json.Unmarshal(raw, &view.Record); err != nil {
		return fmt.Errorf("record %d: %w", index, err)
	}
	view.Raw, view.What = indent(raw), does(view.Record)
	for _, t := range view.Record.Tags {
		view.Moves = append(view.Moves, tagMove{t, string(view.Record.Meaning(t))})
	}
	view.Frame = pg.frame(fmt.Sprintf("Record %d", index))
	return pg.show(200, "record", view)
}

// recordsView is a page of records that a filter finds.
type recordsView struct {
	Frame
	Lines     []recordLine
	Filters   []filter
	Namesakes provenance.Namesakes
	Next      string
}

// A filter narrows a list; Without is the same page without it.
type filter struct{ Name, Value, Without string }

// records lists records.
func (pg *page) records() error {
	q := pg.r.URL.Query()
	ask := url.Values{"limit": {listed}}
	view := recordsView{}
	for name, values := range q {
		if len(values) > 0 && values[0] != "" {
			ask.Set(name, values[0])
		}
	}
	for _, name := range []string{"repo", "tag", "digest", "identity", "source", "revision", "base", "action", "class", "since", "until"} {
		if v := q.Get(name); v != "" {
			rest := pg.r.URL.Query()
			rest.Del(name)
			rest.Del("after")
			view.Filters = append(view.Filters, filter{name, v, "/-/records?" + rest.Encode()})
		}
	}
	var found api.RecordPage
	if err := pg.ask("/api/v1/records", ask, &found); err != nil {
		return err
	}
	view.Lines, view.Namesakes, view.Next = linesOf(found.Records), found.Namesakes, pg.following(found.Next)
	view.Frame = pg.frame("Records")
	return pg.show(200, "records", view)
}

// does says in words what a record is about, without who did it.
func does(r *provenance.Record) string {
	switch r.Action {
	case provenance.Push, provenance.Import:
		return string(r.Action) + "ed" + tagNames(r, " as ") + cameFrom(r)
	case provenance.Tag:
		return "set" + tagNames(r, " ")
	case provenance.Untag:
		return "removed the tag" + tagNames(r, " ")
	case provenance.Delete:
		return "deleted an image" + tagNames(r, " with ")
	case provenance.Undelete:
		return "brought an image back" + tagNames(r, " with ")
	case provenance.Purge:
		return "removed an image from the trash"
	case provenance.Attest:
		if r.Word != nil {
			return "brought the word of another registry along"
		}
		return "added a signature" + verdictOf(r)
	case provenance.Grant, provenance.Revoke:
		return rights(r)
	case provenance.KeyChange:
		return "changed the signing key"
	case provenance.Restore:
		return "restored a backup and began another log"
	case provenance.HoldChange:
		return holds(r)
	case provenance.Rules:
		return "changed the rules about images"
	}
	return string(r.Action)
}

func tagNames(r *provenance.Record, before string) string {
	var names []string
	for _, t := range r.Tags {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return ""
	}
	return before + strings.Join(names, ", ")
}

// cameFrom says where an imported manifest was taken from.
func cameFrom(r *provenance.Record) string {
	if r.Observed.Origin == nil {
		return ""
	}
	from := " from " + r.Observed.Origin.String()
	if slices.ContainsFunc(r.Tags, r.MovedElsewhere) {
		from += ", where somebody unknown moved the tag"
	}
	return from
}

// holds says until when an image is held, and why, or that it no longer is.
func holds(r *provenance.Record) string {
	switch {
	case r.Hold == nil:
		return "changed a hold"
	case r.Hold.Ends():
		return "released an image"
	}
	return "held an image until " + r.Hold.Until.Format(time.DateOnly) + ": " + r.Hold.Reason
}

func verdictOf(r *provenance.Record) string {
	if r.Verdict == nil {
		return ""
	}
	says := " (" + string(r.Verdict.Result)
	if r.Verdict.Signer != "" {
		says += ", by " + r.Verdict.Signer
	}
	return says + ")"
}

// rights says what a grant gave or a revoke took away, and what became of an account.
func rights(r *provenance.Record) string {
	g := r.Grant
	if g == nil || g.Change == "" {
		return granting(r)
	}
	says := accountWords(g)
	if g.Role != "" { // the first right of an account is on record with it
		says += ", and " + granting(r)
	}
	return says
}

// accountWords says what became of an account, or of a token of one.
func accountWords(g *provenance.RightsChange) string {
	switch g.Change {
	case provenance.AccountRenamed:
		return "renamed " + g.Former + " to " + g.Subject
	case provenance.AccountSecret:
		return "gave " + g.Subject + " another password or secret"
	case provenance.TokenAdded:
		return "made a personal token for " + g.Subject
	case provenance.TokenEnded:
		return "ended a personal token of " + g.Subject
	default:
		return string(g.Change) + " " + g.Subject
	}
}

// granting says what right was granted or revoked.
func granting(r *provenance.Record) string {
	says := map[provenance.Action]string{provenance.Grant: "granted", provenance.Revoke: "revoked"}[r.Action]
	g := r.Grant
	if g == nil {
		return says
	}
	for _, p := range []struct{ name, value string }{
		{"", g.Subject}, {" team", g.Team}, {"", g.Role}, {" on", g.Pattern}, {" tags", g.Tags},
	} {
		if p.value != "" {
			says += p.name + " " + p.value
		}
	}
	return says
}
