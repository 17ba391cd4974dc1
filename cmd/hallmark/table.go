package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// addJSON adds --json to a verb that prints a table, and --no-trunc.
func addJSON(c *cobra.Command) *bool {
	c.Flags().Bool("no-trunc", false, "shorten nothing in tables, however wide the terminal is")
	return c.Flags().Bool("json", false, "print JSON, for programs")
}

func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// number is a number of things, as "1 repository" and "2 repositories".
func number[N int | int64 | uint64](n N, of string) string {
	if n == 1 {
		return "1 " + of
	}
	if stem, ok := strings.CutSuffix(of, "y"); ok {
		of = stem + "ie"
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// clean replaces what a terminal would act upon.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// complain prints an error: it may have several lines, and quote what a server answered.
func complain(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	fmt.Fprintln(w, "hallmark:", strings.Join(lines, "\n"))
}

// short is a digest as people compare it.
func short(d digest.Digest) string {
	if len(d) < 19 {
		return string(d)
	}
	return string(d[:19])
}

// local is a moment as people read it and commands take it: RFC 3339, with the zone here and the whole fraction.
func local(t provenance.Time) string { return moment(t.Time) }

func moment(t time.Time) string { return t.Local().Format("2006-01-02T15:04:05.000000Z07:00") }

// who is an actor in one word, with its kind where it is not a person.
func who(a provenance.Actor) string {
	if a.Kind == provenance.User {
		return a.Handle
	}
	return string(a.Kind) + ":" + a.Handle
}

// rulesTopic names the rules that are in force from a record on.
func rulesTopic(r *provenance.RuleFiles) string {
	text := "policy " + orNone(short(r.Policy)) + ", trust " + orNone(short(r.Trust))
	if r.Quotas != "" {
		text += ", quotas " + short(r.Quotas)
	}
	return text
}

// topic is what a record is about: a repository, or whose right changed.
func topic(r *provenance.Record) string {
	g := r.Grant
	switch {
	case r.Rules != nil:
		return rulesTopic(r.Rules)
	case g == nil:
		return r.Repository
	case g.Change == provenance.AccountRenamed:
		return g.Former + " is now " + g.Subject
	case g.Change == provenance.AccountSecret:
		return g.Subject + ": another password or secret"
	case g.Change != "" && g.Role == "":
		return g.Subject + " " + string(g.Change)
	case g.Team != "" && g.Subject != "":
		return g.Subject + " in team:" + g.Team
	case g.Team != "":
		return "team:" + g.Team
	case g.Tags != "":
		return "moving tags " + g.Tags + " in " + g.Pattern
	default:
		return g.Subject + " " + g.Pattern + " " + g.Role
	}
}

func orNone(s string) string { return cmp.Or(s, "none") }

// sourceOf sums up what a record's claims say of the source: one source and revision, the first, with a
// mark when there are others. Another spelling of the same is none.
func sourceOf(claims []provenance.Claim) string {
	values := map[string][]string{}
	for _, c := range claims {
		same := func(known string) bool { return provenance.Same(c.Fact, known, c.Value) }
		if !slices.ContainsFunc(values[c.Fact], same) {
			values[c.Fact] = append(values[c.Fact], c.Value)
		}
	}
	source, revision := values[provenance.FactSource], values[provenance.FactRevision]
	var s string
	if len(source) > 0 {
		s = source[0]
	}
	if len(revision) > 0 {
		s += "@" + revision[0]
	}
	if len(source) > 1 || len(revision) > 1 {
		s += " (and others)"
	}
	return s
}

func tagNames(tags []provenance.TagMove) string {
	var names []string
	for _, t := range tags {
		names = append(names, t.Name)
	}
	return strings.Join(names, ",")
}
