//go:build soak

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/powerloss"
)

// TestSoakPowerLoss lets the power fail at every moment of a registry's life, of backups, of a restore and of a change
// of the layout: strictly at each, and in hundreds of other ways.
func TestSoakPowerLoss(t *testing.T) {
	s := recordLife(t, 8)
	tried, err := s.rec.replay(powerloss.Moments(s.rec.events, -1, 1000, uint64(time.Now().UnixNano())), s.rec.isWhole)
	if err != nil {
		t.Error(err)
	}
	t.Logf("life: %d of the moments of %d events", tried, len(s.rec.events))
	replayRestore(t, replayBackups(t, -1, 500), -1, 60)
	replayLayout(t, -1, 60)
}

// TestSoakPowerLossControl leaves out each flush of a registry's life, one at a time: most are made up for by a later
// one of the same file, and those of blobs by none.
func TestSoakPowerLossControl(t *testing.T) {
	s := recordLife(t, 4)
	noticed, all := 0, 0
	for n, e := range s.rec.events {
		if !e.Flush() {
			continue
		}
		all++
		forgetful := *s.rec
		forgetful.events = powerloss.Without(s.rec.events, n)
		end := powerloss.Losses{len(forgetful.events): {{Name: "strict", Keep: powerloss.Strict}}}
		if _, err := forgetful.replay(end, forgetful.isWhole); err != nil {
			noticed++
		}
	}
	t.Logf("of %d flushes that were left out, %d were noticed at the end", all, noticed)
	if noticed < 10 {
		t.Errorf("only %d of %d flushes that were left out were noticed", noticed, all)
	}
}

// TestSoakPowerLossAfterKill kills a first start at any moment, starts again, and then lets the power fail: the second
// process must not rely on what the first had not flushed.
func TestSoakPowerLossAfterKill(t *testing.T) {
	for range 6 {
		r := newRecording(t, t.TempDir()) // which is there: the kill may come before anything
		first := r.program("serve", "--data", r.dir, "--listen", "127.0.0.1:0", "--admin-listen", "none")
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		p := &process{cmd: first, done: make(chan error, 1)}
		go func() { p.done <- first.Wait() }()
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // the moment of the kill
		killTraced(p)
		r.end()
		s := recordServer(t, r)
		s.push("team/app", "1", "layer")
		s.kill()
		if _, err := r.replay(powerloss.Moments(r.events, 60, 20, uint64(time.Now().UnixNano())), r.isWhole); err != nil {
			t.Error(err)
		}
	}
}
