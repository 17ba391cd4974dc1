package provenance

import (
	"errors"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// proved are the receipts that a Prover makes of some records.
func proved(t *testing.T, p *Prover, indexes ...uint64) (bundles map[uint64]string) {
	t.Helper()
	receipts, err := p.Receipts(background, indexes)
	if err != nil {
		t.Fatal(err)
	}
	bundles = map[uint64]string{}
	for i, r := range receipts {
		bundle, err := r.Bundle()
		if err != nil {
			t.Fatal(err)
		}
		bundles[indexes[i]] = string(bundle)
	}
	return bundles
}

// TestProver makes receipts of records in two logs, with a rotated key, while the log goes on: each is the one that is served at
// the size that was chosen before.
func TestProver(t *testing.T) {
	b, _ := testBook(t)
	some := func(n int) {
		for range n {
			appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
		}
	}
	some(3)
	if _, err := b.Rotate(background, operator, newKeys(t).Receipts[0]); err != nil {
		t.Fatal(err)
	}
	some(2)
	if _, err := b.Succeed(background, operator, newKeys(t), Ending{Action: KeyChange, Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	some(4)
	p, err := b.Prover(background, 9)
	if err != nil {
		t.Fatal(err)
	}
	some(5)
	logs := p.Checkpoints()
	if len(logs) != 2 || logs[0].Size != 6 || logs[1].Size != 5 || logs[1].First != 6 {
		t.Fatalf("%+v", logs)
	}
	all := []uint64{9, 0, 3, 4, 5, 6, 10}
	for index, bundle := range proved(t, p, all...) {
		size := logs[1].Size
		if index < 6 {
			size = logs[0].Size
		}
		want, err := b.Receipt(background, index, &size)
		if err != nil || bundle != string(want) {
			t.Errorf("record %d: %v\n%s\nwant\n%s", index, err, bundle, want)
		}
		if _, err := receipt.Verify([]byte(bundle), trustIn(t, b)); err != nil && index < 6 {
			t.Errorf("record %d: %v", index, err)
		}
	}
	if _, err := p.Receipts(background, []uint64{9, 11}); !errors.Is(err, ErrUnproved) {
		t.Errorf("a record behind the checkpoint: %v", err)
	}
	if _, err := b.Prover(background, 16); !errors.Is(err, ErrNoRecord) {
		t.Errorf("up to a record that is not there: %v", err)
	}
}

// TestProverCosigned keeps the checkpoint of before, no matter who cosigns it meanwhile.
func TestProverCosigned(t *testing.T) {
	b, _ := testBook(t)
	for range 5 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	p, err := b.Prover(background, 4)
	if err != nil {
		t.Fatal(err)
	}
	origin := p.Checkpoints()[0].Origin
	before := proved(t, p, 2)[2]
	if err := putCosignature(b, origin, 5, "w.example", "— w.example AAAA"); err != nil {
		t.Fatal(err)
	}
	if after := proved(t, p, 2)[2]; after != before {
		t.Errorf("%s\nwas\n%s", after, before)
	}
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	for newest, want := range map[uint64]uint64{4: 5, 5: 6} {
		if p, err = b.Prover(background, newest); err != nil || p.Checkpoints()[0].Size != want {
			t.Errorf("up to record %d: %+v, %v", newest, p.Checkpoints(), err)
		}
	}
}

// TestProverUnsigned has a record from before there was a log.
func TestProverUnsigned(t *testing.T) {
	b, keys := oldBook(t, 3)
	if err := b.Begin(background, keys); err != nil && !errors.Is(err, ErrNotAdopted) {
		t.Fatal(err)
	}
	if _, err := b.Adopt(background, operator); err != nil {
		t.Fatal(err)
	}
	p, err := b.Prover(background, 3)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := p.Receipts(background, []uint64{1, 3})
	if err != nil || len(receipts) != 2 || receipts[0] != nil || receipts[1] == nil {
		t.Errorf("%+v, %v", receipts, err)
	}
}
