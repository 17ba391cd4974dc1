package provenance

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestCheckSaysWhat changes one row of the book or of its logs at a time, and wants the check to say what was changed.
func TestCheckSaysWhat(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	cosigned := func(n uint32, size uint64) []byte { return binary.BigEndian.AppendUint64(number(n), size) }
	edit := func(f forgery, table storage.Table, key []byte, old, now string) {
		row := f.get(table, key)
		if !bytes.Contains(row, []byte(old)) {
			f.t.Fatalf("%s has no %q", row, old)
		}
		f.tx.Put(table, key, bytes.Replace(row, []byte(old), []byte(now), 1))
	}
	for name, c := range map[string]struct {
		tamper func(forgery)
		says   string
	}{
		"nothing": {func(forgery) {}, ""},
		"a time is another": {func(f forgery) {
			for item, err := range f.tx.Scan(timeTable, nil, nil) {
				if err != nil {
					f.t.Fatal(err)
				}
				key := bytes.Clone(item.Key)
				f.tx.Delete(timeTable, key)
				key[0]++
				f.tx.Put(timeTable, key, nil)
				return
			}
		}, "record 0 is not found by its time"},
		"a time of no record":              {func(f forgery) { f.tx.Put(timeTable, timeKey(At(time.Unix(1, 0)), 2), nil) }, "the index of times has 1 rows that no record explains"},
		"a time of a record to come":       {func(f forgery) { f.tx.Put(timeTable, timeKey(At(time.Unix(1, 0)), 99), nil) }, "the index of times names record 99, and there are 6"},
		"a term of a record to come":       {func(f forgery) { f.tx.Put(indexTable, newTerm(byTag, "a", "b").key(99), nil) }, "the index of records names record 99, and there are 6"},
		"a term that is cut":               {func(f forgery) { f.tx.Put(indexTable, []byte("cut"), nil) }, "the index of records names record"},
		"an image of a record to come":     {func(f forgery) { f.tx.Put(imageTable, []byte("x"), indexKey(99)) }, "the index of images names record 99"},
		"the end of a log, its time":       {func(f forgery) { edit(f, "log/log", number(0), `"closed":{"time":"20`, `"closed":{"time":"19`) }, "is said to have ended at 19"},
		"the end of a log, its reason":     {func(f forgery) { edit(f, "log/log", number(0), `"reason":"stolen"`, `"reason":"lost"`) }, `because its key was "lost"; by record 3 because it was "stolen"`},
		"the end of a log, its checkpoint": {func(f forgery) { edit(f, "log/log", number(0), `\n3\n`, `\n2\n`) }, "with another checkpoint than record 3 says"},
		"the begin of a log":               {func(f forgery) { edit(f, "log/log", number(1), `"begun":"20`, `"begun":"19`) }, "is said to have begun at 19"},
		"a cosigned checkpoint":            {func(f forgery) { edit(f, "log/cosignature", cosigned(1, 2), "\n2\n", "\n3\n") }, "of 2 leaves is not signed by it"},
		"one of another size": {func(f forgery) {
			f.tx.Put("log/cosignature", cosigned(1, 1), f.get("log/cosignature", cosigned(1, 2)))
		}, "what is kept of its cosigned checkpoints says 2 leaves"},
		"one of a size to come": {func(f forgery) {
			f.tx.Put("log/cosignature", cosigned(0, 9), f.get("log/cosignature", cosigned(0, 2)))
		}, "goes up to 9 leaves, and it has 3"},
		"a cosignature of another": {func(f forgery) {
			f.tx.Put("log/cosignature", append(cosigned(1, 2), "other.example+00000000"...), []byte("— witness.example AAAAAAAAAAAA\n"))
		}, "has a line that is not of other.example+00000000"},
		"a cosignature that is none": {func(f forgery) {
			edit(f, "log/cosignature", append(cosigned(1, 2), "witness.example+00000000"...), "— ", "- ")
		}, "has a line that is not of witness.example+00000000"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBook(t)
			for range 3 {
				appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
			}
			cosign := func(size uint64) {
				if err := putCosignature(b, "", size, "witness.example+00000000", "— witness.example AAAAAAAAAAAA"); err != nil {
					t.Fatal(err)
				}
			}
			cosign(2)
			if _, err := b.Succeed(background, operator, newKeys(t), Ending{Action: KeyChange, Reason: "stolen"}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
			}
			cosign(2)
			if err := b.Index(background); err != nil {
				t.Fatal(err)
			}
			if err := b.store.Update(background, func(tx storage.Tx) error { c.tamper(forgery{t, tx}); return nil }); err != nil {
				t.Fatal(err)
			}
			var said []string
			if _, err := b.Check(background, func(err error) { said = append(said, err.Error()) }); err != nil {
				t.Error(err)
			}
			if all := strings.Join(said, "\n"); (c.says == "") != (len(said) == 0) || !strings.Contains(all, c.says) {
				t.Errorf("the check says\n%s\nand not %q", all, c.says)
			}
		})
	}
}
