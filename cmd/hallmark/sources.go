package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

// originEntry is what the API says of an image that answers a question about where it comes from.
type originEntry struct {
	Repository string             `json:"repository"`
	Digest     digest.Digest      `json:"digest"`
	Rules      []string           `json:"rules,omitempty"`
	Compared   string             `json:"compared,omitempty"`
	Claims     []provenance.Claim `json:"claims,omitempty"`
	Record     *uint64            `json:"record,omitempty"`
	Time       *provenance.Time   `json:"time,omitempty"`
	Actor      *provenance.Actor  `json:"actor,omitempty"`
	Present    bool               `json:"present"`
	Tags       []string           `json:"tags,omitempty"`
	Indexes    []struct {
		Digest digest.Digest `json:"digest"`
		Tags   []string      `json:"tags,omitempty"`
	} `json:"indexes,omitempty"`
}

// sources is the verb `hallmark sources`.
func (e *env) sources() *cobra.Command {
	c := &cobra.Command{
		Use: "sources [URL]", Short: "Show what was built from a source, a commit, or both", Args: cobra.MaximumNArgs(1),
		Long:    "Show what was built from a source, a commit, or both. " + nothingFound,
		Example: "  hallmark sources https://git.example/team/app\n  hallmark sources git.example/team/app --revision 1f0c2a4…\n  hallmark sources --revision 1f0c2a4…",
	}
	revision := c.Flags().String("revision", "", "of this `commit`, or how it begins")
	repo := c.Flags().String("repo", "", "only in this `repository`")
	e.askOrigins(c, "/api/v1/sources", func(_ *target, args []string) (originQuery, error) {
		query := url.Values{}
		if len(args) > 0 {
			query.Set("source", args[0])
		}
		for name, value := range map[string]string{"revision": *revision, "repo": *repo} {
			if value != "" {
				query.Set(name, value)
			}
		}
		if len(args) == 0 && *revision == "" {
			return originQuery{}, usagef("name a source, a --revision, or both; see `%s --help`", c.CommandPath())
		}
		return originQuery{query: query}, nil
	}, func(entry originEntry) string { return sourceOf(entry.Claims) }, "CLAIMED SOURCE")
	return c
}

// descendants is the verb `hallmark descendants`.
func (e *env) descendants() *cobra.Command {
	c := &cobra.Command{
		Use: "descendants REF|DIGEST", Short: "Show every image on a base, and by which rule it is known",
		Args:    one("a base, as base/alpine:3.22 or sha256:…"),
		Long:    "Show every image on a base, and by which rule it is known. " + nothingFound,
		Example: "  hallmark descendants base/alpine:3.22\n  hallmark descendants sha256:… --derive --json",
	}
	derive := c.Flags().Bool("derive", false, "also images that nobody says to be on it, and that begin with its layers")
	e.askOrigins(c, "/api/v1/descendants", func(t *target, args []string) (originQuery, error) {
		query := url.Values{"derived": {strconv.FormatBool(*derive)}}
		if _, _, err := parseDigest(args[0]); err == nil {
			query.Set("base", args[0])
			return originQuery{query: query}, nil
		}
		ref, err := parseReference(args[0])
		ref.aim(t)
		return originQuery{query: query, of: &ref}, err
	}, originEntry.rules, "RULE")
	return c
}

// originQuery is a question whose answer is images.
type originQuery struct {
	query url.Values
	of    *reference // the image that it is about, if any
}

// complete returns the query, for a path, with the image that it is about.
func (o originQuery) complete(ctx context.Context, cl *client, path string) (url.Values, error) {
	if o.of == nil {
		return o.query, wholeFilters(ctx, cl, path, o.query)
	}
	about, err := o.of.query(ctx, cl)
	maps.Copy(about, o.query)
	return about, err
}

// askOrigins makes a verb ask a question whose answer is images.
func (e *env) askOrigins(c *cobra.Command, path string, query func(*target, []string) (originQuery, error), why func(originEntry) string, header string) {
	t := addTarget(c)
	limit := c.Flags().Int("limit", 100, "print at most this many; 0 is all")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		asked, err := query(t, args)
		if err != nil {
			return err
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			derivedMore, cut := false, false
			query, err := asked.complete(ctx, cl, path)
			if err != nil {
				return err
			}
			found, err := somePages(ctx, cl, path, query, *limit, func(p struct {
				Images, Derived []originEntry
				DerivedMore     bool
				Cut             bool
			},
			) []originEntry {
				derivedMore, cut = p.DerivedMore, p.Cut
				return append(p.Images, p.Derived...)
			})
			if err != nil {
				return err
			}
			found.items, found.bounded = eachOnce(found.items), derivedMore
			if cut {
				fmt.Fprintln(e.stderr, "hallmark: some images list more materials than are read, and may be on this base, too; `hallmark show` names what was not read")
			}
			if *asJSON {
				answer := map[string]any{"images": found.items}
				if cut {
					answer["cut"] = true
				}
				return errors.Join(writeJSON(e.stdout, found.json(answer)), found.nothing("image"))
			}
			if err := found.nothing("image"); err != nil {
				return err
			}
			tab := e.table("REPOSITORY", "DIGEST", "TAGS NOW", "RECORD", "TIME", "WHO", header+mayCut)
			for _, entry := range found.items {
				tab.row(entry.Repository, entry.Digest.String(), entry.tagsNow(), entry.record(), entry.time(), entry.who(found.names), why(entry))
			}
			return errors.Join(tab.flush(), e.say(found.leftOut()))
		})
	}
}

// eachOnce joins what is said and what is derived of one image: each has one row.
func eachOnce(found []originEntry) (images []originEntry) {
	at := map[string]int{}
	for _, entry := range found {
		place := entry.Repository + "@" + entry.Digest.String()
		n, known := at[place]
		if !known {
			at[place] = len(images)
			images = append(images, entry)
			continue
		}
		images[n].Rules = append(images[n].Rules, entry.Rules...)
		if entry.Compared != "" {
			images[n].Compared = entry.Compared
		}
	}
	return images
}

// rules are those by which an image is on the base, and what was compared to derive it.
func (o originEntry) rules() string {
	text := strings.Join(o.Rules, ", ")
	switch o.Compared {
	case "layers":
		text += " (layers)"
	case "diffIDs":
		text += " (diff ids)"
	}
	return text
}

// tagsNow are the tags of an image, and in brackets those of the indexes that list it.
func (o originEntry) tagsNow() string {
	if !o.Present {
		return "(deleted)"
	}
	var listed []string
	for _, index := range o.Indexes {
		listed = append(listed, index.Tags...)
	}
	tags := strings.Join(o.Tags, ",")
	if len(listed) > 0 {
		tags = strings.TrimSpace(tags + " (in " + strings.Join(listed, ",") + ")")
	}
	return tags
}

func (o originEntry) record() string {
	if o.Record == nil {
		return ""
	}
	return strconv.FormatUint(*o.Record, 10)
}

func (o originEntry) time() string {
	if o.Time == nil {
		return ""
	}
	return local(*o.Time)
}

func (o originEntry) who(names namesakes) string {
	if o.Actor == nil {
		return ""
	}
	return names.who(*o.Actor)
}
