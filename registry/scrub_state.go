package registry

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// scrub is how far the scrub has come.
type scrub struct {
	asked    chan struct{}   // holds one when a pass was asked for
	suspects chan RepoDigest // what others found damaged; without a repository a blob

	blobs, bytes atomic.Int64 // that this process has read
	damaged      atomic.Int64 // marks that were there when they were last counted

	mu     sync.Mutex
	config ScrubConfig // guarded by mu
	state  scrubState  // guarded by mu
	saved  time.Time   // guarded by mu; when the state was written down
}

// scrubState is the row of scrubTable.
type scrubState struct {
	Pass *ScrubPass `json:"pass,omitempty"` // that is under way
	Last *ScrubPass `json:"last,omitempty"` // that came to its end
	// The pass goes on with this key of this table.
	Table storage.Table `json:"table,omitempty"`
	Next  []byte        `json:"next,omitempty"`
}

var scrubKey = []byte("state")

func newScrub() *scrub {
	return &scrub{asked: make(chan struct{}, 1), suspects: make(chan RepoDigest, 64)}
}

// UseScrub sets how the registry is scrubbed, and reads how far an earlier process came. It is called once, before
// Scrub.
func (g *Registry) UseScrub(ctx context.Context, c ScrubConfig) error {
	var state scrubState
	err := g.store.View(ctx, func(tx storage.Reader) error {
		state = scrubState{}
		value, err := getOrNil(tx, scrubTable, scrubKey)
		if err != nil || value == nil {
			return err
		}
		if err := json.Unmarshal(value, &state); err != nil {
			g.log.Error("how far the last scrub came cannot be read, so it begins anew", "err", err)
			state = scrubState{}
		}
		return nil
	})
	g.scrub.mu.Lock()
	defer g.scrub.mu.Unlock()
	g.scrub.config, g.scrub.state = c, state
	return err
}

func (g *Registry) saveScrub(ctx context.Context) error {
	s := g.scrub
	s.mu.Lock()
	row, err := json.Marshal(s.state)
	s.saved = time.Now()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return g.store.Update(ctx, func(tx storage.Tx) error {
		tx.Put(scrubTable, scrubKey, row)
		return nil
	})
}

func (s *scrub) unsaved(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.saved) > scrubSave
}

// due says whether a pass is under way, or should begin.
func (s *scrub) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.state.Pass; p != nil && (p.Asked || s.config.Every > 0) {
		return true
	}
	next, ok := s.next(now)
	return ok && !now.Before(next)
}

// next is when the next pass begins, unless the scrub is off. After a last one in the future, as a clock that
// was wrong may have left it, that is now. The caller holds mu.
func (s *scrub) next(now time.Time) (at time.Time, ok bool) {
	switch last := s.state.Last; {
	case s.config.Every == 0:
		return at, false
	case last == nil || last.Started.After(now):
		return now, true
	default:
		return last.Started.Add(time.Duration(s.config.Every)), true
	}
}

// wait is how long there is nothing to do. It is not long, because the machine's clock may be set meanwhile.
func (s *scrub) wait(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Hour
	if next, ok := s.next(now); ok {
		wait = min(wait, max(0, next.Sub(now)))
	}
	return wait
}

// begin begins a pass, unless one is under way.
func (s *scrub) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Pass == nil {
		s.start(now, false)
	}
}

// start begins a pass. The caller holds mu.
func (s *scrub) start(now time.Time, asked bool) {
	s.state.Pass = &ScrubPass{Started: provenance.At(now), Asked: asked}
	s.state.Table, s.state.Next = "", nil
}

// isNew says whether the pass has read nothing yet.
func (s *scrub) isNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Table == ""
}

// position is where the pass goes on.
func (s *scrub) position() (pass *ScrubPass, table storage.Table, from []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Table == "" {
		s.state.Table = blobTable
	}
	return s.state.Pass, s.state.Table, s.state.Next
}

// advance notes that a pass has come to a key, unless another one was asked for.
func (s *scrub) advance(pass *ScrubPass, next []byte, t took) bool {
	s.blobs.Add(t.blobs)
	s.bytes.Add(t.bytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Pass != pass {
		return false
	}
	pass.Blobs += t.blobs
	pass.Manifests += t.manifests
	pass.Bytes += t.bytes
	pass.Damaged += t.damaged
	pass.Unread += t.unread
	s.state.Next = next
	return true
}

// nextTable says whether there is more to read when a pass has come to the end of a table.
func (s *scrub) nextTable(pass *ScrubPass) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Pass != pass {
		return true
	}
	if s.state.Table == blobTable {
		s.state.Table, s.state.Next = manifestTable, nil
		return true
	}
	return false
}

// end ends the pass, unless another one was asked for just now.
func (s *scrub) end(now time.Time) *ScrubPass {
	s.mu.Lock()
	defer s.mu.Unlock()
	pass := s.state.Pass
	if s.state.Table != manifestTable {
		return nil
	}
	finished := provenance.At(now)
	pass.Finished = &finished
	s.state = scrubState{Last: pass}
	return pass
}

// ScrubNow begins a pass, from the beginning. One that was asked for before and is under way goes on instead.
func (g *Registry) ScrubNow() {
	s := g.scrub
	s.mu.Lock()
	if s.state.Pass == nil || !s.state.Pass.Asked {
		s.start(time.Now(), true)
	}
	s.mu.Unlock()
	select {
	case s.asked <- struct{}{}:
	default: // it was told
	}
}

// A ScrubStatus says where the scrub stands.
type ScrubStatus struct {
	Every   string           `json:"every"`          // 0s when it is off
	Rate    uint64           `json:"rate"`           // bytes a second; 0 is no bound
	Next    *provenance.Time `json:"next,omitempty"` // absent while one is under way, and when it is off
	Running *ScrubPass       `json:"running,omitempty"`
	Done    float64          `json:"done,omitempty"` // how much of Running is done, from 0 to 1, as far as it can be told
	Last    *ScrubPass       `json:"last,omitempty"` // the last that came to its end
	Damaged []Damage         `json:"damaged"`        // the first of what is lost or damaged
	More    bool             `json:"more,omitempty"` // there is more of it
}

// ScrubStatus returns where the scrub stands.
func (g *Registry) ScrubStatus(ctx context.Context) (st ScrubStatus, err error) {
	if st.Damaged, st.More, err = g.damage(ctx, maxDamage); err != nil {
		return st, err
	}
	s := g.scrub
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Every, st.Rate, st.Last = s.config.Every.String(), uint64(s.config.Rate), s.state.Last
	if p := s.state.Pass; p != nil {
		running := *p
		st.Running, st.Done = &running, s.done()
	} else if at, ok := s.next(time.Now()); ok {
		next := provenance.At(at)
		st.Next = &next
	}
	return st, nil
}

// done is how much of the pass is done. Digests are spread evenly, so that of the next one tells. The caller holds mu.
func (s *scrub) done() float64 {
	switch next := s.state.Next; {
	case s.state.Table == manifestTable || len(next) > 0 && next[0] != sha256Byte:
		return 1
	case len(next) < 9:
		return 0
	default:
		return float64(binary.BigEndian.Uint64(next[1:9])) / (1 << 64)
	}
}

// Scrubbed counts what was read in the background.
type Scrubbed struct {
	Blobs, Bytes int64 // by this process
	Finished     int64 // when the last pass came to its end, in seconds since 1970; 0 before the first
	Damaged      int   // blobs and manifests that are lost or damaged now, up to maxCounted
}

// Scrubbed returns what metrics show of the scrub.
func (g *Registry) Scrubbed(ctx context.Context) Scrubbed {
	s := g.scrub
	all := Scrubbed{Blobs: s.blobs.Load(), Bytes: s.bytes.Load()}
	s.mu.Lock()
	if last := s.state.Last; last != nil && last.Finished != nil {
		all.Finished = last.Finished.Unix()
	}
	s.mu.Unlock()
	if damage, _, err := g.damage(ctx, maxCounted); err == nil {
		s.damaged.Store(int64(len(damage)))
	}
	all.Damaged = int(s.damaged.Load()) // what cannot be read now is not mended for that
	return all
}
