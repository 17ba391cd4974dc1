package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// delete is the verb `hallmark delete`.
func (e *env) delete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete REF", Short: "Delete a tag, or an image with all its tags", Args: one("an image, as team/app:1.0 or team/app@sha256:…"),
		Long: "Delete what is named, and nothing else: a tag, or by its digest an image with all its tags in this repository. What\n" +
			"was attached to the image, as signatures, stays until it is deleted too. Records stay for ever.\n\n" +
			"The blobs that nothing needs any more are removed a day later (`registry.lease`).",
		Example: "  hallmark delete team/app:old\n  hallmark delete registry.example/team/app@sha256:…",
	}
	t := addTarget(c)
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
			return e.deleteImage(ctx, cl, ref)
		})
	}
	return c
}

func (e *env) deleteImage(ctx context.Context, cl *client, ref reference) error {
	if ref.tag != "" && ref.digest != "" {
		return usagef("a tag and a digest: name the one that is to be deleted")
	}
	name := firstOf(ref.digest.String(), ref.tag)
	resp, err := cl.open(ctx, http.MethodDelete, (&url.URL{Path: "/v2/" + ref.repository + "/manifests/" + name}).EscapedPath())
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // there is nothing to read
	separator := ":"
	if ref.digest != "" {
		separator = "@"
	}
	fmt.Fprintf(e.stdout, "deleted %s%s%s: record %s\n", ref.repository, separator, name, clean(resp.Header.Get("Hallmark-Record")))
	return nil
}
