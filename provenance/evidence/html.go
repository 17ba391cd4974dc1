package evidence

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"strings"
	"unicode"

	"github.com/seed-260924e6/hallmark/provenance"
)

//go:embed page.html.tmpl
var pageText string

// page is one self-contained page: no script, nothing that is fetched, and what images claim is text.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"actor": actor, "tags": tagNames, "login": login, "source": source, "short": short, "join": strings.Join, "plain": plain,
}).Parse(pageText))

// pageData is what the page shows.
type pageData struct {
	*Proof
	Proved string
	Not    []string
	Report reportView
}

// reportView is what the page shows of the report: the word of who made the file.
type reportView struct {
	Grade  string
	Checks []struct{ ID, Question, Result, Says string }
}

// HTML writes a page for people about what a file proves. It is for a proof that was found without an error: what is refused has no page.
func (f *File) HTML(w io.Writer, v *Proof) error {
	data := pageData{Proof: v, Proved: v.Proves(), Not: v.NotProved()}
	report, err := f.Report()
	if err != nil {
		return err
	}
	_ = json.Unmarshal(report, &data.Report) // one of another version is not shown
	return page.Execute(w, data)
}

// tagNames are the tags that a record set, or removed.
func tagNames(r provenance.Record) string {
	var names []string
	for _, t := range r.Tags {
		name := t.Name
		if r.Meaning(t) == "" {
			name += " (removed)"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// login says how somebody had signed in, or that nobody had.
func login(r provenance.Record) string {
	if r.Authenticated == nil {
		return "nobody signed in"
	}
	return string(r.Means()) + ", at " + r.Authenticated.Issuer
}

// source is what the record says that the image claims of its source.
func source(r provenance.Record) string {
	var said []string
	for _, c := range r.Claimed {
		said = append(said, plain(c.Fact+" "+c.Value))
	}
	return strings.Join(said, ", ")
}

// plain takes out what cannot be seen, or turns the direction of writing.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

func short(hint string) string { return hint[:min(12, len(hint))] + "…" }
