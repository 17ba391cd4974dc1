package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/note"
)

// The reasons for which a cosignature is not kept.
var (
	ErrNotCosigned     = errors.New("no witness of this registry has cosigned it")
	ErrOtherCheckpoint = errors.New("it is not a checkpoint of this log")
)

// A Cosigned says which cosignatures of a checkpoint are kept.
type Cosigned struct {
	Origin    string   `json:"origin"`
	Size      uint64   `json:"size"`
	Witnesses []string `json:"witnesses"` // the names of those that cosigned
}

// Cosign keeps the cosignatures of these witnesses that stand under a checkpoint of one of the logs; those
// of others are passed over. The log's own signature needs not be there: the checkpoint is compared with
// the log. The first cosignature of a witness on a checkpoint stays, so that whoever sends what others have
// sent costs no more than a look. Errors: checkpoint.ErrInvalid, ErrNotCosigned, ErrOtherCheckpoint,
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
	kept, err := b.keptCheckpoint(ctx, c)
	if err != nil {
		return nil, err
	}
	have := signatures(kept, witnesses)
	known := &Cosigned{Origin: c.Origin, Size: c.Size}
	for witness, s := range by {
		known.Witnesses = append(known.Witnesses, s.Name)
		if _, ok := have[witness]; ok {
			continue
		}
		if err := b.PutCosignature(ctx, c.Origin, c.Size, witness, fmt.Sprintf("— %s %s\n", s.Name, s.Base64)); err != nil {
			return nil, err
		}
	}
	slices.Sort(known.Witnesses)
	return known, nil
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
		by[fmt.Sprintf("%s+%08x", s.Name, s.Hash)] = s
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
