package api

import (
	"context"
	"errors"
	"sync"
)

// turns lets a few do costly work at a time, and those who ask take turns: anyone who asks a hundred times waits for
// himself, and who comes next for one of his at most.
type turns struct {
	mu    sync.Mutex // guards what follows
	free  int        // how many may begin now
	lines map[string][]chan struct{}
	order []string // who waits, the next one first
}

// maxLine is how many of one caller's may wait.
const maxLine = 32

var errLine = errors.New("too many of your requests are waiting for this already; ask again when they are answered")

func newTurns(atOnce int) *turns {
	return &turns{free: atOnce, lines: map[string][]chan struct{}{}}
}

// take waits for the turn of who. Anyone who got it calls done. Errors: errLine, and that of the context.
func (t *turns) take(ctx context.Context, who string) error {
	t.mu.Lock()
	if t.free > 0 { // then nobody waits
		t.free--
		t.mu.Unlock()
		return nil
	}
	if len(t.lines[who]) >= maxLine {
		t.mu.Unlock()
		return errLine
	}
	turn := make(chan struct{})
	if len(t.lines[who]) == 0 {
		t.order = append(t.order, who)
	}
	t.lines[who] = append(t.lines[who], turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		t.leave(who, turn)
		return ctx.Err()
	}
}

// done gives the turn to the next in line.
func (t *turns) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		t.free++
		return
	}
	who := t.order[0]
	t.order = t.order[1:]
	line := t.lines[who]
	close(line[0])
	if line = line[1:]; len(line) > 0 {
		t.lines[who] = line
		t.order = append(t.order, who) // behind the others
	} else {
		delete(t.lines, who)
	}
}

// leave takes a turn out of its line, or gives it on where it has come meanwhile.
func (t *turns) leave(who string, turn chan struct{}) {
	t.mu.Lock()
	for i, other := range t.lines[who] {
		if other != turn {
			continue
		}
		line := append(t.lines[who][:i:i], t.lines[who][i+1:]...)
		if t.lines[who] = line; len(line) == 0 {
			delete(t.lines, who)
			t.forget(who)
		}
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	t.done()
}

// forget takes a caller out of the order. The caller of it holds mu.
func (t *turns) forget(who string) {
	for i, other := range t.order {
		if other == who {
			t.order = append(t.order[:i:i], t.order[i+1:]...)
			return
		}
	}
}
