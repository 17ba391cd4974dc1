package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// inspectImage is the verb `hallmark inspect image`.
func (e *env) inspectImage() *cobra.Command {
	c := &cobra.Command{
		Use: "image REF", Short: "Grade an image of this registry, or of any other",
		Args: one("an image, as team/app:1.0 or registry.example/team/app@sha256:…"),
		Long: "Grade an image: is it from a trusted source, and is it a trusted thing? An image that is named with its host is\n" +
			"looked at from here, in any registry, with docker's login; where that is a Hallmark, with its records, too. One\n" +
			"without a host is in the registry of the data directory.",
		Example: "  hallmark inspect image team/app:1.0\n  hallmark inspect image registry.example/team/app:1.0 --key cosign.pub --min B",
	}
	t, out, whom := addTarget(c), addReportFlags(c), addTrustFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		if ref, err = e.settleAt(ctx, t, ref); err != nil {
			return err
		}
		look, err := e.looker(ctx, t, ref, whom)
		if err != nil {
			return err
		}
		report, err := look(ctx, firstOf(ref.digest.String(), ref.tag, "latest"))
		if err != nil {
			return err
		}
		if err := e.printReport(report.Report, report, out); err != nil || out.json {
			return err
		}
		e.reportPrinter(out).platforms(report.Platforms)
		return nil
	}
	return c
}

// trustFlags say whose signatures count.
type trustFlags struct {
	keys []string
	file string
}

func addTrustFlags(c *cobra.Command) *trustFlags {
	w := &trustFlags{}
	c.Flags().StringArrayVar(&w.keys, "key", nil, "PEM `file` of a public key whose signatures count, as cosign.pub; may be repeated")
	c.Flags().StringVar(&w.file, "trust", "", "`file` of the keys, identities and builders that you trust, as the registry's trust.file")
	return w
}

func (w *trustFlags) given() bool { return len(w.keys) > 0 || w.file != "" }

// read returns who is trusted, or nil.
func (w *trustFlags) read() (*signature.Trust, error) {
	if !w.given() {
		return nil, nil
	}
	trusted, err := signature.TrustKeys(w.keys...)
	if err != nil {
		return nil, usagef("--key: %w", err)
	}
	if w.file == "" {
		return trusted, nil
	}
	more, err := signature.ReadFile(w.file)
	if err != nil {
		return nil, usagef("--trust: %w", err)
	}
	both, err := trusted.And(more)
	if err != nil {
		return nil, usagef("--trust: %w", err)
	}
	return both, nil
}

// A looker inspects one image of a repository.
type looker func(ctx context.Context, ref string) (*image.Report, error)

// looker looks from here at a registry that is named, and asks the API of one's own.
func (e *env) looker(ctx context.Context, t *target, ref reference, whom *trustFlags) (looker, error) {
	if ref.host != "" && t.server == "" && t.data == "" {
		trusted, err := whom.read()
		if err != nil {
			return nil, err
		}
		return e.remoteLooker(ctx, t, ref, trusted)
	}
	if whom.given() {
		return nil, usagef("--key and --trust say whom you trust where the image is named with its host; your own registry goes by its trust.file")
	}
	return func(ctx context.Context, name string) (report *image.Report, err error) {
		err = e.ask(ctx, t, func(ctx context.Context, cl *client) error {
			return cl.get(ctx, "/api/v1/report", url.Values{"repo": {ref.repository}, "ref": {name}}, &report)
		})
		return report, err
	}, nil
}

func (e *env) remoteLooker(ctx context.Context, t *target, ref reference, trusted *signature.Trust) (looker, error) {
	ask, err := e.registryClient(ctx, t, ref.host)
	if err != nil {
		return nil, err
	}
	name := ref.host + "/" + ref.repository
	from, err := image.NewRemote(name, ask)
	if err != nil {
		return nil, usagef("%w", err)
	}
	c := image.Config{Subject: name, Repository: ref.repository, Trust: trusted.Of(ref.host), Resolve: image.NewResolver(func(host string) *auth.Client {
		if cl, err := e.registryClient(ctx, &target{ca: t.ca}, host); err == nil {
			return cl
		}
		return &auth.Client{Client: http.DefaultClient}
	})}
	if cl, err := e.connectRemote(ctx, t, ref.host); err == nil && cl.isHallmark(ctx) {
		c.Records = remoteRecords{cl}
	}
	return func(ctx context.Context, ref string) (*image.Report, error) {
		report, err := image.Inspect(ctx, from, ref, c)
		switch {
		case errors.Is(err, image.ErrNotFound):
			return nil, nof("%s: %w", name, err)
		case err != nil:
			return nil, explain("https://"+name, err)
		}
		return report, nil
	}, nil
}

// registryClient asks a registry with docker's login for it, or that of the flags.
func (e *env) registryClient(ctx context.Context, t *target, host string) (*auth.Client, error) {
	roots, err := ask.Roots(firstOf(t.ca, e.getenv("HALLMARK_CA")), host)
	if err != nil {
		return nil, usagef("--ca: %w", err)
	}
	login, _, err := e.remoteLogin(ctx, t, host)
	if err != nil {
		return nil, err
	}
	cl := &auth.Client{Cache: auth.NewCache(), Client: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}}}
	if login != auth.EmptyCredential {
		cl.Credential = auth.StaticCredential(host, login)
	}
	return cl, nil
}

// isHallmark says whether the server has records to ask for.
func (c *client) isHallmark(ctx context.Context) bool {
	var doc struct{ Info struct{ Title string } }
	return c.get(ctx, "/openapi.json", nil, &doc) == nil && doc.Info.Title == "Hallmark"
}

// remoteRecords asks another Hallmark for its records. What they say is that registry's word.
type remoteRecords struct{ *client }

// Find implements image.Records, for the queries that an inspection makes.
func (r remoteRecords) Find(ctx context.Context, q provenance.Query) (page provenance.Page, err error) {
	query := url.Values{"order": {"desc"}, "limit": {fmt.Sprint(q.Limit)}}
	for name, value := range map[string]string{"repo": q.Repository, "tag": q.Tag, "digest": q.Digest.String(), "action": string(q.Action)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var answer struct{ Records []*provenance.Record }
	err = r.get(ctx, "/api/v1/records", query, &answer)
	return provenance.Page{Records: answer.Records}, err
}

// Acts implements image.Records. A Hallmark of before it told acts tells none.
func (r remoteRecords) Acts(ctx context.Context, q provenance.ActsOf) (acts provenance.Acts, err error) {
	err = r.get(ctx, "/api/v1/image", url.Values{"repo": {q.Repository}, "ref": {firstOf(q.Tag, q.Digest.String())}}, &acts)
	return acts, err
}

// inspectRepository is the verb `hallmark inspect repository`.
func (e *env) inspectRepository() *cobra.Command {
	c := &cobra.Command{
		Use: "repository REPO", Short: "Grade the images behind the tags of a repository",
		Args: one("a repository, as team/app or registry.example/team/app"),
		Long: "Grade the images behind the tags of a repository. Its grade is that of its worst image; what has no grade by its kind, as\n" +
			"a build cache, does not count. Tags of what is attached to an image, as cosign's sha256-….sig, are left out.",
		Example: "  hallmark inspect repository team/app\n  hallmark inspect repository registry.example/team/app --min B",
	}
	t, out, whom := addTarget(c), addReportFlags(c), addTrustFlags(c)
	most := c.Flags().Int("limit", 20, "look at this many tags, the last of them in order; at least 1")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), 5*timeout)
		defer cancel()
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		if *most < 1 {
			return usagef("--limit is %d, and should be 1 or more", *most)
		}
		if ref.tag != "" || ref.digest != "" || ref.prefix != "" {
			return usagef("%q names an image: see hallmark inspect image", args[0])
		}
		tags, err := e.tagsOf(ctx, t, ref, *most)
		if err != nil {
			return err
		}
		r, err := e.lookAtAll(ctx, t, ref, tags, whom)
		if err != nil {
			return err
		}
		return e.printRepository(r, out)
	}
	return c
}

// repositoryReport is about the images of a repository.
type repositoryReport struct {
	Version int           `json:"version"`
	Subject string        `json:"subject"`
	Grade   trust.Grade   `json:"grade,omitempty"`
	Images  []taggedImage `json:"images"`
}

type taggedImage struct {
	Tag string `json:"tag"`
	*image.Report
}

// tagsOf lists the last tags of a repository.
func (e *env) tagsOf(ctx context.Context, t *target, ref reference, most int) (tags []string, err error) {
	if ref.host != "" && t.server == "" && t.data == "" {
		cl, err := e.registryClient(ctx, t, ref.host)
		if err != nil {
			return nil, err
		}
		if tags, err = image.Tags(ctx, ref.host+"/"+ref.repository, cl, most); err != nil {
			return nil, explain("https://"+ref.host, err)
		}
		return tags, nil
	}
	err = e.ask(ctx, t, func(ctx context.Context, cl *client) error {
		type tag struct{ Name string }
		found, err := pages(ctx, cl, "/api/v1/tags", url.Values{"repo": {ref.repository}}, 0, func(p struct{ Tags []tag }) []tag { return p.Tags })
		for _, t := range found {
			if !image.AttachedTag(t.Name) {
				tags = append(tags, t.Name)
			}
		}
		return err
	})
	return tags[max(0, len(tags)-most):], err
}

func (e *env) lookAtAll(ctx context.Context, t *target, ref reference, tags []string, whom *trustFlags) (*repositoryReport, error) {
	look, err := e.looker(ctx, t, ref, whom)
	if err != nil {
		return nil, err
	}
	r := &repositoryReport{Version: trust.Version, Subject: strings.TrimPrefix(ref.host+"/"+ref.repository, "/"), Images: []taggedImage{}}
	seen := map[digest.Digest]bool{}
	var reports []*trust.Report
	for _, tag := range tags {
		report, err := look(ctx, tag)
		if err != nil {
			return nil, err
		}
		r.Images = append(r.Images, taggedImage{tag, report})
		if report.Kind.Graded() && !seen[report.Digest] {
			seen[report.Digest] = true
			reports = append(reports, report.Report)
		}
	}
	r.Grade = trust.Lowest(reports)
	return r, nil
}

func (e *env) printRepository(r *repositoryReport, out *reportFlags) error {
	if err := out.check(); err != nil {
		return err
	}
	if out.json {
		if err := writeJSON(e.stdout, r); err != nil {
			return err
		}
		return out.compare(r.Subject, r.Grade)
	}
	p := e.reportPrinter(out)
	fmt.Fprintf(e.stdout, "%s  %s\n\n", p.grade(r.Grade), clean(r.Subject))
	tab := e.table("TAG", "GRADE", "PROVENANCE", "QUALITY", "DIGEST", "WORST…")
	for _, i := range r.Images {
		tab.row(i.Tag, string(i.Grade), string(i.Grades[trust.Provenance].Grade), string(i.Grades[trust.Quality].Grade), i.Digest.String(), i.Checks[0].Says)
	}
	if err := tab.flush(); err != nil {
		return err
	}
	return out.compare(r.Subject, r.Grade)
}

// explain says why an image could not be looked at.
func explain(base string, err error) error {
	if known := new(exitError); errors.As(err, known) { // it says itself what to do
		return *known
	}
	return status(ask.Explain(base, err))
}
