package provenance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// grown is a book of five records, with its keys.
func grown(t *testing.T) (*Book, Keys) {
	t.Helper()
	b, _ := testBook(t)
	for range 5 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	return b, *b.keys.Load()
}

func newest(t *testing.T, b *Book) string {
	t.Helper()
	signed, err := b.Newest(background)
	if err != nil || signed == "" {
		t.Fatalf("%q, %v", signed, err)
	}
	return signed
}

// snapshotOf copies a store, and opens the copy: an older one, once the book has gone on.
func snapshotOf(t *testing.T, b *Book) storage.Store {
	t.Helper()
	store := engines.New(t)
	err := b.store.View(background, func(from storage.Reader) error {
		return store.Update(background, func(to storage.Tx) error {
			for _, table := range append(slices.Clone(logTables), "log/cosignature", headTable, recordTable, unsignedTable, countTable, indexTable, imageTable, orderedTable, timeTable) {
				for item, err := range from.Scan(table, nil, nil) {
					if err != nil {
						return err
					}
					to.Put(table, item.Key, item.Value)
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// begin starts a book on a store, with what was kept outside it.
func begin(t *testing.T, store storage.Store, keys Keys, seen string) (*Book, error) {
	t.Helper()
	b, err := NewBook(store, "https://registry.example")
	if err != nil {
		t.Fatal(err)
	}
	b.Recall(seen)
	return b, b.Begin(background, keys)
}

// TestSeen starts books beside checkpoints that were kept outside their stores.
func TestSeen(t *testing.T) {
	b, keys := grown(t)
	five := newest(t, b)
	other, _ := grown(t)
	strangers := newest(t, other)
	older := snapshotOf(t, b)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("y")})
	six := newest(t, b)
	forked, err := begin(t, snapshotOf(t, b), keys, "")
	if err != nil {
		t.Fatal(err)
	}
	appendEvent(t, forked, Event{Repository: "a", Digest: dig("z")})
	appendEvent(t, b, Event{Repository: "a", Digest: dig("w")})
	cut := snapshotOf(t, b)
	cutSigned(t, cut, 3)
	empty := snapshotOf(t, b)
	if err := empty.Update(background, func(tx storage.Tx) error {
		f := forgery{t, tx}
		f.empty(append(slices.Clone(logTables), recordTable, headTable, unsignedTable)...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		store storage.Store
		seen  string
		says  string // "" is nothing
		do    string
	}{
		"none":                  {b.store, "", "", ""},
		"the newest":            {b.store, newest(t, b), "", ""},
		"an older one":          {b.store, five, "", ""},
		"an older store":        {older, six, "has 6 leaves, and it has 5 in the store, which is an older copy", "hallmark log continue --restored"},
		"cut where it signed":   {cut, newest(t, b), "has 7 leaves, and it has 3 in the store", "hallmark log continue --restored"},
		"cut, and none kept":    {cut, "", "", ""}, // which is why it is kept
		"another history":       {b.store, newest(t, forked), "has 7 leaves, and does not continue keys/log.checkpoint, which says what it was at 7", "restore a backup"},
		"another history, more": {older, newest(t, forked), "has 7 leaves, and it has 5 in the store", "hallmark log continue --restored"},
		"of another registry":   {b.store, strangers, "and the store knows no such log", "restore a backup"},
		"not signed":            {b.store, strings.Replace(five, "\n5\n", "\n4\n", 1), "is not signed by the log", "put it back from a copy of the keys"},
		"no checkpoint":         {b.store, "\x00\x00", "is no checkpoint", "put it back from a copy of the keys"},
		"without a store":       {empty, five, "there is no log in the store, and keys/log.checkpoint is of one", "restore a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			before := signedIn(t, c.store)
			started, err := begin(t, c.store, keys, c.seen)
			if !slices.Equal(before, signedIn(t, c.store)) {
				t.Error("something was signed, or a log begun")
			}
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				wantClean(t, started)
				return
			}
			if !errors.Is(err, ErrDisagree) || !strings.Contains(strings.ToLower(err.Error()), c.do) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the start says %v", err)
			}
			wantProblem(t, started, c.says)
			if signed, err := started.Newest(background); signed != "" || err != nil {
				t.Errorf("a log that is not to be relied on is kept: %q, %v", signed, err)
			}
			err = c.store.Update(background, func(tx storage.Tx) error {
				_, err := started.Append(tx, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x")})
				return err
			})
			if !errors.Is(err, ErrDisagree) {
				t.Errorf("append: %v", err)
			}
		})
	}
}

// cutSigned takes the newest records away, without keys, with all that tells of them. The signature that the log made then
// is in the row of the record that is now the newest.
func cutSigned(t *testing.T, store storage.Store, from uint64) {
	t.Helper()
	for _, cut := range []func(storage.Tx) error{
		func(tx storage.Tx) error {
			forgery{t, tx}.truncate(from)
			for at := tlog.StoredHashCount(int64(from)); at < 100; at++ {
				tx.Delete("log/hash", binary.BigEndian.AppendUint64(make([]byte, 4), uint64(at)))
			}
			return cutIndex(tx, from)
		},
		func(tx storage.Tx) error {
			head, err := log.ReadHead(tx)
			if err != nil {
				return err
			}
			signed, err := keptEnd(tx, head)
			tx.Put("log/checkpoint", make([]byte, 4), []byte(signed))
			return err
		},
	} {
		if err := store.Update(background, cut); err != nil {
			t.Fatal(err)
		}
	}
}

// cutIndex takes away what finds the records from one on: a row that is left would tell of them.
func cutIndex(tx storage.Tx, from uint64) error {
	for _, table := range []storage.Table{indexTable, timeTable} {
		for row, err := range tx.Scan(table, nil, nil) {
			if err != nil {
				return err
			}
			if lastIndex(row.Key) >= from {
				tx.Delete(table, bytes.Clone(row.Key))
			}
		}
	}
	x, err := readIndexed(tx)
	if x.next > from {
		x.next, x.filled, x.spelled = from, min(x.filled, from), min(x.spelled, from)
		x.write(tx)
	}
	return errors.Join(err, cutNewest(tx, from))
}

// cutNewest lets the newest record of each repository be one before from.
func cutNewest(tx storage.Tx, from uint64) error {
	newest := make(map[string]uint64)
	for index := range from {
		r, err := ReadStated(tx, index)
		if err != nil {
			return err
		}
		newest[r.Repository] = index
	}
	for row, err := range tx.Scan(newestTable, nil, nil) {
		if err != nil {
			return err
		}
		if index, ok := newest[string(row.Key)]; ok {
			tx.Put(newestTable, bytes.Clone(row.Key), indexKey(index))
		} else {
			tx.Delete(newestTable, bytes.Clone(row.Key))
		}
	}
	return nil
}

// TestSeenRewritten has the holder of the keys change a record and make the log anew over it: only what was kept
// outside the store tells.
func TestSeenRewritten(t *testing.T) {
	b, keys := grown(t)
	seen := newest(t, b)
	again, err := begin(t, snapshotOf(t, b), keys, seen)
	if err != nil {
		t.Fatal(err)
	}
	err = again.store.Update(background, func(tx storage.Tx) error {
		f := forgery{t, tx}
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		f.change(2, "alice", "mallory")
		return resign(tx, again, h.next)
	})
	if err != nil {
		t.Fatal(err)
	}
	if again, err = begin(t, again.store, keys, ""); err != nil {
		t.Errorf("without it: %v", err)
	}
	wantClean(t, again)
	if _, err = begin(t, again.store, keys, seen); !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), "does not continue keys/log.checkpoint") {
		t.Errorf("with it: %v", err)
	}
	if _, err := again.Continue(background, operator, newKeys(t), ""); !errors.Is(err, ErrNotBehind) {
		t.Errorf("continued: %v", err)
	}
}

// resign makes the log anew over the statements that are stored, with the keys in force.
func resign(tx storage.Tx, b *Book, n uint64) error {
	tx.Put("log/head", headKey, make([]byte, 12)) // log 0, of no leaves
	s, err := b.appender(tx, head{key: b.keys.Load().Receipts[0].Key().Hint()})
	if err != nil {
		return err
	}
	for index := range n {
		payload, err := readStatement(tx, index)
		if err != nil {
			return err
		}
		payload = bytes.Clone(payload)
		_, ended, err := s.append(tx, index, payload)
		if err != nil {
			return err
		}
		if err := putStatement(tx, index, payload, ended); err != nil {
			return err
		}
	}
	return nil
}

// TestContinue puts an older store back beside a newer checkpoint: nothing is signed until the log is closed by hand.
func TestContinue(t *testing.T) {
	b, keys := grown(t)
	older := snapshotOf(t, b)
	for range 3 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("y")})
	}
	seen := newest(t, b)
	back, err := begin(t, older, keys, seen)
	if !errors.Is(err, ErrDisagree) {
		t.Fatal(err)
	}
	if _, err := back.Succeed(background, operator, newKeys(t), Ending{Action: KeyChange, Reason: "lost"}); !errors.Is(err, ErrDisagree) {
		t.Errorf("new keys: %v", err)
	}
	if _, err := back.Continue(background, operator, newKeys(t), "x"); !errors.Is(err, checkpoint.ErrInvalid) {
		t.Errorf("with something that is no checkpoint: %v", err)
	}
	next := newKeys(t)
	r, err := back.Continue(background, operator, next, "")
	if err != nil || r.Action != Restore || r.Continues.Checkpoint != seen || r.Continues.Size != 8 || r.Continues.Records != 5 || r.Index != 5 || r.Log.Leaf != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := back.Continue(background, operator, newKeys(t), ""); !errors.Is(err, ErrNotBehind) {
		t.Errorf("once more: %v", err)
	}
	appendEvent(t, back, Event{Repository: "a", Digest: dig("z")})
	wantClean(t, back)
	for index := range uint64(7) {
		wantReceipt(t, back, index, nil) // those of the closed log by the checkpoint of what is kept
	}
	// If we stop before the next checkpoint is kept, the old log's is there: more than is kept of it, and its declared end.
	for _, seen := range []string{seen, "", newest(t, back)} {
		if started, err := begin(t, older, next, seen); err != nil {
			t.Errorf("a start beside %q: %v", seen, err)
		} else {
			wantClean(t, started)
		}
	}
	appendEvent(t, b, Event{Repository: "a", Digest: dig("y")}) // the registry that was replaced goes on
	if _, err := begin(t, older, next, newest(t, b)); !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), "and it was closed at 8") {
		t.Errorf("a start beside a checkpoint behind the end: %v", err)
	}
}

// TestContinueCut takes the newest records away, without keys: the log's own row tells that it was longer.
func TestContinueCut(t *testing.T) {
	b, keys := grown(t)
	if err := b.store.Update(background, func(tx storage.Tx) error { forgery{t, tx}.truncate(3); return cutIndex(tx, 3) }); err != nil {
		t.Fatal(err)
	}
	cut, err := begin(t, b.store, keys, "")
	if !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), "log continue --restored") {
		t.Fatal(err)
	}
	r, err := cut.Continue(background, operator, newKeys(t), "")
	if err != nil || r.Continues.Size != 5 || r.Continues.Records != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	wantClean(t, cut)
	for index := range uint64(3) {
		wantReceipt(t, cut, index, nil) // by the checkpoint of what is kept
	}
	if _, err := begin(t, b.store, *cut.keys.Load(), ""); err != nil {
		t.Error(err)
	}
}

// TestContinueCutAndRewritten has the holder of the keys take records away and change those before them, without the
// checkpoint that was cosigned there.
func TestContinueCutAndRewritten(t *testing.T) {
	b, keys := grown(t)
	seen := newest(t, b)
	c, err := checkpoint.Parse(seen)
	if err != nil {
		t.Fatal(err)
	}
	if err := putCosignature(b, c.Origin, 3, "w+00000001", "— w AAAAAAAA\n"); err != nil {
		t.Fatal(err)
	}
	err = b.store.Update(background, func(tx storage.Tx) error {
		f := forgery{t, tx}
		f.change(2, "alice", "mallory")
		for index := uint64(3); index < 5; index++ {
			tx.Delete(recordTable, indexKey(index))
			tx.Delete(signatureTable, indexKey(index))
		}
		f.heads(3)
		return resign(tx, b, 3)
	})
	if err != nil {
		t.Fatal(err)
	}
	cut, err := begin(t, b.store, keys, seen)
	if !errors.Is(err, ErrDisagree) || strings.Contains(err.Error(), "--restored") {
		t.Errorf("the start says %v", err)
	}
	if r, err := cut.Continue(background, operator, newKeys(t), ""); !errors.Is(err, ErrDisagree) {
		t.Errorf("continued: %+v, %v", r, err)
	}
}

// TestContinueNoForgery wants no log to be closed over what nobody signed.
func TestContinueNoForgery(t *testing.T) {
	for name, tamper := range map[string]func(forgery){
		"a record appended":         func(f forgery) { f.append(2, "alice", "mallory") },
		"the log's head put back":   func(f forgery) { f.change(3, "alice", "mallory"); f.rewind(3) },
		"the newest record changed": func(f forgery) { f.change(4, "alice", "mallory") },
		"cut, and the end changed":  func(f forgery) { f.truncate(3); f.change(2, "alice", "mallory") },
		"the log taken out":         func(f forgery) { f.withoutLog() },
	} {
		b, keys := grown(t)
		older := snapshotOf(t, b)
		for range 3 {
			appendEvent(t, b, Event{Repository: "a", Digest: dig("y")})
		}
		if err := older.Update(background, func(tx storage.Tx) error { tamper(forgery{t, tx}); return nil }); err != nil {
			t.Fatal(err)
		}
		back, err := begin(t, older, keys, newest(t, b))
		if !errors.Is(err, ErrDisagree) || strings.Contains(err.Error(), "--restored") {
			t.Errorf("%s: the start says %v", name, err)
		}
		before := signedIn(t, older)
		if r, err := back.Continue(background, operator, newKeys(t), ""); err == nil || !slices.Equal(before, signedIn(t, older)) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestStartReads counts the rows that a start reads: as many at any size.
func TestStartReads(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	counted := &counting{Store: b.store}
	for _, n := range []int{1, 200, 800} {
		err := b.store.Update(background, func(tx storage.Tx) error {
			for range n {
				if _, err := b.Append(tx, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x")}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		seen := newest(t, b)
		c, err := checkpoint.Parse(seen)
		if err != nil {
			t.Fatal(err)
		}
		if err := putCosignature(b, c.Origin, c.Size-c.Size/3, "w+00000001", "— w AAAAAAAA\n"); err != nil {
			t.Fatal(err)
		}
		appendEvent(t, b, Event{Repository: "a", Digest: dig("y")})
		counted.rows = 0
		if _, err := begin(t, counted, *b.keys.Load(), seen); err != nil {
			t.Error(err)
		}
		if counted.rows > 200 {
			t.Errorf("a start at %d records reads %d rows", n, counted.rows)
		}
		t.Logf("%d records, %d rows", n, counted.rows)
	}
}

// counting counts the rows that are read of a store.
type counting struct {
	storage.Store
	rows int
}

func (c *counting) View(ctx context.Context, fn func(storage.Reader) error) error {
	return c.Store.View(ctx, func(tx storage.Reader) error { return fn(countingReader{tx, c}) })
}

type countingReader struct {
	storage.Reader
	of *counting
}

func (r countingReader) Get(table storage.Table, key []byte) ([]byte, error) {
	r.of.rows++
	return r.Reader.Get(table, key)
}

func (r countingReader) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	r.of.rows += len(keys)
	return r.Reader.GetMany(table, keys)
}

func (r countingReader) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.of.each(r.Reader.Scan(table, from, to))
}

func (r countingReader) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.of.each(r.Reader.ScanReverse(table, from, to))
}

func (c *counting) each(items iter.Seq2[storage.Item, error]) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		for item, err := range items {
			c.rows++
			if !yield(item, err) {
				return
			}
		}
	}
}
