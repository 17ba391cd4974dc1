package provenance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// A KeyRange says which records a receipt key has signed.
type KeyRange struct {
	Key  *receipt.Key
	From uint64
	To   uint64 // exclusive; 0 for the key in force
}

// InForce are the public keys that the next record needs.
type InForce struct {
	Receipt string // the hint of the receipt key
	Log     log.Log
}

// InForce returns the keys that the next record needs, or log.ErrNoLog before the first Begin.
func (b *Book) InForce(ctx context.Context) (f InForce, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		h, err := log.ReadHead(tx)
		if err != nil {
			return err
		}
		f.Log = h.Log
		books, err := readHead(tx)
		f.Receipt = books.key
		return err
	})
	return f, err
}

// KeyRanges returns the receipt keys with the ranges of the records that they have signed, in order.
func (b *Book) KeyRanges(ctx context.Context) (ranges []KeyRange, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		ranges, err = readKeyRanges(tx)
		return err
	})
	return ranges, err
}

func readKeyRanges(tx storage.Reader) (ranges []KeyRange, err error) {
	for item, err := range tx.Scan(keyTable, nil, nil) {
		if err != nil {
			return nil, err
		}
		key, err := receipt.ParseKeyDER(item.Value)
		if err != nil {
			return nil, fmt.Errorf("%w: the receipt key from record %d on: %w", storage.ErrCorrupt, lastIndex(item.Key), err)
		}
		if n := len(ranges); n > 0 {
			ranges[n-1].To = lastIndex(item.Key)
		}
		ranges = append(ranges, KeyRange{Key: key, From: lastIndex(item.Key)})
	}
	return ranges, nil
}

// KeyEntries returns the receipt keys as those know them who verify receipts, in order.
func (b *Book) KeyEntries(ctx context.Context) ([]receipt.KeyEntry, error) {
	ranges, err := b.KeyRanges(ctx)
	entries := []receipt.KeyEntry{}
	for _, k := range ranges {
		bounds := receipt.Range{From: k.From}
		if k.To != 0 {
			bounds.To = &k.To
		}
		entries = append(entries, receipt.KeyEntry{Hint: k.Key.Hint(), PEM: string(k.Key.PEM()), Ranges: []receipt.Range{bounds}})
	}
	return entries, err
}

// keyOf returns the key that signed a record.
func keyOf(tx storage.Reader, index uint64) (*receipt.Key, error) {
	for item, err := range tx.ScanReverse(keyTable, nil, indexKey(index+1)) {
		if err != nil {
			return nil, err
		}
		key, err := receipt.ParseKeyDER(item.Value)
		if err != nil {
			err = fmt.Errorf("%w: the receipt key from record %d on: %w", storage.ErrCorrupt, lastIndex(item.Key), err)
		}
		return key, err
	}
	return nil, fmt.Errorf("%w: no receipt key is known for record %d", storage.ErrCorrupt, index)
}

// Logs returns all logs, the newest last.
func (b *Book) Logs(ctx context.Context) (logs []log.Log, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error { logs, err = log.Logs(tx); return err })
	return logs, err
}

// LogEntries returns all logs as those know them who verify receipts, the newest last.
func (b *Book) LogEntries(ctx context.Context) (entries []receipt.LogEntry, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		entries = []receipt.LogEntry{}
		logs, err := log.Logs(tx)
		for i, l := range logs {
			e := receipt.LogEntry{Origin: l.Origin, VKey: receipt.Log{Origin: l.Origin, Key: l.Key}.VKey(), First: &l.First, From: &l.Begun}
			if l.Closed != nil && i+1 < len(logs) && err == nil {
				e.Closed, err = closingOf(tx, l, logs[i+1].First-l.First)
			}
			entries = append(entries, e)
		}
		return err
	})
	return entries, err
}

// closingOf says how a log was closed, and what is kept of it: so many leaves, by the log that follows.
func closingOf(tx storage.Reader, l log.Log, leaves uint64) (*receipt.Closing, error) {
	last, err := checkpoint.Parse(l.Closed.Checkpoint)
	if err != nil {
		return nil, err
	}
	c := &receipt.Closing{Time: l.Closed.Time, Reason: l.Closed.Reason, Size: last.Size, Checkpoint: l.Closed.Checkpoint}
	tree, err := log.Open(tx, l.Origin)
	if err == nil && tree.Size == leaves && tree.Size < last.Size { // else somebody changed the store: fsck says so
		c.Kept, err = tree.Checkpoint()
	}
	return c, err
}

// Rotate puts another receipt key in force, from the record after its own on. The key that goes signs that
// record. Keep the new key's file before: if we stop after the commit, it is the only one that can sign.
func (b *Book) Rotate(ctx context.Context, who Identity, next *receipt.Signer) (r *Record, err error) {
	old := b.keys.Load()
	both := Keys{append(old.Receipts[:len(old.Receipts):len(old.Receipts)], next), old.Logs}
	b.keys.Store(&both) // before the commit: the very next transaction needs it
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		e := keyEvent(KeyChange, who, next.Key(), h.key, "rotated")
		if r, err = b.Append(tx, e); err != nil {
			return err
		}
		if h, err = readHead(tx); err != nil {
			return err
		}
		return b.putKey(tx, h, h.next, next.Key())
	})
	if err == nil {
		b.keys.Store(&Keys{[]*receipt.Signer{next}, old.Logs})
	}
	return r, err
}

func keyEvent(action Action, who Identity, key *receipt.Key, previous, reason string) Event {
	return Event{
		Action: action, Who: who,
		Digest: digest.NewDigestFromEncoded(digest.SHA256, key.Hint()),
		Key:    &KeyStep{Hint: key.Hint(), Previous: previous, Reason: reason},
	}
}

// An Ending says why a log is closed.
type Ending struct {
	Action Action // KeyChange or Restore
	Reason string // "stolen", "lost", "restored"
	// Checkpoint is the last signed checkpoint that is known of the log; "" is the newest one here. After a
	// restored backup somebody may have a later one.
	Checkpoint string
	// kept is the signed checkpoint of what is here, where it is not the newest that is stored.
	kept string
}

// Succeed closes the log with its last known checkpoint, and begins a new one with new keys of both kinds,
// whose first record names the end of the old one. It needs no key of the old log. Keep the files of the
// new keys before, as for Rotate.
func (b *Book) Succeed(ctx context.Context, who Identity, keys Keys, end Ending) (r *Record, err error) {
	return b.succeed(ctx, who, keys, func(tx storage.Reader) (Ending, error) { return end, b.mayFollow(tx) })
}

// succeed is Succeed with an ending that is found in the transaction, or the reason why there is none.
func (b *Book) succeed(ctx context.Context, who Identity, keys Keys, ending func(storage.Reader) (Ending, error)) (r *Record, err error) {
	if len(keys.Receipts) == 0 || len(keys.Logs) == 0 {
		return nil, ErrNoKey
	}
	err = b.store.View(ctx, func(tx storage.Reader) error { _, err := ending(tx); return err })
	if err != nil {
		return nil, err // before another key is thought to be in force
	}
	old := b.keys.Load()
	all := Keys{append(keys.Receipts[:1:1], old.Receipts...), append(keys.Logs[:1:1], old.Logs...)}
	b.keys.Store(&all)
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		end, err := ending(tx)
		if err != nil {
			return err
		}
		continues, err := closeLog(tx, end, b.now())
		if err != nil {
			return err
		}
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		if err := b.beginLog(tx, keys, h.next); err != nil {
			return err
		}
		e := keyEvent(end.Action, who, keys.Receipts[0].Key(), h.key, end.Reason)
		e.Continues = continues
		e.Continues.Records = h.next
		r, _, err = b.append(tx, e)
		return err
	})
	if err == nil {
		b.keys.Store(&keys) // what was stolen signs no more
	}
	return r, err
}

// mayFollow wants nothing to be wrong with the log that is to be closed: the first record of the next one signs how
// many records are before it.
func (b *Book) mayFollow(tx storage.Reader) error {
	if err := b.Stopped(); err != nil {
		return err
	}
	return examine(tx, b.recalled())
}

// closeLog closes the newest log, and says how it ended.
func closeLog(tx storage.Tx, end Ending, now time.Time) (*LogEnd, error) {
	h, err := log.ReadHead(tx)
	if err != nil {
		return nil, err
	}
	signed, err := lastCheckpoint(tx, h, end.Checkpoint)
	if err != nil {
		return nil, err
	}
	c, err := checkpoint.Parse(signed)
	if err != nil {
		return nil, err
	}
	if end.kept != "" {
		h.Keep(tx, end.kept)
	}
	e := log.End{Time: now, Reason: end.Reason, Checkpoint: signed}
	return &LogEnd{Origin: c.Origin, Size: c.Size, RootHash: c.Root[:], Checkpoint: signed}, h.Close(tx, e)
}

// lastCheckpoint returns the newest checkpoint here, or one that is known from elsewhere: it has to be signed
// by the log, and not be older.
func lastCheckpoint(tx storage.Reader, h log.Head, known string) (string, error) {
	tree, err := log.Open(tx, h.Origin)
	if err != nil {
		return "", err
	}
	if known == "" {
		return tree.Checkpoint()
	}
	v, err := h.Verifier()
	if err != nil {
		return "", err
	}
	c, err := checkpoint.Open(known, v)
	if err != nil {
		return "", err
	}
	if c.Size < h.Size() {
		return "", fmt.Errorf("that checkpoint has %d leaves, and the log here has %d: leave it out", c.Size, h.Size())
	}
	return known, nil
}

// Missing says which of the keys in force are not at hand, in words for the operator; "" when none is.
func (b *Book) Missing(ctx context.Context) (string, error) {
	f, err := b.InForce(ctx)
	if errors.Is(err, log.ErrNoLog) {
		return "there are no keys yet", nil
	}
	if err != nil {
		return "", err
	}
	keys := b.keys.Load()
	switch {
	case keys.receipt(f.Receipt) == nil:
		return "the receipt key in force has the fingerprint " + f.Receipt, nil
	case keys.log(f.Log.Key) == nil:
		return "the key of the log " + f.Log.Origin + " in force has the public half " + hex.EncodeToString(f.Log.Key), nil
	}
	return "", nil
}
