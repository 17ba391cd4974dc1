package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/cosigning"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// passwordCost is the work that checking a password takes: 0 is access's own. Tests start many servers, and
// under the race detector each password would take seconds.
var passwordCost int

// services are the rooms over one open data directory, wired. A server runs them behind its listeners; a
// verb, when no server runs, asks their API directly.
type services struct {
	data       *datadir.Dir
	url        string
	access     *access.Access
	book       *provenance.Book
	registry   *registry.Registry
	signatures *signature.Arrivals
	witnesses  []cosigning.Witness
	keeper     *certs.Keeper // nil over plain HTTP
	keys       *keyring.Ring
	judge      *policy.Judge // without rules, until a server begins
	api        *api.API

	// unrecorded are the files by which the registry decides, until they are on record: rules.go.
	unrecorded atomic.Pointer[provenance.RuleFiles]
}

// open wires the rooms over a data directory, for a server that listens on address. Certificates are
// opened by the server alone: a verb that works beside it knows not all names that they are for.
func open(ctx context.Context, d *datadir.Dir, c config.Config, address string, log *slog.Logger) (*services, error) {
	s := &services{data: d}
	var err error
	if s.url, err = publicURL(ctx, d, c, address); err != nil {
		return nil, err
	}
	if s.book, err = provenance.NewBook(d.Store, s.url); err != nil {
		return nil, err
	}
	s.keys = keyring.New(s.book, d.File(datadir.KeysDir), c.Keys, log)
	if d.Mode == datadir.ToRead {
		err = s.keys.Look(ctx)
	} else {
		err = s.keys.Open(ctx)
	}
	if err != nil {
		return nil, err
	}
	reachedAt, err := ports(ctx, d, address)
	if err != nil {
		return nil, err
	}
	if s.access, err = access.New(ctx, d.Store, access.Config{URL: s.url, Book: s.book, Limits: c.Limits.Limits, Issuers: c.OIDC, Names: s.names(c), Ports: reachedAt, BcryptCost: passwordCost}); err != nil {
		return nil, err
	}
	if s.registry, err = registry.New(ctx, d.Store, d.Blobs, s.book, s.access, log, c.Registry); err != nil {
		return nil, err
	}
	kept, err := d.KeptKey()
	if err != nil {
		return nil, err
	}
	if kept != nil {
		s.registry.SealKept(kept)
	}
	s.registry.LimitUploads(c.Limits.UploadLimits)
	if err := s.registry.UseScrub(ctx, c.Scrub); err != nil {
		return nil, err
	}
	trusted, err := c.Trust.Read()
	if err != nil {
		return nil, err
	}
	s.signatures = signature.NewArrivals(s.book)
	s.signatures.SetTrust(trusted.Of(s.hosts(c)...))
	s.registry.SetAppraiser(s.signatures)
	if s.judge, err = s.newJudge(log); err != nil {
		return nil, err
	}
	if s.witnesses, err = cosigning.ParseWitnesses(c.Witnesses); err != nil {
		return nil, err
	}
	s.api = (&api.API{
		Access: s.access, Registry: s.registry, Book: s.book, Store: d.Store, Keys: s.keys, Judge: s.judge, URL: s.url,
		PrivateLog: !c.Log.Public, Witnesses: cosigning.Verifiers(s.witnesses), Trust: s.signatures.Trust, Log: log,
	}).Init()
	return s, nil
}

// newJudge returns who asks the rules about images of this registry.
func (s *services) newJudge(log *slog.Logger) (*policy.Judge, error) {
	host := addressOf(s.url)
	resolve := image.NewLocalResolver(s.registry, s.book, host, registry.ErrUnknown, func(string) bool { return true }).Untimed()
	j, err := policy.NewJudge(policy.Config{
		Registry: s.registry, Book: s.book, Log: log, Version: version.String(),
		Inspect: func() image.Config { return image.Config{Subject: host, Resolve: resolve, Trust: s.signatures.Trust()} },
	})
	if err == nil {
		s.registry.SetJudge(j)
	}
	return j, err
}

// hosts are the names of the registry, as what is said about images may have them.
func (s *services) hosts(c config.Config) []string {
	return append([]string{addressOf(s.url), hostOf(s.url)}, c.Hosts...)
}

// names says whether a host is one of the registry's: its certificate is for it, or, where a proxy has the
// certificate, it is configured.
func (s *services) names(c config.Config) func(host string) bool {
	return func(host string) bool {
		if s.keeper != nil {
			return s.keeper.Certificate().VerifyHostname(host) == nil
		}
		return host == hostOf(s.url) || slices.Contains(c.Hosts, host)
	}
}

// openKeeper opens the certificates, unless the server speaks plain HTTP.
func (s *services) openKeeper(c config.Config) error {
	if c.InsecureHTTP != "" {
		return nil
	}
	var err error
	s.keeper, err = certs.Open(certsConfig(s.data, c, s.url))
	if errors.Is(err, certs.ErrName) {
		return exitError{exitUsage, err}
	}
	if err == nil {
		s.api.Certificates = s.keeper
	}
	return err
}

// publicURL is the registry's one public name: as configured, else as it was last configured, else
// localhost with the port that it listens on.
func publicURL(ctx context.Context, d *datadir.Dir, c config.Config, address string) (string, error) {
	kept, err := d.Setting(ctx, datadir.SettingURL)
	if err != nil {
		return "", err
	}
	given := strings.TrimSuffix(c.URL, "/")
	switch {
	case given != "" && d.Mode == datadir.ToRead:
		return given, nil
	case given != "" && given != kept:
		return given, d.Set(ctx, datadir.SettingURL, given)
	case kept != "":
		return kept, nil
	}
	scheme := "https"
	if c.InsecureHTTP != "" {
		scheme = "http"
	}
	return scheme + "://localhost:" + portOf(address), nil
}

// ports are those, besides that of the public name, at which clients reach the registry. Where it was never given a
// public name, any may be: somebody tries it out, perhaps in a container whose port is published at another.
func ports(ctx context.Context, d *datadir.Dir, address string) ([]string, error) {
	given, err := d.Setting(ctx, datadir.SettingURL)
	if err != nil || given == "" {
		return nil, err
	}
	return []string{portOf(address)}, nil
}

func portOf(address string) string {
	return address[strings.LastIndexByte(address, ':')+1:]
}

func certsConfig(d *datadir.Dir, c config.Config, publicURL string) certs.Config {
	return certs.Config{
		Dir: d.File(datadir.CertsDir), Hosts: append([]string{hostOf(publicURL)}, c.Hosts...),
		CertFile: c.TLS.Cert, KeyFile: c.TLS.Key,
	}
}

func hostOf(publicURL string) string {
	u, err := url.Parse(publicURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// forget erases addresses from records that are old enough, now and every hour until ctx ends.
func (s *services) forget(ctx context.Context, keep time.Duration, log *slog.Logger) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		n, err := s.forgetOld(ctx, keep)
		if err != nil && ctx.Err() == nil {
			log.Error("erasing addresses from old records failed", "err", err)
		} else if n > 0 {
			log.Info("erased addresses from old records", "records", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forgetOld erases what is old enough by the clock that counts while the registry runs.
func (s *services) forgetOld(ctx context.Context, keep time.Duration) (erased int, err error) {
	return s.book.Forget(ctx, s.registry.Clock, keep)
}
