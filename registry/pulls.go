package registry

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Pulls are counted in memory, outside of the requests, and written once a minute: a pull never waits for a commit. The counts
// are in no record, name no person, and can be forgotten. What they say about a time is only worth something where
// counting did not break off in it, so the store says since when that is: pulls_state.go.

// PullConfig says whose pulls are not counted.
type PullConfig struct {
	// Ignore are accounts whose pulls are not counted, such as scanners: user:NAME, robot:NAME or ci:ISSUER:CLAIM=GLOB,….
	// Default: all pulls count.
	Ignore []string `yaml:"ignore"`
}

// subjects reads Ignore.
func (c PullConfig) subjects() (all []access.Subject, err error) {
	for _, text := range c.Ignore {
		s, err := access.ParseSubject(text)
		if err != nil {
			return nil, err
		}
		switch s.Kind {
		case access.UserSubject, access.RobotSubject, access.CISubject:
			all = append(all, s)
		default:
			return nil, errIgnored(text)
		}
	}
	return all, nil
}

// Check refuses what names no account.
func (c PullConfig) Check() error {
	_, err := c.subjects()
	return err
}

// IgnorePulls sets whose pulls are not counted. It may be called while the registry serves.
func (g *Registry) IgnorePulls(c PullConfig) error {
	subjects, err := c.subjects()
	if err == nil {
		g.pulls.ignored.Store(&subjects)
	}
	return err
}

// The bounds of the pulls that are kept in memory. Each is a manifest that was pulled by its digest or by one tag.
const (
	fullNoted = 16 << 10 // none more is taken before they are written
	manyNoted = 2048     // they are written before the minute is over
)

// pulledAs is what a client asked for, and got.
type pulledAs struct {
	repo   string
	digest digest.Digest
	tag    string // "" where it asked by digest
}

// noted are the pulls of one pulledAs that are not written yet.
type noted struct {
	times uint64
	last  time.Time // with a monotonic reading
}

func (n noted) and(other noted) noted {
	n.times += other.times
	if other.last.After(n.last) {
		n.last = other.last
	}
	return n
}

// buffer keeps pulls until they are written. The zero value is empty.
type buffer struct {
	mu    sync.Mutex
	noted map[pulledAs]noted // guarded by mu; at most fullNoted
	lost  bool               // guarded by mu; a pull found no room, and the store does not say so yet
}

// add notes pulls, unless there is no room, and returns how many places are taken.
func (b *buffer) add(p pulledAs, n noted) (taken int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, there := b.noted[p]
	switch {
	case there:
		b.noted[p] = before.and(n)
		return len(b.noted), true
	case len(b.noted) >= fullNoted:
		return len(b.noted), false
	case b.noted == nil:
		b.noted = make(map[pulledAs]noted)
	}
	p.repo, p.tag = strings.Clone(p.repo), strings.Clone(p.tag) // parts of a URL that need not be kept
	b.noted[p] = n
	return len(b.noted), true
}

// take empties the buffer.
func (b *buffer) take() (taken map[pulledAs]noted, lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken, lost = b.noted, b.lost
	b.noted, b.lost = nil, false
	return taken, lost
}

// giveBack returns what could not be written.
func (b *buffer) giveBack(taken map[pulledAs]noted, lost bool) {
	for p, n := range taken {
		_, ok := b.add(p, n)
		lost = lost || !ok
	}
	if lost {
		b.lose()
	}
}

// lose notes that a pull found no room, and says whether that is new.
func (b *buffer) lose() (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first, b.lost = !b.lost, true
	return first
}

func (b *buffer) isLost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// drop forgets the pulls of a repository, or all of them where repo is "".
func (b *buffer) drop(repo string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p := range b.noted {
		if repo == "" || p.repo == repo {
			delete(b.noted, p)
		}
	}
}

// notePull counts a manifest that was handed out. A HEAD is none, and neither is a GET that was answered with 304: the client has it.
func (g *Registry) notePull(c *call, f *found) {
	if c.r.Method != http.MethodGet || f.rendered || !g.pulls.counting.Load() || g.pulls.ignores(c.who) {
		return
	}
	p := pulledAs{repo: c.repo, digest: f.digest}
	if c.digest == "" {
		p.tag = c.ref
	}
	taken, ok := g.pulls.add(p, noted{1, time.Now()})
	if taken >= manyNoted {
		wake(g.pulls.many)
	}
	if !ok && g.pulls.lose() {
		g.log.Error("a pull was not counted, because earlier ones are not written yet: counting begins anew")
	}
}

func (p *pulls) ignores(who provenance.Identity) bool {
	subjects := p.ignored.Load()
	return subjects != nil && slices.ContainsFunc(*subjects, func(s access.Subject) bool { return s.Names(who) })
}

func wake(waiting chan struct{}) {
	select {
	case waiting <- struct{}{}:
	default: // it has been told
	}
}
