// Package pace sets how often Go's garbage collector runs in a server with a small heap.
package pace

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// leastHeap is the size in bytes that the heap may reach before it is collected. What lives in it is so little that
// with Go's own pace, at twice of that, the collector would run thousands of times a minute, at a third of the
// time of a small read. When more lives than half of it, Go's own pace is right (docs/design/performance.md).
const leastHeap = 18 << 20

// Start sets the collector's pace from now on, as long as the process lives. Only its first call does something.
var Start = sync.OnceFunc(func() {
	paceCollector()
	go giveBack()
})

// paceCollector sets the collector's pace now and after each collection, as long as the process lives.
func paceCollector() {
	debug.SetGCPercent(percentFor(runtimeBytes("/gc/heap/live:bytes")))
	// This lives until the next collection.
	runtime.AddCleanup(new(*byte), func(struct{}) { paceCollector() }, struct{}{})
}

// percentFor returns by how many percent a heap may grow before it is collected, of which so many bytes live.
func percentFor(live uint64) int {
	// Go lets every heap grow to 4 MiB, times the percentage.
	const gos, most = 100, leastHeap * 100 / (4 << 20)
	if live >= leastHeap {
		return gos
	}
	return min(max(gos, int((leastHeap-live)*100/max(live, 1))), most)
}

// lookEvery is how often a quiet process is looked for, and quietLooks for how many looks in a row it has to be quiet: the pauses
// of people and builds are shorter, and what was given back has to be had from the system again, page by page.
const (
	lookEvery  = 2 * time.Second
	quietLooks = 4
)

// giveBack gives garbage back to the system when the process has become quiet, as long as it lives. Until more is
// allocated the collector would let it lie: what a thousand connections needed to be opened, for as long as they wait.
func giveBack() {
	var q quiet
	for range time.Tick(lookEvery) {
		if q.now(runtimeBytes("/gc/heap/allocs:bytes"), runtimeBytes("/gc/heap/live:bytes")) {
			debug.FreeOSMemory()
		}
	}
}

// quiet tells when it is worth it to collect garbage though nobody needs the room.
type quiet struct {
	seen, given uint64 // what had been allocated when we looked, and when it was worth it
	looks       int    // in a row that found it quiet
}

// now is asked again and again, with how many bytes have been allocated ever and how many are alive. It is worth it when
// hardly any were between the last looks, and enough since it was worth it.
func (q *quiet) now(allocated, alive uint64) bool {
	const hardly, enough = 1 << 20, 4 << 20
	if q.looks++; allocated-q.seen >= hardly {
		q.looks = 0
	}
	q.seen = allocated
	if q.looks < quietLooks || allocated-q.given < max(enough, alive/2) {
		return false
	}
	q.given = allocated
	return true
}

func runtimeBytes(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
