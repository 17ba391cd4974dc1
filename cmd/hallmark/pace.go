package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// leastHeap is the size in bytes that the heap may reach before it is collected. What lives in it is so little that
// with Go's own pace, at twice of that, the collector would run thousands of times a minute, at a third of the
// time of a small read. When more lives than half of it, Go's own pace is right (docs/design/performance.md).
const leastHeap = 18 << 20

var startPacing = sync.OnceFunc(paceCollector)

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

func runtimeBytes(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
