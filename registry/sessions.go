package registry

import (
	"hash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
)

// UploadLimits bound the uploads that were begun and have not ended: each is a file, and some memory, for as long as
// Config.UploadKeep.
type UploadLimits struct {
	// Uploads is how many there may be in all. Default: 20000.
	Uploads int `yaml:"uploads"`
	// AccountUploads is how many of them may be of one user, robot or CI identity. Default: 2000.
	AccountUploads int `yaml:"accountUploads"`
}

// DefaultUploadLimits leave a build farm behind one robot's account room for all layers that it pushes at once, and
// for those of jobs that were cancelled in the last day.
var DefaultUploadLimits = UploadLimits{Uploads: 20_000, AccountUploads: 2000}

// LimitUploads replaces DefaultUploadLimits, before the registry serves anybody.
func (g *Registry) LimitUploads(l UploadLimits) { g.sessions.limits = l }

// sessions knows the uploads that have begun and not ended, and keeps the running hash of each between the requests that
// fill it. After a restart there is none, and the bytes are read once more when the upload is complete.
type sessions struct {
	limits  UploadLimits // does not change
	refused atomic.Int64 // uploads that were not begun because of them

	mu     sync.Mutex // guards what follows
	open   map[string]*session
	n      int            // uploads of this process, with those that are just being begun
	owners map[string]int // of them, by account
	left   int            // of earlier processes, when the last sweep saw them; whose they are nobody knows
}

func newSessions() *sessions {
	return &sessions{limits: DefaultUploadLimits, open: map[string]*session{}, owners: map[string]int{}}
}

// session is one upload's running hash, and what it has reserved. Anyone who has the upload open for writing owns it.
type session struct {
	owner   string
	started time.Time
	hash    hash.Hash // SHA-256 of the first n bytes
	n       int64

	reserved reservation // of its quotas
}

// ownerOf is whose an upload is: an account, or strangers, who have one between them.
func ownerOf(who provenance.Identity) string { return string(who.Actor.Kind) + " " + who.Actor.Account }

// admit takes a place for an upload that is about to begin: put or leave is called next. Error: a failure, with 429.
func (s *sessions) admit(owner string, keep units.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, has := "", 0
	switch {
	case s.owners[owner] >= s.limits.AccountUploads:
		of, has = "your account has", s.owners[owner]
	case s.n+s.left >= s.limits.Uploads:
		of, has = "the registry has", s.n+s.left
	default:
		s.n++
		s.owners[owner]++
		return nil
	}
	s.refused.Add(1)
	f := newFailure(http.StatusTooManyRequests, "TOOMANYREQUESTS",
		"%s %d uploads that were begun and not ended: end some, with PUT or DELETE. Abandoned ones are removed after %s", of, has, keep)
	f.header = http.Header{"Retry-After": {"60"}}
	return f
}

// leave gives back a place.
func (s *sessions) leave(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vacate(owner)
}

// vacate is leave. The caller holds mu.
func (s *sessions) vacate(owner string) {
	s.n--
	if s.owners[owner]--; s.owners[owner] <= 0 {
		delete(s.owners, owner)
	}
}

// put keeps the session of an upload that was admitted.
func (s *sessions) put(id string, one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = one
}

// resume returns the session of an upload. One of an earlier process gets its first: it is there, whatever the limits say.
func (s *sessions) resume(id, owner string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[id]
	if one == nil {
		one = &session{owner: owner, started: time.Now()}
		s.open[id] = one
		s.n++
		s.owners[owner]++
		s.left = max(0, s.left-1)
	}
	return one
}

// drop ends a session, and returns it, or nil.
func (s *sessions) drop(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.open[id]
	if one != nil {
		delete(s.open, id)
		s.vacate(one.owner)
	}
	return one
}

// endSession ends the session of an upload that the caller has open, and gives back what it reserved.
func (g *Registry) endSession(id string) {
	if s := g.sessions.drop(id); s != nil {
		g.unreserve(&s.reserved)
	}
}

// recount counts the uploads of earlier processes among those that there are.
func (s *sessions) recount(ids map[string]idleRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = 0
	for id := range ids {
		if s.open[id] == nil {
			s.left++
		}
	}
}

// Uploads returns how many uploads have begun and not ended.
func (g *Registry) Uploads() int {
	g.sessions.mu.Lock()
	defer g.sessions.mu.Unlock()
	return len(g.sessions.open) + g.sessions.left
}

// UploadsRefused returns how many uploads were not begun because there were too many.
func (g *Registry) UploadsRefused() int64 { return g.sessions.refused.Load() }
