package provenance

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// The newest signed checkpoint is kept outside the store too, beside the keys. Anyone who can write the store, or put an
// older copy of it back, and has no keys, cannot change it: so a start sees when the log went back.

// ErrNotBehind says that there is nothing to continue as restored.
var ErrNotBehind = errors.New("there is nothing to continue: no checkpoint is known that is later than the log; where you have one, name it with --checkpoint")

// Recall tells the book which signed checkpoint was last kept of it outside the store; "" is none. It may be older than
// the log, because it is written after the log has grown. Call it before Begin.
func (b *Book) Recall(signed string) { b.seen.Store(&signed) }

func (b *Book) recalled() string {
	if signed := b.seen.Load(); signed != nil {
		return *signed
	}
	return ""
}

// Newest returns the newest signed checkpoint, to be kept outside the store: a later start wants the log to continue it.
// It is "" where there is no log, and where the log is not to be relied on (Stopped).
func (b *Book) Newest(ctx context.Context) (signed string, err error) {
	if b.Stopped() != nil {
		return "", nil
	}
	// A View may see a commit whose flush is under way. If we kept its checkpoint and the power failed before the flush
	// came to its end, the log would be behind it. An Update ends after the flush of all before it, and writes nothing here.
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		tree, err := log.Open(tx, "")
		if errors.Is(err, log.ErrNoLog) {
			return nil
		}
		if err != nil {
			return err
		}
		signed, err = tree.Checkpoint()
		return err
	})
	return signed, err
}

// examineSeen wants the log to continue the checkpoint that was kept outside the store.
func examineSeen(tx storage.Reader, seen string) error {
	if seen == "" {
		return nil
	}
	const named = "keys/log.checkpoint"
	c, err := checkpoint.Parse(seen)
	if err != nil {
		return disagreef("%s is no checkpoint; put it back from a copy of the keys", named)
	}
	tree, err := log.Open(tx, c.Origin)
	switch {
	case errors.Is(err, log.ErrNoLog):
		return disagreef("%s is of the log %s, and the store knows no such log", named, c.Origin)
	case err != nil:
		return err
	}
	v, err := tree.Verifier()
	if err != nil {
		return err
	}
	if _, err := checkpoint.Open(seen, v); err != nil {
		return disagreef("%s is not signed by the log %s; put it back from a copy of the keys", named, c.Origin)
	}
	if c.Size > tree.Size {
		if tree.Closed != nil {
			return examineSeenClosed(tree, c)
		}
		return disagreef("%s says that the log %s has %d leaves, and it has %d in the store, which is an older copy", named, c.Origin, c.Size, tree.Size)
	}
	follows, err := tree.Follows(c)
	if err == nil && !follows || errors.Is(err, storage.ErrCorrupt) {
		return disagreef("the log %s has %d leaves, and does not continue %s, which says what it was at %d", c.Origin, tree.Size, named, c.Size)
	}
	return err
}

// examineSeenClosed compares a checkpoint with the declared end of a closed log, of which less is kept.
func examineSeenClosed(tree *log.Tree, c checkpoint.Checkpoint) error {
	end, err := checkpoint.Parse(tree.Closed.Checkpoint)
	if err == nil && (c.Size < end.Size || c == end) {
		return nil
	}
	return disagreef("keys/log.checkpoint says that the log %s has %d leaves, and it was closed at %d, or with another root", c.Origin, c.Size, end.Size)
}

// later returns how the newest log is closed where it is known to have gone further than the store does: at the latest
// checkpoint that it signed. seen is what was kept outside the store, known what somebody has; both may be "". What the
// store has must be whole as far as it goes, up to a record whose checkpoint the log signed. Error: ErrNotBehind, where
// nothing later is known, ErrDisagree, checkpoint.ErrInvalid.
func later(tx storage.Reader, seen, known string) (end Ending, err error) {
	head, err := log.ReadHead(tx)
	if err != nil {
		return end, err
	}
	if end.kept, err = keptEnd(tx, head); err != nil {
		return end, err
	}
	v, err := head.Verifier()
	if err != nil {
		return end, err
	}
	if _, err := checkpoint.Open(known, v); err != nil && known != "" {
		return end, err
	}
	all, err := checkpointsOf(tx, head)
	if err != nil {
		return end, err
	}
	end.Action, end.Reason = Restore, "restored"
	size := head.Size()
	for _, signed := range append(all, known, seen) {
		c, err := checkpoint.Open(signed, v)
		switch {
		case err != nil: // it is none, or not one of this log
		case c.Size > size:
			size, end.Checkpoint = c.Size, signed
		case c.Size <= head.Size():
			if err := wantFollows(tx, head, c); err != nil {
				return end, err
			}
		}
	}
	if size == head.Size() {
		return end, ErrNotBehind
	}
	return end, nil
}

// wantFollows wants what is kept of a log to continue a checkpoint that it signed.
func wantFollows(tx storage.Reader, head log.Head, c checkpoint.Checkpoint) error {
	follows, err := head.Follows(tx, c)
	if err == nil && !follows {
		err = disagreef("the log %s has %d leaves, and does not continue what it signed at %d", head.Origin, head.Size(), c.Size)
	}
	return err
}

// checkpointsOf returns the newest checkpoint that is stored of a log, the largest that is cosigned, and the largest of
// those that the head covers.
func checkpointsOf(tx storage.Reader, head log.Head) (all []string, err error) {
	tree, err := log.Open(tx, head.Origin)
	if err != nil {
		return nil, err
	}
	newest, err := tree.Checkpoint()
	if err != nil && !errors.Is(err, storage.ErrCorrupt) {
		return nil, err
	}
	all = []string{newest}
	for _, atMost := range []uint64{math.MaxInt64, head.Size()} {
		size, ok, err := tree.Cosigned(atMost)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		cosigned, err := tree.SignedCheckpoint(size)
		if err != nil {
			return nil, err
		}
		all = append(all, cosigned)
	}
	return all, nil
}

// keptEnd returns the signed checkpoint of the head, where records and log go up to it together, and the newest record
// is what was signed.
func keptEnd(tx storage.Reader, head log.Head) (string, error) {
	books, err := readHead(tx)
	switch {
	case err != nil:
		return "", err
	case head.Closed != nil || head.Size() == 0 || head.Next() != books.next:
		return "", disagreef("the records go up to %d, and the log %s to %d", books.next, head.Origin, head.Next())
	}
	if err := noneBehind(tx, books.next); err != nil {
		return "", err
	}
	if err := examineNewest(tx, head, books.next-1); err != nil {
		return "", err
	}
	c, err := head.Checkpoint()
	if err != nil {
		return "", err
	}
	ended, err := readEnded(tx, books.next-1)
	if err != nil {
		return "", err
	}
	if signed, err := c.SignedBefore(head.Key, ended); err == nil {
		return signed, nil
	}
	tree, err := log.Open(tx, head.Origin)
	if err != nil {
		return "", err
	}
	v, err := head.Verifier()
	if err != nil {
		return "", err
	}
	signed, err := tree.Checkpoint()
	if is, openErr := checkpoint.Open(signed, v); err != nil || openErr != nil || is != c {
		return "", errors.Join(err, disagreef("the log %s never signed that it ends with record %d", head.Origin, books.next-1))
	}
	return signed, nil
}

// Continue closes the log as a restore does, at the latest checkpoint that it is known to have signed, where an older
// copy of the store was put back, and begins a new one with new keys of both kinds. known is a checkpoint that somebody
// has, or "". It is never done but by hand. Errors: ErrNotBehind, ErrDisagree where what the store has is not whole,
// checkpoint.ErrInvalid for a checkpoint that the log did not sign, ErrNoKey.
func (b *Book) Continue(ctx context.Context, who Identity, keys Keys, known string) (r *Record, err error) {
	r, err = b.succeed(ctx, who, keys, func(tx storage.Reader) (Ending, error) {
		end, err := later(tx, b.recalled(), known)
		if !errors.Is(err, ErrNotBehind) {
			return end, err
		}
		if why := examine(tx, b.recalled()); why != nil {
			err = fmt.Errorf("%w; and %w", err, why)
		}
		return end, err
	})
	if err == nil {
		b.stopped.Store(nil)
	}
	return r, err
}
