package servertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/lease"
	"github.com/seed-260924e6/hallmark/storage/s3"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// Sets are servers in this process that work on one data directory, as processes on several machines do on one database: each has rooms of
// its own, which remember what they like, and the store is all that they have in common. Files of blobs are one process's, so where
// blobs are files they have that directory's engine in common, too; in an object store each has an engine of its own.
type Sets struct {
	// Dir is their data directory.
	Dir string

	t       testing.TB
	data    *datadir.Dir
	options server.Options
	each    []*Set
	random  *rand.Rand
	lives   int
}

// A Set is one of them.
type Set struct {
	*Server
	cut atomic.Bool // from the store
}

// SetsURL is the public name of sets.
const SetsURL = "https://registry.example"

// StartSets starts n servers with options, and with all that is random in the order of a seed. Clocks are how far those of their machines are from the right
// time; those that are left out are right.
func StartSets(t testing.TB, o server.Options, n int, seed uint64, clocks ...time.Duration) *Sets {
	t.Helper()
	o.Config.URL = SetsURL
	s := &Sets{Dir: filepath.Join(t.TempDir(), "data"), t: t, options: o, each: make([]*Set, n), random: rand.New(rand.NewPCG(seed, 0))}
	if s3test.Wanted() {
		c := s3test.For(t, s.Dir).Config(s3test.Prefix(s.Dir))
		c.Region = "us-east-1"
		s.options.Config.Blobs.S3.Config = c
	}
	var err error
	s.data, err = datadir.Open(t.Context(), s.Dir, datadir.ToServe, datadir.Options{S3: s.blobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range s.each {
			s.Stop(i)
		}
		if err := s.data.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range n {
		s.StartAt(i, append(clocks, make([]time.Duration, n)...)[i])
	}
	return s
}

func (s *Sets) blobs() (*s3.Config, error) { return s.options.Config.Blobs.Remote(), nil }

// Start starts a set that was stopped or killed.
func (s *Sets) Start(i int) *Set { return s.StartAt(i, 0) }

// StartAt starts a set whose machine's clock is wrong.
func (s *Sets) StartAt(i int, clock time.Duration) *Set {
	s.t.Helper()
	s.lives++
	one, o := new(Set), s.options
	o.Among = &server.Among{Dir: s.data, ID: fmt.Sprintf("set%d-%d", i, s.lives), Clock: func() time.Time { return time.Now().Add(clock) }}
	o.Wrap = func(rows storage.Store) storage.Store { return cuttable{storagetest.Twice(rows), &one.cut} }
	var err error
	if one.Server, err = TryOn(s.Dir, o); err != nil {
		s.t.Fatal(err)
	}
	one.t = s.t
	s.each[i] = one
	return one
}

// At returns a set.
func (s *Sets) At(i int) *Set { return s.each[i] }

// Any returns a set that is there, at random.
func (s *Sets) Any() *Set {
	for {
		if one := s.each[s.random.IntN(len(s.each))]; one != nil {
			return one
		}
	}
}

// Other returns another set that is there than one, at random.
func (s *Sets) Other(than *Set) *Set {
	for {
		if one := s.Any(); one != than {
			return one
		}
	}
}

// Stop ends a set in order.
func (s *Sets) Stop(i int) {
	if one := s.each[i]; one != nil {
		s.each[i] = nil
		one.stop()
	}
}

// Kill ends a set as the power does: from now on nothing that it does reaches the store.
func (s *Sets) Kill(i int) {
	one := s.each[i]
	one.cut.Store(true)
	s.Stop(i)
}

// Holders are the sets that have the leases of the store, by the name of each: set and life, as set1-4.
func (s *Sets) Holders() (holders map[string]string) {
	s.t.Helper()
	err := s.data.Store.View(s.t.Context(), func(r storage.Reader) (err error) {
		holders, err = lease.Holders(r)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return holders
}

// cuttable is a store from which one can be cut off.
type cuttable struct {
	storage.Store
	cut *atomic.Bool
}

// View implements storage.Store.
func (c cuttable) View(ctx context.Context, fn func(storage.Reader) error) error {
	if c.cut.Load() {
		return storage.ErrClosed
	}
	return c.Store.View(ctx, fn)
}

// Update implements storage.Store.
func (c cuttable) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return c.UpdateReading(ctx, nil, fn)
}

// UpdateReading implements storage.Declarer.
func (c cuttable) UpdateReading(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	if c.cut.Load() {
		return storage.ErrClosed
	}
	return storage.UpdateReading(ctx, c.Store, func() []storage.Read { return reads }, fn)
}
