package provenance

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrUnproved says that the log cannot prove something at the size asked for.
var ErrUnproved = fault.New(fault.Missing, "the log has no such checkpoint to prove it with")

// ErrNotSigned says that a record has no receipt, and never will.
var ErrNotSigned = fault.New(fault.Missing, "it is from before there was a log: it was found, and nobody is known to have seen it happen, so it has no receipt")

// A SignedRecord is what is stored of a record for its receipt.
type SignedRecord struct {
	Payload   []byte // the in-toto statement
	Signature []byte
	Key       *receipt.Key
}

// Body returns the leaf that the log has of the record.
func (s SignedRecord) Body() []byte { return receipt.Body(s.Payload, s.Signature, s.Key) }

// ReadSignedRecord returns what is stored of a record in the caller's transaction, or ErrNoRecord or ErrNotSigned. Its slices are
// valid as long as the transaction is.
func ReadSignedRecord(tx storage.Reader, index uint64) (s SignedRecord, err error) {
	if s.Payload, s.Signature, err = readSigned(tx, index); err != nil {
		return s, err
	}
	s.Key, err = keyOf(tx, index)
	return s, err
}

// readSigned is ReadSignedRecord without the key.
func readSigned(tx storage.Reader, index uint64) (payload, signature []byte, err error) {
	if payload, err = readStatement(tx, index); err != nil {
		return nil, nil, err
	}
	if signature, err = tx.Get(signatureTable, indexKey(index)); errors.Is(err, storage.ErrNotFound) {
		return payload, nil, unsigned(tx, index)
	}
	return payload, signature, err
}

// unsigned is the error for a record that has no signature.
func unsigned(tx storage.Reader, index uint64) error {
	before, err := isBeforeLog(tx, index)
	switch {
	case err != nil:
		return err
	case before:
		return fmt.Errorf("record %d: %w", index, ErrNotSigned)
	default:
		return fmt.Errorf("%w: record %d has no signature", storage.ErrCorrupt, index)
	}
}

// receipt gives use what the receipt of a record is made of, as Receipt has it.
func (b *Book) receipt(ctx context.Context, index uint64, at *uint64, use func(*receipt.Receipt) error) error {
	return b.store.View(ctx, func(tx storage.Reader) error {
		s, err := ReadSignedRecord(tx, index)
		if err != nil {
			return err
		}
		tree, err := log.OpenEntry(tx, index)
		if err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
		r, err := b.prove(tx, tree, s, index-tree.First, at)
		if err != nil {
			return err
		}
		return use(r) // here: what it is made of is valid as long as the transaction
	})
}

// Receipt returns the receipt of a record: a sigstore bundle. at is the size of the log whose checkpoint
// proves it; nil is the newest cosigned checkpoint that covers the record, or else the newest of all. In a closed log it is
// the last one of what is kept, because nothing else counts for those who demand no witness.
// Errors: ErrNoRecord, ErrNotSigned, ErrUnproved.
func (b *Book) Receipt(ctx context.Context, index uint64, at *uint64) (bundle []byte, err error) {
	err = b.receipt(ctx, index, at, func(r *receipt.Receipt) (err error) {
		bundle, err = r.Bundle()
		return err
	})
	return bundle, err
}

// TlogProof returns the proof of a record's leaf without the record: a C2SP tlog-proof, by the same checkpoint as its
// receipt, with the same errors.
func (b *Book) TlogProof(ctx context.Context, index uint64, at *uint64) (proof []byte, err error) {
	err = b.receipt(ctx, index, at, func(r *receipt.Receipt) error {
		proof = r.TlogProof()
		return nil
	})
	return proof, err
}

func (b *Book) prove(tx storage.Reader, tree *log.Tree, s SignedRecord, leaf uint64, at *uint64) (*receipt.Receipt, error) {
	size, err := sizeFor(tree, leaf, at)
	if err != nil {
		return nil, err
	}
	r := &receipt.Receipt{Payload: s.Payload, Signature: s.Signature, Key: s.Key, Leaf: leaf}
	r.LogID = receipt.Log{Origin: tree.Origin, Key: tree.Key}.ID()
	if r.Proof, err = tree.Inclusion(leaf, size); err != nil {
		return nil, err
	}
	r.Checkpoint, err = b.checkpoint(tx, tree, size)
	return r, err
}

// sizeFor chooses the checkpoint that a receipt is proved with.
func sizeFor(tree *log.Tree, leaf uint64, at *uint64) (uint64, error) {
	if at != nil {
		if tree.Closed != nil && *at > tree.Size {
			return 0, fmt.Errorf("%w: the log %s was closed (%s) and %d of its leaves are kept, so nothing is proved against its checkpoint of %d any more; "+
				"ask for a size from %d to %d, or for none", ErrUnproved, tree.Origin, tree.Closed.Reason, tree.Size, *at, leaf+1, tree.Size)
		}
		if *at <= leaf || *at > tree.Size {
			return 0, fmt.Errorf("%w: the record is leaf %d of the log %s, which has %d leaves, so the size can be from %d to %d",
				ErrUnproved, leaf, tree.Origin, tree.Size, leaf+1, tree.Size)
		}
		return *at, nil
	}
	if tree.Closed != nil {
		return tree.Size, nil
	}
	if size, ok, err := tree.Cosigned(tree.Size); err != nil || ok && size > leaf {
		return size, err
	}
	return tree.Size, nil
}

// checkpoint returns the signed checkpoint of a size, with the cosignatures that it has.
func (b *Book) checkpoint(tx storage.Reader, tree *log.Tree, size uint64) (string, error) {
	signed, err := tree.SignedCheckpoint(size)
	if !errors.Is(err, log.ErrSize) {
		return signed, err
	}
	if signed, err = signedBefore(tx, tree, size); !errors.Is(err, checkpoint.ErrInvalid) {
		return signed, err
	}
	return b.signAgain(tree, size)
}

// signedBefore returns the checkpoint of a size by the signature that is kept with the record which was its last leaf.
// Error: checkpoint.ErrInvalid, where none is kept, or none that fits.
func signedBefore(tx storage.Reader, tree *log.Tree, size uint64) (string, error) {
	if size == 0 {
		return "", checkpoint.ErrInvalid
	}
	ended, err := readEnded(tx, tree.First+size-1)
	if err != nil {
		return "", err
	}
	return tree.SignedBefore(size, ended)
}

// signAgain signs the checkpoint of a size again, which gives the same bytes, where the newest one proves it. It is for
// records of older versions, which kept no signature, and only as long as the log's key is at hand.
func (b *Book) signAgain(tree *log.Tree, size uint64) (string, error) {
	key := b.keys.Load().log(tree.Key)
	if key == nil {
		return "", fmt.Errorf("%w: the key of the log %s is not at hand, and the checkpoint of %d leaves was not kept; that of %d was", ErrUnproved, tree.Origin, size, tree.Size)
	}
	if err := b.Stopped(); err != nil {
		return "", err
	}
	c, err := tree.CheckpointAt(size)
	if err != nil {
		return "", err
	}
	follows, err := tree.Follows(c)
	if err != nil {
		return "", err
	}
	if !follows {
		return "", disagreef("the newest checkpoint of the log %s does not continue what its hashes say of %d leaves", tree.Origin, size)
	}
	return c.Sign(key)
}

// Checkpoint returns the newest signed checkpoint of a log, with the cosignatures that it has. The origin
// "" is the newest log. Error: log.ErrNoLog.
func (b *Book) Checkpoint(ctx context.Context, origin string) (signed string, err error) {
	err = b.inLog(ctx, origin, func(_ storage.Reader, tree *log.Tree) error {
		signed, err = tree.SignedCheckpoint(tree.Size)
		return err
	})
	return signed, err
}

// CosignedCheckpoint returns the newest checkpoint of a log that has a cosignature, or that of a witness, NAME+HASH.
// Errors: log.ErrNoLog, log.ErrSize when there is none.
func (b *Book) CosignedCheckpoint(ctx context.Context, origin, witness string) (signed string, err error) {
	err = b.inLog(ctx, origin, func(_ storage.Reader, tree *log.Tree) error {
		size, ok, err := tree.Cosigned(tree.Size)
		if witness != "" && err == nil {
			size, ok, err = tree.CosignedBy(witness)
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("log %s: no checkpoint is cosigned yet%s: %w", tree.Origin, byWhom(witness), log.ErrSize)
		}
		signed, err = tree.SignedCheckpoint(size)
		return err
	})
	return signed, err
}

func byWhom(witness string) string {
	if witness == "" {
		return ""
	}
	return fmt.Sprintf(" by %.100q", witness)
}

// Tile returns a tile of a log: hashes, or a bundle of entries. Errors: log.ErrNoLog, log.ErrSize.
func (b *Book) Tile(ctx context.Context, origin string, tile tlog.Tile) (data []byte, err error) {
	err = b.inLog(ctx, origin, func(tx storage.Reader, tree *log.Tree) error {
		if tile.L != log.Entries {
			data, err = tree.Tile(tile)
			return err
		}
		data, err = tree.Bundle(tile, func(entry uint64) ([]byte, error) {
			s, err := ReadSignedRecord(tx, entry)
			if err != nil {
				return nil, err
			}
			return s.Body(), nil
		})
		return err
	})
	return data, err
}

// Consistency proves that a log of the size new begins with that of the size old. Errors: log.ErrNoLog,
// log.ErrSize.
func (b *Book) Consistency(ctx context.Context, origin string, old, new uint64) (proof tlog.TreeProof, err error) {
	err = b.inLog(ctx, origin, func(_ storage.Reader, tree *log.Tree) error {
		proof, err = tree.Consistency(old, new)
		return err
	})
	return proof, err
}

func (b *Book) inLog(ctx context.Context, origin string, fn func(storage.Reader, *log.Tree) error) error {
	return b.store.View(ctx, func(tx storage.Reader) error {
		tree, err := log.Open(tx, origin)
		if err != nil {
			return err
		}
		return fn(tx, tree)
	})
}
