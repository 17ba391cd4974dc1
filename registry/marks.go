package registry

import (
	"strconv"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// A Moment numbers the changes to what is known of images in this process. Anyone who reads takes the moment first: a Mark then
// sees every change that the reading may have missed.
type Moment uint64

// marks hold the moment of the last change, each of some of all digests: a digest is random enough to choose one.
type marks struct {
	last atomic.Uint64
	of   [1 << 16]atomic.Uint64
}

func (m *marks) about(d digest.Digest) *atomic.Uint64 { return &m.of[markOf(d)] }

// markOf is the number of a digest's mark.
func markOf(d digest.Digest) uint16 {
	hash := d.Encoded()
	n, err := strconv.ParseUint(hash[max(0, len(hash)-4):], 16, 16)
	if err != nil {
		return 0 // no digest of ours
	}
	return uint16(n)
}

// moveAll moves every mark.
func (m *marks) moveAll() {
	now := m.last.Add(1)
	for i := range m.of {
		reach(&m.of[i], now)
	}
}

// reach moves a mark, never back, whichever of two changes comes here first.
func reach(mark *atomic.Uint64, now uint64) {
	for was := mark.Load(); was < now && !mark.CompareAndSwap(was, now); was = mark.Load() {
	}
}

// A Mark is what was known of a digest at a moment.
type Mark struct {
	changed *atomic.Uint64
	since   Moment
}

// Moved says whether something has changed since in what is known of the digest. It also says so for changes to others.
func (m Mark) Moved() bool { return Moment(m.changed.Load()) > m.since }

// Now is the moment of the last change. Take it before what a Mark is about is read.
func (g *Registry) Now() Moment { return Moment(g.marks.last.Load()) }

// Mark is the mark of a digest, in any repository, of which something was read after a moment.
func (g *Registry) Mark(d digest.Digest, since Moment) Mark { return Mark{g.marks.about(d), since} }

// AnyMark moves with every change to what is known of anything, of which something was read after a moment.
func (g *Registry) AnyMark(since Moment) Mark { return Mark{&g.marks.last, since} }

// Changed is the moment of the last change to what is known of a digest, or of one that shares its mark.
func (g *Registry) Changed(d digest.Digest) Moment { return Moment(g.marks.about(d).Load()) }

// changed moves the marks of digests, once the change is committed. Its transaction has noted that for other processes (noteMoves).
func (g *Registry) changed(digests []digest.Digest) {
	now := g.marks.last.Add(1)
	for _, d := range digests {
		if d == "" {
			continue
		}
		reach(g.marks.about(d), now)
	}
}
