package api

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestTurns has one caller with many requests, and others with one each.
func TestTurns(t *testing.T) {
	t.Parallel()
	turns := newTurns(1)
	if err := turns.take(t.Context(), "greedy"); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	begin := func(ctx context.Context, who string) {
		waiting := turns.length()
		go func() {
			if err := turns.take(ctx, who); err == nil {
				got <- who
			}
		}()
		for turns.length() == waiting {
			time.Sleep(time.Millisecond) // until it waits
		}
	}
	for range maxLine {
		begin(t.Context(), "greedy")
	}
	if err := turns.take(t.Context(), "greedy"); !errors.Is(err, errLine) {
		t.Errorf("one more of the same: %v", err)
	}
	begin(t.Context(), "alice")
	ctx, leave := context.WithCancel(t.Context())
	begin(ctx, "bob")
	leave()
	for turns.length() > maxLine+1 {
		time.Sleep(time.Millisecond) // until it has left
	}
	begin(t.Context(), "carol")
	for n, want := range []string{"greedy", "alice", "carol", "greedy", "greedy"} {
		turns.done()
		if who := <-got; who != want {
			t.Errorf("turn %d is %s's, and should be %s's", n, who, want)
		}
	}
	for range maxLine - 3 {
		turns.done()
		<-got
	}
	turns.done()
	if turns.free != 1 || len(turns.lines) > 0 || len(turns.order) > 0 {
		t.Errorf("at the end: %+v", turns)
	}
}

// length is how many wait.
func (t *turns) length() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range t.lines {
		n += len(line)
	}
	return n
}
