package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/spf13/cobra"
)

const importPath = "/api/v1/import"

// wantImport is what the API is asked for.
type wantImport struct {
	Path         string   `json:"path,omitempty"`
	Registry     string   `json:"registry,omitempty"`
	Username     string   `json:"username,omitempty"`
	Password     string   `json:"password,omitempty"`
	RefreshToken string   `json:"refreshToken,omitempty"`
	CA           string   `json:"ca,omitempty"`
	Addresses    []string `json:"addresses,omitempty"`
	Rate         int      `json:"rate,omitempty"`
	Tags         string   `json:"tags,omitempty"`
	Repositories []string `json:"repositories,omitempty"`
	Platforms    []string `json:"platforms,omitempty"`
	Into         string   `json:"into,omitempty"`
	DryRun       bool     `json:"dryRun,omitempty"`
}

// importCounts are how far an import is.
type importCounts struct {
	Repositories int64 `json:"repositories"`
	Images       int64 `json:"images"`
	Came         int64 `json:"came"`
	Present      int64 `json:"present"`
	Left         int64 `json:"left"`
	Refused      int64 `json:"refused"`
	LeftOut      int64 `json:"leftOut"`
	Known        int64 `json:"known"`
	Counted      bool  `json:"counted"`
	Manifests    int64 `json:"manifests"`
	Blobs        int64 `json:"blobs"`
	Bytes        int64 `json:"bytes"`
	Pending      int64 `json:"pending"`
}

// importReport is what came of one.
type importReport struct {
	importCounts
	DryRun   bool           `json:"dryRun,omitempty"`
	Refusals []importRemark `json:"refusals,omitempty"`
	Alone    []importRemark `json:"leftAlone,omitempty"`
	Lacking  []importRemark `json:"lacking,omitempty"`
	Unproved []importRemark `json:"unproved,omitempty"`
}

type importRemark struct {
	Reference string `json:"reference"`
	Why       string `json:"why"`
}

// importLine is one line of the answer.
type importLine struct {
	Progress *importCounts   `json:"progress,omitempty"`
	Report   json.RawMessage `json:"report,omitempty"`
	Failed   string          `json:"failed,omitempty"`
}

// importImages is the verb `hallmark import`.
func (e *env) importImages() *cobra.Command {
	c := &cobra.Command{
		Use: "import DIR|LAYOUT|ARCHIVE|REGISTRY [REPO...]", Short: "Bring images from another registry, or from a disk",
		Long: "Bring images in, with their tags, signatures and attestations, byte for byte: from the data directory of distribution's registry\n" +
			"(or of Harbor before 2.15) or of zot, from an OCI image layout or a tar file of one, or from a registry that runs. REPO is a\n" +
			"repository there, or a pattern of them in quotes. Each image gets a record of where it came from. An import that stopped is run\n" +
			"again, and brings what is left; so does one after more was pushed there. A tag that somebody has set here meanwhile is left.\n" +
			"The server reads directories and archives itself, on its own machine. The login to a registry is that of docker or podman, over\n" +
			"TLS, unless the name begins with http://. Exit status 1 says that something was refused.",
		Example: "  hallmark import /var/lib/registry\n" +
			"  hallmark import --into team/app app.tar\n" +
			"  hallmark import --dry-run registry.example:5000 'team/**'",
		Args: cobra.MinimumNArgs(1),
	}
	t := addTarget(c)
	var want wantImport
	f := c.Flags()
	f.StringVar(&want.Into, "into", "", "put `PREFIX` before the names of repositories; the whole name of an image that has none")
	f.BoolVar(&want.DryRun, "dry-run", false, "count what would come, and change nothing")
	f.StringSliceVar(&want.Platforms, "platform", nil, "of indexes, bring only `OS/ARCH[/VARIANT]`, as linux/amd64,linux/arm64; the index comes as it is")
	f.StringVar(&want.Tags, "tags", "", "take the tags of a directory from `FILE`, with a line REPOSITORY:TAG DIGEST for each")
	f.IntVar(&want.Rate, "rate", 0, "ask a registry at most `N` times a second (default 50)")
	f.StringSliceVar(&want.Addresses, "address", nil, "let the registry's name lead to `ADDRESS`, where that is one of the server's machine")
	from := &target{}
	f.StringVar(&from.ca, "source-ca", "", "trust the certificate authority in `FILE` for the registry that is asked")
	f.StringVar(&from.user, "source-user", "", "sign in there as `NAME`, whose password docker or podman keeps")
	asJSON := f.Bool("json", false, "print one JSON object a line, for programs")
	c.RunE = func(c *cobra.Command, args []string) error {
		want.Repositories = args[1:]
		if want.Tags != "" {
			var err error
			if want.Tags, err = filepath.Abs(want.Tags); err != nil {
				return err
			}
		}
		if err := e.aimImport(c.Context(), &want, args[0], from); err != nil {
			return err
		}
		cl, err := e.connect(c.Context(), t)
		if err != nil {
			return err
		}
		defer cl.close() //nolint:errcheck // what was asked is answered
		return e.runImport(c.Context(), cl, want, *asJSON)
	}
	return c
}

// aimImport says from where: what is on the disk, or looks like a path, is one.
func (e *env) aimImport(ctx context.Context, want *wantImport, where string, from *target) error {
	_, err := os.Stat(where)
	if err == nil || strings.HasPrefix(where, "/") || strings.HasPrefix(where, ".") {
		if err != nil {
			return usagef("%w", err)
		}
		if want.Path, err = filepath.Abs(where); err != nil {
			return err
		}
		if want.Path, err = filepath.EvalSymlinks(want.Path); err != nil {
			return usagef("%w", err)
		}
		return nil
	}
	want.Registry = strings.TrimSuffix(where, "/")
	host := strings.TrimPrefix(strings.TrimPrefix(want.Registry, "https://"), "http://")
	if from.ca != "" {
		pem, err := os.ReadFile(from.ca)
		if err != nil {
			return usagef("--source-ca: %w", err)
		}
		want.CA = string(pem)
	}
	login, _, others, err := ask.StoredLogin(ctx, e.getenv, loginHost(host), from.user)
	if err != nil {
		return status(err)
	}
	if from.user != "" && login.Password == "" && login.RefreshToken == "" {
		return usagef("no password for %s at %s is kept by docker or podman%s: `docker login %s` keeps one", from.user, host, keptFor(others), host)
	}
	want.Username, want.Password, want.RefreshToken = login.Username, login.Password, login.RefreshToken
	return nil
}

// loginHost is the host under which docker keeps the login to a registry: that of its own has another one.
func loginHost(host string) string {
	if host == "docker.io" || host == "registry-1.docker.io" {
		return "index.docker.io"
	}
	return host
}

func keptFor(others []string) string {
	if len(others) == 0 {
		return ""
	}
	return ", but for " + strings.Join(others, " and for ")
}

// runImport asks for an import, and shows how it goes on.
func (e *env) runImport(ctx context.Context, cl *client, want wantImport, asJSON bool) error {
	var report importReport
	if err := e.followLines(ctx, cl, importPath, want, asJSON, "the import", &report); err != nil {
		return err
	}
	if !asJSON {
		e.printImport(&report)
	}
	return report.refusals()
}

// followLines asks for what goes on for a while, shows how far it is, and reads the report at its end into what a pointer points to.
func (e *env) followLines(ctx context.Context, cl *client, path string, body any, asJSON bool, what string, report any) error {
	resp, err := cl.open(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	began, reported := time.Now(), false
	for lines := json.NewDecoder(resp.Body); ; {
		var line importLine
		if err := lines.Decode(&line); err == io.EOF && reported {
			break
		} else if err != nil {
			return askf("%s broke off; run it again, and it goes on: %w", what, err)
		}
		if asJSON {
			if err := json.NewEncoder(e.stdout).Encode(line); err != nil {
				return err
			}
		}
		switch {
		case line.Progress != nil:
			e.showImport(line.Progress, began)
		case line.Report != nil:
			if err := json.Unmarshal(line.Report, report); err != nil {
				return askf("an answer that is not understood: %w", err)
			}
			reported = true
		case line.Failed != "":
			e.endImport()
			return askf("%s ended before its end: %s; what came whole stays; run it again, and it goes on", what, line.Failed)
		}
	}
	e.endImport()
	return nil
}

// refusals is what a verb ends with after a report: 1 where something was refused.
func (r *importReport) refusals() error {
	if r.Refused > 0 {
		return nof("%s refused", areRefused(r.Refused))
	}
	return nil
}

func areRefused(n int64) string {
	if n == 1 {
		return "1 image was"
	}
	return fmt.Sprintf("%d images were", n)
}

// showImport writes over the line before, on a terminal.
func (e *env) showImport(n *importCounts, began time.Time) {
	if isTerminal(e.stderr) {
		seconds := max(time.Since(began).Seconds(), 1)
		fmt.Fprintf(e.stderr, "\r\x1b[K%s, %s, %s (%s/s)%s, %d refused", n.progress(), number(n.Blobs, "blob"),
			units.Bytes(n.Bytes), units.Bytes(int64(float64(n.Bytes)/seconds)), n.bytesLeft(), n.Refused)
	}
}

// bytesLeft says how many bytes are left: those that images on their way lack, and as many for each of the others as one had so far. What an image needs
// is known only when it is looked at.
func (n *importCounts) bytesLeft() string {
	left := n.Pending
	if images := n.Known - n.Images; images > 0 && n.Images > 0 {
		left += int64(float64(n.Bytes+n.Pending) / float64(n.Images) * float64(images))
	}
	if left <= 0 {
		return ""
	}
	return ", about " + units.Bytes(left) + " left"
}

// progress says how many images were looked at, and how many are left, as far as they are counted.
func (n *importCounts) progress() string {
	switch left := n.Known - n.Images; {
	case left <= 0:
		return number(n.Images, "image")
	case n.Counted:
		return fmt.Sprintf("%s, %d left", number(n.Images, "image"), left)
	default:
		return fmt.Sprintf("%s, %d or more left", number(n.Images, "image"), left)
	}
}

func (e *env) endImport() {
	if isTerminal(e.stderr) {
		fmt.Fprint(e.stderr, "\r\x1b[K")
	}
}

// printImport is the report for people.
func (e *env) printImport(r *importReport) {
	for _, list := range []struct {
		all  []importRemark
		word string
	}{{r.Refusals, "refused"}, {r.Alone, "left alone"}, {r.Lacking, "lacking there"}, {r.Unproved, "no witnesses"}} {
		for _, m := range list.all {
			fmt.Fprintf(e.stdout, "%s: %s: %s\n", list.word, clean(m.Reference), clean(m.Why))
		}
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(e.stdout, "%s for other platforms left out\n", number(r.LeftOut, "manifest"))
	}
	came := "came"
	if r.DryRun {
		came = "would come"
	}
	fmt.Fprintf(e.stdout, "%s in %s: %d %s, %d were here, %d left alone, %d refused\n", number(r.Images, "image"), number(r.Repositories, "repository"),
		r.Came, came, r.Present, r.Left, r.Refused)
	fmt.Fprintf(e.stdout, "%s, %s, %s %s\n", number(r.Manifests, "manifest"), number(r.Blobs, "blob"), units.Bytes(r.Bytes), came)
}
