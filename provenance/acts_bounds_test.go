package provenance

import (
	"fmt"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestFirstOfTooMany has an image in more repositories than are looked at. Who was the first is not known, and it is not
// the job that pushes it now.
func TestFirstOfTooMany(t *testing.T) {
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
