package provenance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

var background = context.Background()

// testBook is an empty book whose every closure runs twice, and whose clock the test sets.
func testBook(t *testing.T) (*Book, *time.Time) {
	t.Helper()
	b, err := NewBook(storagetest.Twice(engines.New(t)), "https://registry.example:5443")
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, 11, 23, 9, 0, 0, 123456789, time.UTC)
	b.now = func() time.Time { return clock }
	b.Follow(func(storage.Tx, *Record) error { return nil })
	if err := b.Begin(background, newKeys(t)); err != nil {
		t.Fatal(err)
	}
	return b, &clock
}

func newKeys(t *testing.T) Keys {
	t.Helper()
	keys, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func appendEvent(t *testing.T, b *Book, e Event) *Record {
	t.Helper()
	if e.Who.Actor.Handle == "" {
		e.Who = alice
	}
	if e.Action == "" {
		e.Action = Push
	}
	var r *Record
	err := b.store.Update(background, func(tx storage.Tx) (err error) {
		r, err = b.Append(tx, e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Index%3 == 2 { // so that some records have their rows, and some are in the tail
		indexSome(t, b, 2)
	}
	return r
}

// indexSome makes the rows of so many records.
func indexSome(t *testing.T, b *Book, most uint64) {
	t.Helper()
	if _, err := b.indexSome(background, most); err != nil {
		t.Fatal(err)
	}
}

var (
	alice = Identity{
		Actor: Actor{Kind: User, Handle: "alice", Account: "acct1"},
		Login: &Login{Method: "basic", Issuer: "https://registry.example:5443", Identity: "alice", Credential: "cred1"},
	}
	bob = Identity{
		Actor: Actor{Kind: User, Handle: "bob", Account: "acct2"},
		Login: &Login{Method: "basic", Identity: "bob"},
	}
	carol = Identity{
		Actor: Actor{Kind: User, Handle: "carol"},
		Login: &Login{Method: "basic", Identity: "carol"},
	}
	operator = Identity{Actor: Actor{Kind: System, Handle: "operator"}}
)

func dig(s string) digest.Digest { return digest.FromString(s) }

func TestAppend(t *testing.T) {
	b, clock := testBook(t)
	e := Event{
		Action:     Push,
		Repository: "team/app",
		Tags:       []TagMove{{Name: "1.0", Previous: dig("old")}},
		Digest:     dig("new"),
		Who:        alice,
		Observed: Observation{
			MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1234, ImageSize: 56789, RequestID: "req",
		},
		Claimed: []Claim{{
			Fact: FactSource, Value: "https://git.example/a?b=c&d=<e>", About: dig("new"), From: "annotation x",
		}},
		Unsigned: Unsigned{ClientAddress: "192.0.2.7", UserAgent: "docker/28"},
	}
	appendEvent(t, b, e)
	*clock = clock.Add(-time.Hour) // the clock goes back; the record says what it read
	second := appendEvent(t, b, e)
	if second.Index != 1 {
		t.Errorf("the second record has index %d", second.Index)
	}
	got, err := b.Get(background, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got.Time.String() != "2026-11-23T08:00:00.123456Z" {
		t.Errorf("time %s", got.Time)
	}
	if !slices.Equal(got.Nonce, second.Nonce) || len(got.Nonce) != 16 {
		t.Errorf("nonce %x, appended as %x", got.Nonce, second.Nonce)
	}
	wantJSON(t, got, second)
	if _, err := b.Get(background, 2); !errors.Is(err, ErrNoRecord) {
		t.Errorf("record 2: %v", err)
	}
	wantClean(t, b)
}

func wantJSON(t *testing.T, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func wantClean(t *testing.T, b *Book) {
	t.Helper()
	if _, err := b.Check(background, func(err error) { t.Errorf("check: %v", err) }); err != nil {
		t.Error(err)
	}
}

// TestStatement reads the stored bytes as a stranger does.
func TestStatement(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{
		Repository: "team/app", Digest: dig("x"), Tags: []TagMove{{Name: "1.0"}},
		Unsigned: Unsigned{ClientAddress: "192.0.2.7"},
	})
	var payload []byte
	err := b.store.View(background, func(tx storage.Reader) error {
		var err error
		payload, err = readStatement(tx, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(payload), "192.0.2.7") || strings.Contains(string(payload), "unsigned") {
		t.Errorf("what must be erasable is in the statement: %s", payload)
	}
	var s struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name   string
			Digest map[string]string
		}
		PredicateType string
		Predicate     map[string]any
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != PredicateType {
		t.Errorf("types %q, %q", s.Type, s.PredicateType)
	}
	if len(s.Subject) != 1 || s.Subject[0].Name != "registry.example:5443/team/app" ||
		s.Subject[0].Digest["sha256"] != dig("x").Encoded() {
		t.Errorf("subject %+v", s.Subject)
	}
	wantPURL := "pkg:oci/app@sha256%3A" + dig("x").Encoded() + "?repository_url=registry.example%3A5443%2Fteam%2Fapp&tag=1.0"
	if s.Predicate["purl"] != wantPURL {
		t.Errorf("purl %v, want %s", s.Predicate["purl"], wantPURL)
	}
	if s.Predicate["index"] != 0.0 || s.Predicate["authenticated"].(map[string]any)["identity"] != "alice" {
		t.Errorf("predicate %v", s.Predicate)
	}
}

// TestBounds makes a record of everything that is too much.
func TestBounds(t *testing.T) {
	b, _ := testBook(t)
	e := Event{Repository: strings.Repeat("r", 255), Digest: dig("x")}
	for i := range MaxTags {
		e.Tags = append(e.Tags, TagMove{Name: strings.Repeat("t", 125) + fmt.Sprintf("%03d", i), Previous: dig("x")})
	}
	for range 200 {
		e.Claimed = append(e.Claimed, claim(FactSource, strings.Repeat("\x01", 2*MaxValue), dig("x"), "annotation"))
		e.Observed.Children = append(e.Observed.Children, Child{Digest: dig("x"), Platform: "linux/arm64/v8"})
	}
	r := appendEvent(t, b, e)
	got, err := b.Get(background, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Claimed) == 200 || len(got.Claimed)+got.ClaimedLeftOut != 200 {
		t.Errorf("%d claims and %d left out", len(got.Claimed), got.ClaimedLeftOut)
	}
	if len(got.Observed.Children) != MaxChildren || got.Observed.ChildrenLeftOut != 200-MaxChildren {
		t.Errorf("%d children and %d left out", len(got.Observed.Children), got.Observed.ChildrenLeftOut)
	}
	wantJSON(t, got, r)
	wantClean(t, b)
}

// TestRollback wants no trace of a record whose change did not happen.
func TestRollback(t *testing.T) {
	b, _ := testBook(t)
	errNo := errors.New("no")
	err := b.store.Update(background, func(tx storage.Tx) error {
		if _, err := b.Append(tx, Event{Repository: "a", Digest: dig("x"), Who: alice}); err != nil {
			return err
		}
		return errNo
	})
	if !errors.Is(err, errNo) {
		t.Fatal(err)
	}
	if n, err := b.Len(background); n != 0 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	wantClean(t, b)
}

func TestParallelAppends(t *testing.T) {
	b, _ := testBook(t)
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() { appendEvent(t, b, Event{Repository: "a", Digest: dig(fmt.Sprint(i))}) })
	}
	group.Wait()
	if n, err := b.Len(background); n != 40 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
	wantClean(t, b)
}

// TestCheckFinds damages each table in turn.
func TestCheckFinds(t *testing.T) {
	swap := func(tx storage.Tx, table storage.Table) {
		one, _ := tx.Get(table, indexKey(0))
		two, _ := tx.Get(table, indexKey(1))
		tx.Put(table, indexKey(0), two)
		tx.Put(table, indexKey(1), one)
	}
	for name, damage := range map[string]func(storage.Tx){
		"two swapped":        func(tx storage.Tx) { swap(tx, recordTable); swap(tx, signatureTable) },
		"signature":          func(tx storage.Tx) { swap(tx, signatureTable) },
		"signature gone":     func(tx storage.Tx) { tx.Delete(signatureTable, indexKey(1)) },
		"last one dropped":   func(tx storage.Tx) { tx.Delete(recordTable, indexKey(2)); tx.Put(headTable, headKey, oneLess(tx)) },
		"another key":        func(tx storage.Tx) { tx.Put(keyTable, indexKey(0), newKeys(t).Receipts[0].Key().DER()) },
		"a key too many":     func(tx storage.Tx) { tx.Put(keyTable, indexKey(2), newKeys(t).Receipts[0].Key().DER()) },
		"record gone":        func(tx storage.Tx) { tx.Delete(recordTable, indexKey(1)) },
		"record changed":     func(tx storage.Tx) { tx.Put(recordTable, indexKey(1), []byte(`{"predicate":{"index":7}}`)) },
		"record cut short":   func(tx storage.Tx) { tx.Put(recordTable, indexKey(1), []byte("\x28\xb5\x2f\xfd\x63")) },
		"record garbage":     func(tx storage.Tx) { tx.Put(recordTable, indexKey(1), []byte(`{`)) },
		"term gone":          func(tx storage.Tx) { tx.Delete(indexTable, newTerm(byRepository, "a").key(1)) },
		"term too many":      func(tx storage.Tx) { tx.Put(indexTable, newTerm(byRepository, "b").key(1), nil) },
		"time gone":          func(tx storage.Tx) { tx.Delete(timeTable, timeKey(At(testTime), 1)) },
		"beginning gone":     func(tx storage.Tx) { tx.Delete(orderedTable, digestOrder(dig("x"))) },
		"beginning too many": func(tx storage.Tx) { tx.Put(orderedTable, digestOrder(dig("y")), nil) },
		"beginning of none":  func(tx storage.Tx) { tx.Put(orderedTable, []byte("d?"), nil) },
		"image gone": func(tx storage.Tx) {
			tx.Delete(imageTable, imageKey(newTerm(byDigest, dig("x").String()), "a", dig("x")))
		},
		"image of later": func(tx storage.Tx) {
			tx.Put(imageTable, imageKey(newTerm(byDigest, dig("x").String()), "a", dig("x")), indexKey(2))
		},
		"image too many": func(tx storage.Tx) {
			tx.Put(imageTable, imageKey(newTerm(byRevision, "c1"), "a", dig("x")), indexKey(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, clock := testBook(t)
			*clock = testTime
			for range 3 {
				appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
			}
			wantClean(t, b)
			indexSome(t, b, 3)
			wantClean(t, b)
			err := b.store.Update(background, func(tx storage.Tx) error { damage(tx); return nil })
			if err != nil {
				t.Fatal(err)
			}
			var found []error
			if _, err := b.Check(background, func(err error) { found = append(found, err) }); err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 {
				t.Error("the check found nothing")
			}
		})
	}
}

// oneLess is the head of a book that has one record less.
func oneLess(tx storage.Reader) []byte {
	value, _ := tx.Get(headTable, headKey)
	return append(indexKey(2), value[8:]...)
}

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
