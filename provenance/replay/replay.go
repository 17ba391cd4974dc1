// Package replay says what follows from a registry's records: what each tag means, which manifests are where, who has an
// account, and which access document is in force. It needs no store and no network: records go in, in their order, and a
// state comes out. fsck compares that with the registry's tables, and an auditor with what the registry serves.
//
// docs/design/replay.md defines it, so that others can implement it too; its test vectors are in testdata.
package replay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Options say what is followed, beside what every record states.
type Options struct {
	// Only says which repositories are followed; nil: all. So what is kept in memory can be bounded.
	Only func(repository string) bool
	// Covers says whether a rule for tags, as its record has it, covers a tag; nil: rules are not held against moves.
	Covers func(rule provenance.RightsChange, repository, tag string) bool
	// About returns the digest that a tag's manifest is about by the tag's name alone, or ""; nil: none is.
	About func(tag string) digest.Digest
	// Secrets holds the logins of all records against those that introduced their secrets.
	Secrets bool
}

// A State is what follows from the first records of a registry. It is not safe for concurrent use.
type State struct {
	Next         uint64 // how many records were applied; the index of the one that is next
	Repositories map[string]*Repository
	Access       Access
	Accounts     map[string]Account // by account id
	Tokens       map[string]Token   // personal tokens, by id; also those that expired
	Rights       map[string]Right   // by what is given or withheld; the keys say nothing else

	// Introduced are the accounts of all passwords, secrets and personal tokens that records introduced, by id; also of those that ended.
	Introduced map[string]string
	// Skipped says that there are records which were passed over: they may have introduced others.
	Skipped bool

	// Founded says that the first record added an account: so each account and token is on record.
	Founded bool
	// Baseline is the record that says which rows were found that are from before their kind was on record; nil where there
	// is none.
	Baseline *Baseline
	// States is the first record that states what it changes; those before it are read by their action. It is Next where
	// there is none.
	States uint64

	options Options
	states  bool // States was passed
}

// A Repository is what the records say of one.
type Repository struct {
	Newest    uint64 // its newest record
	Manifests map[digest.Digest]*Manifest
	Holds     map[digest.Digest]Hold   // the newest of each image, unless it was released; also those that have passed
	Removed   map[digest.Digest]uint64 // manifests that were there and are not, by the record that removed them
	// Trash are those of them that can be brought back by the records alone. The time of one may be over.
	Trash map[digest.Digest]Trashed
	// Unknown is a record whose action this version does not know, and which does not state what it changes: from it on
	// nothing is known of the repository.
	Unknown *uint64

	seen bool           // there was a record
	tags map[string]Tag // also those that ended with their manifest
}

// A Manifest is one that is in a repository.
type Manifest struct {
	Digest  digest.Digest
	Added   uint64        // the record since which it is there
	First   uint64        // the record with which it arrived: that is an earlier one where it was brought back from the trash
	Subject digest.Digest // what it refers to, or ""
	Tagged  uint64        // the first record since it arrived that gave it a tag; 0 where none did, and First is not 0
	HadTag  bool
	Known   uint64 // the last record after its arrival that changed what is known of it; 0 where none did
	Type    string // its media type, by the last push; "" where no record states it, or two of before States state different ones
}

// Trashed is a manifest in the trash.
type Trashed struct {
	Record uint64          // that of its deletion
	Until  provenance.Time // until when it is kept, by the clock as read
	First  uint64
	Tagged uint64
	HadTag bool
}

// A Tag is what a tag means, and the record that set it.
type Tag struct {
	Digest digest.Digest
	Since  uint64
}

// A Hold keeps an image until a time, whatever rules of retention say.
type Hold struct {
	Until  provenance.Time `json:"until"`
	Record uint64          `json:"record"`
}

// Access is the newest record of a right or an account, with the access document that it names.
type Access struct {
	Record  uint64
	Version uint64
	Digest  digest.Digest // "" where nobody was ever granted anything
}

// An Account is one that may sign in.
type Account struct {
	Subject    string // user:NAME or robot:NAME
	Credential string // the id of its password or secret
	Record     uint64 // the last that is about it
}

// A Baseline is a record of what was found, with the digest of its list.
type Baseline struct {
	Record uint64
	Digest digest.Digest
}

// A Token is a personal token that somebody made and nobody ended.
type Token struct {
	Account string
	Record  uint64
	Reach
}

// A Reach is what a personal token may do, and until when. It is zero where an older version made the token.
type Reach struct {
	Scopes  []provenance.TokenScope `json:"scopes,omitempty"`
	Expires *provenance.Time        `json:"expires,omitempty"`
}

// Says says it in words; "" where it is not on record.
func (r Reach) Says() string {
	if r.Expires == nil {
		return ""
	}
	var scopes []string
	for _, s := range r.Scopes {
		scopes = append(scopes, strings.Join(s.Rights, " and ")+" on "+s.Pattern)
	}
	return strings.Join(scopes, ", ") + ", until " + r.Expires.String()
}

// A Right is something given, or withheld by a rule for tags.
type Right struct {
	provenance.RightsChange
	Record uint64
}

// New returns the state of a registry without records.
func New(o Options) *State {
	return &State{
		Repositories: make(map[string]*Repository), Accounts: make(map[string]Account), Tokens: make(map[string]Token),
		Rights: make(map[string]Right), Introduced: make(map[string]string), options: o,
	}
}

// Apply goes on with the next record. What it says of the past, and is not so, is reported to wrong, one sentence each;
// from there on the record counts.
func (s *State) Apply(r *provenance.Record, wrong func(error)) {
	if r.Index != s.Next {
		wrong(fmt.Errorf("record %d says that it is record %d", s.Next, r.Index))
	}
	index := s.Next
	s.Next++
	if index == 0 {
		s.Founded = r.Grant != nil && r.Grant.Change == provenance.AccountAdded
	}
	if s.states = s.states || r.StatesEffects(); !s.states {
		s.States = s.Next
	}
	if s.options.Secrets {
		s.login(index, r, wrong)
	}
	switch {
	case r.Grant != nil:
		s.right(index, r, wrong)
	case r.Baseline != nil && s.Baseline != nil:
		wrong(fmt.Errorf("record %d is a second baseline: record %d is the first", index, s.Baseline.Record))
	case r.Baseline != nil:
		s.Baseline = &Baseline{index, r.Digest}
	case r.Repository == "" || s.options.Only != nil && !s.options.Only(r.Repository):
	default:
		s.inRepository(&event{r, index, s.repository(r.Repository), s.states, wrong})
	}
}

// Skip passes over the next record: one that may not be seen, or that cannot be read.
func (s *State) Skip() {
	s.Next++
	s.Skipped = true
	if !s.states {
		s.States = s.Next
	}
}

func (s *State) repository(name string) *Repository {
	p := s.Repositories[name]
	if p == nil {
		p = &Repository{Manifests: make(map[digest.Digest]*Manifest), Removed: make(map[digest.Digest]uint64), Trash: make(map[digest.Digest]Trashed), Holds: make(map[digest.Digest]Hold), tags: make(map[string]Tag)}
		s.Repositories[name] = p
	}
	return p
}

// Tag returns what a tag means, if it means anything.
//
// A removed manifest takes all of its tags along. They are not looked for then: a tag that was set before its manifest
// arrived has ended.
func (p *Repository) Tag(name string) (Tag, bool) {
	t, ok := p.tags[name]
	if !ok || !p.lives(t) {
		return Tag{}, false
	}
	return t, true
}

func (p *Repository) lives(t Tag) bool {
	m := p.Manifests[t.Digest]
	return m != nil && m.Added <= t.Since
}

// Ended returns what a tag meant that ended with its manifest, where no record has named it since.
func (p *Repository) Ended(name string) (Tag, bool) {
	t, ok := p.tags[name]
	return t, ok && !p.lives(t)
}

// Tags returns the names of the tags that mean something, in order.
func (p *Repository) Tags() (names []string) {
	for name, t := range p.tags {
		if p.lives(t) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
