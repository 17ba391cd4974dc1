package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
)

// The bounds of the file of whom to trust.
const (
	maxFile    = 1 << 20 // bytes, of it and of each file that it names
	maxSigners = 64      // keys; identities; builders
)

// file is what is written of whom to trust, YAML or JSON. docs/trust.md describes it.
type file struct {
	// Keys are public keys and what they are trusted for.
	Keys []fileKey `yaml:"keys"`
	// Roots are certificate authorities and whom of theirs to trust.
	Roots []fileRoot `yaml:"roots"`
	// Builders says who may vouch for which builder.
	Builders []fileBuilder `yaml:"builders"`
	// Registries are others whose word about images counts.
	Registries []fileRegistry `yaml:"registries"`
	// Files are the contents of files that are named above, by their names there. What is not among them is beside this one.
	Files map[string]yamlfile.Word `yaml:"files"`
}

type fileKey struct {
	Name         yamlfile.Word  `yaml:"name"`
	Key          yamlfile.Word  `yaml:"key"`          // PEM
	File         yamlfile.Word  `yaml:"file"`         // instead of key: a PEM file, relative to this one
	Repositories yamlfile.List  `yaml:"repositories"` // patterns
	NotBefore    yamlfile.Word  `yaml:"notBefore"`    // 2026-01-31 or 2026-01-31T12:00:00Z
	NotAfter     yamlfile.Word  `yaml:"notAfter"`
	Withdrawn    yamlfile.Word  `yaml:"withdrawn"` // since when nothing by this key counts
	Vouches      yamlfile.List  `yaml:"vouches"`   // kinds of signed statements; byDefault where there are none
	Names        yamlfile.List  `yaml:"names"`     // `repository`, or patterns of what its signatures call the image; default: any
	Verifiers    []fileVerifier `yaml:"verifiers"` // whose verification summaries it signs
}

type fileRoot struct {
	Name        yamlfile.Word  `yaml:"name"`
	TrustedRoot yamlfile.Word  `yaml:"trustedRoot"` // a sigstore trusted_root.json, relative to this file
	Identities  []fileIdentity `yaml:"identities"`
}

type fileIdentity struct {
	Name         yamlfile.Word  `yaml:"name"`
	Issuer       yamlfile.Word  `yaml:"issuer"`  // the OpenID Connect issuer in the certificate
	Subject      yamlfile.Word  `yaml:"subject"` // pattern of its subject alternative name
	Repositories yamlfile.List  `yaml:"repositories"`
	Vouches      yamlfile.List  `yaml:"vouches"`
	Names        yamlfile.List  `yaml:"names"`
	Verifiers    []fileVerifier `yaml:"verifiers"`
}

type fileBuilder struct {
	ID yamlfile.Word `yaml:"id"` // pattern of the builder's id in SLSA provenance
	By yamlfile.List `yaml:"by"` // names of keys and identities
}

// ReadFile reads whom to trust. An error names the line and what to do about it.
func ReadFile(path string) (*Trust, error) {
	data, err := yamlfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	t, _, err := parse(path, data, filepath.Dir(path))
	return t, err
}

// Parse reads a document that says whom to trust, and holds all files that it names. Its name stands in errors.
func Parse(name string, data []byte) (*Trust, error) {
	t, _, err := parse(name, data, "")
	return t, err
}

// Gather reads the file of whom to trust, and returns it as a document that holds the files which it names. The same files give the
// same document.
func Gather(path string) ([]byte, error) {
	data, err := yamlfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	_, beside, err := parse(path, data, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	whole, err := yamlfile.WithFiles(path, data, beside)
	if err == nil {
		_, err = Parse(path, whole)
	}
	return whole, err
}

// parse reads whom to trust. Files that are not in it are read from a directory, and returned, unless dir is "".
func parse(path string, data []byte, dir string) (*Trust, map[string][]byte, error) {
	var f file
	if err := yamlfile.Load(path, data, &f); err != nil {
		return nil, nil, err
	}
	r := reader{path: path, dir: dir, t: &Trust{}, names: map[string]int{}, within: f.Files, used: map[string]bool{}, beside: map[string][]byte{}}
	r.all = append(r.all, data...)
	for i, k := range f.Keys {
		r.entry = fmt.Sprintf("keys[%d]", i)
		r.key(k)
	}
	for i, root := range f.Roots {
		r.entry = fmt.Sprintf("roots[%d]", i)
		r.root(root)
	}
	for i, b := range f.Builders {
		r.entry = fmt.Sprintf("builders[%d]", i)
		r.builder(b)
	}
	r.registries(f.Registries)
	r.wantUsed()
	if len(r.t.keys) > maxSigners || len(r.t.identities) > maxSigners || len(r.t.builders) > maxSigners {
		return nil, nil, fmt.Errorf("%s: there may be %d keys, %d identities and %d builders", path, maxSigners, maxSigners, maxSigners)
	}
	sum := sha256.Sum256(r.all)
	r.t.fingerprint, r.t.text = hex.EncodeToString(sum[:]), r.all
	return r.t, r.beside, r.err
}

// TrustKeys trusts public keys in PEM files for everything.
func TrustKeys(paths ...string) (*Trust, error) {
	t := &Trust{}
	for _, path := range paths {
		data, err := yamlfile.Read(path, maxFile)
		if err != nil {
			return nil, err
		}
		k, err := parseKey(string(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		k.name, k.repositories, k.vouches = filepath.Base(path), repositories{access.Everything}, byDefault
		t.keys = append(t.keys, k)
	}
	return t, nil
}

// And trusts whom either trusts. An error says that both name one registry, or one log or key of it.
func (t *Trust) And(other *Trust) (*Trust, error) {
	words, err := t.words.With(other.words)
	if err != nil {
		return nil, fmt.Errorf("two files name registries: %w; name it in one of them", err)
	}
	return &Trust{
		keys: slices.Concat(t.keys, other.keys), roots: slices.Concat(t.roots, other.roots),
		identities: slices.Concat(t.identities, other.identities), builders: slices.Concat(t.builders, other.builders),
		words: words,
	}, nil
}

// reader makes a Trust of what is written. The first error stays.
type reader struct {
	path   string
	dir    string // where the files are that it names and does not hold; "" if it has to hold them
	t      *Trust
	names  map[string]int           // lines of the keys and identities
	entry  string                   // which it is at, for what has no line
	all    []byte                   // that was read
	within map[string]yamlfile.Word // the files that it holds
	used   map[string]bool          // those of them that it names
	beside map[string][]byte        // the files that were read beside it
	err    error
}

func (r *reader) failf(at yamlfile.Word, format string, args ...any) {
	where := fmt.Sprint(at.Line)
	if at.Line == 0 {
		where = " " + r.entry
	}
	if r.err == nil {
		r.err = fmt.Errorf("%s:%s: %s", r.path, where, fmt.Sprintf(format, args...))
	}
}

func (r *reader) key(f fileKey) {
	name := r.name("key", f.Name)
	text := f.Key
	if !f.File.IsZero() {
		text = yamlfile.Word{Text: string(r.read(f.File)), Line: f.File.Line}
	}
	if text.Text == "" || !f.Key.IsZero() && !f.File.IsZero() {
		r.failf(f.Name, "the key %s needs either `key`, the public key as PEM, or `file`, where that is", name)
		return
	}
	k, err := parseKey(text.Text)
	if err != nil {
		r.failf(text, "the key %s: %s", name, err)
		return
	}
	k.name, k.repositories, k.vouches = name, r.patterns(f.Name, f.Repositories), r.vouches(f.Vouches)
	k.summaries, k.named = r.verifiers(f.Name, k.vouches, f.Verifiers), r.named(f.Names)
	if k.pgp != nil && len(f.Names) > 0 {
		r.failf(f.Names[0], "the key %s signs charts, whose signatures name no repository: leave out `names`", name)
	}
	k.notBefore, k.notAfter, k.withdrawn = r.time(f.NotBefore), r.time(f.NotAfter), r.time(f.Withdrawn)
	if !k.notAfter.IsZero() && !k.notBefore.Before(k.notAfter) {
		r.failf(f.NotAfter, "the key %s ends before it begins", name)
	}
	for _, other := range r.t.keys {
		if other.digest == k.digest {
			r.failf(text, "the key %s is the same as %s; give one entry all its repositories", name, other.name)
		}
	}
	r.t.keys = append(r.t.keys, k)
}

func (r *reader) root(f fileRoot) {
	if f.TrustedRoot.IsZero() || len(f.Identities) == 0 {
		r.failf(f.Name, "the root %s needs `trustedRoot`, a trusted_root.json, and `identities`: an authority identifies anybody", f.Name.Text)
		return
	}
	made, err := parseRoot(r.read(f.TrustedRoot))
	if err != nil {
		r.failf(f.TrustedRoot, "the root %s: %s", f.Name.Text, err)
		return
	}
	made.name = r.name("root", f.Name)
	r.t.roots = append(r.t.roots, made)
	for _, i := range f.Identities {
		subject, err := access.ParseGlob(i.Subject.Text)
		if i.Issuer.IsZero() || err != nil {
			r.failf(i.Name, "the identity %s needs `issuer`, as https://token.actions.githubusercontent.com, and `subject`, a pattern of the certificate's subject, as https://github.com/acme/**", i.Name.Text)
			continue
		}
		who := &identity{
			name: r.name("identity", i.Name), root: made, issuer: i.Issuer.Text, subject: subject,
			repositories: r.patterns(i.Name, i.Repositories), vouches: r.vouches(i.Vouches),
		}
		who.summaries, who.named = r.verifiers(i.Name, who.vouches, i.Verifiers), r.named(i.Names)
		r.t.identities = append(r.t.identities, who)
	}
}

func (r *reader) builder(f fileBuilder) {
	id, err := access.ParseGlob(f.ID.Text)
	if err != nil {
		r.failf(f.ID, "a builder needs `id`, a pattern of its id, as https://github.com/actions/runner/**: %s", err)
		return
	}
	b := builder{id: id}
	for _, by := range f.By {
		if _, known := r.names[by.Text]; !known {
			r.failf(by, "the builder %s is vouched for by %.60q, and there is no key and no identity of that name", f.ID.Text, by.Text)
		}
		b.by = append(b.by, by.Text)
	}
	if len(b.by) == 0 {
		r.failf(f.ID, "the builder %s needs `by`: the keys and identities that may vouch for it", f.ID.Text)
	}
	r.t.builders = append(r.t.builders, b)
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// name takes a name that nobody else has.
func (r *reader) name(kind string, w yamlfile.Word) string {
	if !validName.MatchString(w.Text) {
		r.failf(w, "a %s needs `name`: 1 to 64 letters, digits, dots, dashes and underscores", kind)
	} else if line, taken := r.names[w.Text]; taken {
		r.failf(w, "the name %s is taken in line %d; records name signers by it, so give each its own", w.Text, line)
	}
	r.names[w.Text] = w.Line
	return w.Text
}

func (r *reader) patterns(of yamlfile.Word, list yamlfile.List) (all repositories) {
	for _, w := range list {
		p, err := access.ParsePattern(w.Text)
		if err != nil {
			r.failf(w, "%s", err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		r.failf(of, "%s needs `repositories`: patterns of those that it is trusted for, or \"**\" for all", of.Text)
	}
	return all
}

// time reads a day, which begins at midnight UTC, or a moment.
func (r *reader) time(w yamlfile.Word) time.Time {
	if w.IsZero() {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, w.Text); err == nil {
			return t.UTC()
		}
	}
	r.failf(w, "%.60q should be a day, as 2026-01-31, or a moment, as 2026-01-31T12:00:00Z", w.Text)
	return time.Time{}
}

// read returns a file that is named relative to the one that names it, or that this holds.
func (r *reader) read(w yamlfile.Word) []byte {
	if held, ok := r.within[w.Text]; ok {
		r.used[w.Text] = true
		return []byte(held.Text)
	}
	if r.dir == "" {
		r.failf(w, "the document does not hold the file %.200q: put it under the key `files`, or have `hallmark trust apply` do it", w.Text)
		return nil
	}
	path := w.Text
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	data, err := yamlfile.Read(path, maxFile)
	if err != nil {
		r.failf(w, "%s", strings.TrimPrefix(err.Error(), "open "))
	}
	r.all = append(r.all, data...)
	r.beside[w.Text] = data
	return data
}

// wantUsed refuses files that nothing names: nobody would look at what is in them.
func (r *reader) wantUsed() {
	for _, name := range slices.Sorted(maps.Keys(r.within)) {
		if !r.used[name] {
			r.failf(r.within[name], "nothing names the file %.200q: take it out", name)
		}
	}
}
