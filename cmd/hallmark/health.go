package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/spf13/cobra"
)

// health is the verb `hallmark health`.
func (e *env) health() *cobra.Command {
	c := &cobra.Command{Use: "health", Short: "Exit with 0 when the server is ready", Args: cobra.NoArgs}
	t := addTarget(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
		defer cancel()
		cl, err := e.connectServer(ctx, t)
		if err != nil {
			return err
		}
		defer cl.close() //nolint:errcheck // what was asked is answered
		resp, err := cl.open(ctx, http.MethodGet, "/readyz", nil)
		if err != nil {
			return err
		}
		_ = resp.Body.Close() // its status says it all
		fmt.Fprintln(e.stdout, "ready")
		return nil
	}
	return c
}

// version is the verb `hallmark version`.
func (e *env) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(e.stdout, "hallmark", version.String())
			return err
		},
	}
}
