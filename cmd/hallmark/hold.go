package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/spf13/cobra"
)

const holdsPath = "/api/v1/holds"

// hold is the verb `hallmark hold`.
func (e *env) hold() *cobra.Command {
	c := &cobra.Command{
		Use: "hold REF", Short: "Keep an image for a while, whatever rules of retention say", Args: one("an image, as team/app:1.0 or team/app@sha256:…"),
		Long: "Keep an image until a time, whatever rules of retention say. What a tag means now is held, and not the tag. Those who may delete in the repository\n" +
			"may hold its images and release them. People may delete the image all the same. Each hold is on record, with its reason.",
		Example: "  hallmark hold team/app:1.0 --until 2027-06-30 --reason 'audit 2026-17'\n  hallmark hold list team/app\n  hallmark hold release team/app:1.0",
	}
	t := addTarget(c)
	until := c.Flags().String("until", "", "the end of the hold: a `time` as 2027-06-30T12:00:00Z, a day, or from now on as 90d")
	reason := c.Flags().String("reason", "", "why it is held, in one line; it stays on record")
	c.RunE = func(c *cobra.Command, args []string) error {
		end, err := parseEnd(*until, time.Now())
		if err != nil {
			return err
		}
		if *reason == "" {
			return usagef("--reason is missing: say why the image is held")
		}
		return e.onImage(c.Context(), t, args[0], func(ctx context.Context, cl *client, repo string, d digest.Digest) error {
			var held registry.Held
			body := map[string]string{"repository": repo, "ref": d.String(), "until": end.UTC().Format(time.RFC3339Nano), "reason": *reason}
			if err := cl.send(ctx, http.MethodPost, holdsPath, body, &held); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "held %s@%s until %s: record %d\n", repo, d, local(held.Until), held.Record)
			return nil
		})
	}
	c.AddCommand(e.holdList(t), e.holdRelease(t))
	return c
}

// parseEnd reads a time, which the registry wants to be in the future, or how long from now.
func parseEnd(value string, now time.Time) (time.Time, error) {
	var from units.Duration
	if from.UnmarshalText([]byte(value)) == nil {
		return now.Add(time.Duration(from)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if end, err := time.Parse(layout, value); err == nil {
			return end, nil
		}
	}
	return now, usagef("--until is %q, and should be a time as 2027-06-30T12:00:00Z, a day as 2027-06-30 (UTC), or how long from now: 90d", value)
}

// onImage does something with the digest of an image.
func (e *env) onImage(ctx context.Context, t *target, arg string, do func(context.Context, *client, string, digest.Digest) error) error {
	ref, err := parseReference(arg)
	if err != nil {
		return err
	}
	ref.aim(t)
	return e.ask(ctx, t, func(ctx context.Context, cl *client) error {
		if ref, err = ref.settle(ctx, cl); err != nil {
			return err
		}
		if ref.digest == "" {
			query, err := ref.query(ctx, cl)
			if err != nil {
				return err
			}
			var image shownImage
			if err := cl.get(ctx, "/api/v1/image", query, &image); err != nil {
				return err
			}
			ref.digest = image.Descriptor.Digest
		}
		return do(ctx, cl, ref.repository, ref.digest)
	})
}

func (e *env) holdRelease(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "release REF", Short: "End the hold of an image", Args: one("an image, as team/app:1.0 or team/app@sha256:…"),
		Long: "End the hold of an image. One that was deleted is named by its digest.",
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		return e.onImage(c.Context(), t, args[0], func(ctx context.Context, cl *client, repo string, d digest.Digest) error {
			query := url.Values{"repo": {repo}, "digest": {d.String()}}
			if err := cl.send(ctx, http.MethodDelete, holdsPath+"?"+query.Encode(), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "released %s@%s\n", repo, d)
			return nil
		})
	}
	return c
}

func (e *env) holdList(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "list [REPO]", Short: "List the images that are held", Args: cobra.MaximumNArgs(1),
		Long: "List the images of a repository that are held, or, for administrators, of all repositories.",
	}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		repo, err := t.repositoryIn(args)
		if err != nil {
			return err
		}
		query := url.Values{}
		if repo != "" {
			query.Set("repo", repo)
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			held, err := pages(ctx, cl, holdsPath, query, 0, func(p struct{ Holds []registry.Held }) []registry.Held { return p.Holds })
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, map[string]any{"holds": held})
			}
			return e.showHolds(held)
		})
	}
	return c
}

func (e *env) showHolds(holds []registry.Held) error {
	tab := e.table("REPOSITORY", "DIGEST", "UNTIL", "BY", "RECORD", "REASON…")
	for _, h := range holds {
		reason := h.Reason
		if h.Gone {
			reason += " (the image is gone)"
		}
		tab.row(h.Repository, h.Digest.String(), local(h.Until), who(h.By), fmt.Sprint(h.Record), reason)
	}
	return tab.flush()
}
