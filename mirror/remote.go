package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// remote is a registry that runs, asked over the API of the OCI distribution specification.
type remote struct {
	base        *url.URL // https://host[:port]
	host        string   // as it is recorded
	names       []string // of the repositories that are asked for, or nil for those of its catalog
	client      *auth.Client
	noReferrers sync.Map // repositories for which it does not have that route → nil
}

// The bounds of what is read of a registry.
const (
	maxPage  = 8 << 20 // bytes of a page of a list
	maxPages = 100_000
)

// accepted are the media types of manifests that are asked for. A registry may convert what is not among them.
var accepted = strings.Join([]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.artifact.manifest.v1+json", "application/vnd.cncf.oras.artifact.manifest.v1+json", "*/*;q=0.1",
}, ", ")

// get asks for a path, or for a URL of the same registry. It returns an answer with the status 200 or 206. Error: ErrAbsent.
func (r *remote) get(ctx context.Context, repo, at string, header http.Header) (*http.Response, error) {
	return r.ask(ctx, http.MethodGet, repo, at, header)
}

// ask is get with another method.
func (r *remote) ask(ctx context.Context, method, repo, at string, header http.Header) (*http.Response, error) {
	asked, err := r.base.Parse(at)
	if err != nil {
		return nil, err
	}
	if asked.Host != r.base.Host || asked.Scheme != r.base.Scheme {
		return nil, fmt.Errorf("it leads to %s://%s, which was not asked", asked.Scheme, asked.Host)
	}
	scope := "registry:catalog:*"
	if repo != "" {
		scope = auth.ScopeRepository(repo, auth.ActionPull)
	}
	req, err := http.NewRequestWithContext(auth.AppendScopesForHost(ctx, asked.Host, scope), method, asked.String(), nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return nil, refusal(resp)
}

// statusError is an answer that is none.
type statusError struct {
	host   string
	status int
	says   string // ": " and what the registry says, or ""
}

func (e *statusError) Error() string { return fmt.Sprintf("%s answers %d%s", e.host, e.status, e.says) }

// errForPeople: what came in place of a list is a page.
var errForPeople = errors.New("a page of a list is one for people, in HTML")

// refusal is what an answer says that is none.
func refusal(resp *http.Response) error {
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what has come will do
	var body struct {
		Errors []struct{ Code, Message string }
	}
	says := ""
	if json.Unmarshal(said, &body) == nil && len(body.Errors) > 0 {
		says = fmt.Sprintf(": %.40q, %.200q", body.Errors[0].Code, body.Errors[0].Message)
	}
	switch err := error(&statusError{resp.Request.URL.Host, resp.StatusCode, says}); resp.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	case http.StatusUnauthorized:
		return fmt.Errorf("%w; sign in there, as with `docker login %s`, or ask for the right to pull", err, resp.Request.URL.Host)
	default:
		return err
	}
}

// list follows the pages of a list, and yields what read makes of each.
func (r *remote) list(ctx context.Context, repo, at string, read func(page []byte) ([]string, error)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		last := ""
		for range maxPages {
			names, next, err := r.page(ctx, repo, at, read)
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
			switch {
			case next == "":
				return
			case next == at, len(names) > 0 && names[len(names)-1] == last:
				yield("", errors.New("its pages go round: the next one is one that was read"))
				return
			case len(names) > 0:
				last = names[len(names)-1]
			}
			at = next
		}
		yield("", fmt.Errorf("it has more than %d pages", maxPages))
	}
}

func (r *remote) page(ctx context.Context, repo, at string, read func([]byte) ([]string, error)) (names []string, next string, err error) {
	resp, err := r.get(ctx, repo, at, nil) //nolint:bodyclose // readBounded closes it
	if err != nil {
		return nil, "", err
	}
	data, err := readBounded(resp.Body, "a page of a list", maxPage)
	if err != nil {
		return nil, "", err
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, "", errForPeople
	}
	if names, err = read(data); err != nil {
		return nil, "", fmt.Errorf("a list that is none: %w", err)
	}
	return names, nextPage(resp), nil
}

// nextPage is where the next page is (RFC 8288), absolute, or "".
func nextPage(resp *http.Response) string {
	for _, header := range resp.Header.Values("Link") {
		target, parameters, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(header), "<"), ">")
		if !ok || !strings.Contains(strings.ReplaceAll(parameters, `"`, ""), "rel=next") {
			continue
		}
		next, err := resp.Request.URL.Parse(target)
		if err == nil {
			return next.String()
		}
	}
	return ""
}

// Repositories implements Source.
func (r *remote) Repositories(ctx context.Context) iter.Seq2[string, error] {
	if r.names == nil {
		return r.list(ctx, "", "/v2/_catalog?n=1000", func(page []byte) ([]string, error) {
			var list struct{ Repositories []string }
			err := json.Unmarshal(page, &list)
			return list.Repositories, err
		})
	}
	return func(yield func(string, error) bool) {
		for _, name := range r.names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// Images implements Source: a registry that runs tells its tags alone.
func (r *remote) Images(ctx context.Context, repo string) iter.Seq2[Image, error] {
	names := r.list(ctx, repo, "/v2/"+repo+"/tags/list?n=1000", func(page []byte) ([]string, error) {
		var list struct{ Tags []string }
		err := json.Unmarshal(page, &list)
		return list.Tags, err
	})
	return func(yield func(Image, error) bool) {
		for tag, err := range names {
			if !yield(Image{Tag: tag}, err) {
				return
			}
		}
	}
}

// Manifest implements Source.
func (r *remote) Manifest(ctx context.Context, repo, ref string) (m Manifest, err error) {
	resp, err := r.get(ctx, repo, "/v2/"+repo+"/manifests/"+url.PathEscape(ref), http.Header{"Accept": {accepted}}) //nolint:bodyclose // readBounded closes it
	if err != nil {
		return m, err
	}
	if m.Body, err = readBounded(resp.Body, "the manifest "+ref, maxManifest); err != nil {
		return m, err
	}
	header, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		header = ""
	}
	m.MediaType = cmp.Or(typeOf(m.Body), header) // the document knows better: there are servers that call all of it JSON
	m.Origin = provenance.Origin{Kind: provenance.FromRegistry, Host: r.host, Reference: referenceTo(repo, ref), TLSKey: keyOf(resp)}
	m.Origin.Digest, err = digestOf(m.Body, ref, resp.Header.Get("Docker-Content-Digest"))
	return m, err
}

// digestOf is the digest that was asked for, or that a tag means: as the registry states it, or without that SHA-256 of what it sent.
func digestOf(body []byte, ref, stated string) (digest.Digest, error) {
	want := digest.Digest(ref)
	if want.Validate() != nil {
		if want = digest.Digest(stated); want.Validate() != nil {
			return digest.FromBytes(body), nil
		}
	}
	if got := want.Algorithm().FromBytes(body); got != want {
		return "", fmt.Errorf("the registry sends as %s what has the digest %s", want, got)
	}
	return want, nil
}

// keyOf is the digest of the public key with which an answer came, or "".
func keyOf(resp *http.Response) digest.Digest {
	if resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
		return ""
	}
	return digest.FromBytes(resp.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
}

// Blob implements Source.
func (r *remote) Blob(ctx context.Context, repo string, b Blob) (io.ReadCloser, int64, error) {
	d := &download{ctx: ctx, r: r, repo: repo, at: "/v2/" + repo + "/blobs/" + b.Digest.String()}
	if err := d.open(); err != nil {
		return nil, 0, err
	}
	size := b.Size
	if d.size >= 0 {
		size = d.size
	}
	return d, size, nil
}

// lacksRoute says that a registry answers as one does that does not have a route: 404 by the specification; others are 400, 405, 406 and 501, or a page for
// people.
func lacksRoute(err error) bool {
	var said *statusError
	if errors.As(err, &said) {
		switch said.status {
		case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
			return true
		}
	}
	return errors.Is(err, ErrAbsent) || errors.Is(err, errForPeople)
}

// Referrers implements Source. A registry without this route, or a part of one that stands for others, has lists under tags, which come as tags do.
func (r *remote) Referrers(ctx context.Context, repo string, d digest.Digest) (found []digest.Digest, err error) {
	if _, none := r.noReferrers.Load(repo); none {
		return nil, nil
	}
	list := r.list(ctx, repo, "/v2/"+repo+"/referrers/"+d.String(), func(page []byte) ([]string, error) {
		var index ocispec.Index
		if err := strictjson.Unmarshal(page, &index); err != nil {
			return nil, err
		}
		var names []string
		for _, m := range index.Manifests {
			names = append(names, m.Digest.String())
		}
		return names, nil
	})
	for name, err := range list {
		if lacksRoute(err) {
			r.noReferrers.Store(repo, nil)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if len(found) >= maxFamily {
			return nil, fmt.Errorf("more than %d manifests are attached to it", maxFamily)
		}
		found = append(found, digest.Digest(name))
	}
	return found, nil
}

// Close implements Source.
func (r *remote) Close() error {
	r.client.Client.CloseIdleConnections()
	return nil
}
