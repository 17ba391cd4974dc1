package storagetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// leftovers returns what is left of earlier processes, but for what they prepared and did not use.
func leftovers(t *testing.T, b storage.Blobs, named ...storage.Location) (left []storage.Leftover) {
	t.Helper()
	for l, err := range b.Leftovers(background, all(named)) {
		if err != nil {
			t.Fatal(err)
		}
		if !l.Unused {
			left = append(left, l)
		}
	}
	return left
}

func all(named []storage.Location) iter.Seq2[storage.Location, error] {
	return func(yield func(storage.Location, error) bool) {
		for _, at := range named {
			if !yield(at, nil) {
				return
			}
		}
	}
}

func (e blobsSuite) testLeftovers(t *testing.T) {
	dir := t.TempDir()
	earlier := e.at(t, dir)
	var named []storage.Location
	for i := range 200 {
		named = append(named, seal(t, create(t, earlier, fmt.Sprint(i)), "named"))
	}
	removed := seal(t, create(t, earlier, "removed"), "old-one")
	left := seal(t, create(t, earlier, "left"), "old-one")
	started := create(t, earlier, "")
	half := create(t, earlier, "half")
	if err := half.Close(); err != nil {
		t.Fatal(err)
	}
	if err := earlier.Remove(background, removed); err != nil {
		t.Fatal(err)
	}
	if got := leftovers(t, earlier); len(got) > 0 {
		t.Errorf("to the process itself they are %v", got)
	}

	b := e.at(t, dir)
	fresh := seal(t, create(t, b, "fresh"), "new-one")
	own := create(t, b, "123")
	for range 2 {
		wantLeftovers(t, b, named, started.ID()+":0", half.ID()+":4", own.ID()+":3")
	}
	u, err := b.Resume(background, half.ID())
	if err != nil {
		t.Fatal(err)
	}
	write(t, u, " and half")
	resumed := seal(t, u, "whole") // and its row is about to be written
	removeLeftovers(t, b, named)
	wantNoBlob(t, b, left)
	wantBlob(t, b, resumed, "half and half")
	for i, at := range named {
		wantBlob(t, b, at, fmt.Sprint(i))
	}
	wantBlob(t, b, fresh, "fresh")

	testLeftoversFail(t, b, named)
}

// wantLeftovers wants one blob to be left over, and these uploads.
func wantLeftovers(t *testing.T, b storage.Blobs, named []storage.Location, uploads ...string) {
	t.Helper()
	got := leftovers(t, b, named...)
	if len(got) != 1 || got[0].Size != 4 {
		t.Errorf("leftovers: %v", got)
		return
	}
	wantBlob(t, b, got[0].At, "left")
	slices.Sort(uploads)
	if ids := uploadIDs(t, b); ids != strings.Join(uploads, " ") {
		t.Errorf("uploads %s, want %s", ids, uploads)
	}
}

// removeLeftovers removes all that is left over, and wants nothing to be left over then.
func removeLeftovers(t *testing.T, b storage.Blobs, named []storage.Location) {
	t.Helper()
	for l, err := range b.Leftovers(background, all(named)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(background, l.At); err != nil {
			t.Error(err)
		}
	}
	for l, err := range b.Leftovers(background, all(named)) {
		t.Errorf("left after all was removed: %v, %v", l, err)
	}
}

// testLeftoversFail wants what cannot be looked for to its end to fail, and nothing to be called left over then.
func testLeftoversFail(t *testing.T, b storage.Blobs, named []storage.Location) {
	t.Helper()
	ctx, cancel := context.WithCancel(background)
	cancel()
	for _, err := range b.Leftovers(ctx, all(named)) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, but: %v", err)
		}
	}
	failed := errors.New("the rows cannot be read")
	for l, err := range b.Leftovers(background, func(yield func(storage.Location, error) bool) { yield("", failed) }) {
		if !errors.Is(err, failed) {
			t.Errorf("%v is a leftover, and not %v, although not all rows were read", l, err)
		}
	}
}
