package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
)

const trashPath = "/api/v1/trash"

// undelete is the verb `hallmark undelete`.
func (e *env) undelete() *cobra.Command {
	c := &cobra.Command{
		Use: "undelete REF", Short: "Bring a deleted image back", Args: one("an image, as team/app:1.0 or team/app@sha256:…"),
		Long: "Bring an image back from the trash, with the platforms that it lists, what was attached to it, and the tags that mean\n" +
			"nothing now. A tag names what it meant last. It is checked like a push.",
		Example: "  hallmark undelete team/app:1.0\n  hallmark undelete team/app@sha256:…",
	}
	t := addTarget(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		repo, name, err := t.imageIn(args[0], listsTrash)
		if err != nil {
			return err
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			return e.bringBack(ctx, cl, repo, name)
		})
	}
	return c
}

// bringBack brings an image back, and asks again by its digest while more belongs to it than comes back at once.
func (e *env) bringBack(ctx context.Context, cl *client, repo, name string) error {
	for more := true; more; {
		var err error
		if name, more, err = e.bringSomeBack(ctx, cl, repo, name); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) bringSomeBack(ctx context.Context, cl *client, repo, name string) (d string, more bool, err error) {
	var answer struct {
		Digest    digest.Digest
		Manifests []struct {
			Digest digest.Digest
			Record uint64
			Tags   []string
		}
		Left []string
		More bool
	}
	if err := cl.send(ctx, http.MethodPost, trashPath+"/undelete", map[string]string{"repository": repo, "reference": name}, &answer); err != nil {
		return "", false, err
	}
	for _, m := range answer.Manifests {
		tags := ""
		if len(m.Tags) > 0 {
			tags = " with " + clean(strings.Join(m.Tags, ", "))
		}
		fmt.Fprintf(e.stdout, "brought back %s@%s%s: record %d\n", repo, clean(m.Digest.String()), tags, m.Record)
	}
	if len(answer.Left) > 0 {
		fmt.Fprintf(e.stdout, "left %s: they mean something else now\n", clean(strings.Join(answer.Left, ", ")))
	}
	return answer.Digest.String(), answer.More, nil
}

// listsTrash prints the whole digests of what is in the trash.
const listsTrash = "hallmark trash list --no-trunc"

// placeIn returns the repository that an argument names, with a tag or a whole digest, or "" for all of it, and aims at its registry. A
// cut digest is none of these: lists is the command that prints whole ones.
func (t *target) placeIn(arg, lists string) (repo, name string, err error) {
	ref, err := parseReference(arg)
	if err != nil {
		return "", "", err
	}
	if ref.prefix != "" {
		return "", "", usagef("%q has the beginning of a digest: write the whole one, as `%s` prints it", arg, lists)
	}
	ref.aim(t)
	return ref.repository, firstOf(ref.digest.String(), ref.tag), nil
}

// imageIn is placeIn for an argument that has to name an image.
func (t *target) imageIn(arg, lists string) (repo, name string, err error) {
	repo, name, err = t.placeIn(arg, lists)
	if err == nil && name == "" {
		err = usagef("%q names no image: write %s:TAG, or %s@DIGEST", arg, repo, repo)
	}
	return repo, name, err
}

// trash is the verb `hallmark trash`.
func (e *env) trash() *cobra.Command {
	c := &cobra.Command{Use: "trash", Short: "See what was deleted and can be brought back, or remove it for good"}
	c.AddCommand(e.trashList(), e.trashEmpty())
	return c
}

func (e *env) trashList() *cobra.Command {
	c := &cobra.Command{
		Use: "list [REPO]", Short: "List what is in the trash", Args: cobra.MaximumNArgs(1),
		Long:    "List what is in the trash of the repositories that you may push to. `hallmark undelete` brings it back.",
		Example: "  hallmark trash list\n  hallmark trash list team/app",
	}
	t := addTarget(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		repo, err := t.repositoryIn(args)
		if err != nil {
			return err
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.listTrash(ctx, cl, repo, *asJSON) })
	}
	return c
}

// trashed is a manifest in the trash, as the API has it.
type trashed struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	MediaType  string           `json:"mediaType"`
	Size       int64            `json:"size"`
	Tags       []string         `json:"tags,omitempty"`
	TagsCut    bool             `json:"tagsCut,omitempty"`
	Record     uint64           `json:"record"`
	Actor      provenance.Actor `json:"actor"`
	Time       provenance.Time  `json:"time"`
	KeptUntil  *provenance.Time `json:"keptUntil,omitempty"`
}

func (e *env) listTrash(ctx context.Context, cl *client, repo string, asJSON bool) error {
	query := url.Values{}
	if repo != "" {
		query.Set("repo", repo)
	}
	all, err := pages(ctx, cl, trashPath, query, 0, func(p struct{ Trash []trashed }) []trashed { return p.Trash })
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, map[string]any{"trash": all})
	}
	tab := e.table("REPOSITORY", "DIGEST", "TAGS", "RECORD", "DELETED", "KEPT UNTIL", "WHO")
	for _, t := range all {
		until := "-"
		if t.KeptUntil != nil {
			until = local(*t.KeptUntil)
		}
		tab.row(t.Repository, t.Digest.String(), firstOf(strings.Join(t.Tags, ", "), "-"), fmt.Sprint(t.Record), local(t.Time), until, who(t.Actor))
	}
	return tab.flush()
}

func (e *env) trashEmpty() *cobra.Command {
	c := &cobra.Command{
		Use: "empty {REF | --all}", Short: "Remove what is in the trash for good", Args: cobra.MaximumNArgs(1),
		Long: "Remove what is in the trash of a repository for good, or one image there, or everything. For administrators. Each manifest\n" +
			"gets a record, because that of its deletion says that it is kept. The disk is given back in the background.",
		Example: "  hallmark trash empty --all\n  hallmark trash empty team/app\n  hallmark trash empty team/app@sha256:…",
	}
	t := addTarget(c)
	all := c.Flags().Bool("all", false, "remove everything that is in the trash")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *all == (len(args) == 1) {
			return usagef("name a repository or an image, or empty the whole trash with --all")
		}
		want := map[string]any{"all": true}
		if !*all {
			repo, name, err := t.placeIn(args[0], listsTrash)
			if err != nil {
				return err
			}
			want = map[string]any{"repository": repo, "reference": name}
		}
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			var answer struct{ Manifests int }
			if err := cl.send(ctx, http.MethodPost, trashPath+"/empty", want, &answer); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "removed from the trash: %s\n", number(answer.Manifests, "manifest"))
			return nil
		})
	}
	return c
}
