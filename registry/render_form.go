package registry

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// A form is how a record is rendered. Digests of what was rendered are out in the world, so no form ever changes, and an
// image keeps the form that it got: the row of its provenance holds the digests, which only one form gives.
type form int

// The forms.
const (
	withoutClass form = iota // of images from before source and revision said of which class they are
	withClass
	withReceipt // the second layer
	newestForm  = withReceipt
)

// formMarks → index of the first record that was rendered in a form, or a later one. They are written with that. Only
// where the rows of a rendering are lost do they decide how they are made again.
var formMarks = map[form][]byte{withClass: []byte("source-class"), withReceipt: []byte("receipt-layer")}

// markForm notes the first record that is rendered in a form.
func markForm(tx storage.Tx, f form, index uint64) error {
	mark, err := getOrNil(tx, doneTable, formMarks[f])
	if err == nil && mark == nil {
		tx.Put(doneTable, formMarks[f], binary.BigEndian.AppendUint64(nil, index))
	}
	return err
}

// formOf is the form that the rendering of a record got.
func formOf(tx storage.Reader, index uint64) (form, error) {
	for f := newestForm; f > withoutClass; f-- {
		value, err := getOrNil(tx, doneTable, formMarks[f])
		if err != nil {
			return f, err
		}
		if len(value) == 8 && index >= binary.BigEndian.Uint64(value) {
			return f, nil
		}
	}
	return withoutClass, nil
}

// renderRow renders what an image has as its provenance, in the form that it got. A row that no form gives is damaged:
// then what its record gives now is not what it says.
func renderRow(tx storage.Reader, row provenanceRow) (out *rendering, err error) {
	first, last := withoutClass, withClass
	if len(row.layers) > 1 {
		first, last = withReceipt, newestForm
	}
	for f := first; f <= last; f++ {
		out, err = f.renderRecord(tx, row.record)
		if err != nil || bytes.Equal(digestKey(out.descriptor.Digest), row.manifest) {
			break
		}
	}
	for _, lost := range []error{checkpoint.ErrInvalid, provenance.ErrUnproved, log.ErrSize, log.ErrNoLog} {
		if errors.Is(err, lost) {
			return nil, damaged("the receipt of record %d cannot be made any more: %v", row.record, err)
		}
	}
	return out, err
}
