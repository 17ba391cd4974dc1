package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// records is the verb `hallmark records`.
func (e *env) records() *cobra.Command {
	c := &cobra.Command{
		Use: "records", Short: "Find records of pushes and other events", Args: cobra.NoArgs,
		Long: "Find records of pushes and other events. What tables print can be given back: times, digests of any length that is\n" +
			"unambiguous, accounts. " + nothingFound,
		Example: "  hallmark records --repo team/app --since 7d\n  hallmark records --identity alice --action push\n" +
			"  hallmark records --source https://git.example/team/app --json\n" +
			"  hallmark records --since 2026-01-01 --until 2026-04-01 --format jsonl --receipts > quarter.jsonl",
	}
	t := addTarget(c)
	f := recordFlags{
		filters: addRecordFilters(c), limit: c.Flags().Int("limit", 100, "print at most this many; 0 is all"),
		json: addJSON(c), export: addExportFlags(c),
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		query, err := f.query()
		if err != nil {
			return err
		}
		if f.export.format != "" {
			most, err := f.export.of(c, query, *f.limit)
			if err != nil {
				return err
			}
			return e.exportRecords(c.Context(), t, query, f.export, most)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.findRecords(ctx, cl, f, query) })
	}
	return c
}

// recordFlags are the flags of the verb `hallmark records`.
type recordFlags struct {
	filters map[string]*string
	limit   *int
	json    *bool
	export  *exportFlags
}

func addRecordFilters(c *cobra.Command) map[string]*string {
	filters := map[string]*string{}
	for name, help := range map[string]string{
		"repo": "in this `repository`", "tag": "that moved this `tag` of --repo", "digest": "about this `digest`",
		"identity": "by this `user`, as alice, robot:builder, or an account", "source": "of images that claim this `URL` as their source",
		"revision": "of images that claim this `commit` of their source, or how it begins", "base": "of images on the base with this `digest`",
		"action": strings.Join(actionNames(), ", "), "class": "with facts of this class: observed, authenticated, attested or claimed",
		"since": "not before this `time`: 2006-01-02, 2006-01-02T15:04:05Z, or 7d, 24h ago", "until": "before this `time`",
		"order": "asc or desc: oldest or newest first (default desc)",
	} {
		filters[name] = c.Flags().String(name, "", help)
	}
	return filters
}

// query is the question that the flags ask.
func (f *recordFlags) query() (url.Values, error) {
	query := url.Values{}
	for name, value := range f.filters {
		addFilter(query, name, *value)
	}
	if err := findMoments(query, time.Now(), "since", "until"); err != nil {
		return nil, err
	}
	if f.export.format == "" && (f.export.receipts || f.export.after != "") {
		return nil, usagef("--receipts and --after are for files: give --format jsonl or --format csv too")
	}
	return query, nil
}

// findRecords prints a table of records, or JSON.
func (e *env) findRecords(ctx context.Context, cl *client, f recordFlags, query url.Values) error {
	if err := wholeFilters(ctx, cl, "/api/v1/records", query); err != nil {
		return err
	}
	found, err := somePages(ctx, cl, "/api/v1/records", query, *f.limit, recordsIn)
	if err != nil {
		return err
	}
	if *f.json {
		return errors.Join(writeJSON(e.stdout, found.json(map[string]any{"records": found.items})), found.nothing("record"))
	}
	if err := found.nothing("record"); err != nil {
		return err
	}
	return e.recordTable(found)
}

func actionNames() (names []string) {
	for _, a := range provenance.Actions {
		names = append(names, string(a))
	}
	return names
}

// wholeFilters reads filters as tables show what they are about: a digest may be shortened, where its repository is named,
// and a name may stand with its account. The query is for a path.
func wholeFilters(ctx context.Context, cl *client, path string, query url.Values) error {
	if _, account, ok := strings.Cut(query.Get("identity"), " (account "); ok {
		query.Set("identity", strings.TrimSuffix(account, ")"))
	}
	for _, name := range []string{"digest", "base"} {
		given := query.Get(name)
		if given == "" {
			continue
		}
		d, prefix, err := parseDigest(given)
		switch {
		case err != nil:
			return err
		case prefix == "":
		default:
			repo := query.Get("repo")
			if name == "base" { // the base of an image is seldom in its own repository
				repo = ""
			}
			if d, err = cl.wholeDigest(ctx, repo, prefix); err != nil {
				return withBaseHint(err, name)
			}
		}
		query.Set(name, d.String())
	}
	return wholeRevision(ctx, cl, path, query)
}

// withBaseHint adds to an answer that nothing begins so what to do about a base, which need not be here.
func withBaseHint(err error, name string) error {
	if name == "base" && exitCode(err) == exitNo {
		return nof("%w. A base that is not in this registry has to be given whole", err)
	}
	return err
}

func (e *env) recordTable(found *found[*provenance.Record]) error {
	tab := e.table("RECORD", "TIME", "ACTION", "WHO", "ABOUT", "TAG", "DIGEST", "CLAIMED SOURCE…")
	for _, r := range found.items {
		tab.row(strconv.FormatUint(r.Index, 10), local(r.Time), string(r.Action), found.names.who(r.Actor), found.names.topic(r), tagNames(r.Tags), r.Digest.String(), sourceOf(r.Claimed))
	}
	return errors.Join(tab.flush(), e.say(found.leftOut()))
}

// pages reads a list from page to page, to its end or until it has limit items, where limit is not 0.
func pages[Page, Item any](ctx context.Context, cl *client, path string, query url.Values, limit int, items func(Page) []Item) ([]Item, error) {
	all, err := somePages(ctx, cl, path, query, limit, items)
	if err != nil {
		return nil, err
	}
	return all.items, nil
}

// somePages is pages for a list that may be cut.
func somePages[Page, Item any](ctx context.Context, cl *client, path string, query url.Values, limit int, items func(Page) []Item) (*found[Item], error) {
	all := &found[Item]{items: []Item{}, names: namesakes{}}
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(pageSize(limit)))
	for next := path + "?" + query.Encode(); next != ""; {
		var raw json.RawMessage
		if err := cl.send(ctx, "GET", next, nil, &raw); err != nil {
			return nil, err
		}
		var page Page
		var more struct {
			Next      string
			Namesakes []string
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, askf("an answer that is not understood: %w", err)
		}
		if err := json.Unmarshal(raw, &more); err != nil {
			return nil, askf("an answer that is not understood: %w", err)
		}
		all.items = append(all.items, items(page)...)
		all.names.add(more.Namesakes)
		if limit > 0 && len(all.items) >= limit {
			all.more = len(all.items) > limit || more.Next != ""
			all.items = all.items[:limit]
			return all, nil
		}
		next = more.Next
	}
	return all, nil
}

func pageSize(limit int) int {
	if limit > 0 && limit < provenance.MaxPage {
		return limit
	}
	return provenance.MaxPage
}

// history is the verb `hallmark history`.
func (e *env) history() *cobra.Command {
	c := &cobra.Command{
		Use: "history REPO:TAG", Short: "Show who moved a tag from what to what, and when", Args: one("a repository with a tag, as team/app:latest"),
	}
	t := addTarget(c)
	at := c.Flags().String("at", "", "show what the tag meant at this `time` instead: 2006-01-02, 2006-01-02T15:04:05Z, or 7d, 24h ago. A whole second means its end")
	limit := c.Flags().Int("limit", 100, "print at most this many moves; 0 is all")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		if ref.tag == "" {
			return usagef("history is of a tag: write %s:TAG", ref.repository)
		}
		ref.aim(t)
		query := url.Values{"repo": {ref.repository}, "tag": {ref.tag}}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			if *at != "" {
				query.Set("at", *at)
				if err := findMoments(query, time.Now(), "at"); err != nil {
					return err
				}
				return e.meaning(ctx, cl, query, *asJSON)
			}
			moves, err := somePages(ctx, cl, "/api/v1/history", query, *limit, func(p struct{ Moves []provenance.Move }) []provenance.Move { return p.Moves })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, moves.json(map[string]any{"repository": ref.repository, "tag": ref.tag, "moves": moves.items}))
			}
			return e.moveTable(moves)
		})
	}
	return c
}

func (e *env) meaning(ctx context.Context, cl *client, query url.Values, asJSON bool) error {
	var m struct {
		Repository string          `json:"repository"`
		Tag        string          `json:"tag"`
		At         provenance.Time `json:"at"`
		Digest     string          `json:"digest"`
		Move       provenance.Move `json:"move"`
		Namesakes  []string        `json:"namesakes,omitempty"`
	}
	if err := cl.get(ctx, "/api/v1/history", query, &m); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, m)
	}
	fmt.Fprintf(e.stdout, "at %s, %s:%s meant %s\nset by:\n", local(m.At), m.Repository, m.Tag, clean(m.Digest))
	return e.moveTable(&found[provenance.Move]{items: []provenance.Move{m.Move}, names: newNamesakes(m.Namesakes)})
}

func (e *env) moveTable(moves *found[provenance.Move]) error {
	tab := e.table("RECORD", "TIME", "ACTION", "WHO", "FROM", "TO", "CLAIMED SOURCE…")
	for _, m := range moves.items {
		to := m.To.String()
		if m.To == m.From {
			to = "(the same)"
		}
		r := m.Record
		tab.row(strconv.FormatUint(r.Index, 10), local(r.Time), string(r.Action), moves.names.who(r.Actor), m.From.String(), to, sourceOf(r.Claimed))
	}
	return errors.Join(tab.flush(), e.say(moves.leftOut()))
}

// allRecords asks page by page for the records that a query finds.
func allRecords(ctx context.Context, cl *client, query url.Values) ([]*provenance.Record, error) {
	return pages(ctx, cl, "/api/v1/records", query, 0, recordsIn)
}

func recordsIn(p struct{ Records []*provenance.Record }) []*provenance.Record { return p.Records }
