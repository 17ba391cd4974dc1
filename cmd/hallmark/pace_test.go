package main

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
