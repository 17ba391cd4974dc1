package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/note"
)

// The reasons for which a cosignature is not kept.
var (
	ErrNotCosigned     = fault.New(fault.Denied, "no witness of this registry has cosigned it")
	ErrOtherCheckpoint = fault.New(fault.Conflict, "it is not a checkpoint of this log")
	ErrFuture          = fault.New(fault.Conflict, "the witness's clock or this registry's is wrong")
)

// maxAhead is how far ahead of our clock a witness's may be. One that was once far ahead, and signed for a year that is to
// come, would otherwise stay the newest until then.
const maxAhead = time.Hour

// A Cosigned says which cosignatures of a checkpoint are kept.
type Cosigned struct {
	Origin    string   `json:"origin"`
	Size      uint64   `json:"size"`
	Witnesses []string `json:"witnesses"` // the names of those that cosigned
}

// Cosign keeps the cosignatures of these witnesses that stand under a checkpoint of one of the logs; those
// of others are passed over. The log's own signature needs not be there: the checkpoint is compared with
// the log. Of each witness on a checkpoint the one with the newest time stays, so that anyone who sends what others have
// sent costs no more than a look. Errors: checkpoint.ErrInvalid, ErrNotCosigned, ErrOtherCheckpoint, ErrFuture,
// log.ErrNoLog, log.ErrSize.
func (b *Book) Cosign(ctx context.Context, signed string, witnesses []note.Verifier) (*Cosigned, error) {
	c, err := checkpoint.Parse(signed)
	if err != nil {
		return nil, err
	}
	by := signatures(signed, witnesses)
	if len(by) == 0 {
		return nil, ErrNotCosigned
	}
	if err := dated(by, b.now()); err != nil {
		return nil, err
	}
	kept, err := b.keptCheckpoint(ctx, c)
	if err != nil {
		return nil, err
	}
	known := &Cosigned{Origin: c.Origin, Size: c.Size}
	for _, s := range by {
		known.Witnesses = append(known.Witnesses, s.Name)
	}
	slices.Sort(known.Witnesses)
	if len(newer(by, kept, witnesses)) == 0 {
		return known, nil
	}
	return known, b.putCosignatures(ctx, c, by, witnesses)
}

// putCosignatures keeps those of the signatures that are newer than what is kept. What is kept is looked at again in the
// transaction: a newer one may have come meanwhile.
func (b *Book) putCosignatures(ctx context.Context, c checkpoint.Checkpoint, by map[string]note.Signature, witnesses []note.Verifier) error {
	return b.store.Update(ctx, func(tx storage.Tx) error {
		tree, err := log.Open(tx, c.Origin)
		if err != nil {
			return err
		}
		signed, err := b.checkpoint(tx, tree, c.Size)
		if err != nil {
			return err
		}
		for witness, s := range newer(by, signed, witnesses) {
			if err := tree.PutCosignature(tx, c.Size, signed, witness, fmt.Sprintf("— %s %s\n", s.Name, s.Base64)); err != nil {
				return err
			}
		}
		return nil
	})
}

// newer returns the signatures that say a later time than that witness's under a checkpoint which is kept, if any.
func newer(by map[string]note.Signature, kept string, witnesses []note.Verifier) map[string]note.Signature {
	have, all := signatures(kept, witnesses), map[string]note.Signature{}
	for witness, s := range by {
		if old, ok := have[witness]; !ok || timeOf(old) < timeOf(s) {
			all[witness] = s
		}
	}
	return all
}

// A Lag is how far a witness is behind the newest log.
type Lag struct {
	Records  uint64    // that it has not cosigned
	Cosigned time.Time // when it last did, by its own clock; zero before the first time
}

// LagOf says how far a witness is behind the newest log. Error: log.ErrNoLog.
func (b *Book) LagOf(ctx context.Context, w note.Verifier) (lag Lag, err error) {
	id := checkpoint.KeyName(w.Name(), w.KeyHash())
	err = b.inLog(ctx, "", func(_ storage.Reader, tree *log.Tree) error {
		size, ok, err := tree.CosignedBy(id)
		if err != nil || !ok {
			lag.Records = tree.Size
			return err
		}
		lag.Records = tree.Size - min(size, tree.Size)
		signed, err := tree.SignedCheckpoint(size)
		if s, ok := signatures(signed, []note.Verifier{w})[id]; ok {
			lag.Cosigned = time.Unix(timeOf(s), 0)
		}
		return err
	})
	return lag, err
}

// timeOf returns when a witness says that it cosigned, in seconds since 1970.
func timeOf(s note.Signature) int64 {
	at, err := torchwood.CosignatureTimestamp(s)
	if err != nil {
		return 0 // of a signature that was verified it has one
	}
	return at
}

// dated refuses cosignatures that are far ahead of the clock.
func dated(by map[string]note.Signature, now time.Time) error {
	for _, s := range by {
		if at := time.Unix(timeOf(s), 0); at.Sub(now) > maxAhead {
			return fmt.Errorf("%w: %s cosigned at %s, and here it is %s", ErrFuture, s.Name, at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// signatures returns the signatures of these witnesses under a note, by NAME+HASH. One that is wrong takes
// the others with it: nobody sends that by mistake.
func signatures(signed string, witnesses []note.Verifier) map[string]note.Signature {
	n, err := note.Open([]byte(signed), note.VerifierList(witnesses...))
	if err != nil {
		return nil
	}
	by := map[string]note.Signature{}
	for _, s := range n.Sigs {
		by[checkpoint.KeyName(s.Name, s.Hash)] = s
	}
	return by
}

// keptCheckpoint returns a checkpoint, which has to be one of a log here, as it is kept, or "".
func (b *Book) keptCheckpoint(ctx context.Context, c checkpoint.Checkpoint) (signed string, err error) {
	if c.Origin == "" || c.Size == 0 {
		return "", fmt.Errorf("%w: it has no leaves", ErrOtherCheckpoint)
	}
	err = b.inLog(ctx, c.Origin, func(_ storage.Reader, tree *log.Tree) error {
		ours, err := tree.CheckpointAt(c.Size)
		if err != nil {
			return err
		}
		if ours != c {
			return fmt.Errorf("%w: at %d leaves the log %s has another root hash", ErrOtherCheckpoint, c.Size, c.Origin)
		}
		signed, err = tree.SignedCheckpoint(c.Size)
		if errors.Is(err, log.ErrSize) {
			signed = "" // only the newest one and the cosigned ones are
			return nil
		}
		return err
	})
	return signed, err
}
