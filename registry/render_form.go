package registry

import (
	"bytes"
	"encoding/binary"

	"github.com/seed-260924e6/hallmark/storage"
)

// A form is how a record is rendered. Digests of what was rendered are out in the world, so no form ever changes, and an
// image keeps the form that it got: the row of its provenance holds the digest, which only one form gives.
type form int

// The forms.
const (
	withoutClass form = iota // of images from before source and revision said of which class they are
	withClass
	newestForm = withClass
)

// classMark → index of the first record whose rendering says of which class its source is. It is written with that. Only
// where the rows of a rendering are lost does it decide how they are made again.
var classMark = []byte("source-class")

// markClass notes the first record that is rendered with a class.
func markClass(tx storage.Tx, index uint64) error {
	mark, err := getOrNil(tx, doneTable, classMark)
	if err == nil && mark == nil {
		tx.Put(doneTable, classMark, binary.BigEndian.AppendUint64(nil, index))
	}
	return err
}

// formOf is the form that the rendering of a record got.
func formOf(tx storage.Reader, index uint64) (form, error) {
	value, err := getOrNil(tx, doneTable, classMark)
	if err != nil || len(value) != 8 || index < binary.BigEndian.Uint64(value) {
		return withoutClass, err
	}
	return withClass, nil
}

// renderRow renders what an image has as its provenance, in the form that it got. A row that no form gives is damaged:
// then what its record gives now is not what it says.
func renderRow(tx storage.Reader, row provenanceRow) (out *rendering, err error) {
	for f := withoutClass; f <= newestForm; f++ {
		out, err = f.renderRecord(tx, row.record)
		if err != nil || bytes.Equal(digestKey(out.descriptor.Digest), row.manifest) {
			break
		}
	}
	return out, err
}
