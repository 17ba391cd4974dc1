package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// A Prover makes the receipts of many records: those of one log are all proved with the same checkpoint, which was chosen
// when the Prover was made. What is alike for many records it reads once. One goroutine uses it at a time.
type Prover struct {
	store storage.Store
	keys  []KeyRange
	logs  []provedLog
}

// A provedLog is a log with the checkpoint that its receipts are proved with.
type provedLog struct {
	LogCheckpoint
	id []byte // as bundles name it
}

// A LogCheckpoint is a log, and one of its checkpoints.
type LogCheckpoint struct {
	Origin string
	First  uint64 // the index of its first record
	Size   uint64 // of the checkpoint, in leaves
	Signed string // the checkpoint, with the cosignatures that it has
}

// Prover returns what makes the receipts of the records up to and including one. It proves each log with the checkpoint with
// which that record's receipt would be proved, or, of an earlier log, its last one. Error: ErrNoRecord, log.ErrNoLog.
func (b *Book) Prover(ctx context.Context, newest uint64) (p *Prover, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		p = &Prover{store: b.store}
		if p.keys, err = readKeyRanges(tx); err != nil {
			return err
		}
		end, err := Count(tx)
		if err != nil {
			return err
		}
		if newest >= end {
			return fmt.Errorf("record %d: %w", newest, ErrNoRecord)
		}
		logs, err := log.Logs(tx)
		for _, l := range logs {
			if l.First <= newest && err == nil {
				err = p.add(tx, b, l.Origin, newest)
			}
		}
		return err
	})
	return p, err
}

// add chooses the checkpoint of a log.
func (p *Prover) add(tx storage.Reader, b *Book, origin string, newest uint64) error {
	tree, err := log.Open(tx, origin)
	if err != nil || tree.Size == 0 {
		return err
	}
	l := provedLog{LogCheckpoint{Origin: origin, First: tree.First}, receipt.Log{Origin: origin, Key: tree.Key}.ID()}
	if l.Size, err = sizeFor(tree, min(newest-tree.First, tree.Size-1), nil); err != nil {
		return err
	}
	l.Signed, err = b.checkpoint(tx, tree, l.Size)
	p.logs = append(p.logs, l)
	return err
}

// Checkpoints are the logs, the newest last, with what their receipts are proved with.
func (p *Prover) Checkpoints() (all []LogCheckpoint) {
	for _, l := range p.logs {
		all = append(all, l.LogCheckpoint)
	}
	return all
}

// Receipts returns what the receipts of some records are made of, in the order asked, and nil for one that is from before
// there was a log. All are read in one transaction: ask for no more than a page at once. Errors: ErrNoRecord, ErrUnproved,
// storage.ErrCorrupt.
func (p *Prover) Receipts(ctx context.Context, indexes []uint64) (all []*receipt.Receipt, err error) {
	err = p.store.View(ctx, func(tx storage.Reader) error {
		all = make([]*receipt.Receipt, len(indexes))
		trees := map[string]*seenHashes{}
		for i, index := range indexes {
			r, err := p.prove(tx, trees, index)
			if err != nil && !errors.Is(err, ErrNotSigned) {
				return err
			}
			all[i] = r
		}
		return nil
	})
	return all, err
}

// Receipts returns the receipts of some records, against the newest checkpoint: see [Prover.Receipts].
func (b *Book) Receipts(ctx context.Context, indexes []uint64) ([]*receipt.Receipt, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	p, err := b.Prover(ctx, slices.Max(indexes))
	if err != nil {
		return nil, err
	}
	return p.Receipts(ctx, indexes)
}

func (p *Prover) prove(tx storage.Reader, trees map[string]*seenHashes, index uint64) (*receipt.Receipt, error) {
	payload, signature, err := readSigned(tx, index)
	if err != nil {
		return nil, err
	}
	l, err := p.logOf(index)
	if err != nil {
		return nil, err
	}
	hashes := trees[l.Origin]
	if hashes == nil {
		tree, err := log.Open(tx, l.Origin)
		if err != nil {
			return nil, err
		}
		hashes = &seenHashes{tree, map[int64]tlog.Hash{}}
		trees[l.Origin] = hashes
	}
	r := &receipt.Receipt{
		Payload: bytes.Clone(payload), Signature: bytes.Clone(signature), Key: p.keyOf(index),
		LogID: l.id, Leaf: index - l.First, Checkpoint: l.Signed,
	}
	if r.Key == nil {
		return nil, fmt.Errorf("%w: no receipt key is known for record %d", storage.ErrCorrupt, index)
	}
	r.Proof, err = tlog.ProveRecord(int64(l.Size), int64(r.Leaf), hashes)
	return r, err
}

// logOf returns the log that a record is in, whose checkpoint covers it.
func (p *Prover) logOf(index uint64) (l provedLog, err error) {
	for _, known := range p.logs {
		if known.First <= index {
			l = known
		}
	}
	if index < l.First || index-l.First >= l.Size {
		return l, fmt.Errorf("record %d: %w", index, ErrUnproved)
	}
	return l, nil
}

func (p *Prover) keyOf(index uint64) *receipt.Key {
	for _, k := range p.keys {
		if index >= k.From && (k.To == 0 || index < k.To) {
			return k.Key
		}
	}
	return nil
}

// seenHashes are the hashes of a tree, each read once: proofs of neighbours share nearly all of theirs.
type seenHashes struct {
	tree tlog.HashReader
	seen map[int64]tlog.Hash
}

// ReadHashes implements tlog.HashReader.
func (s *seenHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var missing []int64
	for _, i := range indexes {
		if _, ok := s.seen[i]; !ok {
			missing = append(missing, i)
		}
	}
	read, err := s.tree.ReadHashes(missing)
	if err != nil {
		return nil, err
	}
	for n, i := range missing {
		s.seen[i] = read[n]
	}
	hashes := make([]tlog.Hash, len(indexes))
	for n, i := range indexes {
		hashes[n] = s.seen[i]
	}
	return hashes, nil
}
