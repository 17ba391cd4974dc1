package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// records is the verb `hallmark records`.
func (e *env) records() *cobra.Command {
	c := &cobra.Command{
		Use: "records", Short: "Find records of pushes and other events", Args: cobra.NoArgs,
		Example: "  hallmark records --repo team/app --since 7d\n  hallmark records --source https://git.example/team/app --revision 1f0c2a4",
	}
	t := addTarget(c)
	filters := map[string]*string{}
	for name, help := range map[string]string{
		"repo": "in this `repository`", "tag": "that moved this `tag` of --repo", "digest": "about this `digest`",
		"identity": "by this `user`", "source": "of images that claim this `URL` as their source",
		"revision": "of images that claim this `commit` of their source", "base": "of images on the base with this `digest`",
		"action": "push, untag, delete or attest", "class": "with facts of this class: observed, authenticated, attested or claimed",
		"since": "not before this `time`: 2006-01-02, 2006-01-02T15:04:05Z, or 7d, 24h ago", "until": "before this `time`",
		"order": "asc or desc: oldest or newest first (default desc)",
	} {
		filters[name] = c.Flags().String(name, "", help)
	}
	limit := c.Flags().Int("limit", 100, "print at most this many; 0 is all")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{}
		for name, value := range filters {
			if *value != "" {
				query.Set(name, ago(*value, name, time.Now()))
			}
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			found, err := somePages(ctx, cl, "/api/v1/records", query, *limit, func(p struct{ Records []*provenance.Record }) []*provenance.Record { return p.Records })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, found.json(map[string]any{"records": found.items}))
			}
			return e.recordTable(found)
		})
	}
	return c
}

// ago turns a length of time into the moment that long ago, for the filters that want a time.
func ago(value, name string, now time.Time) string {
	var d units.Duration
	if name != "since" && name != "until" && name != "at" || d.UnmarshalText([]byte(value)) != nil {
		return value
	}
	return now.Add(-time.Duration(d)).UTC().Format(time.RFC3339Nano)
}

func (e *env) recordTable(found *found[*provenance.Record]) error {
	tab := newTable(e.stdout, "RECORD", "TIME", "ACTION", "WHO", "ABOUT", "TAG", "DIGEST", "CLAIMED SOURCE")
	for _, r := range found.items {
		tab.row(strconv.FormatUint(r.Index, 10), local(r.Time), string(r.Action), found.names.who(r.Actor), found.names.topic(r), tagNames(r.Tags), short(r.Digest), sourceOf(r.Claimed))
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
	at := c.Flags().String("at", "", "show what the tag meant at this `time` instead")
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
				query.Set("at", ago(*at, "at", time.Now()))
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
	tab := newTable(e.stdout, "RECORD", "TIME", "ACTION", "WHO", "FROM", "TO", "CLAIMED SOURCE")
	for _, m := range moves.items {
		to := short(m.To)
		if m.To == m.From {
			to = "(the same)"
		}
		r := m.Record
		tab.row(strconv.FormatUint(r.Index, 10), local(r.Time), string(r.Action), moves.names.who(r.Actor), short(m.From), to, sourceOf(r.Claimed))
	}
	return errors.Join(tab.flush(), e.say(moves.leftOut()))
}
