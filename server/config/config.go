// Package config is everything that an operator can set: types that are also the manual, defaults, and where settings come from.
//
// It refuses settings that make no sense, with an [Error] that says what to fix. It opens only the files that a
// configuration names.
package config

import (
	"net"
	"net/url"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/seed-260924e6/hallmark/server/listen"
	"github.com/seed-260924e6/hallmark/storage/s3"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// Config is everything that can be set. It is read from, the later winning: the defaults here, the file,
// the environment, the flags. The file is YAML; an unknown key is an error. Each key has a variable in
// the environment: tls.cert is HALLMARK_TLS_CERT, adminListen is HALLMARK_ADMIN_LISTEN. Lists are
// separated by commas there.
type Config struct {
	// Data is the directory that holds everything the registry knows. Default: ./hallmark-data.
	Data string `yaml:"data"`
	// Listen is where clients connect: host:port, or :port for all addresses. Default: :5443.
	Listen string `yaml:"listen"`
	// URL is the one public name of the registry, https://host[:port]. It is kept at the first start
	// that gives it. Default: https://localhost:PORT.
	URL string `yaml:"url"`
	// Hosts are further names and addresses that clients use: the certificate is for them too.
	Hosts []string `yaml:"hosts"`
	// AdminListen is where metrics are served. Off loopback it wants TLS and an administrator's login.
	// "none" turns it off. Default: 127.0.0.1:5444.
	AdminListen string `yaml:"adminListen"`
	// Metrics says who may read the metrics, beside administrators.
	Metrics Metrics `yaml:"metrics"`
	// InsecureHTTP serves plain HTTP instead of TLS, for a proxy in front: "loopback" allows it where
	// Listen is a loopback address, "anywhere" everywhere. Default: TLS.
	InsecureHTTP string `yaml:"insecureHTTP"`
	// TrustedProxies are the networks and addresses of the proxies in front. From them alone the headers
	// Forwarded and X-Forwarded-For, -Proto and -Host count: in records, logs and limits. Default: none.
	TrustedProxies []string `yaml:"trustedProxies"`
	// OIDC names the issuers whose CI jobs may sign in with their ID tokens: issuer, audience, kind (github,
	// gitlab or generic), ca, claims, ids, allowEvents, session. Default: none.
	OIDC []oidc.Issuer `yaml:"oidc"`
	// Limits bound how many requests one may make, and how many connections.
	Limits Limits `yaml:"limits"`
	// TLS names a certificate of one's own; without it the registry makes one.
	TLS TLS `yaml:"tls"`
	// Registry bounds what is taken in.
	Registry registry.Config `yaml:"registry"`
	// Trash says for how long, and up to which size, what was deleted can be brought back.
	Trash registry.TrashConfig `yaml:"trash"`
	// Store is the URL of a PostgreSQL database for everything but blobs, keys and certificates:
	// postgres://user@host/database?sslmode=verify-full. `hallmark move` takes a store there, or back. Default: a file in the data
	// directory.
	Store string `yaml:"store"`
	// Blobs says where blobs are, if not in the data directory.
	Blobs Blobs `yaml:"blobs"`
	// Scrub says how often every blob is read and compared with its digest, and how fast.
	Scrub registry.ScrubConfig `yaml:"scrub"`
	// Records says how long the parts of records that can be erased are kept.
	Records Records `yaml:"records"`
	// Keys names signing keys of one's own; without it the registry makes them.
	Keys Keys `yaml:"keys"`
	// Trust says whose signatures of images count.
	Trust Trust `yaml:"trust"`
	// Log says what is logged, and who may see the transparency log.
	Log Log `yaml:"log"`
	// Witnesses may cosign the log's checkpoints: each is its key, NAME+HASH+KEY, and behind a space the
	// URL where it answers as a C2SP tlog-witness, and the file of its CA where that is one's own; without a
	// URL it comes by itself. Default: none.
	Witnesses []string `yaml:"witnesses"`
	// Policy names the rules about what may be pushed, tagged and pulled.
	Policy Policy `yaml:"policy"`
	// Retention names the rules about what may go, and says what counts as use of an image.
	Retention Retention `yaml:"retention"`
	// Mirrors names the rules about what follows other registries.
	Mirrors Mirrors `yaml:"mirrors"`
	// Pages serves pages for browsers beside the API. Default: true.
	Pages bool `yaml:"pages"`
	// Shutdown is how long requests under way may go on after SIGTERM. Default: 30s.
	Shutdown units.Duration `yaml:"shutdown"`
	// Stall is how long a client may send or take nothing, in the middle of a request, before its
	// connection is cut. Default: 2m.
	Stall units.Duration `yaml:"stall"`

	// origins says of each key that is set where: hallmark.yaml:7, HALLMARK_URL, --url.
	origins map[string]string
}

// Blobs is about where blobs are.
type Blobs struct {
	// S3 is an object store that speaks S3. Default: blobs are in the data directory.
	S3 ObjectStore `yaml:"s3"`
}

// ObjectStore is where an object store is, and who fetches from it.
type ObjectStore struct {
	s3.Config               `yaml:",inline"`
	registry.RedirectConfig `yaml:",inline"`
}

// Remote is the object store, or nil where blobs are in the data directory.
func (c Blobs) Remote() *s3.Config {
	if c.S3.Endpoint == "" {
		return nil
	}
	return &c.S3.Config
}

// Metrics is about who reads /metrics.
type Metrics struct {
	// TokenFile holds a token of 16 bytes or more, which opens /metrics and nothing else where AdminListen is off loopback:
	// Authorization: Bearer TOKEN. It is read at each request. Default: only administrators read them.
	TokenFile string `yaml:"tokenFile"`
}

// TLS names the files of a certificate.
type TLS struct {
	// Cert is a PEM file: the certificate, then its chain. It is read again when it changes.
	Cert string `yaml:"cert"`
	// Key is the PEM file of its key.
	Key string `yaml:"key"`
}

// Policy names a file of rules.
type Policy struct {
	// File is a file of rules: docs/policy.md. It is read again on SIGHUP. Default: there are no rules.
	File string `yaml:"file"`
}

// Read reads the file, or returns nil where there is none.
func (c Policy) Read() (*policy.Set, error) {
	if c.File == "" {
		return nil, nil
	}
	set, err := policy.ReadFile(c.File)
	if err != nil {
		return nil, Errorf("policy: %w", err)
	}
	return set, nil
}

// Retention is about what may go.
type Retention struct {
	// File is a file of rules: docs/retention.md. It is read again on SIGHUP. Default: nothing goes by itself.
	File string `yaml:"file"`
	// Every is how often a plan is made and applied, once an administrator has applied one of the same rules by hand. Default: 0, never.
	Every units.Duration `yaml:"every"`
	// Most is the percentage of a repository's tags, and of its manifests, beyond which a plan is applied by hand only; 0 is no bound.
	// Default: 20.
	Most int `yaml:"most"`

	registry.PullConfig `yaml:",inline"`
}

// Read reads the file, or returns nil where there is none. x compiles its expressions.
func (c Retention) Read(x retention.Expressions) (*retention.Set, error) {
	if c.File == "" {
		return nil, nil
	}
	set, err := retention.ReadFile(c.File, x)
	if err != nil {
		return nil, Errorf("retention: %w", err)
	}
	return set, nil
}

// onlyCompiled are expressions that are checked, and never asked.
type onlyCompiled struct{}

// Compile implements retention.Expressions.
func (onlyCompiled) Compile(text string) (retention.Expression, error) {
	_, err := policy.CompileExpression(text)
	return nil, err
}

// Mirrors is about what follows other registries.
type Mirrors struct {
	// File is a file of mirrors: docs/mirrors.md. It is read again on SIGHUP. Default: nothing is a mirror.
	File string `yaml:"file"`
}

// Read reads the file, or returns nil where there is none. own are names of this registry, host or host:port.
func (c Mirrors) Read(own ...string) (*mirror.Set, error) {
	if c.File == "" {
		return nil, nil
	}
	set, err := mirror.ReadFile(c.File, own...)
	if err != nil {
		return nil, Errorf("mirrors: %w", err)
	}
	return set, nil
}

// OwnNames are the names of the registry with their ports, where publicURL is its public name: it mirrors none of them.
func (c Config) OwnNames(publicURL string) (names []string) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" {
		return nil
	}
	names = []string{u.Host}
	for _, host := range c.Hosts {
		own := host
		if port := u.Port(); port != "" {
			own = net.JoinHostPort(host, port)
		}
		names = append(names, own)
	}
	return names
}

// Trust is about signatures of images.
type Trust struct {
	// File names the keys, identities and builders that are trusted, and for which repositories. It is read
	// again with the configuration. Default: nobody is trusted.
	File string `yaml:"file"`
}

// Read reads the file, or returns nil where there is none.
func (c Trust) Read() (*signature.Trust, error) {
	if c.File == "" {
		return nil, nil
	}
	t, err := signature.ReadFile(c.File)
	if err != nil {
		return nil, Errorf("trust.file: %w", err)
	}
	return t, nil
}

// Log is about logs: the one that operators read, and the transparency log.
type Log struct {
	obs.LogConfig `yaml:",inline"`
	// Public serves the transparency log, /log/, to those who have not signed in too. It names no
	// repository and no person. Default: true.
	Public bool `yaml:"public"`
}

// Limits bounds what one may take from others.
type Limits struct {
	access.Limits           `yaml:",inline"`
	registry.UploadLimits   `yaml:",inline"`
	listen.ConnectionLimits `yaml:",inline"`
}

// Keys names the files of signing keys of one's own. Without it the registry makes its keys, in the
// directory keys of its data.
type Keys struct {
	// Receipt is the PEM file of an ECDSA P-256 key, which signs records. Default: DATA/keys/receipt.pem.
	Receipt string `yaml:"receipt"`
	// NextReceipt is the file of the key that `hallmark key rotate` changes to, where Receipt is given. At a
	// later start the two may change places: the store knows which of them is in force.
	NextReceipt string `yaml:"nextReceipt"`
	// Log is the PEM file of an Ed25519 key, which signs the log's checkpoints. Default: DATA/keys/log.pem.
	Log string `yaml:"log"`
	// NextLog is the file of the key of the log that follows, where Log is given.
	NextLog string `yaml:"nextLog"`
}

// Records is about records.
type Records struct {
	// KeepAddresses is how long a record keeps the client's address and user agent at least; they are erased within
	// two hours after it. Only the time that the registry runs counts. Default: 90d.
	KeepAddresses units.Duration `yaml:"keepAddresses"`
}

// Default is the configuration where nothing is set.
func Default() Config {
	return Config{
		Data:        "hallmark-data",
		Listen:      ":5443",
		AdminListen: "127.0.0.1:5444",
		Limits:      Limits{UploadLimits: registry.DefaultUploadLimits, ConnectionLimits: listen.ConnectionLimits{Connections: 10_000, AddressConnections: 1000}},
		Registry:    registry.Config{MaxManifest: 4 << 20, UploadKeep: units.Duration(24 * time.Hour), Lease: units.Duration(24 * time.Hour), SmallBlobs: 16 << 10},
		Trash:       registry.TrashConfig{Keep: units.Duration(7 * 24 * time.Hour)},
		Scrub:       registry.ScrubConfig{Every: units.Duration(7 * 24 * time.Hour), Rate: 50e6}, // which no disk notices
		Blobs:       Blobs{S3: ObjectStore{Config: s3.Config{Region: "us-east-1", Keep: units.Duration(7 * 24 * time.Hour)}}},
		Records:     Records{KeepAddresses: units.Duration(90 * 24 * time.Hour)},
		Log:         Log{LogConfig: obs.LogConfig{Level: "info", Format: "text"}, Public: true},
		Retention:   Retention{Most: 20},
		Pages:       true,
		Shutdown:    units.Duration(30 * time.Second),
		Stall:       units.Duration(2 * time.Minute),
	}
}
