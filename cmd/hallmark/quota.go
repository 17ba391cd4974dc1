package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/spf13/cobra"
)

const quotaPath = "/api/v1/quota"

// quota is the verb `hallmark quota`.
func (e *env) quota() *cobra.Command {
	c := &cobra.Command{
		Use: "quota", Short: "Bound what repositories use",
		Long: "Bound what the repositories of a pattern use together, in bytes and in tags. PATTERN is of repositories, as in `hallmark grant`.\n" +
			"Every quota whose pattern matches a repository holds for it. Pushes that need more than is left are refused; what is there stays.",
	}
	t := addTarget(c)
	c.AddCommand(e.quotaShow(t), e.quotaSet(t), e.quotaRemove(t))
	return c
}

func (e *env) quotaShow(t *target) *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "List the quotas, with what is used of each", Args: cobra.NoArgs}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var found struct {
				Quotas []registry.QuotaUse `json:"quotas"`
			}
			if err := cl.get(ctx, quotaPath, nil, &found); err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, found)
			}
			tab := e.table("PATTERN", "USED", "RESERVED", "SOFT", "QUOTA", "TAGS", "TAGS QUOTA", "NOTE…")
			for _, q := range found.Quotas {
				note := ""
				if q.Counting {
					note = "is being counted, and refuses nothing until then"
				}
				tab.row(q.Pattern.String(), units.Bytes(q.UsedBytes), units.Bytes(q.ReservedBytes), limitText(q.Soft, units.Bytes), limitText(q.Bytes, units.Bytes),
					strconv.FormatInt(q.UsedTags, 10), limitText(q.Tags, func(n int64) string { return strconv.FormatInt(n, 10) }), note)
			}
			return tab.flush()
		})
	}
	return c
}

// limitText is a limit, or a word for none.
func limitText(n int64, text func(int64) string) string {
	if n == 0 {
		return "none"
	}
	return text(n)
}

func (e *env) quotaSet(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "set PATTERN SIZE", Short: "Set a quota, in the place of the one for the same pattern", Args: cobra.ExactArgs(2),
		Long: "Set the bytes that the repositories of a pattern may use together: SIZE is as 50GB or 20GiB, or none, where the quota is only of tags or\n" +
			"warns. A blob counts once in each repository that has it; manifests count. The command returns when what is used was counted.",
		Example: "  hallmark quota set 'team/**' 200GB --soft 150GB\n  hallmark quota set 'ci/*' none --tags 5000",
	}
	soft := c.Flags().String("soft", "", "warn those who push when more than this `size` is used")
	tags := c.Flags().Int64("tags", 0, "how many tags they may have together; 0 is no limit")
	c.RunE = func(c *cobra.Command, args []string) error {
		q := registry.Quota{Tags: *tags}
		var err error
		if q.Pattern, err = access.ParsePattern(args[0]); err != nil {
			return usagef("%w", err)
		}
		if q.Bytes, err = parseLimit(args[1]); err != nil {
			return err
		}
		if q.Soft, err = parseLimit(*soft); err != nil {
			return fmt.Errorf("--soft: %w", err)
		}
		if err := q.Valid(); err != nil {
			return usagef("%w", err)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.setQuota(ctx, cl, q) })
	}
	return c
}

// parseLimit reads a size that may be none.
func parseLimit(text string) (int64, error) {
	if text == "" || text == "none" {
		return 0, nil
	}
	var size units.Size
	if err := size.UnmarshalText([]byte(text)); err != nil {
		return 0, usagef("%w", err)
	}
	if size == 0 {
		return 0, usagef("a quota of 0 bytes is none: to let nobody push, take the right to push away (`hallmark revoke`)")
	}
	return int64(size), nil
}

func (e *env) setQuota(ctx context.Context, cl *client, q registry.Quota) error {
	if err := cl.send(ctx, "PUT", quotaPath, q, nil); err != nil {
		return err
	}
	var found struct {
		Quotas []registry.QuotaUse `json:"quotas"`
	}
	if err := cl.get(ctx, quotaPath, nil, &found); err != nil {
		return err
	}
	for _, now := range found.Quotas {
		if now.Pattern == q.Pattern {
			fmt.Fprintf(e.stdout, "%s uses %s and %s; its quota is %s\n", q.Pattern, units.Bytes(now.UsedBytes), number(now.UsedTags, "tag"), quotaText(now.Quota))
			if over := now.UsedBytes > now.Bytes && now.Bytes > 0 || now.UsedTags > now.Tags && now.Tags > 0; over {
				fmt.Fprintln(e.stderr, "note: more is used than that. Nothing is removed; pushes that add are refused until enough was deleted.")
			}
		}
	}
	return nil
}

// quotaText is what a quota allows.
func quotaText(q registry.Quota) string {
	var parts []string
	if q.Bytes > 0 {
		parts = append(parts, units.Bytes(q.Bytes))
	}
	if q.Tags > 0 {
		parts = append(parts, number(q.Tags, "tag"))
	}
	if q.Soft > 0 {
		parts = append(parts, "with a warning above "+units.Bytes(q.Soft))
	}
	return strings.Join(parts, ", ")
}

func (e *env) quotaRemove(t *target) *cobra.Command {
	c := &cobra.Command{Use: "remove PATTERN", Short: "Remove the quota for a pattern", Args: cobra.ExactArgs(1)}
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := access.ParsePattern(args[0])
		if err != nil {
			return usagef("%w", err)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			q := url.Values{"pattern": {p.String()}}
			if err := cl.send(ctx, "DELETE", quotaPath+"?"+q.Encode(), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "%s has no quota of its own any more\n", p)
			return nil
		})
	}
	return c
}

// du is the verb `hallmark du`.
func (e *env) du() *cobra.Command {
	c := &cobra.Command{
		Use: "du [PATTERN]", Short: "Show what takes the room", Args: cobra.MaximumNArgs(1),
		Long: "Show what the repositories of a pattern use: SIZE is what they link, each blob once in each repository; UNIQUE what no other\n" +
			"repository has; SHARED what others have, too; FREED what a deletion of all repositories of the pattern would free, once leases\n" +
			"have ended. Each blob that several of them share is freed in the first. PATTERN is of repositories, as in `hallmark grant`.",
		Example: "  hallmark du\n  hallmark du 'team/**' --json",
	}
	t := addTarget(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		q := url.Values{}
		if len(args) > 0 {
			if _, err := access.ParsePattern(args[0]); err != nil {
				return usagef("%w", err)
			}
			q.Set("pattern", args[0])
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.showRooms(ctx, cl, q, *asJSON) })
	}
	return c
}

func (e *env) showRooms(ctx context.Context, cl *client, q url.Values, asJSON bool) error {
	found, err := somePages(ctx, cl, "/api/v1/usage", q, 0, func(p struct{ Repositories []registry.Room }) []registry.Room { return p.Repositories })
	if err != nil {
		return err
	}
	rooms := mergeRooms(found.items)
	if asJSON {
		return writeJSON(e.stdout, map[string]any{"repositories": rooms})
	}
	tab := e.table("REPOSITORY", "SIZE", "UNIQUE", "SHARED", "FREED", "MANIFESTS", "TAGS")
	row := func(name string, r registry.Room) {
		tab.row(name, units.Bytes(r.Bytes()), units.Bytes(r.Unique), units.Bytes(r.Shared), units.Bytes(r.Freed), strconv.FormatInt(r.Manifests, 10), strconv.FormatInt(r.Tags, 10))
	}
	var all registry.Room
	for _, r := range rooms {
		row(r.Repository, r)
		all = addRoom(all, r)
		all.Usage = all.Plus(r.Usage)
	}
	row(fmt.Sprintf("all (%d)", len(rooms)), all)
	return errors.Join(tab.flush(), e.say(found.leftOut()))
}

// mergeRooms puts the parts of each repository together: they follow each other.
func mergeRooms(parts []registry.Room) []registry.Room {
	rooms := []registry.Room{}
	for _, r := range parts {
		if n := len(rooms); n > 0 && rooms[n-1].Repository == r.Repository {
			rooms[n-1] = addRoom(rooms[n-1], r)
		} else {
			rooms = append(rooms, r)
		}
	}
	return rooms
}

func addRoom(a, b registry.Room) registry.Room {
	a.Unique, a.Shared, a.Freed = a.Unique+b.Unique, a.Shared+b.Shared, a.Freed+b.Freed
	return a
}
