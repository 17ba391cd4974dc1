package registry

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// TestUnreadIsBounded wants what a push remembers of documents that were not read to have an end, however many an index makes of them.
func TestUnreadIsBounded(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	var p push
	for n := range 100_000 {
		p.leaveUnread(digest.FromString("document"), digest.FromString(fmt.Sprint(n)), "it is too large")
	}
	if len(p.unread) != maxUnread {
		t.Errorf("it remembers %d", len(p.unread))
	}
}
