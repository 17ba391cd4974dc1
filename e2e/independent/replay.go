package independent

import (
	"fmt"
	"slices"
)

// record is what a replay reads of a record: docs/design/replay.md.
type record struct {
	Index      uint64
	Action     string
	Repository string
	Digest     string
	Manifest   string
	Observed   struct{ MediaType, KeptUntil string }
	Before     *uint64
	Of         *uint64
	Tags       []tagMove
	Hold       *struct {
		Until    string
		Released bool
	}
	Grant         *rightsChange
	Actor         struct{ Kind, Handle, Account string }
	Authenticated *struct{ Credential, RestsOn string }
	Key           *struct{ Hint, Previous, Reason string }
	Continues     *struct {
		Origin, Checkpoint string
		Size, Records      uint64
		RootHash           []byte
	}
	Log *struct {
		Origin string
		Leaf   uint64
	}
}

type tagMove struct {
	Name, Now, Previous string
	Since               *uint64
}

// state is what follows from the first records.
type state struct {
	next         uint64
	states       bool // records state their effects by now
	repositories map[string]*repository
	rights       map[string]right
	accounts     map[string]string // subject by account id
	tokens       map[string]token  // personal tokens, by id
	introduced   map[string]string // accounts of all passwords, secrets and tokens that there were, by id
	access       *access
	wrong        []string // what does not fit
}

// repository is what the records say of one.
type repository struct {
	newest    uint64
	seen      bool
	unknown   *uint64
	manifests map[string]manifest // by digest
	removed   map[string]uint64   // the record that removed each last
	holds     map[string]held     // by digest
	trash     map[string]bool     // what can be brought back by the records
	tags      map[string]tag      // also those that ended with their manifest
}

type manifest struct {
	added     uint64 // the record that did
	mediaType string // "" where it is not known
}

type held struct {
	until  string
	record uint64
}

type tag struct {
	digest string
	since  uint64
}

func newState() *state {
	return &state{repositories: make(map[string]*repository), rights: make(map[string]right), accounts: make(map[string]string), tokens: make(map[string]token), introduced: make(map[string]string)}
}

func (s *state) wrongf(r *record, format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf("record %d: "+format, append([]any{r.Index}, args...)...))
}

// known are the actions of which each says what it does in a repository, or does nothing there.
var known = []string{"push", "import", "tag", "untag", "delete", "undelete", "purge", "attest", "grant", "revoke", "key", "restore", "rules", "hold", "baseline", "adopt"}

func (s *state) apply(r *record) {
	if r.Index != s.next {
		s.wrongf(r, "it is record %d", s.next)
	}
	r.Index = s.next
	s.next++
	s.states = s.states || r.Manifest != "" || r.Before != nil
	s.login(r)
	if r.Grant != nil {
		s.right(r)
	}
	if r.Grant != nil || r.Repository == "" {
		return
	}
	p := s.repositories[r.Repository]
	if p == nil {
		p = &repository{manifests: make(map[string]manifest), removed: make(map[string]uint64), trash: make(map[string]bool), holds: make(map[string]held), tags: make(map[string]tag)}
		s.repositories[r.Repository] = p
	}
	s.chain(p, r)
	if r.Manifest == "" && len(r.Tags) == 0 && !slices.Contains(known, r.Action) {
		p.unknown = &r.Index
	}
	if p.unknown != nil {
		return
	}
	if (r.Action == "undelete" && r.Manifest == "added" || r.Action == "purge") && !p.trash[r.Digest] {
		s.wrongf(r, "%s@%s was not in the trash", r.Repository, r.Digest)
	}
	if r.Action == "purge" || r.Manifest == "added" {
		delete(p.trash, r.Digest)
	}
	s.hold(p, r)
	s.arrives(p, r)
	for _, t := range r.Tags {
		s.move(p, r, t)
	}
	if r.Manifest == "removed" || r.Manifest == "" && r.Action == "delete" {
		delete(p.manifests, r.Digest)
		p.removed[r.Digest] = r.Index
		p.trash[r.Digest] = r.Observed.KeptUntil != ""
	}
}

// chain wants a record to name the one before it in its repository.
func (s *state) chain(p *repository, r *record) {
	switch {
	case r.Before == nil && p.seen && s.states:
		s.wrongf(r, "it says that it is the first of %s, and record %d was before it", r.Repository, p.newest)
	case r.Before != nil && (!p.seen || *r.Before != p.newest):
		s.wrongf(r, "it names record %d as the one before it in %s, and that is not so", *r.Before, r.Repository)
	}
	p.newest, p.seen = r.Index, true
}

// hold notes until when an image is held, or that it no longer is.
func (s *state) hold(p *repository, r *record) {
	_, there := p.holds[r.Digest]
	switch {
	case r.Hold == nil:
	case r.Hold.Released && !there:
		s.wrongf(r, "it releases %s@%s, which was not held", r.Repository, r.Digest)
	case r.Hold.Released:
		delete(p.holds, r.Digest)
	case r.Hold.Until == "":
		s.wrongf(r, "it does not state until when %s@%s is held", r.Repository, r.Digest)
	default:
		p.holds[r.Digest] = held{r.Hold.Until, r.Index}
	}
}

// arrives adds the manifest, or wants it to be there.
func (s *state) arrives(p *repository, r *record) {
	m, there := p.manifests[r.Digest]
	change := r.Manifest
	if change == "" && (r.Action == "push" || r.Action == "delete") {
		if s.states {
			s.wrongf(r, "it does not state what became of the manifest")
		}
		switch {
		case r.Action == "delete":
			change = "removed"
		case there:
			change = "again"
		default:
			change = "added"
		}
	}
	if change != "" && there != (change != "added") {
		s.wrongf(r, "%s@%s is %s, and was there: %t", r.Repository, r.Digest, change, there)
	}
	if change != "added" && change != "again" {
		return
	}
	switch {
	case !there:
		m = manifest{r.Index, r.Observed.MediaType}
	case s.states || m.mediaType == r.Observed.MediaType:
		m.mediaType = r.Observed.MediaType
	default:
		m.mediaType = ""
	}
	p.manifests[r.Digest] = m
}

// means returns what a tag means, if it means anything.
func (p *repository) means(name string) (t tag, ok bool) {
	t = p.tags[name]
	m, there := p.manifests[t.digest]
	return t, there && m.added <= t.since
}

// move applies what happened to a tag.
func (s *state) move(p *repository, r *record, t tagMove) {
	was, lives := p.means(t.Name)
	if r.Of != nil { // it ended with its manifest
		if old, ok := p.tags[t.Name]; ok && !lives {
			was, lives = old, true
		}
	}
	now := t.Now
	if now == "" && !s.states && (r.Action == "push" || r.Action == "tag") {
		now = r.Digest
	}
	switch {
	case !lives && t.Previous != "", lives && t.Previous != was.digest:
		s.wrongf(r, "it says that %s:%s meant %q", r.Repository, t.Name, t.Previous)
	case lives && (t.Since == nil && s.states || t.Since != nil && *t.Since != was.since):
		s.wrongf(r, "it says that %s:%s was set by another record than %d", r.Repository, t.Name, was.since)
	}
	if lives && r.Of == nil && now != was.digest {
		s.forbidden(r, t.Name)
	}
	if now == "" {
		delete(p.tags, t.Name)
		return
	}
	if _, there := p.manifests[now]; !there {
		s.wrongf(r, "%s:%s was set to %s, which was not there", r.Repository, t.Name, now)
	}
	p.tags[t.Name] = tag{now, r.Index}
}
