package provenance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// forgery is somebody who can write the store of a stopped registry, and has none of its keys.
type forgery struct {
	t  *testing.T
	tx storage.Tx
}

func (f forgery) get(table storage.Table, key []byte) []byte {
	f.t.Helper()
	value, err := f.tx.Get(table, key)
	if err != nil {
		f.t.Fatal(err)
	}
	return bytes.Clone(value)
}

// empty takes all rows of a table away.
func (f forgery) empty(tables ...storage.Table) {
	f.t.Helper()
	for _, table := range tables {
		for item, err := range f.tx.Scan(table, nil, nil) {
			if err != nil {
				f.t.Fatal(err)
			}
			f.tx.Delete(table, bytes.Clone(item.Key))
		}
	}
}

// append adds a copy of a record at the end, with words in it changed.
func (f forgery) append(from uint64, old, forged string) {
	f.t.Helper()
	h := f.get(headTable, headKey)
	next := binary.BigEndian.Uint64(h)
	p, err := readStatement(f.tx, from)
	if err != nil {
		f.t.Fatal(err)
	}
	text := strings.NewReplacer(old, forged, fmt.Sprintf(`"index":%d,`, from), fmt.Sprintf(`"index":%d,`, next),
		fmt.Sprintf(`"leaf":%d}`, from), fmt.Sprintf(`"leaf":%d}`, next)).Replace(string(p))
	f.edit(next, text)
	f.heads(next + 1)
}

func (f forgery) edit(index uint64, text string) {
	f.t.Helper()
	if err := putStatement(f.tx, index, []byte(text), nil); err != nil {
		f.t.Fatal(err)
	}
}

// change changes words in a statement.
func (f forgery) change(index uint64, old, forged string) {
	f.t.Helper()
	p, err := readStatement(f.tx, index)
	if err != nil || !bytes.Contains(p, []byte(old)) {
		f.t.Fatalf("%s, %v", p, err)
	}
	f.edit(index, strings.ReplaceAll(string(p), old, forged))
}

// heads says that there are so many records.
func (f forgery) heads(next uint64) {
	h := f.get(headTable, headKey)
	f.tx.Put(headTable, headKey, append(indexKey(next), h[8:]...))
}

// rewind puts the head of the log back, over the hashes that are there.
func (f forgery) rewind(size uint64) {
	number := make([]byte, 4)
	head := binary.BigEndian.AppendUint64(slices.Clone(number), size)
	for level := bits.Len64(size) - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			at := uint64(tlog.StoredHashIndex(level, int64(size>>level)-1))
			head = append(head, f.get("log/hash", binary.BigEndian.AppendUint64(slices.Clone(number), at))...)
		}
	}
	f.tx.Put("log/head", headKey, head)
}

// truncate takes all away from a record on, and everything that remembers it.
func (f forgery) truncate(from uint64) {
	for index := from; index < binary.BigEndian.Uint64(f.get(headTable, headKey)); index++ {
		f.tx.Delete(recordTable, indexKey(index))
		f.tx.Delete(signatureTable, indexKey(index))
	}
	f.rewind(from)
	f.heads(from)
	f.empty("log/cosignature")
}

func (f forgery) withoutLog() {
	f.empty(keyTable, "log/head", "log/log", "log/hash", "log/checkpoint", "log/cosignature")
	f.tx.Put(headTable, headKey, f.get(headTable, headKey)[:16])
}

var logTables = []storage.Table{"log/head", "log/log", "log/hash", "log/checkpoint", signatureTable, keyTable}

// signedIn is what keys have signed in a store: no start and no check may add to it.
func signedIn(t *testing.T, store storage.Store) (rows []string) {
	t.Helper()
	err := store.View(background, func(tx storage.Reader) error {
		for _, table := range logTables {
			for item, err := range tx.Scan(table, nil, nil) {
				if err != nil {
					return err
				}
				rows = append(rows, fmt.Sprintf("%s %x %x", table, item.Key, item.Value))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestNothingUnseenIsSigned tampers with a stopped store without any key: no start and no check signs what is found.
func TestNothingUnseenIsSigned(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	for name, c := range map[string]struct {
		tamper func(forgery)
		says   string // at the start
	}{
		"a record appended":                   {func(f forgery) { f.append(2, "alice", "mallory") }, "the records go up to 6, and the log"},
		"the log's head put back":             {func(f forgery) { f.change(3, "alice", "mallory"); f.rewind(3) }, "the records go up to 5, and the log"},
		"the records' head put back":          {func(f forgery) { f.heads(3) }, "the records go up to 3, and the log"},
		"the end cut":                         {func(f forgery) { f.truncate(3) }, "and its newest signed checkpoint says 5"},
		"the log taken out":                   {func(f forgery) { f.withoutLog() }, "record 4 says that it is leaf 4 of the log"},
		"the log taken out, and one appended": {func(f forgery) { f.withoutLog(); f.append(2, "alice", "mallory") }, "record 5 says that it is leaf 5 of the log"},
		"the head of the log gone":            {func(f forgery) { f.empty("log/head") }, "there is no head of the log"},
		"both heads gone":                     {func(f forgery) { f.empty("log/head", headTable) }, "there are 0 records, and a row of record 0"},
		"all but the records gone":            {func(f forgery) { f.withoutLog(); f.empty(headTable) }, "there are 0 records, and a row of record 0"},
		"the newest record changed":           {func(f forgery) { f.change(4, "alice", "mallory") }, "record 4 is not what"},
		"the newest signature gone":           {func(f forgery) { f.tx.Delete(signatureTable, indexKey(4)) }, "record 4"},
		"a record kept behind the end":        {func(f forgery) { f.edit(5, "{}") }, "there are 5 records, and a row of record 5"},
		"a signature kept behind it":          {func(f forgery) { f.tx.Put(signatureTable, indexKey(7), []byte("x")) }, "there are 5 records, and a signature of record 7"},
		"a hash kept behind it": {func(f forgery) {
			f.tx.Put("log/hash", binary.BigEndian.AppendUint64(make([]byte, 4), 40), make([]byte, 32))
		}, "and a hash behind them is kept"},
		"the log closed": {func(f forgery) {
			row := f.get("log/log", make([]byte, 4))
			f.tx.Put("log/log", make([]byte, 4), bytes.Replace(row, []byte(`"first":0`), []byte(`"closed":{"reason":"x"},"first":0`), 1))
		}, "is closed, and none follows it"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBook(t)
			store := b.store
			for range 5 {
				appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
			}
			keys := *b.keys.Load()
			if err := store.Update(background, func(tx storage.Tx) error { c.tamper(forgery{t, tx}); return nil }); err != nil {
				t.Fatal(err)
			}
			before := signedIn(t, store)
			wantDisagreement(t, store, keys, c.says)
			if !slices.Equal(before, signedIn(t, store)) {
				t.Error("something was signed, or a log begun")
			}
		})
	}
}

// wantDisagreement starts a book on a store, twice, and wants it to say what is wrong and to take nothing.
func wantDisagreement(t *testing.T, store storage.Store, keys Keys, says string) {
	t.Helper()
	for range 2 {
		b, err := NewBook(store, "https://registry.example")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Begin(background, keys); !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), says) {
			t.Errorf("the start says %v", err)
		}
		problems := 0
		if _, err := b.Check(background, func(error) { problems++ }); err != nil || problems == 0 {
			t.Errorf("the check finds %d problems, %v", problems, err)
		}
		for what, change := range map[string]func() error{
			"append": func() error {
				return store.Update(background, func(tx storage.Tx) error {
					_, err := b.Append(tx, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x")})
					return err
				})
			},
			"rotate": func() error { _, err := b.Rotate(background, operator, newKeys(t).Receipts[0]); return err },
			"succeed": func() error {
				_, err := b.Succeed(background, operator, newKeys(t), Ending{Action: KeyChange, Reason: "lost"})
				return err
			},
			"adopt": func() error { _, err := b.Adopt(background, operator); return err },
		} {
			if err := change(); !errors.Is(err, ErrDisagree) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// TestOldCheckpoint changes a hash of the tree: no checkpoint of an older size is signed over it.
func TestOldCheckpoint(t *testing.T) {
	b, _ := testBook(t)
	for range 7 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	}
	five, six := uint64(5), uint64(6)
	wantReceipt(t, b, 0, &five)
	at := uint64(tlog.StoredHashIndex(0, 4)) // of leaf 4: with the root of the first four it is the root of five
	err := b.store.Update(background, func(tx storage.Tx) error {
		tx.Put("log/hash", binary.BigEndian.AppendUint64(make([]byte, 4), at), bytes.Repeat([]byte("x"), 32))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err := b.Receipt(background, 0, &five); !errors.Is(err, ErrDisagree) {
		t.Errorf("a checkpoint over a hash that was changed: %s, %v", data, err)
	}
	wantReceipt(t, b, 0, &six) // of which that hash is no part
}
