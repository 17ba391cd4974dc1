package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// bundled is what these tests look at in a receipt.
type bundled struct {
	VerificationMaterial struct {
		PublicKey   struct{ Hint string }
		TlogEntries []struct {
			LogIndex          string
			CanonicalizedBody []byte
			InclusionProof    struct {
				Hashes     []tlog.Hash
				Checkpoint struct{ Envelope string }
			}
		}
	}
	DSSEEnvelope struct {
		Payload    []byte
		Signatures []struct{ Sig []byte }
	}
}

// wantReceipt gets a receipt and checks its signature, its leaf, its proof and its checkpoint.
func wantReceipt(t *testing.T, b *Book, index uint64, at *uint64) (*Record, checkpoint.Checkpoint) {
	t.Helper()
	data, err := b.Receipt(background, index, at)
	if err != nil {
		t.Fatalf("receipt %d: %v", index, err)
	}
	verified, err := receipt.Verify(data, trustIn(t, b))
	if err != nil || verified.Index != index {
		t.Errorf("receipt %d is refused: %v", index, err)
	}
	var r bundled
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	record, err := decode(r.DSSEEnvelope.Payload)
	if err != nil || record.Index != index {
		t.Fatalf("receipt %d is of record %d, %v", index, record.Index, err)
	}
	key := keyAt(t, b, index)
	if r.VerificationMaterial.PublicKey.Hint != key.Hint() || !key.Verify(r.DSSEEnvelope.Payload, r.DSSEEnvelope.Signatures[0].Sig) {
		t.Errorf("receipt %d is not signed by the key of its range", index)
	}
	entry := r.VerificationMaterial.TlogEntries[0]
	l := logNamed(t, b, verified.Log.Origin)
	v, err := l.Verifier()
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(entry.InclusionProof.Checkpoint.Envelope, v)
	if err != nil {
		t.Fatalf("receipt %d: %v", index, err)
	}
	leaf := tlog.RecordHash(entry.CanonicalizedBody)
	if err := tlog.CheckRecord(entry.InclusionProof.Hashes, int64(c.Size), c.Root, int64(index-l.First), leaf); err != nil {
		t.Errorf("receipt %d: %v", index, err)
	}
	return record, c
}

// trustIn is what a verifier knows of a registry.
func trustIn(t *testing.T, b *Book) (trust receipt.Trust) {
	t.Helper()
	ranges, err := b.KeyRanges(background)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ranges {
		bounds := receipt.Range{From: k.From}
		if k.To != 0 {
			bounds.To = &k.To
		}
		trust.Keys = append(trust.Keys, receipt.KeyEntry{Hint: k.Key.Hint(), PEM: string(k.Key.PEM()), Ranges: []receipt.Range{bounds}})
	}
	if trust.Logs, err = b.LogEntries(background); err != nil {
		t.Fatal(err)
	}
	return trust
}

func keyAt(t *testing.T, b *Book, index uint64) *receipt.Key {
	t.Helper()
	ranges, err := b.KeyRanges(background)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ranges {
		if k.From <= index && (k.To == 0 || index < k.To) {
			return k.Key
		}
	}
	t.Fatalf("no key has record %d in its range", index)
	return nil
}

func logNamed(t *testing.T, b *Book, origin string) log.Log {
	t.Helper()
	logs, err := b.Logs(background)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		if l.Origin == origin {
			return l
		}
	}
	t.Fatalf("there is no log %s", origin)
	return log.Log{}
}

func TestReceipt(t *testing.T) {
	b, _ := testBook(t)
	for range 5 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	for index := range uint64(5) {
		for size := index + 1; size <= 5; size++ {
			if _, c := wantReceipt(t, b, index, &size); c.Size != size {
				t.Errorf("receipt %d at %d is proved at %d", index, size, c.Size)
			}
		}
		r, c := wantReceipt(t, b, index, nil)
		if c.Size != 5 || r.Log.Leaf != index {
			t.Errorf("receipt %d: leaf %d of %d", index, r.Log.Leaf, c.Size)
		}
	}
	three, six := uint64(3), uint64(6)
	for _, at := range []*uint64{&three, &six} {
		if _, err := b.Receipt(background, 3, at); !errors.Is(err, ErrUnproved) {
			t.Errorf("at %d: %v", *at, err)
		}
	}
	if _, err := b.Receipt(background, 5, nil); !errors.Is(err, ErrNoRecord) {
		t.Errorf("a record that is not there: %v", err)
	}
}

// TestCosigned wants receipts to be proved with the newest cosigned checkpoint that covers them.
func TestCosigned(t *testing.T) {
	b, _ := testBook(t)
	for range 5 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	if _, err := b.CosignedCheckpoint(background, "", ""); !errors.Is(err, log.ErrSize) {
		t.Errorf("no cosignature: %v", err)
	}
	const line = "— witness.example AAAAAAAAAAAA"
	if err := putCosignature(b, "", 3, "witness.example+00000000", line); err != nil {
		t.Fatal(err)
	}
	if err := putCosignature(b, "", 6, "witness.example+00000000", line); !errors.Is(err, log.ErrSize) {
		t.Errorf("a checkpoint that there is not: %v", err)
	}
	for index, want := range []uint64{3, 3, 3, 5, 5} {
		if _, c := wantReceipt(t, b, uint64(index), nil); c.Size != want {
			t.Errorf("receipt %d is proved at %d", index, c.Size)
		}
	}
	signed, err := b.CosignedCheckpoint(background, "", "")
	if err != nil || !strings.HasSuffix(signed, "\n"+line+"\n") {
		t.Errorf("%q, %v", signed, err)
	}
	three := uint64(3)
	data, err := b.Receipt(background, 0, &three)
	if err != nil || !strings.Contains(string(data), "witness.example") {
		t.Errorf("%s, %v", data, err)
	}
	wantClean(t, b)
}

func TestRotate(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	first, next := keyAt(t, b, 0), newKeys(t).Receipts[0]
	r, err := b.Rotate(background, operator, next)
	if err != nil {
		t.Fatal(err)
	}
	if r.Key.Hint != next.Key().Hint() || r.Key.Previous != first.Hint() || r.Digest.Encoded() != next.Key().Hint() {
		t.Errorf("the record says %+v, %s", r.Key, r.Digest)
	}
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	for index, want := range []*receipt.Key{first, first, next.Key()} {
		if k := keyAt(t, b, uint64(index)); k.Hint() != want.Hint() {
			t.Errorf("record %d is in the range of %s", index, k.Hint())
		}
		wantReceipt(t, b, uint64(index), nil)
	}
	wantClean(t, b)
	if _, err := b.Rotate(background, operator, next); err == nil {
		t.Error("rotated to the key in force")
	}
	wantClean(t, b)
}

// TestSucceed begins a new log after the old one's keys were stolen and lost.
func TestSucceed(t *testing.T) {
	b, _ := testBook(t)
	for range 3 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	old, err := b.Checkpoint(background, "")
	if err != nil {
		t.Fatal(err)
	}
	before := trustIn(t, b)
	_ = b.Begin(background, Keys{}) // the keys are lost
	r, err := b.Succeed(background, operator, newKeys(t), Ending{Action: KeyChange, Reason: "stolen"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Parse(old)
	if err != nil || r.Index != 3 || r.Log.Leaf != 0 || r.Continues.Checkpoint != old || r.Continues.Size != c.Size ||
		string(r.Continues.RootHash) != string(c.Root[:]) || r.Continues.Records != 3 || r.Key.Reason != "stolen" {
		t.Errorf("the first record says %+v, %+v, %v", r, r.Continues, err)
	}
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	for index, size := range []uint64{3, 3, 3, 2, 2} {
		if _, c := wantReceipt(t, b, uint64(index), nil); c.Size != size {
			t.Errorf("receipt %d is proved at %d", index, c.Size)
		}
	}
	for size := uint64(1); size <= 3; size++ {
		data, err := b.Receipt(background, 0, &size)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := receipt.Verify(data, before); err != nil || v.Checkpoint.Size != size {
			t.Errorf("by what was kept before, record 0 at %d leaves: %v", size, err)
		}
		if _, err := receipt.Verify(data, trustIn(t, b)); errors.Is(err, receipt.ErrRefused) != (size < 3) {
			t.Errorf("by what is kept afterwards, record 0 at %d leaves: %v", size, err)
		}
	}
	if signed, err := b.Checkpoint(background, c.Origin); err != nil || signed != old {
		t.Errorf("the closed log: %q, %v", signed, err)
	}
	wantClean(t, b)
}

// TestEndedByOlder has a record of a version that kept no signature of its checkpoint, and one that was changed: the key
// makes the checkpoint again; where it is gone there is none.
func TestEndedByOlder(t *testing.T) {
	b, _ := testBook(t)
	for range 4 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	edit := func(index uint64, ended func([]byte) []byte) {
		t.Helper()
		err := b.store.Update(background, func(tx storage.Tx) error {
			payload, err := readStatement(tx, index)
			if err != nil {
				return err
			}
			kept, err := readEnded(tx, index)
			if err != nil || len(kept) != endedSize {
				t.Errorf("record %d keeps %x, %v", index, kept, err)
			}
			return putStatement(tx, index, payload, ended(bytes.Clone(kept)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	edit(0, func([]byte) []byte { return nil })
	wantClean(t, b)
	edit(1, func(kept []byte) []byte { kept[0] ^= 1; return kept })
	wantProblem(t, b, "the signature kept with entry 1 is not of the checkpoint of 2 leaves")
	for size := uint64(1); size <= 4; size++ {
		wantReceipt(t, b, 0, &size)
	}
	_ = b.Begin(background, Keys{})
	for size := uint64(1); size <= 4; size++ {
		if _, err := b.Receipt(background, 0, &size); errors.Is(err, ErrUnproved) != (size <= 2) {
			t.Errorf("at %d leaves: %v", size, err)
		}
	}
}

// TestNoKey wants no record without a receipt, and reads to go on.
func TestNoKey(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	for name, keys := range map[string]Keys{"none": {}, "others": newKeys(t)} {
		if err := b.Begin(background, keys); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: begin: %v", name, err)
		}
		if why, err := b.Missing(background); why == "" || err != nil {
			t.Errorf("%s: missing: %q, %v", name, why, err)
		}
		err := b.store.Update(background, func(tx storage.Tx) error {
			_, err := b.Append(tx, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x")})
			return err
		})
		if !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: append: %v", name, err)
		}
	}
	wantReceipt(t, b, 0, nil)
	wantClean(t, b)
}

// TestAdopt opens a book from before there was a log: it is read as it is, takes nothing until it is adopted, and
// what was found stays unsigned.
func TestAdopt(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, keys := oldBook(t, 1200)
	for range 2 {
		if err := b.Begin(background, keys); !errors.Is(err, ErrNotAdopted) {
			t.Fatalf("begin: %v", err)
		}
		if r, err := b.Get(background, 700); err != nil || r.Actor.Handle != "alice" {
			t.Errorf("record 700: %+v, %v", r, err)
		}
		if signed := signedIn(t, b.store); len(signed) > 0 {
			t.Errorf("%d rows were signed", len(signed))
		}
	}
	wantProblem(t, b, "before there was a log")
	err := b.store.Update(background, func(tx storage.Tx) error {
		_, err := b.Append(tx, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x")})
		return err
	})
	if !errors.Is(err, ErrNotAdopted) {
		t.Errorf("a record before the old ones are adopted: %v", err)
	}
	if _, err := b.Succeed(background, operator, newKeys(t), Ending{Action: KeyChange, Reason: "lost"}); !errors.Is(err, ErrNotAdopted) {
		t.Errorf("new keys before the old records are adopted: %v", err)
	}
	r, err := b.Adopt(background, operator)
	if err != nil || r.Action != Adopt || r.Index != 1200 || r.Log.Leaf != 0 || r.Found.Records != 1200 || r.Digest != r.Found.Statements {
		t.Fatalf("adopted %+v, %v", r, err)
	}
	if _, err := b.Adopt(background, operator); !errors.Is(err, ErrAdopted) {
		t.Errorf("adopted again: %v", err)
	}
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	if err := b.Begin(background, keys); err != nil {
		t.Error(err)
	}
	wantClean(t, b)
	for _, index := range []uint64{0, 1199} {
		if _, err := b.Receipt(background, index, nil); !errors.Is(err, ErrNotSigned) {
			t.Errorf("receipt of record %d: %v", index, err)
		}
	}
	wantReceipt(t, b, 1200, nil)
	if _, c := wantReceipt(t, b, 1201, nil); c.Size != 2 {
		t.Errorf("the log has %d leaves", c.Size)
	}
	change := func(tx storage.Tx) error { forgery{t, tx}.change(700, "alice", "mallory"); return nil }
	if err := b.store.Update(background, change); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, b, "when they were adopted")
}

// TestAdoptNoForgery puts a statement of a log among the old ones.
func TestAdoptNoForgery(t *testing.T) {
	b, keys := oldBook(t, 3)
	change := func(tx storage.Tx) error {
		forgery{t, tx}.change(1, `"nonce":`, `"log":{"origin":"a.example","leaf":1},"nonce":`)
		return nil
	}
	if err := b.store.Update(background, change); err != nil {
		t.Fatal(err)
	}
	if err := b.Begin(background, keys); !errors.Is(err, ErrNotAdopted) {
		t.Error(err)
	}
	if _, err := b.Adopt(background, operator); !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), "record 1 says that it is leaf 1") {
		t.Errorf("adopted: %v", err)
	}
	if signed := signedIn(t, b.store); len(signed) > 0 {
		t.Errorf("%d rows were signed", len(signed))
	}
}

// wantProblem checks a book, and wants it to be told of what is wrong.
func wantProblem(t *testing.T, b *Book, says string) {
	t.Helper()
	var said []string
	if _, err := b.Check(background, func(err error) { said = append(said, err.Error()) }); err != nil || !strings.Contains(strings.Join(said, "\n"), says) {
		t.Errorf("the check says %q, %v", said, err)
	}
}

// oldBook has records as they were before there was a log.
func oldBook(t *testing.T, n uint64) (*Book, Keys) {
	t.Helper()
	store := engines.New(t)
	b, err := NewBook(store, "https://registry.example")
	if err != nil {
		t.Fatal(err)
	}
	err = b.store.Update(background, func(tx storage.Tx) error {
		h := head{latest: At(b.now())}
		for h.next < n {
			if err := appendUnsigned(tx, b, &h, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x")}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b, newKeys(t)
}

// appendUnsigned adds a record without signature and leaf: quickly, and as it was before there was a log.
func appendUnsigned(tx storage.Tx, b *Book, h *head, e Event) error {
	r := b.record(e, h.next)
	payload, err := encode(r)
	if err != nil {
		return err
	}
	return h.put(tx, r, payload, nil)
}

func TestOrigin(t *testing.T) {
	for host, want := range map[string]string{
		"registry.example": ".registry.example", "registry.example:5443": ".registry.example",
		"127.0.0.1:5000": ".127.0.0.1", "[::1]:5000": ".--1", "[::1]": ".--1",
	} {
		if got := newOrigin(host); len(got) != 16+len(want) || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", host, got)
		}
	}
}

// BenchmarkAppend is what a record costs beside the disk: with its signature, leaf and checkpoint, and without.
func BenchmarkAppend(b *testing.B) {
	e := Event{Action: Push, Repository: "team/app", Digest: dig("x"), Who: alice, Tags: []TagMove{{Name: "1.0"}}}
	for name, add := range map[string]func(*Book, storage.Tx, *head) error{
		"signed":   func(book *Book, tx storage.Tx, _ *head) error { _, err := book.Append(tx, e); return err },
		"unsigned": func(book *Book, tx storage.Tx, h *head) error { return appendUnsigned(tx, book, h, e) },
	} {
		b.Run(name, func(b *testing.B) {
			store, err := bolt.Open(filepath.Join(b.TempDir(), "store.db"), bolt.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			book, err := NewBook(store, "https://registry.example")
			keys, err2 := GenerateKeys()
			if err = errors.Join(err, err2, book.Begin(background, keys)); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for done := 0; done < b.N; {
				err := store.Update(background, func(tx storage.Tx) error {
					h, err := readHead(tx)
					for range min(b.N-done, 100) {
						if err == nil {
							err = add(book, tx, &h)
						}
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				done += min(b.N-done, 100)
			}
		})
	}
}

// putCosignature keeps a line under the checkpoint of a size, whatever it says.
func putCosignature(b *Book, origin string, size uint64, witness, line string) error {
	return b.store.Update(background, func(tx storage.Tx) error {
		tree, err := log.Open(tx, origin)
		if err != nil {
			return err
		}
		signed, err := b.checkpoint(tx, tree, size)
		if err != nil {
			return err
		}
		return tree.PutCosignature(tx, size, signed, witness, line)
	})
}
