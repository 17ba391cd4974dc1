package oidc

import (
	"fmt"
	"testing"
	"time"
)

// TestBudget wants one address to use up its own share alone, and all of them no more than there is for all.
func TestBudget(t *testing.T) {
	b, now := newBudget(), time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	took := func(address string, tries int) (n int, wait time.Duration) {
		for range tries {
			if wait = b.take(address, now); wait == 0 {
				n++
			}
		}
		return n, wait
	}
	if n, wait := took("2001:db8::1", 1000); n != 10 || wait != 5*time.Second {
		t.Errorf("one address asks %d times, then in %s", n, wait)
	}
	if n, _ := took("2001:db8::2", 1000); n != 0 {
		t.Errorf("another of the same network asks %d times", n)
	}
	if wait := b.take("192.0.2.1", now); wait != 0 {
		t.Errorf("a quiet one waits for %s", wait)
	}
	all := 0
	for i := range 1000 {
		n, _ := took(fmt.Sprintf("198.51.%d.%d", i/256, i%256), 1)
		all += n
	}
	if all != 9 { // of 20
		t.Errorf("a thousand addresses ask %d times more", all)
	}
	if wait := b.take("192.0.2.2", now); wait > time.Second {
		t.Errorf("a quiet one beside them waits for %s", wait)
	}
	now = now.Add(time.Second)
	if wait := b.take("192.0.2.2", now); wait != 0 {
		t.Errorf("and after a second for %s", wait)
	}
}
