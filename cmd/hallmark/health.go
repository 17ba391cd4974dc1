package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/spf13/cobra"
)

// health is the verb `hallmark health`.
func (e *env) health() *cobra.Command {
	c := &cobra.Command{
		Use: "health", Short: "Check that the server can do its work, or say which part cannot", Args: cobra.NoArgs,
		Long: "Ask the server whether it can do all of its work. Exit status 1 says that it cannot, and which part of it; 3 says that it does not answer.",
	}
	t := addTarget(c)
	read := c.Flags().Bool("read", false, "ask only whether images can be pulled")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
		defer cancel()
		cl, err := e.connectServer(ctx, t)
		if err != nil {
			return err
		}
		defer cl.close() //nolint:errcheck // what was asked is answered
		h, err := askHealth(ctx, cl, *read)
		if err != nil {
			return err
		}
		return e.showHealth(h, *asJSON)
	}
	return c
}

// healthAnswer is what the server says of itself.
type healthAnswer struct {
	Ready bool                 `json:"ready"`
	Parts []server.UnreadyPart `json:"parts,omitempty"` // those that cannot do their work
}

func askHealth(ctx context.Context, cl *client, read bool) (h healthAnswer, err error) {
	path := "/readyz?write"
	if read {
		path = "/readyz?read" // which older servers know, too
	}
	resp, err := cl.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return h, status(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	switch resp.StatusCode {
	case http.StatusOK:
		h.Ready = true
		return h, nil
	case http.StatusServiceUnavailable:
		body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err == nil && json.Unmarshal(body, &h) == nil && len(h.Parts) > 0 {
			return h, nil
		}
		return h, askf("%s answers %s", cl.Base, resp.Status) // a proxy in front of it, perhaps
	default:
		return h, status(cl.Refusal(resp))
	}
}

func (e *env) showHealth(h healthAnswer, asJSON bool) error {
	switch {
	case asJSON:
		if err := writeJSON(e.stdout, h); err != nil {
			return err
		}
	case h.Ready:
		fmt.Fprintln(e.stdout, "ready")
	}
	for _, p := range h.Parts {
		if !asJSON {
			fmt.Fprintf(e.stdout, "%s: %s\n", clean(p.Part), clean(p.Says))
		}
	}
	if !h.Ready {
		return nof("not ready")
	}
	return nil
}

// version is the verb `hallmark version`.
func (e *env) version() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return writeJSON(e.stdout, map[string]string{
					"version": version.String(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintln(e.stdout, "hallmark", version.String())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return c
}
