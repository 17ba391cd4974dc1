package main

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/spf13/cobra"
)

// list is the verb `hallmark list`.
func (e *env) list() *cobra.Command {
	c := &cobra.Command{
		Use: "list [REPO]", Short: "List the repositories that you may pull from, or the tags of one", Args: cobra.MaximumNArgs(1),
		Long: "List the repositories that you may pull from, with the size of each and what happened last in it; or the tags of one,\n" +
			"with what each means, how large that is, who set it, and when it was last pulled. The size of a repository counts each of its blobs once, so it is less\n" +
			"than the sum of its images when these share layers.",
		Example: "  hallmark list\n  hallmark list team/app\n  hallmark list registry.example/team/app --json",
	}
	t := addTarget(c)
	limit := c.Flags().Int("limit", 0, "print at most this many; 0 is all")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.listRepositories(ctx, cl, *limit, *asJSON) })
		}
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		if ref.tag != "" || ref.digest != "" || ref.prefix != "" {
			return usagef("%q names an image: `hallmark show` says what is known of it", args[0])
		}
		ref.aim(t)
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			return e.listTags(ctx, cl, ref.repository, *limit, *asJSON)
		})
	}
	return c
}

// listedRepository is a repository as the API lists it.
type listedRepository struct {
	Name   string      `json:"name"`
	Newest *listedTime `json:"newest,omitempty"`
	Size   int64       `json:"size"` // of its blobs and manifests
	Tags   int64       `json:"tags"` // how many
	Pulls  listedPulls `json:"pulls"`
}

// listedTime is a record as lists show it.
type listedTime struct {
	Record uint64            `json:"record"`
	Time   provenance.Time   `json:"time"`
	Action provenance.Action `json:"action"`
	Actor  provenance.Actor  `json:"actor"`
}

func (e *env) listRepositories(ctx context.Context, cl *client, limit int, asJSON bool) error {
	found, err := somePages(ctx, cl, "/api/v1/repositories", nil, limit, func(p struct{ Repositories []listedRepository }) []listedRepository { return p.Repositories })
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, found.json(map[string]any{"repositories": found.items}))
	}
	tab := e.table("REPOSITORY", "SIZE", "TAGS", "RECORD", "TIME", "ACTION", "LAST PULL", "WHO")
	for _, r := range found.items {
		size, tags := units.Bytes(r.Size), strconv.FormatInt(r.Tags, 10)
		if n := r.Newest; n != nil {
			tab.row(r.Name, size, tags, strconv.FormatUint(n.Record, 10), local(n.Time), string(n.Action), r.Pulls.String(), found.names.who(n.Actor))
		} else {
			tab.row(r.Name, size, tags, "", "", "", r.Pulls.String(), "")
		}
	}
	return errors.Join(tab.flush(), e.say(found.leftOut()))
}

// listedTag is a tag as the API lists it.
type listedTag struct {
	Name      string            `json:"name"`
	Digest    digest.Digest     `json:"digest"`
	MediaType string            `json:"mediaType,omitempty"`
	Size      int64             `json:"size,omitempty"`
	ImageSize int64             `json:"imageSize,omitempty"`
	Actor     provenance.Actor  `json:"actor"`
	Time      provenance.Time   `json:"time"`
	Record    uint64            `json:"record"`
	Pulls     listedPulls       `json:"pulls"`
	HeldUntil *provenance.Time  `json:"heldUntil,omitempty"`
	Expiry    *retention.Expiry `json:"expiry,omitempty"`
}

// says is for people: until when a tag stays, or why.
func (t listedTag) says() string {
	switch e := t.Expiry; {
	case e == nil && t.HeldUntil != nil:
		return "held until " + local(*t.HeldUntil)
	case e == nil:
		return ""
	case e.State == retention.Until && e.At != nil:
		return "goes after " + local(*e.At) + " by rule " + e.Rule
	case e.State == retention.Goes:
		return "goes with the next plan by rule " + e.Rule
	case e.State == retention.Open || e.State == retention.Follows:
		return e.Why
	default:
		return "stays: " + e.Why
	}
}

func (e *env) listTags(ctx context.Context, cl *client, repo string, limit int, asJSON bool) error {
	found, err := somePages(ctx, cl, "/api/v1/tags", url.Values{"repo": {repo}, "expiry": {"true"}}, limit, func(p struct{ Tags []listedTag }) []listedTag { return p.Tags })
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, found.json(map[string]any{"repository": repo, "tags": found.items}))
	}
	columns := []string{"TAG", "DIGEST", "SIZE", "RECORD", "TIME", "LAST PULL", "WHO"}
	expires := slices.ContainsFunc(found.items, func(t listedTag) bool { return t.says() != "" })
	if expires {
		columns = append(columns, "RETENTION…")
	}
	tab := e.table(columns...)
	for _, t := range found.items {
		row := []string{t.Name, t.Digest.String(), units.Bytes(t.Size + t.ImageSize), strconv.FormatUint(t.Record, 10), local(t.Time), t.Pulls.String(), found.names.who(t.Actor)}
		if expires {
			row = append(row, clean(t.says()))
		}
		tab.row(row...)
	}
	return errors.Join(tab.flush(), e.say(found.leftOut()))
}
