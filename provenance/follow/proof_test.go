package follow

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// rewritten returns the report of a log that was rewritten, as it comes back from the file in which it was kept.
func rewritten(t *testing.T) (*Report, note.Verifier) {
	t.Helper()
	r, state := newRegistry(t, 10), &State{}
	r.check(state)
	r.newest().rewrite(t, 7, "another record")
	r.grow(5)
	data, err := json.Marshal(r.want(state, Rewritten, "was rewritten"))
	fatal(t, err)
	kept := &Report{}
	fatal(t, json.Unmarshal(data, kept))
	log, err := note.NewVerifier(kept.VKey)
	fatal(t, err)
	return kept, log
}

// TestProves wants a proof to hold, and nothing that was made of it by changing it.
func TestProves(t *testing.T) {
	t.Parallel()
	kept, log := rewritten(t)
	if says, err := kept.Proves(log); err != nil || !strings.Contains(says, "the root hash of its first 10 leaves is") {
		t.Errorf("%s, %v", says, err)
	}
	honest, state := newRegistry(t, 10), &State{}
	honest.check(state)
	ten := Sighting{Checkpoint: honest.newest().checkpoint(t)}
	honest.grow(5)
	fifteen := Sighting{Checkpoint: honest.newest().checkpoint(t)}
	continues, err := tlog.ProveTree(15, 10, honest.newest())
	fatal(t, err)
	for says, change := range map[string]func(*Report){
		"does not hold two checkpoints":             func(r *Report) { r.Now = nil },
		"every log has had fewer leaves once":       func(r *Report) { r.Then, r.Now = r.Now, r.Then },
		"both checkpoints say the same":             func(r *Report) { r.Now = r.Then },
		"does not show what the first 10 leaves":    func(r *Report) { r.Other = nil },
		"are not shown to have the root hash":       func(r *Report) { r.Proof = r.Proof[1:] },
		"second checkpoint's first 10 leaves":       func(r *Report) { r.Other[0] ^= 1 },
		"the first 10 leaves of the second checkpo": func(r *Report) { r.Other, r.Now = nil, &fifteen },
		"the first checkpoint: ":                    func(r *Report) { r.Then.Checkpoint = strings.Replace(r.Then.Checkpoint, "\n10\n", "\n11\n", 1) },
		"the second checkpoint: ":                   func(r *Report) { r.Now.Checkpoint = strings.Replace(r.Now.Checkpoint, "\n15\n", "\n16\n", 1) },
		"continues the first one, as it should": func(r *Report) {
			root := ten.root()
			r.Then, r.Now, r.Other, r.Proof = &ten, &fifteen, &root, continues
		},
	} {
		r, log := rewritten(t)
		change(r)
		if _, err := r.Proves(log); !errors.Is(err, ErrNoProof) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}
