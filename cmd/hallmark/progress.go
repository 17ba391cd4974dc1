package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
)

// progress shows on a terminal how far something has come. Elsewhere it shows nothing.
type progress struct {
	w    io.Writer // nil where nobody looks
	what string

	mu                  sync.Mutex
	all, come           int   // guarded by mu
	allBytes, comeBytes int64 // guarded by mu
	shown               time.Time
}

func (e *env) newProgress(what string) *progress {
	p := &progress{what: what}
	if isTerminal(e.stderr) {
		p.w = e.stderr
	}
	return p
}

// expect says that there is one more to do.
func (p *progress) expect(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all++
	p.allBytes += size
}

// done says that one was done.
func (p *progress) done(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.come++
	p.comeBytes += size
	if time.Since(p.shown) > 200*time.Millisecond {
		p.show()
	}
}

// at says how many of how many are done.
func (p *progress) at(come, all uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.come, p.all = int(come), int(all)
	if time.Since(p.shown) > 200*time.Millisecond {
		p.show()
	}
}

// show writes over the line that it wrote before.
func (p *progress) show() {
	if p.w == nil {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.w, "\r\x1b[K%s: %d of %d", p.what, p.come, p.all)
	if p.allBytes > 0 {
		fmt.Fprintf(p.w, ", %s of %s", units.Bytes(p.comeBytes), units.Bytes(p.allBytes))
	}
}

// end leaves the last line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil && p.all > 0 {
		p.show()
		fmt.Fprintln(p.w)
	}
}
