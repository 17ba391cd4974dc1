package follow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/note"
)

// A Cosignature is a witness's word that a checkpoint of so many leaves continues those that it saw before.
type Cosignature struct {
	Witness string    `json:"witness"`
	KeyHash uint32    `json:"keyHash"` // tells its key from others of that name
	Size    uint64    `json:"size"`
	Time    time.Time `json:"time"` // as the witness says, in whole seconds
}

// By says whether it is this witness's.
func (c Cosignature) By(w note.Verifier) bool {
	return c.Witness == w.Name() && c.KeyHash == w.KeyHash()
}

// Cosigned fetches the newest checkpoint that a witness cosigned, and returns which of these witnesses did. ErrBroken when
// a signature that is to be one of them, or of the log, is not.
func (r *Remote) Cosigned(ctx context.Context, witnesses []note.Verifier) (signed string, by []Cosignature, err error) {
	return r.cosigned(ctx, r.path("checkpoint.cosigned"), witnesses)
}

// CosignedBy is Cosigned of the newest checkpoint that this witness cosigned: one that comes rarely stands behind those that
// come more often.
func (r *Remote) CosignedBy(ctx context.Context, witness note.Verifier) (signed string, by []Cosignature, err error) {
	of := url.Values{"witness": {checkpoint.KeyName(witness.Name(), witness.KeyHash())}}
	return r.cosigned(ctx, r.path("checkpoint.cosigned")+"?"+of.Encode(), []note.Verifier{witness})
}

func (r *Remote) cosigned(ctx context.Context, path string, witnesses []note.Verifier) (signed string, by []Cosignature, err error) {
	data, err := r.src(ctx, path)
	if err != nil {
		return "", nil, err
	}
	c, err := r.Open(string(data))
	if err == nil {
		by, err = Cosignatures(string(data), c, witnesses)
	}
	if err != nil {
		return "", nil, fmt.Errorf("the cosigned checkpoint of the log %s: %w: %w", r.Origin, ErrBroken, err)
	}
	return string(data), by, nil
}

// Cosignatures returns which of these witnesses cosigned a checkpoint that was opened. An error says that one of their
// signatures is wrong.
func Cosignatures(signed string, c checkpoint.Checkpoint, witnesses []note.Verifier) (by []Cosignature, err error) {
	n, err := note.Open([]byte(signed), note.VerifierList(witnesses...))
	if errors.As(err, new(*note.UnverifiedNoteError)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, s := range n.Sigs {
		at, err := torchwood.CosignatureTimestamp(s)
		if err != nil {
			return nil, err
		}
		by = append(by, Cosignature{s.Name, s.Hash, c.Size, time.Unix(at, 0).UTC()})
	}
	return by, nil
}

// Agree wants the larger of two checkpoints that the log signed to continue the smaller one. Where it does not, the report
// says so, with the proof.
func (r *Remote) Agree(ctx context.Context, a, b Sighting) (*Report, error) {
	if a.Size() > b.Size() {
		a, b = b, a
	}
	root := b.root()
	if a.Size() < b.Size() {
		var err error
		if root, err = r.RootAt(ctx, b.parse(), a.Size()); err != nil {
			return nil, err
		}
	}
	if root == a.root() {
		return nil, nil
	}
	report := &Report{Outcome: Rewritten, Origin: r.Origin, VKey: r.vkey, Then: &a, Now: &b, Other: &root}
	var err error
	report.Proof, err = r.Consistency(ctx, b.parse(), a.Size())
	return report, err
}
