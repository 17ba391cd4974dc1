package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

// checkLine is one line of what the API says during a check.
type checkLine struct {
	Step    string   `json:"step,omitempty"`
	Problem string   `json:"problem,omitempty"`
	Note    string   `json:"note,omitempty"`
	Done    *checked `json:"done,omitempty"`
	Failed  string   `json:"failed,omitempty"`
}

type checked struct {
	Records      uint64 `json:"records"`
	Accounts     int    `json:"accounts"`
	Repositories int    `json:"repositories"`
	Manifests    int    `json:"manifests"`
	Tags         int    `json:"tags"`
	Blobs        int    `json:"blobs"`
	BytesRead    int64  `json:"bytesRead"`
	Problems     int    `json:"problems"`
}

// fsck is the verb `hallmark fsck`.
func (e *env) fsck() *cobra.Command {
	c := &cobra.Command{
		Use: "fsck", Short: "Check every blob, reference, index, record and account against each other", Args: cobra.NoArgs,
		Long: "Check every blob, reference, index, record and account, and who may do what, against each other, also while the server runs. With --deep every\n" +
			"blob is read and hashed too. Exit status 1 says that something does not fit; nothing is changed.",
	}
	t := addTarget(c)
	deep := c.Flags().Bool("deep", false, "read and hash every blob")
	asJSON := c.Flags().Bool("json", false, "print one JSON object a line, for programs")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := e.connect(c.Context(), t)
		if err != nil {
			return err
		}
		defer cl.close() //nolint:errcheck // what was asked is answered
		return e.check(c.Context(), cl, *deep, *asJSON)
	}
	return c
}

func (e *env) check(ctx context.Context, cl *client, deep, asJSON bool) error {
	resp, err := cl.open(ctx, "GET", "/api/v1/check?"+url.Values{"deep": {fmt.Sprint(deep)}}.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	lines := json.NewDecoder(resp.Body)
	for {
		var line checkLine
		if err := lines.Decode(&line); err != nil {
			return askf("the check broke off: %w", err)
		}
		if asJSON {
			if err := json.NewEncoder(e.stdout).Encode(line); err != nil {
				return err
			}
		}
		if end, err := e.checkLine(line, asJSON); end {
			return err
		}
	}
}

// checkLine shows one line, and says whether it was the last.
func (e *env) checkLine(line checkLine, asJSON bool) (end bool, err error) {
	switch {
	case line.Failed != "":
		return true, askf("the check could not go on: %s", line.Failed)
	case line.Done == nil && asJSON:
	case line.Step != "" && isTerminal(e.stderr):
		fmt.Fprintf(e.stderr, "checking %s …\n", line.Step)
	case line.Problem != "" || line.Note != "":
		fmt.Fprintln(e.stdout, clean(line.Problem+line.Note))
	case line.Done != nil:
		d := line.Done
		if !asJSON {
			fmt.Fprintf(e.stdout, "checked %s, %s, %s, %s, %s, %s: %s\n", number(d.Records, "record"), number(d.Accounts, "account"),
				number(d.Repositories, "repository"), number(d.Manifests, "manifest"), number(d.Tags, "tag"), number(d.Blobs, "blob"), number(d.Problems, "problem"))
		}
		if d.Problems > 0 {
			return true, nof("%s", number(d.Problems, "problem"))
		}
		return true, nil
	}
	return false, nil
}
