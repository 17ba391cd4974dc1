package registry

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestUnreadIsBounded wants what a push remembers of documents that were not read to have an end, however many an index makes of them.
func TestUnreadIsBounded(t *testing.T) {
	var p push
	for n := range 100_000 {
		p.leaveUnread(digest.FromString("document"), digest.FromString(fmt.Sprint(n)), "it is too large")
	}
	if len(p.unread) != maxUnread {
		t.Errorf("it remembers %d", len(p.unread))
	}
}
