package provenance

import (
	"bytes"
	"context"
	"crypto/ed25519"
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

// Before the statement stands the signature of the checkpoint that its leaf ends, in a skippable frame (RFC 8878,
// section 3.1.2): whatever unpacks the row, also an older version, passes over it. Rows of older versions have none.
const (
	endedHead = "\x50\x2a\x4d\x18\x40\x00\x00\x00" // the frame's magic number, and how many bytes are in it
	endedSize = ed25519.SignatureSize
)

// putStatement writes the row of a record. ended is the signature of the checkpoint that its leaf ends; nil is none.
func putStatement(tx storage.Tx, index uint64, payload, ended []byte) error {
	p, err := packer()
	if err != nil {
		return err
	}
	row := make([]byte, 0, len(endedHead)+endedSize+len(payload)/2)
	if len(ended) == endedSize {
		row = append(append(row, endedHead...), ended...)
	}
	tx.Put(recordTable, indexKey(index), p.EncodeAll(payload, row))
	return nil
}

// readEnded returns the signature of the checkpoint that a record's leaf ends, or nil where the row has none.
func readEnded(tx storage.Reader, index uint64) ([]byte, error) {
	row, err := tx.Get(recordTable, indexKey(index))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if ended, ok := bytes.CutPrefix(row, []byte(endedHead)); ok && err == nil && len(ended) > endedSize {
		return ended[:endedSize], nil
	}
	return nil, err
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
	return putStatement(tx, index, row, nil)
}
