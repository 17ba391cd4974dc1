package provenance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestFirstOfTooMany has an image in more repositories than are looked at. Who was the first is not known, and it is not
// the job that pushes it now.
func TestFirstOfTooMany(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "other/app", Digest: dig("image")})
	err := b.store.Update(background, func(tx storage.Tx) error {
		for n := range maxLook {
			tx.Put(imageTable, imageKey(newTerm(byDigest, dig("image").String()), fmt.Sprint("r", n), dig("image")), indexKey(0))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	job := aJob("octo/app", "c1", "push")
	pending := &Record{Action: Push, Repository: "team/app", Digest: dig("image"), Actor: job.Actor, Authenticated: job.Login}
	if acts := actsOf(t, b, ActsOf{Repository: "team/app", Digest: dig("image"), Pending: pending}); acts.First != nil {
		t.Errorf("the first is said to be %+v", acts.First)
	}
}

// TestDeletedHere wants what was deleted in a repository to be said there, whatever was deleted in others since.
func TestDeletedHere(t *testing.T) {
	b, _ := testBook(t)
	for _, e := range []Event{
		{Repository: "team/app"},
		{Repository: "other/app"},
		{Repository: "team/app", Action: Delete, Who: bob},
		{Repository: "team/app"},
		{Repository: "other/app", Action: Delete},
	} {
		e.Digest = dig("image")
		appendEvent(t, b, e)
	}
	acts := actsOf(t, b, ActsOf{Repository: "team/app", Digest: dig("image")})
	if says := acts.Says("team/app"); !strings.Contains(says, "deleted by bob (record 2) and pushed again by alice") {
		t.Error(says)
	}
}
