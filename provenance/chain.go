package provenance

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// A verifier follows what records say of a tag: each move names the record that set what the tag meant before.

// SetsTag returns what a record did to a tag, which has to be to set it to a digest. Error: receipt.ErrRefused.
func (r *Record) SetsTag(repository, tag string, want digest.Digest) (move TagMove, err error) {
	for _, t := range r.Tags {
		if t.Name != tag || r.Repository != repository {
			continue
		}
		if meant := r.Meaning(t); meant != want {
			return t, fmt.Errorf("%w: record %d is to have set it to %s, and says %q", receipt.ErrRefused, r.Index, want, meant)
		}
		return t, nil
	}
	return move, fmt.Errorf("%w: record %d is to have set it to %s, and does not name it", receipt.ErrRefused, r.Index, want)
}

// Former returns the record that set what a tag meant before a move of this record, or why none is named. Error:
// receipt.ErrRefused.
func (r *Record) Former(move TagMove) (before uint64, ends string, err error) {
	switch {
	case move.Since == nil && move.Previous == "":
		return 0, "it meant nothing before", nil
	case move.Since == nil && !r.StatesEffects():
		return 0, fmt.Sprintf("record %d is of a version that did not name the record before", r.Index), nil
	case move.Since == nil:
		return 0, "", fmt.Errorf("%w: there is a gap: record %d says that it meant %s before, and not since which record", receipt.ErrRefused, r.Index, move.Previous)
	case move.Previous == "" || *move.Since >= r.Index:
		return 0, "", fmt.Errorf("%w: record %d says that it meant %q since record %d", receipt.ErrRefused, r.Index, move.Previous, *move.Since)
	}
	return *move.Since, "", nil
}
