package pace

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{
		0:             450,
		1 << 20:       450,
		6 << 20:       200,
		9 << 20:       100,
		leastHeap:     100,
		leastHeap * 9: 100,
	} {
		if got := percentFor(live); got != want {
			t.Errorf("a heap of which %d bytes live may grow by %d %%, want %d", live, got, want)
		}
	}
}

// TestPaceCollector wants the pace to be set anew when more is alive, and again when it is not.
func TestPaceCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	paceCollector()
	wantGoal := func(least, most uint64) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			runtime.GC()
			goal := runtimeBytes("/gc/heap/goal:bytes")
			if least <= goal && goal <= most {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the collector's goal is %d bytes, want %d to %d", goal, least, most)
			}
			time.Sleep(time.Millisecond)
		}
	}
	wantGoal(leastHeap, leastHeap*3/2)
	held := make([]byte, 4*leastHeap)
	wantGoal(8*leastHeap, 10*leastHeap)
	runtime.KeepAlive(held)
	wantGoal(leastHeap, leastHeap*3/2)
}

// TestQuiet allocates as servers do: memory is given back in the long pauses that follow a lot of work, once.
func TestQuiet(t *testing.T) {
	var q quiet
	for i, c := range []struct {
		allocated, alive uint64 // MiB
		looks            int    // that find it so
		want             bool   // at the last of them, and at none before
	}{
		{4, 4, 4, false},    // the start
		{4, 4, 1, true},     // a pause
		{50, 4, 1, false},   // work
		{90, 4, 1, false},   // more
		{90, 4, 3, false},   // a short pause
		{95, 4, 4, false},   // a little work, after which the pause begins anew
		{95, 4, 1, true},    // it is long
		{95, 4, 9, false},   // it goes on
		{98, 4, 9, false},   // a little work, for which it is not worth it
		{99, 4, 4, false},   // the rest of 4 MiB
		{99, 4, 1, true},    // a pause
		{130, 90, 9, false}, // more work, but less than half of what is alive
		{145, 90, 4, false}, // now it is
		{145, 90, 1, true},  // in the next pause
	} {
		for look := range c.looks {
			want := c.want && look == c.looks-1
			if got := q.now(c.allocated<<20, c.alive<<20); got != want {
				t.Errorf("step %d, look %d: %v", i, look, got)
			}
		}
	}
}
