package provenance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// ReadReceipt returns the receipt of a record as of the moment at which it was made: proved by the checkpoint that its own
// leaf ended, with the log's signature that was kept then and no cosignature. Nothing that happens later changes its bytes,
// neither a restored backup nor a stolen key, so it can be copied about under its digest. Its slices are valid as long as
// the transaction is.
//
// Errors: ErrNoRecord, ErrNotSigned, ErrUnproved for a record of an older version, which kept no such signature, and
// checkpoint.ErrInvalid for a signature that does not fit the hashes of the log.
func ReadReceipt(tx storage.Reader, index uint64) (*receipt.Receipt, error) {
	s, err := ReadSignedRecord(tx, index)
	if err != nil {
		return nil, err
	}
	ended, err := readEnded(tx, index)
	if err != nil {
		return nil, err
	}
	if ended == nil {
		return nil, fmt.Errorf("record %d: %w", index, ErrUnproved)
	}
	tree, err := log.OpenEntry(tx, index)
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", index, err)
	}
	leaf := index - tree.First
	r := &receipt.Receipt{Payload: s.Payload, Signature: s.Signature, Key: s.Key, Leaf: leaf}
	r.LogID = receipt.Log{Origin: tree.Origin, Key: tree.Key}.ID()
	if r.Proof, err = tree.Inclusion(leaf, leaf+1); err != nil {
		return nil, err
	}
	r.Checkpoint, err = tree.SignedBefore(leaf+1, ended)
	return r, err
}

// maxKeySteps bounds the changes of keys that are carried with a record. Who missed more of them is given the rest by hand.
const maxKeySteps = 4

// ReadKeySteps returns the receipts of the records by which the key of a record came into force within its log, the newest
// maxKeySteps: each is signed by the key before, so who knows an earlier key of the log can follow. leaf is the record's place in
// that log. They come oldest first, and newest
// first where there were more: what was made so is for ever. A change that an older version recorded has no such receipt, so the steps
// end there. Errors: as ReadReceipt, but for ErrUnproved.
func ReadKeySteps(tx storage.Reader, index, leaf uint64) (steps []*receipt.Receipt, err error) {
	for item, err := range tx.ScanReverse(keyTable, indexKey(index-leaf+1), indexKey(index+1)) {
		if err != nil || len(steps) == maxKeySteps {
			return steps, err
		}
		step, err := ReadReceipt(tx, lastIndex(item.Key)-1)
		if errors.Is(err, ErrUnproved) {
			break
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	slices.Reverse(steps)
	return steps, nil
}
