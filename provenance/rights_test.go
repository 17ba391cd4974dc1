package provenance

import (
	"errors"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestNewestRights asks for the newest record of a right with each part of the records found by rows, and the rest not yet.
func TestNewestRights(t *testing.T) {
	b, _ := testBook(t)
	want := func(record *Record) {
		t.Helper()
		if err := b.store.View(background, func(tx storage.Reader) error {
			r, err := NewestRights(tx)
			if (r == nil) != (record == nil) || r != nil && r.Index != record.Index {
				t.Errorf("the newest is %+v, and not %+v", r, record)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	want(nil)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	appendEvent(t, b, Event{Action: Grant, Digest: dig("one"), Grant: &RightsChange{Version: 1}})
	taken := appendEvent(t, b, Event{Action: Revoke, Digest: dig("two"), Grant: &RightsChange{Version: 2}})
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	for range 4 {
		want(taken)
		if _, err := b.indexSome(background, 1); err != nil {
			t.Error(err)
		}
	}
	want(taken)
	given := appendEvent(t, b, Event{Action: Grant, Digest: dig("three"), Grant: &RightsChange{Version: 3}})
	want(given)
	if err := b.Index(background); err != nil {
		t.Fatal(err)
	}
	want(given)
	for version, document := range map[uint64]string{3: "three", 2: "two"} {
		err := b.store.View(background, func(tx storage.Reader) error { return b.RightsOnRecord(tx, version, dig(document)) })
		if errors.Is(err, ErrNotGranted) != (version == 2) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
