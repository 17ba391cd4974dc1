package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// A Tree reads one log of the sequence, at the size that it has in a transaction.
type Tree struct {
	Log
	Size uint64
	tx   storage.Reader
}

// Open returns the tree of a log in the sequence, or of the newest one for the origin "". Error: ErrNoLog.
func Open(tx storage.Reader, origin string) (*Tree, error) {
	h, err := ReadHead(tx)
	if err != nil {
		return nil, err
	}
	if origin == "" || origin == h.Origin {
		return &Tree{h.Log, h.Size(), tx}, nil
	}
	for number := range h.Number {
		l, err := readLog(tx, number)
		if err != nil {
			return nil, err
		}
		if l.Origin == origin {
			return openClosed(tx, l)
		}
	}
	return nil, fmt.Errorf("log %.100q: %w", origin, ErrNoLog)
}

// openClosed returns a closed log: its newest checkpoint says what size it has here. After a restored
// backup that is less than its last known checkpoint says.
func openClosed(tx storage.Reader, l Log) (*Tree, error) {
	t := &Tree{Log: l, tx: tx}
	signed, err := t.Checkpoint()
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.Parse(signed)
	t.Size = c.Size
	return t, err
}

// OpenEntry returns the tree that an entry of the sequence is a leaf of. Error: ErrSize when there is none.
func OpenEntry(tx storage.Reader, entry uint64) (*Tree, error) {
	h, err := ReadHead(tx)
	if err != nil {
		return nil, err
	}
	l := h.Log
	for l.First > entry && l.Number > 0 {
		if l, err = readLog(tx, l.Number-1); err != nil {
			return nil, err
		}
	}
	t, err := Open(tx, l.Origin)
	if err == nil && (entry < t.First || entry >= t.First+t.Size) {
		return nil, fmt.Errorf("entry %d: %w", entry, ErrSize)
	}
	return t, err
}

// Checkpoint returns the newest signed checkpoint, without cosignatures.
func (t *Tree) Checkpoint() (string, error) {
	signed, err := t.tx.Get(checkpointTable, numberKey(t.Number))
	if errors.Is(err, storage.ErrNotFound) {
		return "", fmt.Errorf("%w: log %s has no checkpoint", storage.ErrCorrupt, t.Origin)
	}
	return string(signed), err
}

// CheckpointAt returns what the log's checkpoint said when it had that many leaves, unsigned. Error: ErrSize.
func (t *Tree) CheckpointAt(size uint64) (c checkpoint.Checkpoint, err error) {
	if size > t.Size {
		return c, fmt.Errorf("%w: it has %d leaves, and %d are asked for", ErrSize, t.Size, size)
	}
	root, err := tlog.TreeHash(int64(size), t)
	return checkpoint.Checkpoint{Origin: t.Origin, Size: size, Root: root}, err
}

// Inclusion proves that a leaf is in the tree as it was at a size. Error: ErrSize.
func (t *Tree) Inclusion(leaf, size uint64) (tlog.RecordProof, error) {
	if size > t.Size || leaf >= size {
		return nil, fmt.Errorf("%w: leaf %d at size %d of %d", ErrSize, leaf, size, t.Size)
	}
	return tlog.ProveRecord(int64(size), int64(leaf), t)
}

// Consistency proves that the tree of the size new begins with the tree of the size old. Error: ErrSize.
func (t *Tree) Consistency(old, new uint64) (tlog.TreeProof, error) {
	if old == 0 || old > new || new > t.Size {
		return nil, fmt.Errorf("%w: from %d to %d of %d", ErrSize, old, new, t.Size)
	}
	return tlog.ProveTree(int64(new), int64(old), t)
}

// ReadHashes implements tlog.HashReader over the log's rows.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	keys := make([][]byte, len(indexes))
	for i, index := range indexes {
		keys[i] = hashKey(t.Number, index)
	}
	values, err := t.tx.GetMany(hashTable, keys)
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, value := range values {
		if len(value) != tlog.HashSize {
			level, n := tlog.SplitStoredHashIndex(indexes[i])
			return nil, fmt.Errorf("%w: log %s has no hash of level %d, number %d", storage.ErrCorrupt, t.Origin, level, n)
		}
		hashes[i] = tlog.Hash(value)
	}
	return hashes, nil
}

// SignedCheckpoint returns the signed checkpoint of a size, with its cosignatures. Only the newest and the
// cosigned ones are kept here; others are ErrSize, and anyone who has their signature or the key can make them again.
func (t *Tree) SignedCheckpoint(size uint64) (string, error) {
	var signed strings.Builder
	from := sizeKey(t.Number, size)
	for item, err := range t.tx.Scan(cosignatureTable, from, storage.PrefixEnd(from)) {
		if err != nil {
			return "", err
		}
		signed.Write(item.Value) // the log's own comes first: its key is the shortest
	}
	switch {
	case signed.Len() > 0:
		return signed.String(), nil
	case size == t.Size:
		return t.Checkpoint()
	default:
		return "", fmt.Errorf("log %s: the checkpoint of %d leaves is not kept: %w", t.Origin, size, ErrSize)
	}
}

// SignedBefore returns the checkpoint of a size with the signature that Append returned for it, as long as the hashes
// that are kept still say the same. Errors: ErrSize, checkpoint.ErrInvalid.
func (t *Tree) SignedBefore(size uint64, signature []byte) (string, error) {
	c, err := t.CheckpointAt(size)
	if err != nil {
		return "", err
	}
	return c.SignedBefore(t.Key, signature)
}

// PutCosignature keeps a witness's signature line over the checkpoint of a size. signed is that checkpoint
// as SignedCheckpoint gives it, or as the log's key signs it. witness tells the witness's key from all others,
// as NAME+HASH; a later line of the same key takes the place of an earlier one.
func (t *Tree) PutCosignature(tx storage.Tx, size uint64, signed, witness, line string) error {
	last, ok, err := cosignedBy(tx, t.Number, witness)
	if err != nil {
		return err
	}
	key := sizeKey(t.Number, size)
	text, rest, _ := strings.Cut(signed, "\n\n")
	own, _, _ := strings.Cut(rest, "\n") // the log's own signature is the first
	tx.Put(cosignatureTable, key, []byte(text+"\n\n"+own+"\n"))
	tx.Put(cosignatureTable, append(key, witness...), []byte(strings.TrimSuffix(line, "\n")+"\n"))
	if !ok || last < size {
		tx.Put(witnessTable, witnessKey(t.Number, witness), binary.BigEndian.AppendUint64(nil, size))
	}
	return nil
}

// CosignedBy returns the size of the largest checkpoint that a witness, NAME+HASH, cosigned, if it is known.
func (t *Tree) CosignedBy(witness string) (size uint64, ok bool, err error) {
	return cosignedBy(t.tx, t.Number, witness)
}

func witnessKey(number uint32, witness string) []byte { return append(numberKey(number), witness...) }

func cosignedBy(tx storage.Reader, number uint32, witness string) (size uint64, ok bool, err error) {
	value, err := tx.Get(witnessTable, witnessKey(number, witness))
	if errors.Is(err, storage.ErrNotFound) {
		return 0, false, nil
	}
	if err == nil && len(value) != 8 {
		err = fmt.Errorf("%w: what %s cosigned last has %d bytes", storage.ErrCorrupt, witness, len(value))
	}
	if err != nil {
		return 0, false, err
	}
	return binary.BigEndian.Uint64(value), true, nil
}

// Cosigned returns the largest size up to atMost of which there is a cosigned checkpoint.
func (t *Tree) Cosigned(atMost uint64) (size uint64, ok bool, err error) {
	for item, err := range t.tx.ScanReverse(cosignatureTable, sizeKey(t.Number, 0), storage.PrefixEnd(sizeKey(t.Number, atMost))) {
		if err != nil {
			return 0, false, err
		}
		return sizeOf(item.Key), true, nil
	}
	return 0, false, nil
}
