package provenance

import (
	"bytes"
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/storage"
)

// maxStatements bounds a page of statements, in bytes of payloads. The last one may go beyond.
const maxStatements = 4 << 20

// A Statement is what was signed of a record, as it is stored: enough to make its leaf, which is
// [receipt.Body]. Without Signature it is from before there was a log. Without Payload it is lost or damaged.
type Statement struct {
	Index     uint64 `json:"index"`
	Payload   []byte `json:"payload,omitempty"`   // the in-toto statement
	Signature []byte `json:"signature,omitempty"` // ASN.1, over the payload's PAE
	Key       string `json:"key,omitempty"`       // the hint of the receipt key that made the signature
	// Own says that it is shown only as an act of the one who asks, who may not see the other records of its repository.
	Own bool `json:"own,omitempty"`
}

// Showing says whether somebody is shown a record.
type Showing int

// The reasons to show a record, and not to.
const (
	NotShown Showing = iota
	OwnAct           // they did it themselves, where they may see nothing else
	Shown
)

// A StatementPage is the statements of the records from From up to, and without, To, but for those that are not shown.
type StatementPage struct {
	From       uint64      `json:"from"`
	To         uint64      `json:"to"`
	Statements []Statement `json:"statements"`
	More       bool        `json:"-"` // there are records from To on
}

// Statements returns the statements of up to limit records from one on, at most MaxPage, of those that are shown.
// What is stored damaged is in the page as a statement that lacks something: it is for those who look for damage.
func (b *Book) Statements(ctx context.Context, from uint64, limit int, shows func(*Record) Showing) (page StatementPage, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		page = StatementPage{From: from, To: from, Statements: []Statement{}}
		end, err := Count(tx)
		if err != nil {
			return err
		}
		for size := 0; page.To < min(end, from+uint64(min(limit, MaxPage))) && size < maxStatements; page.To++ {
			s, shown, err := readShown(tx, page.To, shows)
			if err != nil {
				return err
			}
			if shown {
				page.Statements = append(page.Statements, s)
				size += len(s.Payload)
			}
		}
		page.More = page.To < end
		return nil
	})
	return page, err
}

// readShown reads a statement, and says whether it is shown. One that cannot be read is: of it nothing is told but that.
func readShown(tx storage.Reader, index uint64, shows func(*Record) Showing) (s Statement, shown bool, err error) {
	s.Index = index
	signed, err := ReadSignedRecord(tx, index)
	if err != nil && !errors.Is(err, ErrNoRecord) && !errors.Is(err, ErrNotSigned) && !errors.Is(err, storage.ErrCorrupt) {
		return s, false, err
	}
	r, undecodable := decode(signed.Payload)
	if undecodable != nil {
		return s, true, nil
	}
	s.Payload = bytes.Clone(signed.Payload)
	if err == nil {
		s.Signature, s.Key = bytes.Clone(signed.Signature), signed.Key.Hint()
	}
	how := shows(r)
	s.Own = how == OwnAct
	return s, how != NotShown, nil
}
