package lease

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

const (
	// lasts is how long a replica's row counts once it was renewed. Whoever is dead for longer has lost its leases.
	lasts = 20 * time.Second
	// renewEvery leaves one renewal that fails without consequences.
	renewEvery = 10 * time.Second
	// lookEvery is how often a replica looks whether a lease is free that it would take, which is one read. So one that was given
	// back moves within it, and that of a dead replica within 21 s.
	lookEvery = time.Second
	// farApart is how far this machine's clock may be from the store's before somebody is told.
	farApart = 30 * time.Second
)

// Config is how a process works on a store.
type Config struct {
	// ID names this process among those that work on the store now. Default: the machine's name, and what is drawn at random.
	ID string
	// Version is that of the program.
	Version string
	// Alone says that no other process works on the store, because the store itself keeps others out.
	Alone bool
	// Log is told of leases that come and go. Default: nobody is.
	Log *slog.Logger
	// Machine is this machine's clock, which only leads to the store's: see Replica.Now. Default: time.Now.
	Machine func() time.Time
}

// replicaRow says that a process works on the store.
type replicaRow struct {
	Version string    `json:"version"`
	Renewed time.Time `json:"renewed"` // by the store's clock, as Until
	Until   time.Time `json:"until"`
}

// Replica is this process, as others over the same store see it. It is safe for concurrent use.
type Replica struct {
	store  storage.Store
	c      Config
	offset atomic.Int64 // what to add to this machine's clock for the store's, in nanoseconds
	asked  chan struct{}

	mu   sync.Mutex
	jobs map[string]*job // guarded by mu

	// The goroutine of Keep owns these.
	renewed time.Time // when the last renewal that succeeded began; it has a monotonic reading
	told    bool      // that the clocks are far apart
}

// job is work that wants a lease.
type job struct {
	held *held              // nil while somebody else has it
	got  chan *held         // told once it is taken
	end  context.CancelFunc // ends the work when the lease is lost; nil while it does not run
}

// Join makes this process one of those over a store. It waits for nobody: work that another still has moves when that one is
// dead or gives it back.
func Join(ctx context.Context, store storage.Store, c Config) (*Replica, error) {
	c.ID = cmp.Or(c.ID, newID())
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Machine == nil {
		c.Machine = time.Now
	}
	r := &Replica{store: store, c: c, jobs: map[string]*job{}, asked: make(chan struct{}, 1)}
	if c.Alone {
		return r, r.tidy(ctx)
	}
	return r, r.renew(ctx)
}

// newID is a name that people recognise and nobody else has.
func newID() string {
	host, _ := os.Hostname() // "" does as well
	b := make([]byte, 4)
	crand.Read(b) // which never fails
	return strings.TrimLeft(host+"-"+hex.EncodeToString(b), "-")
}

// tidy removes what processes left that worked on the store together and are gone. Mostly there are none, and nothing is written.
func (r *Replica) tidy(ctx context.Context) error {
	s, err := r.look(ctx)
	if err != nil || len(s.replicas) == 0 {
		return err
	}
	return r.store.Update(ctx, func(tx storage.Tx) error {
		s, err := readState(tx)
		if err != nil {
			return err
		}
		for id := range s.replicas {
			tx.Delete(replicaTable, []byte(id))
		}
		return s.giveBack(tx, func(string) bool { return true })
	})
}

// ID names this process.
func (r *Replica) ID() string { return r.c.ID }

// Alone says that no other process works on the store.
func (r *Replica) Alone() bool { return r.c.Alone }

// Now is the store's time, as far as this process knows it: this machine's, put right by how far it was from the store's a moment ago.
func (r *Replica) Now() time.Time { return r.c.Machine().Add(time.Duration(r.offset.Load())) }

// Store returns a Store over s whose transactions do nothing for work under a lease that was lost. It is s itself where no other process
// works on the store.
func (r *Replica) Store(s storage.Store) storage.Store {
	if r.c.Alone {
		return s
	}
	return fenced{s}
}

// Run does work under the lease of a name, each time that this process has it, until ctx ends or the work comes to its end by itself.
// The work's context ends when the lease is lost. One Run of a name goes on at a time; it needs Keep.
func (r *Replica) Run(ctx context.Context, name string, work func(context.Context)) {
	if r.c.Alone {
		work(ctx)
		return
	}
	j := r.want(name)
	defer r.leave(name)
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-j.got:
			if r.do(ctx, j, h, work) {
				return
			}
		}
	}
}

// want has a lease taken as soon as it is free.
func (r *Replica) want(name string) *job {
	j := &job{got: make(chan *held, 1)}
	r.mu.Lock()
	r.jobs[name] = j
	r.mu.Unlock()
	select {
	case r.asked <- struct{}{}:
	default: // it looks at all of them
	}
	return j
}

// do does work under a lease, and says whether it came to its end before the lease was lost.
func (r *Replica) do(ctx context.Context, j *job, h *held, work func(context.Context)) (done bool) {
	within, cancel := context.WithCancel(context.WithValue(ctx, heldKey{}, h))
	defer cancel()
	r.mu.Lock()
	if j.held != h { // it was lost before it began
		r.mu.Unlock()
		return false
	}
	j.end = cancel
	r.mu.Unlock()
	r.c.Log.Debug("work begins under a lease", "lease", h.name, "number", h.number)
	work(within)
	r.mu.Lock()
	defer r.mu.Unlock()
	j.end = nil
	return j.held == h
}

// leave says that nobody here wants a lease any more. It stays this process's until Leave.
func (r *Replica) leave(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.jobs, name)
}
