package provenance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// respelled are two spellings of one source that are one since unified.
var respelled = []string{"https://api.github.com/repos/team/app", "https://github.com/team/app"}

// asOlder removes the rows of sources by which an older version does not find records, and the mark.
func asOlder(t *testing.T, b *Book, records ...*Record) {
	t.Helper()
	err := b.store.Update(background, func(tx storage.Tx) error {
		for _, r := range records {
			for later := range laterTerms(r) {
				tx.Delete(indexTable, later.key(r.Index))
				tx.Delete(imageTable, imageKey(later, r.Repository, r.Digest))
			}
		}
		tx.Delete(headTable, spelledKey)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSpelled finds records of an older version by every spelling of their source, also where one of the same image came since, and
// wants the row of an image to name the first.
func TestSpelled(t *testing.T) {
	b, _ := testBook(t)
	claiming := func(d digest.Digest, source string) Event {
		return Event{Action: Push, Repository: "team/app", Digest: d, Claimed: []Claim{
			{Fact: FactSource, Value: source, About: d, From: "label"}, {Fact: FactRevision, Value: "abcdef0", About: d, From: "label"},
		}}
	}
	var older []*Record
	for n := range 20 {
		older = append(older, appendEvent(t, b, claiming(dig(fmt.Sprint(n)), respelled[0])))
	}
	signed := appendEvent(t, b, Event{Action: Attest, Repository: "team/app", Digest: dig("0"), Verdict: &Verdict{Result: Good}, Attested: []Attestation{
		{Fact: FactSource, Value: respelled[0], About: dig("0"), Signer: "key"},
	}})
	indexSome(t, b, 100)
	asOlder(t, b, append(older, signed)...)
	wantClean(t, b)
	found := func(q Query) [2]int {
		q.Limit = MaxPage
		page, err := b.Find(background, q)
		if err != nil {
			t.Fatal(err)
		}
		images, err := b.Images(background, ImageQuery{Source: q.Source, Revision: q.Revision})
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range images.Images {
			if img.Digest == dig("7") && img.Record.Index != older[7].Index {
				t.Errorf("the row of an image names record %d, and it came with record %d", img.Record.Index, older[7].Index)
			}
		}
		return [2]int{len(page.Records), len(images.Images)}
	}
	if n := found(Query{Source: respelled[1]}); n != [2]int{} {
		t.Fatalf("what an older version indexed leads to %v", n)
	}
	appendEvent(t, b, claiming(dig("7"), respelled[0])) // which has the rows by which record 7 is not found yet
	indexSome(t, b, 100)
	for behind := true; behind; {
		var err error
		if behind, err = b.spellSome(background, 3); err != nil {
			t.Fatal(err)
		}
		wantClean(t, b)
	}
	appendEvent(t, b, claiming(dig("new"), respelled[1]))
	for _, source := range respelled {
		if n := found(Query{Source: source}); n != [2]int{23, 21} {
			t.Errorf("%s leads to %v", source, n)
		}
		if n := found(Query{Source: source, Revision: "abcdef0"}); n != [2]int{22, 21} {
			t.Errorf("%s and a revision lead to %v", source, n)
		}
	}
	indexSome(t, b, 100)
	wantClean(t, b)
	if behind, err := b.spellSome(background, 100); err != nil || behind {
		t.Errorf("there is more to do: %v, %v", behind, err)
	}
	if err := b.store.Update(background, func(tx storage.Tx) error {
		tx.Put(headTable, spelledKey, slices.Concat(indexKey(spellings-1), indexKey(20)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if behind, err := b.spellSome(background, 1); err != nil || !behind {
		t.Errorf("what was learned since is not gone through: %v, %v", behind, err)
	}
	wantClean(t, b)
}
