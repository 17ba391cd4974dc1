package log

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// The tables of this package. Numbers in keys and values are big-endian.
const (
	// "head" → number of the newest log (4), its size (8), the roots of its edge (32 each).
	headTable = storage.Table("log/head")
	// number (4) → JSON of Log. A row changes once: when its log is closed.
	logTable = storage.Table("log/log")
	// number (4), index of a stored hash as sumdb/tlog counts them (8) → the hash.
	hashTable = storage.Table("log/hash")
	// number (4) → the newest signed checkpoint.
	checkpointTable = storage.Table("log/checkpoint")
	// number (4), size (8) → a signed checkpoint that is cosigned; with what tells a witness's key from
	// others behind it → that witness's signature line.
	cosignatureTable = storage.Table("log/cosignature")
	// number (4), what tells a witness's key from others → size (8) of the largest checkpoint that it cosigned. Those that
	// came to older versions alone have none.
	witnessTable = storage.Table("log/witness")
)

var headKey = []byte("head")

func numberKey(number uint32) []byte { return binary.BigEndian.AppendUint32(nil, number) }

func hashKey(number uint32, index int64) []byte {
	return binary.BigEndian.AppendUint64(numberKey(number), uint64(index))
}

func sizeKey(number uint32, size uint64) []byte {
	return binary.BigEndian.AppendUint64(numberKey(number), size)
}

// readLog returns the log of a number, or ErrNoLog.
func readLog(tx storage.Reader, number uint32) (l Log, err error) {
	value, err := tx.Get(logTable, numberKey(number))
	if errors.Is(err, storage.ErrNotFound) {
		return l, ErrNoLog
	}
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(value, &l); err != nil {
		return l, fmt.Errorf("%w: log %d: %w", storage.ErrCorrupt, number, err)
	}
	return l, nil
}

func (l Log) write(tx storage.Tx) error {
	value, err := json.Marshal(l)
	if err != nil {
		return err
	}
	tx.Put(logTable, numberKey(l.Number), value)
	return nil
}

// edge is a tree as far as an append needs it: the roots of the complete subtrees that it is made of, the
// largest first. It is kept in one row, so that an append reads the same at any size.
type edge struct {
	size  int64
	roots []tlog.Hash
}

// ReadHashes implements tlog.HashReader for the roots of the edge, which is all that an append and the
// root of the whole tree ask for.
func (e edge) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, len(indexes))
	at := 0
	for level := bits.Len64(uint64(e.size)) - 1; level >= 0; level-- {
		if e.size>>level&1 == 0 {
			continue
		}
		index := tlog.StoredHashIndex(level, e.size>>level-1)
		if len(hashes) < len(indexes) && indexes[len(hashes)] == index {
			hashes = append(hashes, e.roots[at])
		}
		at++
	}
	if len(hashes) != len(indexes) {
		return nil, fmt.Errorf("%w: the edge of a tree of %d leaves was asked for %d", storage.ErrCorrupt, e.size, indexes)
	}
	return hashes, nil
}

// add returns the edge with one more leaf, and the hashes to store for it.
func (e edge) add(leaf []byte) (edge, []tlog.Hash, error) { return e.addHash(tlog.RecordHash(leaf)) }

func (e edge) addHash(leaf tlog.Hash) (edge, []tlog.Hash, error) {
	hashes, err := tlog.StoredHashesForRecordHash(e.size, leaf, e)
	if err != nil {
		return e, nil, err
	}
	// The new leaf completed len(hashes)-1 subtrees, and swallowed as many roots.
	keep := len(e.roots) - (len(hashes) - 1)
	roots := append(e.roots[:keep:keep], hashes[len(hashes)-1])
	return edge{e.size + 1, roots}, hashes, nil
}

func (e edge) encode(number uint32) []byte {
	value := sizeKey(number, uint64(e.size))
	for _, root := range e.roots {
		value = append(value, root[:]...)
	}
	return value
}

// readHead returns the number of the newest log and its edge, or ErrNoLog.
func readHead(tx storage.Reader) (number uint32, e edge, err error) {
	value, err := tx.Get(headTable, headKey)
	if errors.Is(err, storage.ErrNotFound) {
		return 0, e, ErrNoLog
	}
	if err != nil {
		return 0, e, err
	}
	if len(value) < 12 {
		return 0, e, fmt.Errorf("%w: the head of the log has %d bytes", storage.ErrCorrupt, len(value))
	}
	number, e.size = binary.BigEndian.Uint32(value), int64(binary.BigEndian.Uint64(value[4:]))
	roots := value[12:]
	if e.size < 0 || len(roots) != bits.OnesCount64(uint64(e.size))*tlog.HashSize {
		return 0, e, fmt.Errorf("%w: the head of the log has %d bytes, which is not right for %d leaves", storage.ErrCorrupt, len(value), e.size)
	}
	for ; len(roots) > 0; roots = roots[tlog.HashSize:] {
		e.roots = append(e.roots, tlog.Hash(roots))
	}
	return number, e, nil
}

// sizeOf reads the size in a key that sizeKey begins.
func sizeOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[4:]) }

// HeadReads are what ReadHead reads, for a transaction to declare. There are few logs.
func HeadReads() []storage.Read {
	return []storage.Read{storage.Row(headTable, headKey), storage.Rows(logTable, nil, nil)}
}
