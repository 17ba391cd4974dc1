package log

import (
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// Examine holds the head of the newest log against what else is stored of its end, and says what contradicts it, as the
// end of a sentence; "" when nothing does. It reads as much at any size: no leaf, and a few hashes.
func (h Head) Examine(tx storage.Reader) (why string, err error) {
	for _, look := range []func(storage.Reader) (string, error){h.examineSigned, h.examineBehind, h.examineCosigned} {
		if why, err = look(tx); err != nil || why != "" {
			break
		}
	}
	if errors.Is(err, storage.ErrCorrupt) {
		return "and it is damaged: " + err.Error(), nil
	}
	return why, err
}

// examineSigned wants the newest signed checkpoint to be of the head.
func (h Head) examineSigned(tx storage.Reader) (string, error) {
	tree := &Tree{h.Log, h.Size(), tx}
	signed, err := tree.Checkpoint()
	if err != nil {
		return "", err
	}
	v, err := h.Verifier()
	if err != nil {
		return "", err
	}
	found, err := checkpoint.Open(signed, v)
	if err != nil {
		return fmt.Sprintf("and its newest checkpoint is not signed by it (%v)", err), nil
	}
	is, err := h.Checkpoint()
	switch {
	case err != nil:
		return "", err
	case found.Size != is.Size:
		return fmt.Sprintf("and its newest signed checkpoint says %d", found.Size), nil
	case found.Root != is.Root:
		return "and its newest signed checkpoint has another root", nil
	}
	return "", nil
}

// examineBehind wants no hash, no cosignature and no log behind the end.
func (h Head) examineBehind(tx storage.Reader) (string, error) {
	for _, rest := range []struct {
		table storage.Table
		from  []byte
		what  string
	}{
		{hashTable, hashKey(h.Number, tlog.StoredHashCount(int64(h.Size()))), "hash"},
		{cosignatureTable, sizeKey(h.Number, h.Size()+1), "cosignature"},
		{logTable, numberKey(h.Number + 1), "log"},
		{checkpointTable, numberKey(h.Number + 1), "checkpoint"},
	} {
		for _, err := range tx.Scan(rest.table, rest.from, nil) {
			return "and a " + rest.what + " behind them is kept", err
		}
	}
	return "", nil
}

// examineCosigned wants the log to continue the largest checkpoint that a witness cosigned.
func (h Head) examineCosigned(tx storage.Reader) (string, error) {
	tree := &Tree{h.Log, h.Size(), tx}
	size, ok, err := tree.Cosigned(h.Size())
	if err != nil || !ok {
		return "", err
	}
	signed, err := tree.SignedCheckpoint(size)
	if err != nil {
		return "", err
	}
	continues, err := tree.Continues(signed)
	if err == nil && !continues {
		return fmt.Sprintf("and does not continue the checkpoint of %d leaves that is cosigned", size), nil
	}
	return "", err
}

// Continues says whether a text is a checkpoint that the log signed, and this tree continues it.
func (t *Tree) Continues(signed string) (bool, error) {
	v, err := t.Verifier()
	if err != nil {
		return false, err
	}
	then, err := checkpoint.Open(signed, v)
	if err != nil {
		return false, nil //nolint:nilerr // whatever it is, it is not one of this log
	}
	return t.Follows(then)
}

// IsLast says whether the last leaf is this one.
func (h Head) IsLast(tx storage.Reader, leaf []byte) (bool, error) {
	if h.Size() == 0 {
		return false, nil
	}
	stored, err := (&Tree{h.Log, h.Size(), tx}).ReadHashes([]int64{tlog.StoredHashIndex(0, int64(h.Size())-1)})
	if errors.Is(err, storage.ErrCorrupt) {
		return false, nil
	}
	return err == nil && stored[0] == tlog.RecordHash(leaf), err
}

// Remains says whether anything is stored of a log, where there is no head.
func Remains(tx storage.Reader) (bool, error) {
	for _, table := range []storage.Table{logTable, hashTable, checkpointTable, cosignatureTable, witnessTable} {
		for _, err := range tx.Scan(table, nil, nil) {
			return true, err
		}
	}
	return false, nil
}

// First returns the entry that the first log of all begins with, or ErrNoLog.
func First(tx storage.Reader) (uint64, error) {
	l, err := readLog(tx, 0)
	if errors.Is(err, ErrNoLog) {
		if _, _, noHead := readHead(tx); !errors.Is(noHead, ErrNoLog) {
			return 0, fmt.Errorf("%w: there is a log, and no row of the first", storage.ErrCorrupt)
		}
	}
	return l.First, err
}

// Follows says whether the newest signed checkpoint is of a tree that begins with an older one, by the proof that others
// would be given. Where a hash was changed it is not.
func (t *Tree) Follows(old checkpoint.Checkpoint) (bool, error) {
	signed, err := t.Checkpoint()
	if err != nil {
		return false, err
	}
	v, err := t.Verifier()
	if err != nil {
		return false, err
	}
	now, err := checkpoint.Open(signed, v)
	if err != nil {
		return false, nil //nolint:nilerr // it is not signed by the log
	}
	return t.follows(now, old)
}

// Follows says whether the head is of a tree that begins with an older one.
func (h Head) Follows(tx storage.Reader, old checkpoint.Checkpoint) (bool, error) {
	now, err := h.Checkpoint()
	if err != nil {
		return false, err
	}
	return (&Tree{h.Log, h.Size(), tx}).follows(now, old)
}

func (t *Tree) follows(now, old checkpoint.Checkpoint) (bool, error) {
	if old.Size > now.Size || now.Size > t.Size {
		return false, nil
	}
	if old.Size == 0 {
		return true, nil // every tree begins with the empty one
	}
	proof, err := t.Consistency(old.Size, now.Size)
	if err != nil {
		return false, err
	}
	return tlog.CheckTree(proof, int64(now.Size), now.Root, int64(old.Size), old.Root) == nil, nil
}
