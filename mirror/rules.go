package mirror

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/registry"
)

// The bounds of a file of mirrors.
const (
	MaxFile      = 256 << 10 // bytes
	maxMirrors   = 64
	maxPatterns  = 64 // of one list
	maxName      = 40 // bytes
	maxInto      = 128
	minEvery     = time.Minute
	maxEvery     = 90 * 24 * time.Hour
	defaultEvery = 6 * time.Hour
	maxRequests  = 1000 // a second
	mirrorRate   = 20
)

// A Set is the rules of one file, in their order. It is never changed. A nil one has no rules, and nothing is a mirror.
type Set struct{ Rules []*Rule }

// A Rule has everything below a prefix follow another registry.
type Rule struct {
	Name     string
	Upstream string // as it was written: over TLS, unless it begins with http://
	// Repositories are patterns of those that are followed, by their names there.
	Repositories []access.Pattern
	Tags         []access.Glob // that are followed; empty is all
	Platforms    []Platform    // that come of an index; empty is all
	Into         string        // the prefix: team/app becomes INTO/team/app
	Every        time.Duration
	Deleted      Deletion
	Hold         Hold
	Login        Login
	CA           string       // the PEM file of the authorities that its certificate may be from; "": those of the machine
	Addresses    []netip.Addr // of this machine or its link alone, that it may lead to
	Rate         int          // requests a second
	line         int
	host         string // of the upstream, with its port
}

// A Deletion is what becomes of a tag that an upstream does not have any more.
type Deletion string

// The kinds of Deletion.
const (
	KeepDeleted  Deletion = "keep"   // it stays
	UntagDeleted Deletion = "untag"  // the tag goes, its image stays
	TrashDeleted Deletion = "delete" // the tag goes, and its image into the trash, where no other tag means it
)

// A Login says where the login to an upstream is. The zero value is none. It is read at each run.
type Login struct {
	Username     string
	PasswordFile string
	Docker       string // a docker config file, with the credential helpers that it names
}

// Same says whether another rule does the same.
func (r *Rule) Same(other *Rule) bool { return other != nil && r.says() == other.says() }

func (r *Rule) says() string {
	x := *r
	x.line = 0
	return fmt.Sprintf("%+v", x)
}

// wantsTag says whether a tag is followed.
func (r *Rule) wantsTag(tag string) bool {
	return len(r.Tags) == 0 || slices.ContainsFunc(r.Tags, func(g access.Glob) bool { return g.Matches(tag) })
}

// covers says whether a repository here is below the rule's prefix.
func (r *Rule) covers(repo string) bool { return strings.HasPrefix(repo, r.Into+"/") }

// Host is the upstream's, as people call it.
func (r *Rule) Host() string {
	if r.host == dockerHub {
		return "docker.io"
	}
	return r.host
}

// Rule returns the rule of a name, or nil.
func (s *Set) Rule(name string) *Rule {
	return s.find(func(r *Rule) bool { return r.Name == name })
}

// Of returns the rule whose prefix a repository is below, or nil.
func (s *Set) Of(repo string) *Rule {
	return s.find(func(r *Rule) bool { return r.covers(repo) })
}

func (s *Set) find(is func(*Rule) bool) *Rule {
	if i := slices.IndexFunc(s.all(), is); i >= 0 {
		return s.Rules[i]
	}
	return nil
}

// all returns the rules, of which nil has none.
func (s *Set) all() []*Rule {
	if s == nil {
		return nil
	}
	return s.Rules
}

// file is a file of mirrors as it is written.
type file struct {
	Mirrors []entry `yaml:"mirrors"`
}

type entry struct {
	Name         yamlfile.Word  `yaml:"name"`
	Upstream     yamlfile.Word  `yaml:"upstream"`
	Repositories yamlfile.List  `yaml:"repositories"`
	Tags         yamlfile.List  `yaml:"tags"`
	Platforms    yamlfile.List  `yaml:"platforms"`
	Into         yamlfile.Word  `yaml:"into"`
	Every        units.Duration `yaml:"every"`
	Deleted      yamlfile.Word  `yaml:"deleted"`
	Hold         struct {
		For    units.Duration `yaml:"for"`
		Until  yamlfile.Word  `yaml:"until"`
		Signer yamlfile.Word  `yaml:"signer"`
	} `yaml:"hold"`
	Login struct {
		Username     yamlfile.Word `yaml:"username"`
		PasswordFile yamlfile.Word `yaml:"passwordFile"`
		Docker       yamlfile.Word `yaml:"docker"`
	} `yaml:"login"`
	CA        yamlfile.Word `yaml:"ca"`
	Addresses yamlfile.List `yaml:"addresses"`
	Rate      *int          `yaml:"rate"`
}

// ReadFile reads a file of mirrors. Errors: of the file, which is at most MaxFile long, and those of Parse.
func ReadFile(path string, own ...string) (*Set, error) {
	data, err := yamlfile.Read(path, MaxFile)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, own...)
}

// Parse reads mirrors. Its name stands in errors, which say in which line and rule something is wrong: all that is, not only the
// first. own are names of this registry, host or host:port: an upstream is none of them.
func Parse(name string, data []byte, own ...string) (*Set, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: it may have %d bytes", name, MaxFile)
	}
	var f file
	if err := yamlfile.Load(name, data, &f); err != nil {
		return nil, err
	}
	if len(f.Mirrors) > maxMirrors {
		return nil, fmt.Errorf("%s: it has %d mirrors, and may have %d", name, len(f.Mirrors), maxMirrors)
	}
	set := &Set{}
	var wrong []error
	for i := range f.Mirrors {
		e := &f.Mirrors[i]
		r, err := e.rule()
		if err == nil {
			err = errors.Join(set.fits(r), r.isNot(own))
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: mirror %s: %w", name, max(e.Name.Line, 1), e.Name.Text, err))
			continue
		}
		set.Rules = append(set.Rules, r)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return set, nil
}

// fits wants a rule to have a name and a prefix of its own.
func (s *Set) fits(r *Rule) error {
	for _, other := range s.Rules {
		switch {
		case other.Name == r.Name:
			return errors.New("there is a mirror of this name above")
		case other.Into == r.Into, strings.HasPrefix(other.Into, r.Into+"/"), strings.HasPrefix(r.Into, other.Into+"/"):
			return fmt.Errorf("into is %s, and overlaps with %s of the mirror %s: a repository follows one upstream", r.Into, other.Into, other.Name)
		}
	}
	return nil
}

// isNot refuses a mirror of this registry itself.
func (r *Rule) isNot(own []string) error {
	for _, name := range own {
		if name != "" && strings.EqualFold(withPort(name), withPort(r.host)) {
			return fmt.Errorf("upstream is %s, which is this registry itself", r.Upstream)
		}
	}
	return nil
}

// withPort is a host with its port, which is that of HTTPS where none is written.
func withPort(host string) string {
	u := url.URL{Host: host}
	return u.Hostname() + ":" + cmp.Or(u.Port(), "443")
}

const nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789-"

// rule checks an entry.
func (e *entry) rule() (r *Rule, err error) {
	r = &Rule{
		Name: e.Name.Text, Upstream: e.Upstream.Text, Into: e.Into.Text, Every: cmp.Or(time.Duration(e.Every), defaultEvery),
		Deleted: Deletion(cmp.Or(e.Deleted.Text, string(KeepDeleted))), CA: e.CA.Text, Rate: mirrorRate, line: e.Name.Line,
		Hold:  Hold{time.Duration(e.Hold.For), Until(e.Hold.Until.Text), e.Hold.Signer.Text},
		Login: Login{e.Login.Username.Text, e.Login.PasswordFile.Text, e.Login.Docker.Text},
	}
	if e.Rate != nil {
		r.Rate = *e.Rate
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	base, err := baseOf(r.Upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if r.host = base.Host; base.Scheme == "http" && r.Login != (Login{}) {
		return nil, errors.New("upstream is asked over plain HTTP, which no login is sent over: leave http:// or login out")
	}
	if r.Repositories, err = parsed("repositories", e.Repositories, access.ParsePattern); err != nil {
		return nil, err
	}
	if r.Tags, err = parsed("tags", e.Tags, access.ParseGlob); err != nil {
		return nil, err
	}
	if r.Platforms, err = parsed("platforms", e.Platforms, ParsePlatform); err != nil {
		return nil, err
	}
	if r.Addresses, err = parsed("addresses", e.Addresses, netip.ParseAddr); err != nil {
		return nil, err
	}
	if len(r.Repositories) == 0 {
		return nil, errors.New("repositories is missing: a pattern of those that are followed, as team/**, or a list of them")
	}
	return r, errors.Join(r.checkFiles())
}

// check looks at what stands alone.
func (r *Rule) check() error {
	switch {
	case r.Name == "" || len(r.Name) > maxName || strings.Trim(r.Name, nameLetters) != "":
		return fmt.Errorf("name has 1 to %d of the characters a-z, 0-9 and -", maxName)
	case r.Upstream == "":
		return errors.New("upstream is missing: the registry that is followed, as docker.io or registry.example:5000")
	case len(r.Into) > maxInto || !registry.ValidName(r.Into):
		return fmt.Errorf("into is %.60q, and should be the prefix that is the mirror's own, as mirror/%s", r.Into, cmp.Or(r.Name, "hub"))
	case r.Every < minEvery || r.Every > maxEvery:
		return fmt.Errorf("every is %s, and is %s to %s", units.Duration(r.Every), units.Duration(minEvery), units.Duration(maxEvery))
	case r.Deleted != KeepDeleted && r.Deleted != UntagDeleted && r.Deleted != TrashDeleted:
		return fmt.Errorf("deleted is %.40q, and is keep, untag or delete", r.Deleted)
	case r.Rate < 1 || r.Rate > maxRequests:
		return fmt.Errorf("rate is %d, and is how many requests a second the upstream is asked: 1 to %d", r.Rate, maxRequests)
	}
	return errors.Join(r.Hold.check(), r.Login.check())
}

func (l Login) check() error {
	switch {
	case l.Docker != "" && l.PasswordFile != "":
		return errors.New("login has either docker, a docker config file, or passwordFile")
	case l.PasswordFile != "" && l.Username == "":
		return errors.New("login.username is missing")
	case l.Username != "" && l.PasswordFile == "" && l.Docker == "":
		return errors.New("login.passwordFile is missing: a file that has the password alone, or login.docker: a docker config file")
	}
	return nil
}

// checkFiles wants the files that a rule names to be of use, so that a wrong name is seen at once.
func (r *Rule) checkFiles() error {
	if _, err := r.roots(); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if r.Login.PasswordFile != "" {
		if _, err := r.Login.password(); err != nil {
			return fmt.Errorf("login.passwordFile: %w", err)
		}
	}
	if r.Login.Docker != "" {
		if _, err := os.Stat(r.Login.Docker); err != nil {
			return fmt.Errorf("login.docker: %w", err)
		}
	}
	return nil
}

// roots are the authorities of the upstream's certificate, or nil for those of the machine.
func (r *Rule) roots() (*x509.CertPool, error) {
	if r.CA == "" {
		return nil, nil
	}
	pem, err := yamlfile.Read(r.CA, MaxFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no PEM certificate", r.CA)
	}
	return pool, nil
}

// maxPassword bounds the file of a password, in bytes.
const maxPassword = 64 << 10

func (l Login) password() (string, error) {
	data, err := yamlfile.Read(l.PasswordFile, maxPassword)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return "", fmt.Errorf("%s is empty", l.PasswordFile)
	}
	return password, nil
}

// parsed reads a list.
func parsed[T any](key string, words yamlfile.List, parse func(string) (T, error)) (all []T, err error) {
	if len(words) > maxPatterns {
		return nil, fmt.Errorf("%s has %d entries, and may have %d", key, len(words), maxPatterns)
	}
	for _, w := range words {
		one, err := parse(w.Text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// ownDigest is what a rule's own state is kept under: another upstream or prefix is another mirror.
func (r *Rule) ownDigest() digest.Digest { return digest.FromString(r.host + "\n" + r.Into) }
