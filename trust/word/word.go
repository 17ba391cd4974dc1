// Package word says what another registry's word about an image is worth: its own record of a push, which came with a copy of
// the image and carries the proof that it is in that registry's log.
//
// The operator names the registries whose word counts, each with its logs and receipt keys as they were saved, and which of its
// repositories correspond to which here ([Registry]). [Trust.Look] takes an artifact apart and verifies it against these, offline;
// [Trust.Weigh] says what an earlier word is worth now. A word that counts is attested by that registry. It is no signature, it does not
// say what a tag means today, its time is from another clock, and its accounts are not ours. Registries that it trusts are not
// trusted here.
package word

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/witness"
)

// MaxRegistries is how many registries may be named.
const MaxRegistries = 32

// A Registry is another registry whose word counts here.
type Registry struct {
	name   string
	logs   []receipt.LogEntry
	keys   []receipt.KeyEntry
	policy *witness.Policy // nil demands no witness
	maps   []Mapping
}

// NewRegistry reads what was kept of a registry: its /keys/logs.json, its /keys/receipts.json, and perhaps a C2SP tlog-policy with
// the quorum of witnesses that its checkpoints need.
func NewRegistry(name string, logs, keys, policy []byte, maps []Mapping) (r *Registry, err error) {
	r = &Registry{name: name, maps: maps}
	if r.logs, err = receipt.ParseLogs(logs); err != nil {
		return nil, fmt.Errorf("its logs: %w", err)
	}
	for _, l := range r.logs {
		if l.First == nil {
			return nil, fmt.Errorf("its logs: they do not say with which record the log %s begins: keep /keys/logs.json, and no trusted root", l.Origin)
		}
	}
	if r.keys, err = receipt.ParseKeyFile(keys); err != nil {
		return nil, fmt.Errorf("its receipt keys: %w", err)
	}
	if policy != nil {
		if r.policy, err = witness.ParsePolicy(policy); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// log returns the log of an origin, or nil.
func (r *Registry) log(origin string) *receipt.LogEntry {
	if i := slices.IndexFunc(r.logs, func(l receipt.LogEntry) bool { return l.Origin == origin }); i >= 0 {
		return &r.logs[i]
	}
	return nil
}

// trust is what its records are verified by. What the end of a closed log is worth is asked after everything else.
func (r *Registry) trust(keys []receipt.KeyEntry) receipt.Trust {
	return receipt.Trust{Logs: r.logs, Keys: keys, AnySize: true}
}

// ours are the repositories here that one of theirs is, by the mappings.
func (r *Registry) ours(theirs string) (names []string) {
	for _, m := range r.maps {
		if name, ok := m.of(theirs); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// A Mapping says what repositories of another registry are called here: both are patterns with the same stars, and what a star
// stands for there it stands for here.
type Mapping struct {
	theirs *regexp.Regexp
	ours   string
	here   access.Pattern // of all names that it gives
}

var star = regexp.MustCompile(`\*+`)

// NewMapping reads a mapping: team/** to mirror/team/**.
func NewMapping(theirs, ours string) (m Mapping, err error) {
	if _, err := access.ParsePattern(theirs); err != nil {
		return m, err
	}
	if m.here, err = access.ParsePattern(ours); err != nil {
		return m, err
	}
	if !slices.Equal(star.FindAllString(theirs, -1), star.FindAllString(ours, -1)) {
		return m, errors.New("both need the same stars in the same order, as team/** and mirror/team/**")
	}
	var text strings.Builder
	literal := star.Split(theirs, -1)
	for i, s := range star.FindAllString(theirs, -1) {
		text.WriteString(regexp.QuoteMeta(literal[i]) + map[string]string{"*": "([^/]*)", "**": "(.*)"}[s])
	}
	text.WriteString(regexp.QuoteMeta(literal[len(literal)-1]))
	m.theirs, err = regexp.Compile("^" + text.String() + "$")
	m.ours = ours
	return m, err
}

// of returns what a repository of theirs is called here.
func (m Mapping) of(theirs string) (name string, ok bool) {
	groups := m.theirs.FindStringSubmatch(theirs)
	if groups == nil {
		return "", false
	}
	stars := groups[1:]
	return star.ReplaceAllStringFunc(m.ours, func(string) string {
		s := stars[0]
		stars = stars[1:]
		return s
	}), true
}

// Trust is the registries whose word counts. It is never changed; the nil Trust trusts none. It is safe for concurrent use.
type Trust struct {
	registries []*Registry
	forked     map[string]uint64 // origin of a log → the record here that proves its fork
}

// NewTrust trusts registries. No name, no log and no key may be of two of them: whose word it is would be unclear.
func NewTrust(registries []*Registry) (*Trust, error) {
	by := map[string]string{}
	for _, r := range registries {
		owned := []string{"name " + r.name}
		for _, l := range r.logs {
			owned = append(owned, "log "+l.Origin)
		}
		for _, k := range r.keys {
			owned = append(owned, "key "+k.Hint)
		}
		for _, what := range owned {
			if other, taken := by[what]; taken {
				return nil, fmt.Errorf("the %s is one of %s, and one of %s", what, other, r.name)
			}
			by[what] = r.name
		}
	}
	if len(registries) > MaxRegistries {
		return nil, fmt.Errorf("there may be %d registries", MaxRegistries)
	}
	return &Trust{registries: registries}, nil
}

// With trusts the registries of both. The error is that of NewTrust: one log, or one key, may be of two of them.
func (t *Trust) With(other *Trust) (*Trust, error) {
	switch {
	case t == nil:
		return other, nil
	case other == nil:
		return t, nil
	}
	both, err := NewTrust(slices.Concat(t.registries, other.registries))
	if err != nil {
		return nil, err
	}
	return both.Forked(t.forked), nil
}

// Forked is the same trust where logs are known to have forked, each by a record here.
func (t *Trust) Forked(by map[string]uint64) *Trust {
	if t == nil {
		return nil
	}
	return &Trust{registries: t.registries, forked: by}
}

// Expects says whether the word of any registry would count in a repository.
func (t *Trust) Expects(repository string) bool {
	return t != nil && slices.ContainsFunc(t.registries, func(r *Registry) bool {
		return slices.ContainsFunc(r.maps, func(m Mapping) bool { return m.here.Matches(repository) })
	})
}

// Stamp tells apart what words are worth by the forks that are known.
func (t *Trust) Stamp() string {
	if t == nil || len(t.forked) == 0 {
		return ""
	}
	return fmt.Sprint(t.forked) // in the order of the origins
}

// of returns the registry of a log, or of a name, or nil.
func (t *Trust) find(is func(*Registry) bool) *Registry {
	if t == nil {
		return nil
	}
	if i := slices.IndexFunc(t.registries, is); i >= 0 {
		return t.registries[i]
	}
	return nil
}
