package provenance

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/seed-260924e6/hallmark/storage"
)

// Statements are stored packed: they resemble each other, and of their 2 KB a third is not in every other one too.
// What was signed is what unpacking gives, byte by byte.

// typical is what statements have in common. Stored rows need exactly these bytes to be read: a better dictionary
// gets a number of its own, and this one stays.
//
//go:embed typical.txt
var typical []byte

const typicalNumber = 1

var packer = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderDictRaw(typicalNumber, typical), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(2*MaxRecord), zstd.WithEncoderCRC(false))
})

var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderDictRaw(typicalNumber, typical), zstd.WithDecoderMaxMemory(MaxRecord),
		zstd.WithDecoderLowmem(true))
})

func putStatement(tx storage.Tx, index uint64, payload []byte) error {
	p, err := packer()
	if err != nil {
		return err
	}
	tx.Put(recordTable, indexKey(index), p.EncodeAll(payload, make([]byte, 0, len(payload)/2)))
	return nil
}

// readStatement returns the statement of a record as it was signed. Errors: ErrNoRecord, storage.ErrCorrupt.
func readStatement(tx storage.Reader, index uint64) ([]byte, error) {
	packed, err := tx.Get(recordTable, indexKey(index))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("record %d: %w", index, ErrNoRecord)
	}
	if err != nil || isPlain(packed) {
		return packed, err
	}
	u, err := unpacker()
	if err != nil {
		return nil, err
	}
	payload, err := u.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: record %d: %w", storage.ErrCorrupt, index, err)
	}
	return payload, nil
}

// isPlain says that a row has the layout of before: the statement as it is.
func isPlain(row []byte) bool { return len(row) > 0 && row[0] == '{' }

// Pack packs the statements of an older version. If we stop within it, it is run again, and passes over what it
// packed before.
func Pack(ctx context.Context, store storage.Store) error {
	return eachRecord(ctx, store, pack)
}

// pack packs the statement of a record.
func pack(tx storage.Tx, index uint64) error {
	row, err := tx.Get(recordTable, indexKey(index))
	switch {
	case errors.Is(err, storage.ErrNotFound): // it was lost before; fsck says so
		return nil
	case err != nil || !isPlain(row):
		return err
	}
	return putStatement(tx, index, row)
}
