package provenance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// TestStatements reads all statements in pages, and makes the root of the log from them.
func TestStatements(t *testing.T) {
	b, _ := testBook(t)
	key := keyAt(t, b, 0)
	for i := range 7 {
		appendEvent(t, b, Event{Repository: []string{"one", "two"}[i%2], Digest: dig("image")})
	}
	var hashes hashList
	leaves := int64(0)
	for from := uint64(0); ; {
		page, err := b.Statements(background, from, 3, func(*Record) Showing { return Shown })
		if err != nil || page.From != from || len(page.Statements) != int(page.To-from) {
			t.Fatalf("%+v, %v", page, err)
		}
		for i, s := range page.Statements {
			if s.Index != from+uint64(i) || s.Key != key.Hint() {
				t.Errorf("statement %d of the page from %d on is of record %d, by %s", i, from, s.Index, s.Key)
			}
			more, err := tlog.StoredHashes(leaves, receipt.Body(s.Payload, s.Signature, key), hashes)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, more...)
			leaves++
		}
		if from = page.To; !page.More {
			break
		}
	}
	root, err := tlog.TreeHash(leaves, hashes)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Parse(newest(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if c.Size != uint64(leaves) || c.Root != root {
		t.Errorf("the statements give the root %s of %d leaves, and the checkpoint is %+v", root, leaves, c)
	}
}

// TestStatementsShown leaves out what is not shown, and says of what is lost only that it is.
func TestStatementsShown(t *testing.T) {
	b, _ := testBook(t)
	for i := range 5 {
		appendEvent(t, b, Event{Repository: []string{"one", "two"}[i%2], Digest: dig("image")})
	}
	err := b.store.Update(background, func(tx storage.Tx) error {
		tx.Delete(recordTable, indexKey(1))
		tx.Put(recordTable, indexKey(2), []byte("{"))
		tx.Delete(signatureTable, indexKey(4))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.Statements(background, 0, 1000, func(r *Record) Showing {
		return map[uint64]Showing{3: OwnAct, 4: Shown}[r.Index]
	})
	if err != nil || page.To != 5 || page.More || len(page.Statements) != 4 {
		t.Fatalf("%+v, %v", page, err)
	}
	for i, index := range []uint64{1, 2, 3, 4} {
		s := page.Statements[i]
		if s.Index != index || (s.Signature != nil) != (index == 3) || (s.Payload != nil) != (index >= 3) || s.Own != (index == 3) {
			t.Errorf("%+v", s)
		}
	}
	page, err = b.Statements(background, 99, 1000, func(*Record) Showing { return Shown })
	if err != nil || page.To != 99 || page.More || len(page.Statements) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// hashList is a tlog.HashReader.
type hashList []tlog.Hash

func (l hashList) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, l[i])
	}
	return hashes, nil
}

// TestStatementOfNothing reads statements that say nothing of a record.
func TestStatementOfNothing(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`{"predicate":null}`, `null`, `{}`, ``} {
		if r, err := ParseStatement([]byte(payload)); err == nil {
			t.Errorf("%s is %+v", payload, r)
		}
	}
}

// TestStatementsAreStrict has statements from elsewhere that two readers take for different ones.
func TestStatementsAreStrict(t *testing.T) {
	d := dig("image")
	good := fmt.Sprintf(`{"subject":[{"digest":{"sha256":%q}}],"predicate":{"digest":%q,"repository":"app"}}`, d.Encoded(), d)
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"as it should be":      {good, true},
		"with something newer": {strings.Replace(good, `"repository"`, `"newer":[1],"repository"`, 1), true},
		"a key twice":          {strings.Replace(good, `"repository":"app"`, `"repository":"app","repository":"web"`, 1), false},
		"a key in capitals":    {strings.Replace(good, `"repository":"app"`, `"repository":"app","Repository":"web"`, 1), false},
		"something behind":     {good + "{}", false},
	} {
		if _, err := ParseStatement([]byte(c.text)); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
