package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
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
	Limits LimitsConfig `yaml:"limits"`
	// TLS names a certificate of one's own; without it the registry makes one.
	TLS TLSConfig `yaml:"tls"`
	// Registry bounds what is taken in.
	Registry registry.Config `yaml:"registry"`
	// Scrub says how often every blob is read and compared with its digest, and how fast.
	Scrub registry.ScrubConfig `yaml:"scrub"`
	// Records says how long the parts of records that can be erased are kept.
	Records RecordsConfig `yaml:"records"`
	// Keys names signing keys of one's own; without it the registry makes them.
	Keys KeysConfig `yaml:"keys"`
	// Trust says whose signatures of images count.
	Trust TrustConfig `yaml:"trust"`
	// Log says what is logged, and who may see the transparency log.
	Log LogConfig `yaml:"log"`
	// Witnesses may cosign the log's checkpoints: each is its key, NAME+HASH+KEY, and behind a space the
	// URL where it answers as a C2SP tlog-witness, and the file of its CA where that is one's own; without a
	// URL it comes by itself. Default: none.
	Witnesses []string `yaml:"witnesses"`
	// Policy names the rules about what may be pushed, tagged and pulled.
	Policy PolicyConfig `yaml:"policy"`
	// Shutdown is how long requests under way may go on after SIGTERM. Default: 30s.
	Shutdown units.Duration `yaml:"shutdown"`
	// Stall is how long a client may send or take nothing, in the middle of a request, before its
	// connection is cut. Default: 2m.
	Stall units.Duration `yaml:"stall"`
}

// TLSConfig names the files of a certificate.
type TLSConfig struct {
	// Cert is a PEM file: the certificate, then its chain. It is read again when it changes.
	Cert string `yaml:"cert"`
	// Key is the PEM file of its key.
	Key string `yaml:"key"`
}

// PolicyConfig names a file of rules.
type PolicyConfig struct {
	// File is a file of rules: docs/policy.md. It is read again on SIGHUP. Default: there are no rules.
	File string `yaml:"file"`
}

// TrustConfig is about signatures of images.
type TrustConfig struct {
	// File names the keys, identities and builders that are trusted, and for which repositories. It is read
	// again with the configuration. Default: nobody is trusted.
	File string `yaml:"file"`
}

// read reads the file, or returns nil where there is none.
func (c TrustConfig) read() (*signature.Trust, error) {
	if c.File == "" {
		return nil, nil
	}
	t, err := signature.ReadFile(c.File)
	if err != nil {
		return nil, usagef("trust.file: %w", err)
	}
	return t, nil
}

// LogConfig is about logs: the one that operators read, and the transparency log.
type LogConfig struct {
	obs.LogConfig `yaml:",inline"`
	// Public serves the transparency log, /log/, to those who have not signed in too. It names no
	// repository and no person. Default: true.
	Public bool `yaml:"public"`
}

// RecordsConfig is about records.
type RecordsConfig struct {
	// KeepAddresses is how long a record keeps the client's address and user agent at least; they are erased within
	// two hours after it. Only the time that the registry runs counts. Default: 90d.
	KeepAddresses units.Duration `yaml:"keepAddresses"`
}

func defaultConfig() Config {
	return Config{
		Data:        "hallmark-data",
		Listen:      ":5443",
		AdminListen: "127.0.0.1:5444",
		Limits:      LimitsConfig{UploadLimits: registry.DefaultUploadLimits, Connections: 10_000, AddressConnections: 1000},
		Registry:    registry.Config{MaxManifest: 4 << 20, UploadKeep: units.Duration(24 * time.Hour), Lease: units.Duration(24 * time.Hour)},
		Scrub:       defaultScrub,
		Records:     RecordsConfig{KeepAddresses: units.Duration(90 * 24 * time.Hour)},
		Log:         LogConfig{LogConfig: obs.LogConfig{Level: "info", Format: "text"}, Public: true},
		Shutdown:    units.Duration(30 * time.Second),
		Stall:       units.Duration(2 * time.Minute),
	}
}

// configFlags are the flags of verbs that read the configuration.
type configFlags struct {
	set  *pflag.FlagSet
	file string
	Config
}

func addConfigFlags(c *cobra.Command) *configFlags {
	f := &configFlags{set: c.Flags()}
	f.set.StringVar(&f.file, "config", "", "configuration `file` (default ./hallmark.yaml, where it exists)")
	f.set.StringVar(&f.Data, "data", "", "data `directory` (default ./hallmark-data)")
	f.set.StringVar(&f.Listen, "listen", "", "`address` for clients (default :5443)")
	f.set.StringVar(&f.URL, "url", "", "public `URL` of the registry (default https://localhost:PORT)")
	f.set.StringArrayVar(&f.Hosts, "host", nil, "further host `name` or address of the registry; may be repeated")
	f.set.StringVar(&f.AdminListen, "admin-listen", "", "`address` for metrics, or none (default 127.0.0.1:5444)")
	f.set.StringVar(&f.InsecureHTTP, "insecure-http", "", "serve plain HTTP for a proxy in front, on `loopback` or anywhere")
	f.set.Lookup("insecure-http").NoOptDefVal = "loopback"
	return f
}

// loadConfig returns the configuration without any flags.
func loadConfig(file string, getenv func(string) string) (Config, error) {
	c := defaultConfig()
	if err := loadFile(&c, firstOf(file, getenv("HALLMARK_CONFIG"))); err != nil {
		return c, err
	}
	return c, loadEnv(&c, getenv)
}

// load returns the configuration in force.
func (f *configFlags) load(getenv func(string) string) (Config, error) {
	c, err := loadConfig(f.file, getenv)
	if err != nil {
		return c, err
	}
	for name, copy := range map[string]func(){
		"data":          func() { c.Data = f.Data },
		"listen":        func() { c.Listen = f.Listen },
		"url":           func() { c.URL = f.URL },
		"host":          func() { c.Hosts = f.Hosts },
		"admin-listen":  func() { c.AdminListen = f.AdminListen },
		"insecure-http": func() { c.InsecureHTTP = f.InsecureHTTP },
	} {
		if f.set.Changed(name) {
			copy()
		}
	}
	return c, c.check()
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// loadFile reads a file into the configuration. One that was not named may be absent.
func loadFile(c *Config, path string) error {
	named := path != ""
	if !named {
		path = "hallmark.yaml"
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return usagef("configuration: %w", err)
	}
	return asUsage(yamlfile.Load(path, data, c))
}

// asUsage says that an error is the user's to mend, where there is one.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usagef("%w", err)
}

// loadEnv reads the variables of all keys.
func loadEnv(c *Config, getenv func(string) string) error {
	return eachKey(reflect.ValueOf(c).Elem(), "", func(key string, field reflect.Value) error {
		name := envName(key)
		value := getenv(name)
		if value == "" {
			return nil
		}
		if list, ok := field.Addr().Interface().(*[]string); ok {
			*list = strings.Split(value, ",")
			return nil
		}
		if field.Kind() == reflect.Slice { // of structs, as a list in YAML, or JSON
			return asUsage(yamlfile.Load(name, []byte(value), field.Addr().Interface()))
		}
		if field.Kind() == reflect.String {
			field.SetString(value)
			return nil
		}
		if field.Kind() == reflect.Bool {
			yes, err := strconv.ParseBool(value)
			if err != nil {
				return usagef("%s is %q, and should be true or false", name, value)
			}
			field.SetBool(yes)
			return nil
		}
		if field.Kind() == reflect.Int {
			n, err := strconv.Atoi(value)
			if err != nil {
				return usagef("%s is %q, and should be a number", name, value)
			}
			field.SetInt(int64(n))
			return nil
		}
		err := field.Addr().Interface().(interface{ UnmarshalText([]byte) error }).UnmarshalText([]byte(value))
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		return nil
	})
}

// eachKey calls fn for every key of the configuration, as tls.cert, and its field.
func eachKey(v reflect.Value, prefix string, fn func(key string, field reflect.Value) error) error {
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		key := prefix + name
		if field := v.Field(i); option == "inline" {
			if err := eachKey(field, prefix, fn); err != nil {
				return err
			}
		} else if field.Kind() == reflect.Struct {
			if err := eachKey(field, key+".", fn); err != nil {
				return err
			}
		} else if err := fn(key, field); err != nil {
			return err
		}
	}
	return nil
}

var wordStart = regexp.MustCompile(`([a-z])([A-Z])`)

// envName is the variable of a key.
func envName(key string) string {
	snake := wordStart.ReplaceAllString(key, "${1}_$2")
	return "HALLMARK_" + strings.ToUpper(strings.ReplaceAll(snake, ".", "_"))
}

// check refuses what cannot be meant.
func (c *Config) check() error {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return usagef("tls.cert and tls.key belong together: one of them is missing")
	}
	if _, err := obs.ParseLevel(c.Log.Level); err != nil {
		return usagef("log.level: %w", err)
	}
	for key, address := range map[string]string{"listen": c.Listen, "adminListen": c.AdminListen} {
		if key == "adminListen" && address == noListen {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return usagef("%s is %q, and should be host:port or :port", key, address)
		}
	}
	if l := c.Limits; l.Connections < 1 || l.AddressConnections < 1 {
		return usagef("limits.connections and limits.addressConnections are at least 1: without a connection nobody gets in")
	}
	if l := c.Limits; l.Uploads < 1 || l.AccountUploads < 1 {
		return usagef("limits.uploads and limits.accountUploads are at least 1: without an upload nobody can push")
	}
	if _, err := peer.ParseProxies(c.TrustedProxies); err != nil {
		return usagef("trustedProxies: %w", err)
	}
	if _, err := oidc.New(c.OIDC, time.Now); err != nil {
		return usagef("%w", err)
	}
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			return err
		}
	}
	if _, err := parseWitnesses(c.Witnesses); err != nil {
		return err
	}
	if _, err := readPolicy(c.Policy.File); err != nil {
		return err
	}
	if _, err := c.Trust.read(); err != nil {
		return err
	}
	if err := checkScrub(c.Scrub); err != nil {
		return err
	}
	return c.checkInsecure()
}

// noListen is the AdminListen of no listener.
const noListen = "none"

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return usagef("url is %q, and should be https://host or https://host:port", s)
	}
	return nil
}

func (c *Config) checkInsecure() error {
	switch c.InsecureHTTP {
	case "", "anywhere":
		return nil
	case "loopback":
		if isLoopback(c.Listen) {
			return nil
		}
		return usagef("plain HTTP is served on loopback only, and listen is %q: use --listen 127.0.0.1:PORT with the proxy on this machine, "+
			"or --insecure-http=anywhere if nobody but the proxy can reach it", c.Listen)
	default:
		return usagef("insecureHTTP is %q, and should be loopback or anywhere", c.InsecureHTTP)
	}
}

// isLoopback says whether only this machine can connect to an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// config is the verb `hallmark config`.
func (e *env) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check or show the configuration"}
	check := &cobra.Command{Use: "check", Short: "Read the configuration and say what is wrong with it", Args: cobra.NoArgs}
	flags := addConfigFlags(check)
	check.RunE = func(*cobra.Command, []string) error {
		if _, err := flags.load(e.getenv); err != nil {
			return err
		}
		fmt.Fprintln(e.stdout, "the configuration is good")
		return nil
	}
	show := &cobra.Command{Use: "show", Short: "Show the configuration in force", Args: cobra.NoArgs}
	showFlags := addConfigFlags(show)
	asJSON := addJSON(show)
	show.RunE = func(*cobra.Command, []string) error {
		cfg, err := showFlags.load(e.getenv)
		if err != nil {
			return err
		}
		if *asJSON {
			return writeJSON(e.stdout, cfg)
		}
		data, err := yaml.Dump(cfg)
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(data)
		return err
	}
	c.AddCommand(check, show)
	return c
}
