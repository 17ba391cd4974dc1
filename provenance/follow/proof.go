package follow

import (
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrNoProof says that a report shows nobody else what it says.
var ErrNoProof = errors.New("it proves nothing to others")

// Proves says what a report that was kept shows to anyone who relies on the log's key, without the registry: that the log
// signed two checkpoints of which no tree can have both. Error: ErrNoProof, with why not.
func (r *Report) Proves(log note.Verifier) (says string, err error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%w: %s", ErrNoProof, fmt.Sprintf(format, args...))
	}
	if r.Then == nil || r.Now == nil {
		return refuse("it does not hold two checkpoints. What a registry does not serve any more can only be seen by asking it")
	}
	remote := &Remote{Origin: log.Name(), log: log}
	then, err := remote.Open(r.Then.Checkpoint)
	if err != nil {
		return refuse("the first checkpoint: %s", err)
	}
	now, err := remote.Open(r.Now.Checkpoint)
	if err != nil {
		return refuse("the second checkpoint: %s", err)
	}
	if len(r.Included) == 2 {
		if how := checkpoint.Contradiction(then, now, r.Included[0], r.Included[1]); how != "" {
			return fmt.Sprintf("the log %s signed %s", then.Origin, how), nil
		}
		return refuse("what is shown to be in the trees of both checkpoints is the same")
	}
	switch {
	case then.Size > now.Size:
		return refuse("the log %s signed checkpoints of %d and of %d leaves, and every log has had fewer leaves once. That the shorter one was served later is the word of the one who kept the file", then.Origin, then.Size, now.Size)
	case then.Size == now.Size && then.Root != now.Root:
		return fmt.Sprintf("the log %s signed two histories of %d leaves: the root hash of one is %s, of the other %s", then.Origin, then.Size, then.Root, now.Root), nil
	case then.Size == now.Size:
		return refuse("both checkpoints say the same")
	case r.Other == nil || then.Size == 0:
		return refuse("it does not show what the first %d leaves of the second checkpoint are", then.Size)
	}
	if err := tlog.CheckTree(r.Proof, int64(now.Size), now.Root, int64(then.Size), *r.Other); err != nil {
		return refuse("the second checkpoint's first %d leaves are not shown to have the root hash %s: %s", then.Size, r.Other, err)
	}
	if *r.Other == then.Root {
		return refuse("the second checkpoint continues the first one, as it should")
	}
	return fmt.Sprintf("the log %s signed two histories: the root hash of its first %d leaves is %s in one, and %s in the other, of %d leaves",
		then.Origin, then.Size, then.Root, *r.Other, now.Size), nil
}
