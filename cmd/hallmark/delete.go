package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// delete is the verb `hallmark delete`.
func (e *env) delete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete REF", Short: "Delete a tag, or an image with all its tags", Args: one("an image, as team/app:1.0 or team/app@sha256:…"),
		Long: "Delete a tag alone, or by its digest an image with all its tags in this repository. With the image goes what is attached\n" +
			"to it, as signatures and attestations, and of an index the platforms that no other tag, index or hold keeps; --dry-run\n" +
			"lists that, and --only leaves it. Records stay for ever.\n\n" +
			"A deleted image stays in the trash (`trash.keep`, 7 days), from where `hallmark undelete` brings it back. The blobs that\n" +
			"nothing needs any more are removed after that.",
		Example: "  hallmark delete team/app:old\n  hallmark delete registry.example/team/app@sha256:…",
	}
	t := addTarget(c)
	var how deleteHow
	c.Flags().BoolVar(&how.only, "only", false, "delete the image alone, and leave what belongs to it")
	c.Flags().BoolVar(&how.dry, "dry-run", false, "print what would be deleted, and delete nothing")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		if ref.tag == "" && ref.digest == "" && ref.prefix == "" {
			return usagef("%q names no image: write %s:TAG, or %s@DIGEST", args[0], ref.repository, ref.repository)
		}
		ref.aim(t)
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			if ref, err = ref.settle(ctx, cl); err != nil {
				return err
			}
			return e.deleteImage(ctx, cl, ref, how)
		})
	}
	return c
}

// deleteHow is how something is deleted.
type deleteHow struct{ only, dry bool }

// deletable is what the deletion of an image would do, as the API has it.
type deletable struct {
	Tags    []string
	TagsCut bool
	Refused string
	Along   []struct {
		Digest     string
		Tags       []string
		ListedBy   string
		AttachedTo string
	}
	AlongID      string
	AlongRefused string
}

// deleteImage deletes a tag, or an image with what belongs to it: exactly what it prints, or nothing.
func (e *env) deleteImage(ctx context.Context, cl *client, ref reference, how deleteHow) error {
	if ref.tag != "" && ref.digest != "" {
		return usagef("a tag and a digest: name the one that is to be deleted")
	}
	name, shown := ref.tag, ref.repository+":"+ref.tag
	if ref.digest != "" {
		name, shown = ref.digest.String(), ref.repository+"@"+ref.digest.String()
	}
	x, err := e.foresee(ctx, cl, ref, how)
	if err != nil {
		return err
	}
	if how.dry {
		fmt.Fprintf(e.stdout, "would delete %s%s\n", shown, withTags(x.Tags, x.TagsCut))
		e.printAlong(x)
		return nil
	}
	header := http.Header{}
	if x.AlongID != "" {
		header.Set("Hallmark-Along", x.AlongID)
	}
	resp, err := cl.openWith(ctx, http.MethodDelete, (&url.URL{Path: "/v2/" + ref.repository + "/manifests/" + name}).EscapedPath(), header)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // there is nothing to read
	fmt.Fprintf(e.stdout, "deleted %s: record %s\n", shown, clean(resp.Header.Get("Hallmark-Record")))
	e.printAlong(x)
	return nil
}

// foresee asks what a deletion would do, and is an error where it would be refused. A tag that is deleted takes nothing along.
func (e *env) foresee(ctx context.Context, cl *client, ref reference, how deleteHow) (x deletable, err error) {
	if (how.only || ref.tag != "") && !how.dry {
		return x, nil
	}
	what := url.Values{"repo": {ref.repository}, "digest": {ref.digest.String()}}
	if ref.tag != "" {
		what = url.Values{"repo": {ref.repository}, "tag": {ref.tag}}
	}
	if err = cl.get(ctx, "/api/v1/deletable", what, &x); err != nil {
		return x, err
	}
	if ref.tag != "" {
		x.Tags = nil // it is named already
	}
	if how.only {
		x.Along, x.AlongID, x.AlongRefused = nil, "", ""
	}
	if why := firstOf(x.Refused, x.AlongRefused); why != "" {
		return x, exitError{exitNo, errors.New(clean(why))}
	}
	return x, nil
}

func withTags(tags []string, cut bool) string {
	if len(tags) == 0 {
		return ""
	}
	says := " with " + clean(strings.Join(tags, ", "))
	if cut {
		says += " and more"
	}
	return says
}

// printAlong prints what goes along with an image.
func (e *env) printAlong(x deletable) {
	for _, b := range x.Along {
		why := "attached to " + b.AttachedTo
		if b.ListedBy != "" {
			why = "listed by " + b.ListedBy
		}
		fmt.Fprintf(e.stdout, "  and %s%s, %s\n", clean(b.Digest), withTags(b.Tags, false), clean(why))
	}
}
