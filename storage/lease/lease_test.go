package lease_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/lease"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

const table = storage.Table("test")

// world is a store with a clock of its own, which tests set forward.
type world struct {
	storage.Store
	t       *testing.T
	clock   atomic.Int64 // seconds
	commits atomic.Int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.pass(time.Duration(1_800_000_000) * time.Second)
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Config{OnCommit: func(int, time.Duration, error) { w.commits.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.Store = storagetest.Twice(timed{s, w})
	return w
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d / time.Second)) }

func (w *world) now() time.Time { return time.Unix(w.clock.Load(), 0) }

// timed is a store whose Readers know the time of the world.
type timed struct {
	storage.Store
	w *world
}

func (s timed) View(ctx context.Context, fn func(storage.Reader) error) error {
	return s.Store.View(ctx, func(r storage.Reader) error { return fn(timedReader{r, s.w}) })
}

func (s timed) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.Store.Update(ctx, func(tx storage.Tx) error { return fn(timedTx{tx, s.w}) })
}

type timedReader struct {
	storage.Reader
	w *world
}

func (r timedReader) Now() (time.Time, error) { return r.w.now(), nil }

type timedTx struct {
	storage.Tx
	w *world
}

func (r timedTx) Now() (time.Time, error) { return r.w.now(), nil }

// replica is one with work that says when it begins, and goes on until it is told to end.
type replica struct {
	*lease.Replica
	w     *world
	began chan context.Context
	ended chan struct{}
	stop  func()
}

func (w *world) join(c lease.Config) *replica {
	w.t.Helper()
	r, err := lease.Join(w.t.Context(), w, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return &replica{Replica: r, w: w, began: make(chan context.Context, 8), ended: make(chan struct{}, 8)}
}

// work has the replica want a lease, and returns once that is known.
func (r *replica) work(name string) {
	r.w.t.Helper()
	ctx, cancel := context.WithCancel(r.w.t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		r.Run(ctx, name, func(ctx context.Context) {
			r.began <- ctx
			<-ctx.Done()
			r.ended <- struct{}{}
		})
	})
	r.stop = func() { cancel(); group.Wait() }
	r.w.t.Cleanup(r.stop)
	for !r.Alone() && !r.Wants(name) {
		time.Sleep(time.Millisecond)
	}
}

func (r *replica) beat() {
	r.w.t.Helper()
	if err := r.Beat(r.w.t.Context()); err != nil {
		r.w.t.Fatal(err)
	}
}

// put writes as the work of a context does.
func (r *replica) put(ctx context.Context, key string) error {
	return r.Store(r.w).Update(context.WithoutCancel(ctx), func(tx storage.Tx) error {
		tx.Put(table, []byte(key), nil)
		return nil
	})
}

func (w *world) has(key string) (there bool) {
	w.t.Helper()
	err := w.View(w.t.Context(), func(r storage.Reader) error {
		_, err := r.Get(table, []byte(key))
		there = err == nil
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return there
}

func mustNotBegin(t *testing.T, r *replica) {
	t.Helper()
	select {
	case <-r.began:
		t.Fatal("work begins that another does")
	default:
	}
}

// TestMoves has a replica die, in the way that is hardest for others: it goes on, and does not know. Its clock and that of the other are
// an hour apart.
func TestMoves(t *testing.T) {
	w := newWorld(t)
	ahead := func() time.Time { return w.now().Add(30 * time.Minute) }
	behind := func() time.Time { return w.now().Add(-30 * time.Minute) }
	a, b := w.join(lease.Config{ID: "a", Machine: ahead}), w.join(lease.Config{ID: "b", Machine: behind})
	a.work("x")
	a.beat()
	asA := <-a.began
	b.work("x")
	for range 10 { // a lives
		w.pass(lease.RenewEvery)
		a.beat()
		b.beat()
		mustNotBegin(t, b)
		if err := a.put(asA, "lives"); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(lease.Lasts - time.Second)
	b.beat()
	mustNotBegin(t, b)
	w.pass(time.Second)
	if err := a.put(asA, "late"); err != nil {
		t.Errorf("nobody has taken the lease yet: %v", err)
	}
	b.beat()
	asB := <-b.began
	if err := a.put(asA, "fenced"); !errors.Is(err, lease.ErrLost) || w.has("fenced") {
		t.Errorf("a write of who lost the lease: %v, there: %t", err, w.has("fenced"))
	}
	if err := b.put(asB, "b"); err != nil {
		t.Error(err)
	}
	if err := a.put(t.Context(), "request"); err != nil {
		t.Errorf("what is not under the lease: %v", err)
	}
	a.beat() // a finds out, and is there again, without the lease
	<-a.ended
	w.pass(lease.RenewEvery)
	a.beat()
	mustNotBegin(t, a)
	for _, r := range []*replica{a, b} {
		if apart := r.Now().Sub(w.now()).Abs(); apart > time.Second {
			t.Errorf("%s takes the store's time to be %s from what it is", r.ID(), apart)
		}
	}
}

// TestGivenBack has a lease move without any time passing, when its holder leaves; the number grows also where it comes back to who had it.
func TestGivenBack(t *testing.T) {
	w := newWorld(t)
	a, b := w.join(lease.Config{ID: "a"}), w.join(lease.Config{ID: "b"})
	a.work("x")
	a.beat()
	first := <-a.began
	b.work("x")
	b.beat()
	mustNotBegin(t, b)
	a.stop()
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.beat()
	<-b.began
	b.stop()
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := w.join(lease.Config{ID: "a"})
	again.work("x")
	again.beat()
	second := <-again.began
	if err := again.put(first, "old"); !errors.Is(err, lease.ErrLost) {
		t.Errorf("a write under the lease of a former life: %v", err)
	}
	if err := again.put(second, "new"); err != nil {
		t.Error(err)
	}
}

// TestEndsByItself has work come to its end: the next one who wants it does it again, at once.
func TestEndsByItself(t *testing.T) {
	w := newWorld(t)
	a, b := w.join(lease.Config{ID: "a"}), w.join(lease.Config{ID: "b"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(t.Context(), "x", func(context.Context) {})
	}()
	for !a.Wants("x") {
		time.Sleep(time.Millisecond)
	}
	a.beat()
	<-done
	b.work("x")
	b.beat()
	mustNotBegin(t, b)
	a.beat() // and finds that it wants it no more
	b.beat()
	<-b.began
}

// TestAway has the store fail for a holder, which ends its work by itself when others may have it.
func TestAway(t *testing.T) {
	w := newWorld(t)
	a := w.join(lease.Config{ID: "a"})
	a.work("x")
	a.beat()
	<-a.began
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Beat(gone); err == nil {
		t.Fatal("it renewed its row in a store that is away")
	}
	select {
	case <-a.ended:
		t.Fatal("one renewal that failed ended the work")
	default:
	}
	a.Age(2 * lease.Lasts)
	if err := a.Beat(gone); err == nil {
		t.Fatal("it renewed its row in a store that is away")
	}
	<-a.ended
	a.beat()
	<-a.began
}

// TestAlone has one process own the store: it writes nothing, waits for nobody, and removes what others left that were killed.
func TestAlone(t *testing.T) {
	w := newWorld(t)
	alone := w.join(lease.Config{Alone: true})
	alone.work("x")
	ctx := <-alone.began
	if alone.Store(w) != storage.Store(w) {
		t.Error("something is between the rooms and the store")
	}
	if err := lease.Check(ctx, nil); err != nil {
		t.Error(err)
	}
	alone.Keep(t.Context()) // returns
	if n := w.commits.Load(); n != 0 {
		t.Errorf("%d commits", n)
	}
	killed := w.join(lease.Config{ID: "killed"})
	killed.work("x")
	killed.beat()
	asKilled := <-killed.began
	next := w.join(lease.Config{Alone: true})
	next.work("x")
	<-next.began
	n := w.commits.Load()
	w.join(lease.Config{Alone: true})
	if more := w.commits.Load() - n; more != 0 {
		t.Errorf("%d commits where nothing was left", more)
	}
	other := w.join(lease.Config{ID: "other"}) // the store is worked on together again: no time has passed
	other.work("x")
	other.beat()
	<-other.began
	if err := killed.put(asKilled, "fenced"); !errors.Is(err, lease.ErrLost) {
		t.Errorf("a write under a lease of before: %v", err)
	}
}

// TestFarClock has somebody told of a machine's clock that is far from the store's, once.
func TestFarClock(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	a := w.join(lease.Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Machine: func() time.Time { return w.now().Add(time.Minute) }})
	a.beat()
	a.beat()
	if n := strings.Count(log.String(), "ahead=1m0s"); n != 1 {
		t.Errorf("it was said %d times: %s", n, &log)
	}
}
