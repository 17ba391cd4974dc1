package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/storage"
)

// RedirectConfig says which clients fetch blobs from the object store themselves. Of those that are named, a client has to be among each.
type RedirectConfig struct {
	// Redirect has GETs of blobs be answered with 307 and a URL of the object store that needs no keys, for 10 minutes. Clients have to
	// reach the object store then, and trust its certificate. Default: false.
	Redirect bool `yaml:"redirect"`
	// RedirectNetworks are the networks whose clients are redirected, as 10.0.0.0/8, and single addresses. Default: all.
	RedirectNetworks []string `yaml:"redirectNetworks"`
	// RedirectAgents are what the User-Agent of clients that are redirected begins with: docker/, containerd/. Default: all.
	RedirectAgents []string `yaml:"redirectAgents"`
	// RedirectAccounts are the accounts whose clients are redirected: user:NAME, robot:NAME or ci:ISSUER:CLAIM=GLOB,…. Default: all.
	RedirectAccounts []string `yaml:"redirectAccounts"`
}

// redirectLasts is how long a URL is good: a client may wait with its layers for others to come. An object store looks at it when a request
// begins. What is removed stays for longer: an hour in the object store, at the least.
const redirectLasts = 10 * time.Minute

// redirects are those of a RedirectConfig, read.
type redirects struct {
	networks []netip.Prefix
	agents   []string
	accounts []access.Subject
}

// read reads it: nil where nobody is redirected. An error is about a key.
func (c RedirectConfig) read() (r *redirects, key string, err error) {
	r = &redirects{agents: c.RedirectAgents}
	networks, err := peer.ParseNetworks(c.RedirectNetworks)
	if err != nil {
		return nil, "redirectNetworks", err
	}
	r.networks = networks
	if slices.Contains(r.agents, "") {
		return nil, "redirectAgents", fmt.Errorf("an empty name is what every User-Agent begins with: name some, as docker/")
	}
	if r.accounts, err = (PullConfig{c.RedirectAccounts}).subjects(); err != nil {
		return nil, "redirectAccounts", err
	}
	if !c.Redirect {
		r = nil
	}
	return r, "", nil
}

// Check says what is wrong with which key.
func (c RedirectConfig) Check() (key string, err error) {
	_, key, err = c.read()
	if err == nil && !c.Redirect && len(c.RedirectNetworks)+len(c.RedirectAgents)+len(c.RedirectAccounts) > 0 {
		return "redirect", fmt.Errorf("redirect is not true, and it is said who is redirected: set it, or leave that out")
	}
	return key, err
}

// UseRedirects sets who is redirected. It is called before the registry serves.
func (g *Registry) UseRedirects(c RedirectConfig) error {
	r, _, err := c.read()
	g.redirects = r
	return err
}

// follows says whether the client of a request is one that is redirected.
func (r *redirects) follows(c *call) bool {
	addr, _ := netip.ParseAddr(peer.Address(c.r)) // one that cannot be read is in no network
	agent := c.r.UserAgent()
	return (len(r.networks) == 0 || slices.ContainsFunc(r.networks, func(n netip.Prefix) bool { return n.Contains(addr.Unmap()) })) &&
		(len(r.agents) == 0 || slices.ContainsFunc(r.agents, func(a string) bool { return strings.HasPrefix(agent, a) })) &&
		(len(r.accounts) == 0 || slices.ContainsFunc(r.accounts, func(s access.Subject) bool { return s.Names(c.who) }))
}

// mayRedirect says whether a request is one that the object store would answer as we do. Conditions are about our ETags, and it knows one
// range at most. A HEAD is answered from the row, and never asks it.
func mayRedirect(r *http.Request) bool {
	for _, name := range []string{"If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return r.Method == http.MethodGet && len(r.Header["Range"]) <= 1 && !strings.Contains(r.Header.Get("Range"), ",")
}

// opening returns how a request has a blob opened.
func (g *Registry) opening(c *call) opener {
	away, can := g.blobs.(storage.Away)
	switch {
	case c.r.Method == http.MethodHead:
		return g.measureBlob
	case can && g.redirects != nil && mayRedirect(c.r) && g.redirects.follows(c):
		return func(ctx context.Context, d digest.Digest, row blobRow) (storage.Blob, error) {
			return g.openAway(ctx, away, d, row)
		}
	}
	if c.r.Header.Get("Range") != "" {
		return func(ctx context.Context, d digest.Digest, row blobRow) (storage.Blob, error) {
			return g.openBlob(storage.InPieces(ctx), d, row)
		}
	}
	return g.openBlob
}

// elsewhere is a blob that a client is to fetch from a URL.
type elsewhere struct {
	storage.Blob
	url string
}

func (elsewhere) Close() error { return nil }

// openAway is an opener for a client that may be redirected.
func (g *Registry) openAway(ctx context.Context, away storage.Away, d digest.Digest, row blobRow) (storage.Blob, error) {
	if row.damaged {
		return nil, errLost(d)
	}
	url, err := away.URL(ctx, row.at, redirectLasts)
	switch {
	case err != nil:
		return nil, g.lost(ctx, d, row, err)
	case url == "":
		return g.openBlob(ctx, d, row)
	}
	return elsewhere{url: url}, nil
}

// redirect answers with where a blob is. The URL is as good as a login for this blob, so nobody keeps the answer.
func redirect(w http.ResponseWriter, url string) {
	w.Header().Del("Etag")
	w.Header().Del("Content-Type")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusTemporaryRedirect)
}
