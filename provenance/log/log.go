// Package log is the transparency log: an append-only Merkle tree (RFC 6962) kept in tables of a
// storage.Store, so that an append commits together with what it is about.
//
// Anybody who keeps a checkpoint of the log can prove later that nothing in it was changed, dropped or
// inserted. sumdb/tlog computes the tree; this package has its rows, its checkpoints, its proofs, and
// its tiles as C2SP tlog-tiles names them. The package does not know what a leaf means, and stores no
// leaves: the code that appends them can compute them again.
//
// A registry has a sequence of logs, nearly always one. Each has a name of its own (its origin), an Ed25519
// key of its own, and goes on from the entry at which the one before it was closed. A log is closed, and a
// new one begun, when continuing it would be a lie: after a restored backup, and after its key was stolen.
package log

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The errors of this package, beside those of storage.
var (
	// ErrNoLog: there is no log yet, or none of that name.
	ErrNoLog = fault.New(fault.Missing, "there is no such log")
	// ErrSize: the log has not that many leaves.
	ErrSize = fault.New(fault.Missing, "the log has not that size")
	// ErrKey: a key is not the one that the log's checkpoints are signed with.
	ErrKey = errors.New("it is not the key of this log")
)

// A Log is one tree: its name, its key, and which entries of the whole sequence are its leaves.
type Log struct {
	Number uint32            `json:"number"` // from 0 on, in the order of the sequence
	Origin string            `json:"origin"` // a host name, which need not resolve
	Key    ed25519.PublicKey `json:"key"`
	First  uint64            `json:"first"` // the entry that is leaf 0
	Begun  time.Time         `json:"begun"`
	// Closed says how the log ended. It is nil for the newest one.
	Closed *End `json:"closed,omitempty"`
}

// An End says how a log was closed.
type End struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
	// Checkpoint is the last one, signed by the log's key; or, after a restored backup, the last one known.
	Checkpoint string `json:"checkpoint"`
}

// Verifier returns what checks the log's signatures.
func (l Log) Verifier() (note.Verifier, error) { return checkpoint.NewVerifier(l.Origin, l.Key) }

// A Head is where the newest log ends, as one transaction sees it.
type Head struct {
	Log
	edge edge
}

// ReadHead returns the head, or ErrNoLog before the first Begin.
func ReadHead(tx storage.Reader) (h Head, err error) {
	number, e, err := readHead(tx)
	if err != nil {
		return h, err
	}
	h.edge = e
	h.Log, err = readLog(tx, number)
	return h, err
}

// Size returns the number of leaves.
func (h Head) Size() uint64 { return uint64(h.edge.size) }

// Next returns the entry that the next leaf will be of.
func (h Head) Next() uint64 { return h.First + h.Size() }

// Checkpoint returns the statement of the head about itself, unsigned.
func (h Head) Checkpoint() (checkpoint.Checkpoint, error) {
	root, err := tlog.TreeHash(h.edge.size, h.edge)
	return checkpoint.Checkpoint{Origin: h.Origin, Size: h.Size(), Root: root}, err
}

// An Appended leaf has what proves it at the size that it made.
type Appended struct {
	// Signature is that of the checkpoint, 64 bytes: anyone who keeps it with the entry can give the checkpoint again when
	// the key is gone (Tree.SignedBefore).
	Signature  []byte
	Checkpoint string // signed
	Proof      tlog.RecordProof
}

// Append adds a leaf to the log that ends in this head, and the checkpoint that covers it, in the caller's
// transaction. The head moves on. Error: ErrKey.
func (h *Head) Append(tx storage.Tx, leaf []byte, key ed25519.PrivateKey) (a Appended, err error) {
	next, hashes, err := h.edge.add(leaf)
	if err != nil {
		return a, err
	}
	// What the newest leaf needs for its proof are the trees that it stands beside: the edge as it was.
	if a.Proof, err = tlog.ProveRecord(next.size, h.edge.size, h.edge); err != nil {
		return a, err
	}
	index := tlog.StoredHashCount(h.edge.size)
	for i, hash := range hashes {
		tx.Put(hashTable, hashKey(h.Number, index+int64(i)), hash[:])
	}
	h.edge = next
	a.Checkpoint, a.Signature, err = h.write(tx, key)
	return a, err
}

// write keeps the head with a checkpoint of it, which it returns with its bare signature.
func (h *Head) write(tx storage.Tx, key ed25519.PrivateKey) (signed string, signature []byte, err error) {
	if !h.Key.Equal(key.Public()) {
		return "", nil, fmt.Errorf("log %s: %w", h.Origin, ErrKey)
	}
	c, err := h.Checkpoint()
	if err != nil {
		return "", nil, err
	}
	signature = c.Signature(key)
	if signed, err = c.WithSignature(h.Key, signature); err != nil {
		return "", nil, err
	}
	tx.Put(headTable, headKey, h.edge.encode(h.Number))
	tx.Put(checkpointTable, numberKey(h.Number), []byte(signed))
	return signed, signature, nil
}

// Begin begins a log, whose first leaf will be of the entry first. Where there is a log already it has to
// be closed. The empty log has a checkpoint too.
func Begin(tx storage.Tx, origin string, key ed25519.PrivateKey, first uint64, now time.Time) (Head, error) {
	l := Log{Origin: origin, Key: key.Public().(ed25519.PublicKey), First: first, Begun: now.UTC().Truncate(time.Second)}
	before, err := ReadHead(tx)
	switch {
	case errors.Is(err, ErrNoLog):
	case err != nil:
		return Head{}, err
	case before.Closed == nil:
		return Head{}, fmt.Errorf("log %s is not closed", before.Origin)
	default:
		l.Number = before.Number + 1
	}
	h := Head{Log: l}
	if err := l.write(tx); err != nil {
		return h, err
	}
	_, _, err = h.write(tx, key)
	return h, err
}

// Keep puts a signed checkpoint of the head in place of a newer one, of leaves that are lost: a closed log has the size
// that its newest checkpoint says.
func (h *Head) Keep(tx storage.Tx, signed string) {
	tx.Put(checkpointTable, numberKey(h.Number), []byte(signed))
}

// Close ends the log: its head takes no leaves any more, and Begin may follow.
func (h *Head) Close(tx storage.Tx, end End) error {
	end.Time = end.Time.UTC().Truncate(time.Second)
	h.Closed = &end
	return h.Log.write(tx)
}

// Logs returns all logs, the newest last.
func Logs(tx storage.Reader) (logs []Log, err error) {
	h, err := ReadHead(tx)
	if errors.Is(err, ErrNoLog) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for number := range h.Number {
		l, err := readLog(tx, number)
		if errors.Is(err, ErrNoLog) {
			err = fmt.Errorf("%w: there are %d logs, and no row of number %d of them", storage.ErrCorrupt, h.Number+1, number+1)
		}
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
	}
	return append(logs, h.Log), nil
}
