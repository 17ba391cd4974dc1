package server

import (
	"context"
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
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/cosigning"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/lease"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// services are the rooms over one open data directory, wired. A server runs them behind its listeners; a
// verb, when no server runs, asks their API directly.
type services struct {
	data       *datadir.Dir
	rows       storage.Store // of data; refuses what is done under a lease that was lost
	url        string
	access     *access.Access
	book       *provenance.Book
	registry   *registry.Registry
	signatures *signature.Appraiser
	witnesses  []cosigning.Witness
	keeper     *certs.Keeper // nil over plain HTTP
	keys       *keyring.Ring
	engine     *policy.Engine // without rules, until a server begins
	retention  *retention.Keeper
	mirrors    *mirror.Mirrors
	ruling     *ruling
	api        *api.API
	// certificates are those that the API shows: nil until they are opened, and over plain HTTP.
	certificates api.Certificates

	// unrecorded are the files by which the registry decides, until they are on record: rules.go.
	unrecorded atomic.Pointer[provenance.RuleFiles]
}

// wiring is for whom rooms are wired.
type wiring struct {
	address      string // where a server listens; "" for a verb
	passwordCost int    // the work that checking a password takes; 0 is access's own
	log          *slog.Logger
	replica      *lease.Replica // nil for a verb, which has the store for itself
}

// rows are those of a data directory, for work that may be done under leases.
func (w wiring) rows(d *datadir.Dir) storage.Store {
	if w.replica == nil {
		return d.Rows()
	}
	return w.replica.Store(d.Rows())
}

// several says that other processes work on the store too.
func (w wiring) several() bool { return w.replica != nil && !w.replica.Alone() }

// now is the time that decides.
func (w wiring) now() time.Time {
	if w.replica == nil {
		return time.Now()
	}
	return w.replica.Now()
}

// wire connects the rooms over a data directory. Certificates are
// opened by the server alone: a verb that works beside it knows not all names that they are for.
func wire(ctx context.Context, d *datadir.Dir, c config.Config, w wiring) (s *services, err error) {
	s, log := &services{data: d, rows: w.rows(d)}, w.log
	if s.url, err = d.PublicURL(ctx, c, w.address); err != nil {
		return nil, err
	}
	if err := s.openBook(ctx, c, w); err != nil {
		return nil, err
	}
	if err := s.openAccess(ctx, c, w); err != nil {
		return nil, err
	}
	if err := s.openRegistry(ctx, c, log); err != nil {
		return nil, err
	}
	if w.several() {
		s.registry.ShareMarks()
	}
	if err := s.openTrust(ctx, c, log); err != nil {
		return nil, err
	}
	s.access.SetFollower(s.ruling)
	if err := s.openRetention(c, log); err != nil {
		return nil, err
	}
	if err := s.openMirrors(c, log); err != nil {
		return nil, err
	}
	if s.witnesses, err = cosigning.ParseWitnesses(c.Witnesses); err != nil {
		return nil, err
	}
	s.api = api.New(s.apiConfig(c, log))
	return s, nil
}

func (s *services) apiConfig(c config.Config, log *slog.Logger) api.Config {
	answers := api.Over(s.access, s.registry, s.book)
	answers.URL, answers.Log, answers.Retention, answers.Imports = s.url, log, s.retention, mirror.NewImports(s.registry)
	answers.Mirrors, answers.Documents = s.mirrors, s.ruling
	answers.AtOnce = func(ctx context.Context, fn func(context.Context) error) error {
		return storage.Together(ctx, s.data.Rows(), fn)
	}
	answers.Policy, answers.Keys, answers.Checks.Store = s.engine, &keeper{services: s}, s.checkStore
	answers.Certificates, answers.Trust = func() api.Certificates { return s.certificates }, s.signatures.Trust
	answers.Witnesses, answers.PrivateLog = cosigning.Verifiers(s.witnesses), !c.Log.Public
	return answers
}

// openBook opens the records, with the keys that sign them.
func (s *services) openBook(ctx context.Context, c config.Config, w wiring) (err error) {
	if s.book, err = provenance.NewBook(s.rows, s.url); err != nil {
		return err
	}
	s.book.SetClock(w.now)
	s.keys = keyring.New(s.book, s.data.File(datadir.KeysDir), c.Keys, w.log)
	if s.data.Mode == datadir.ToRead {
		return s.keys.Look(ctx)
	}
	return s.keys.Open(ctx)
}

func (s *services) openAccess(ctx context.Context, c config.Config, w wiring) error {
	reachedAt, err := s.data.Ports(ctx, c, w.address)
	if err != nil {
		return err
	}
	s.access, err = access.New(ctx, s.rows, access.Config{
		URL: s.url, Book: s.book, Limits: c.Limits.Limits, Issuers: c.OIDC, Names: s.names(c), Ports: reachedAt, BcryptCost: w.passwordCost,
		Several: w.several(), Now: w.now,
	})
	if err != nil {
		return err
	}
	return s.signTokens()
}

func (s *services) openRegistry(ctx context.Context, c config.Config, log *slog.Logger) (err error) {
	if s.registry, err = registry.New(ctx, s.rows, s.data.Blobs, s.book, s.access, log, c.Registry); err != nil {
		return err
	}
	if err := s.protectKept(); err != nil {
		return err
	}
	s.registry.LimitUploads(c.Limits.UploadLimits)
	if err := s.registry.IgnorePulls(c.Retention.PullConfig); err != nil {
		return err
	}
	s.registry.UseTrash(c.Trash)
	if err := s.registry.UseRedirects(c.Blobs.S3.RedirectConfig); err != nil {
		return err
	}
	return s.registry.UseScrub(ctx, c.Scrub)
}

// openTrust has arriving images appraised, and the rules asked about them.
func (s *services) openTrust(ctx context.Context, c config.Config, log *slog.Logger) error {
	trusted, err := c.Trust.Read()
	if err != nil {
		return err
	}
	s.signatures = signature.NewAppraiser(s.book)
	s.registry.SetAppraiser(s.signatures)
	if s.engine, err = s.newEngine(log); err != nil {
		return err
	}
	s.ruling = newRuling(s, c, log)
	if err := s.ruling.use(ruleFiles{trust: trusted}); err != nil {
		return err
	}
	s.signatures.OnFork(s.engine.Forget)
	return s.signatures.Recall(ctx)
}

// newEngine returns the policy engine, which asks the rules about images of this registry.
func (s *services) newEngine(log *slog.Logger) (*policy.Engine, error) {
	host := addressOf(s.url)
	resolve := image.NewLocalResolver(s.registry, s.book, host, registry.ErrUnknown, func(string) bool { return true }).Untimed()
	engine, err := policy.NewEngine(policy.Config{
		Registry: s.registry, Book: s.book, Log: log, Version: version.String(), Holders: s.access.Holders,
		Inspect: func() image.Config {
			return image.Config{Subject: host, Resolve: resolve, Trust: s.signatures.Trust(), Holds: s.book.Holds}
		},
	})
	if err == nil {
		s.registry.SetPolicy(engine)
	}
	return engine, err
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
	if err == nil {
		s.certificates = s.keeper
	}
	return err
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

// addressOf is host[:port] of a URL, as it stands in image names.
func addressOf(publicURL string) string {
	_, address, _ := strings.Cut(publicURL, "://")
	return strings.TrimSuffix(address, "/")
}
