package provenance

import (
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestReindex makes the rows of a store anew in which an older version indexed a source by another spelling.
func TestReindex(t *testing.T) {
	b, _ := testBook(t)
	r := appendEvent(t, b, Event{Action: Push, Repository: "team/app", Digest: dig("x"), Claimed: []Claim{
		{Fact: FactSource, Value: "https://github.com/Team/App", About: dig("x"), From: "label"},
	}})
	indexSome(t, b, 10)
	asked := Query{Source: "git@github.com:team/app.git"}
	found := func() int {
		page, err := b.Find(background, asked)
		if err != nil {
			t.Fatal(err)
		}
		images, err := b.Images(background, ImageQuery{Source: asked.Source})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Records) + len(images.Images)
	}
	if n := found(); n != 2 {
		t.Fatalf("%d rows lead to it", n)
	}
	err := b.store.Update(background, func(tx storage.Tx) error {
		now, before := newTerm(bySource, "github.com/team/app"), newTerm(bySource, "github.com/Team/App")
		tx.Delete(indexTable, now.key(r.Index))
		tx.Put(indexTable, before.key(r.Index), nil)
		tx.Delete(imageTable, imageKey(now, r.Repository, r.Digest))
		tx.Put(imageTable, imageKey(before, r.Repository, r.Digest), indexKey(r.Index))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 0 {
		t.Fatalf("%d rows lead to it by the older spelling", n)
	}
	if err := Reindex(background, b.store); err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 2 {
		t.Errorf("%d rows lead to it after all", n)
	}
	wantClean(t, b)
}
