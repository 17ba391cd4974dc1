package s3

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// The tables. Values are JSON.
const (
	// objectTable has a row for each sealed blob: RUN.N → object.
	objectTable = storage.Table("s3/objects")
	// uploadTable has a row for each upload, from before its first byte on: RUN.N → uploadRow.
	uploadTable = storage.Table("s3/uploads")
	// partTable has the parts of uploads, some in each row: RUN.N/FIRST, 4 bytes big-endian → []part.
	partTable = storage.Table("s3/parts")
	// goneTable has what is to be removed: when, in nanoseconds since 1970, 8 bytes big-endian, then a name → goneRow.
	goneTable = storage.Table("s3/gone")
)

// object is something that was put, whole.
type object struct {
	Epoch uint64 `json:"e,omitempty"` // of its name; 0 where it was put in parts
	Size  int64  `json:"s"`
	ETag  string `json:"t"`
	Run   uint64 `json:"r,omitempty"` // of the process that sealed it
	// Sealed is when it was, by the clock of the rows' store, in seconds since 1970, where several processes work on it.
	Sealed int64 `json:"w,omitempty"`
	// Place is in its name, where that is not the place of the blob: it was imported.
	Place string `json:"p,omitempty"`
}

// place is what the name of the object of a blob is made of.
func (o object) place(blob place.Place) place.Place {
	if made, ok := place.Parse(o.Place, "."); ok {
		return made
	}
	return blob
}

// uploadRow is how far an upload has come.
type uploadRow struct {
	// Epoch is in the name of what is put next. Each session has another one, so it also tells whose turn it is.
	Epoch     uint64  `json:"e"`
	Run       uint64  `json:"r"`           // of the process of the last session
	Multipart string  `json:"m,omitempty"` // the store's id of an upload in parts
	Parts     int     `json:"p,omitempty"`
	Size      int64   `json:"s"`
	Tail      *object `json:"t,omitempty"` // the bytes behind the parts
	Few       []byte  `json:"f,omitempty"` // or these: at most fewBytes
	SHA256    []byte  `json:"h,omitempty"` // running hashes of Size bytes
	SHA512    []byte  `json:"i,omitempty"`
	Sent      bool    `json:"x,omitempty"` // something may have gone to the object store
	Modified  int64   `json:"w"`           // nanoseconds since 1970
}

// part is one that the store has.
type part struct {
	Size int64  `json:"s"`
	ETag string `json:"t"`
}

// goneRow is what is to be removed.
type goneRow struct {
	Place     string `json:"p"`
	Epoch     uint64 `json:"e,omitempty"`
	Multipart string `json:"m,omitempty"`
	Unended   bool   `json:"u,omitempty"` // an upload that was not sealed, of which the store may know more
	Size      int64  `json:"s,omitempty"`
}

func objectKey(p place.Place) []byte { return []byte(p.String()) }

func partPrefix(p place.Place) []byte { return []byte(p.String() + "/") }

func partKey(p place.Place, first int) []byte {
	return binary.BigEndian.AppendUint32(partPrefix(p), uint32(first))
}

// putGone notes that something is to be removed once due has come.
func putGone(tx storage.Tx, due time.Time, g goneRow) {
	key := binary.BigEndian.AppendUint64(nil, uint64(due.UnixNano()))
	tx.Put(goneTable, fmt.Appendf(key, "%s-%d", g.Place, g.Epoch), encode(g))
}

func encode(row any) []byte {
	b, err := json.Marshal(row)
	if err != nil {
		panic(err) // no row has anything that JSON has not
	}
	return b
}

func decode(b []byte, row any) error {
	if err := json.Unmarshal(b, row); err != nil {
		return errors.Join(storage.ErrCorrupt, fmt.Errorf("a row about the object store cannot be read: %w", err))
	}
	return nil
}

// getRow reads a row of a place. Error: storage.ErrNotFound.
func getRow(tx storage.Reader, table storage.Table, p place.Place, row any) error {
	value, err := tx.Get(table, objectKey(p))
	if err != nil {
		return err
	}
	return decode(value, row)
}
