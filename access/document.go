package access

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A Document is all that is granted: the teams, the grants, and the rules for tags. It is stored whole,
// with a version that each change makes one higher, and its digest stands in the record of the change. Its
// JSON is always the same for the same content.
type Document struct {
	Version uint64      `json:"version"`
	Teams   []Team      `json:"teams"`
	Grants  []Grant     `json:"grants"`
	Fixed   []FixedTags `json:"immutable"`
}

// A Team is people who are given rights together.
type Team struct {
	Name    string   `json:"name"`
	Members []string `json:"members"` // accounts
}

// A Grant gives a role to a subject in the repositories of a pattern.
type Grant struct {
	Subject Subject `json:"subject"`
	Pattern Pattern `json:"pattern"`
	Role    Right   `json:"role"`
}

// FixedTags is a rule: in these repositories these tags, once set, are neither moved nor removed.
type FixedTags struct {
	Repositories Pattern `json:"repositories"`
	Tags         Glob    `json:"tags"`
	Except       []Glob  `json:"except,omitempty"`
}

// The bounds of a document.
const (
	maxTeams   = 1000
	maxMembers = 10_000 // of all teams together
	maxGrants  = 10_000
	maxFixed   = 1000
	maxExcept  = 16
	// maxDocument bounds all of it, in bytes: it is one value in the store, written with each change.
	maxDocument = 4 << 20
)

// The errors of documents.
var (
	ErrTooMuch   = fault.Newf(fault.Invalid, "there may be %d teams, %d members in them, %d grants and %d rules for tags with %d exceptions each", maxTeams, maxMembers, maxGrants, maxFixed, maxExcept)
	ErrLastAdmin = fault.New(fault.Conflict, "nobody would be left who administrates the registry: grant admin on ** to another user first")
	ErrTooHigh   = fault.New(fault.Invalid, "anonymous can be given pull and no more; everyone and ci up to delete")
)

// encode returns the document's one JSON, and its digest.
func (d *Document) encode() ([]byte, digest.Digest, error) {
	text, err := json.Marshal(d)
	return text, digest.FromBytes(text), err
}

// clone copies a document deeply enough that it can be edited and sorted.
func (d *Document) clone() *Document {
	c := &Document{
		Version: d.Version, Teams: make([]Team, len(d.Teams)),
		Grants: append([]Grant{}, d.Grants...), Fixed: append([]FixedTags{}, d.Fixed...),
	}
	for i, t := range d.Teams {
		c.Teams[i] = Team{t.Name, append([]string{}, t.Members...)}
	}
	return c
}

// tidy puts everything into its order, once.
func (d *Document) tidy() {
	slices.SortFunc(d.Teams, func(a, b Team) int { return cmp.Compare(a.Name, b.Name) })
	for i, t := range d.Teams {
		slices.Sort(t.Members)
		d.Teams[i].Members = slices.Compact(t.Members)
	}
	slices.SortFunc(d.Grants, func(a, b Grant) int { return cmp.Compare(a.key(), b.key()) })
	d.Grants = slices.CompactFunc(d.Grants, func(a, b Grant) bool { return a.key() == b.key() })
	slices.SortFunc(d.Fixed, func(a, b FixedTags) int { return cmp.Compare(a.key(), b.key()) })
	d.Fixed = slices.CompactFunc(d.Fixed, func(a, b FixedTags) bool { return a.key() == b.key() })
}

// key tells grants apart, and orders them.
func (g Grant) key() string {
	return g.Subject.String() + "\x00" + g.Pattern.String() + "\x00" + string(rune('0'+g.Role))
}

func (f FixedTags) key() string {
	return strings.Join(append([]string{f.Repositories.String(), f.Tags.String()}, f.exceptions()...), "\x00")
}

func (f FixedTags) exceptions() (s []string) {
	for _, e := range f.Except {
		s = append(s, e.String())
	}
	return s
}

// check wants a tidy document to be within its bounds. Errors: ErrTooMuch, ErrTooHigh, ErrUnknownTeam.
func (d *Document) check() error {
	members := 0
	for _, t := range d.Teams {
		members += len(t.Members)
	}
	if len(d.Teams) > maxTeams || members > maxMembers || len(d.Grants) > maxGrants || len(d.Fixed) > maxFixed {
		return ErrTooMuch
	}
	if slices.ContainsFunc(d.Fixed, func(f FixedTags) bool { return len(f.Except) > maxExcept }) {
		return ErrTooMuch
	}
	for _, g := range d.Grants {
		if g.Role > g.Subject.highest() {
			return fmt.Errorf("%s to %s: %w", g.Role, g.Subject, ErrTooHigh)
		}
		if g.Subject.Kind == TeamSubject && d.team(g.Subject.Name) == nil {
			return fmt.Errorf("team %s: %w", g.Subject.Name, ErrUnknownTeam)
		}
	}
	return nil
}

// team returns the team of a name, or nil.
func (d *Document) team(name string) *Team {
	i := slices.IndexFunc(d.Teams, func(t Team) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &d.Teams[i]
}

// removeAccount takes everything from an account.
func (d *Document) removeAccount(account string) {
	d.Grants = slices.DeleteFunc(d.Grants, func(g Grant) bool { return g.Subject.hasAccount() && g.Subject.Name == account })
	for i, t := range d.Teams {
		d.Teams[i].Members = slices.DeleteFunc(t.Members, func(m string) bool { return m == account })
	}
}

// isGlobal says that the grant makes administrators of the whole registry.
func (g Grant) isGlobal() bool { return g.Role == Admin && g.Pattern == Everything }

// admins returns the accounts of the users who administrate the whole registry. Robots do not count: none
// of them can give a person back what that person lost.
func (d *Document) admins() map[string]bool {
	admins := map[string]bool{}
	for _, g := range d.Grants {
		switch {
		case !g.isGlobal():
		case g.Subject.Kind == UserSubject:
			admins[g.Subject.Name] = true
		case g.Subject.Kind == TeamSubject:
			for _, m := range d.team(g.Subject.Name).Members {
				admins[m] = true
			}
		}
	}
	return admins
}

// A Change is one difference between two documents: what its record will say, but for names and version.
type Change struct {
	Action provenance.Action `json:"action"`
	provenance.RightsChange
}

// changes returns what leads from one tidy document to another: first what is given, so that a record
// never speaks of a team that is not there yet, then what is taken away.
func changes(from, to *Document) (list []Change) {
	have, want := from.facts(), to.facts()
	add := func(action provenance.Action, facts, other []fact) {
		known := map[string]bool{}
		for _, f := range other {
			known[f.key] = true
		}
		for _, f := range facts {
			if !known[f.key] {
				list = append(list, Change{action, f.RightsChange})
			}
		}
	}
	add(provenance.Grant, want.given, have.given)
	add(provenance.Revoke, want.withheld, have.withheld)
	add(provenance.Grant, have.withheld, want.withheld)
	add(provenance.Revoke, have.given, want.given)
	return list
}

// fact is one entry of a document as its record shows it.
type fact struct {
	key string
	provenance.RightsChange
}

// factKey and memberKey are the keys of facts.
func (g Grant) factKey() string { return "g" + g.key() }

func memberKey(team, account string) string { return "m" + team + "\x00" + account }

// facts are the entries of a document: what it gives, and what it withholds.
type facts struct{ given, withheld []fact }

func (d *Document) facts() (f facts) {
	for _, t := range d.Teams {
		f.given = append(f.given, fact{"t" + t.Name, provenance.RightsChange{Team: t.Name}})
		for _, m := range t.Members {
			f.given = append(f.given, fact{memberKey(t.Name, m), provenance.RightsChange{Team: t.Name, Subject: "user:" + m, Account: m}})
		}
	}
	for _, g := range d.Grants {
		c := provenance.RightsChange{Subject: g.Subject.String(), Pattern: g.Pattern.String(), Role: g.Role.String()}
		if g.Subject.hasAccount() {
			c.Account = g.Subject.Name
		}
		f.given = append(f.given, fact{g.factKey(), c})
	}
	for _, r := range d.Fixed {
		c := provenance.RightsChange{Subject: string(EveryoneSubject), Pattern: r.Repositories.String(), Tags: r.Tags.String(), Except: r.exceptions()}
		f.withheld = append(f.withheld, fact{r.key(), c})
	}
	return f
}
