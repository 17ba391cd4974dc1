package log

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/note"
)

// CheckCosigned compares what is kept of cosigned checkpoints with the log that they are of, and reports to bad what does not
// fit. Whose signature a line is can be told by who knows the witness: it is read here, and not verified.
func (t *Tree) CheckCosigned(bad func(error)) error {
	v, err := t.Verifier()
	if err != nil {
		return err
	}
	var of cosignedRows
	badf := func(format string, args ...any) { bad(t.badCosigned(format, args...)) }
	for item, err := range t.tx.Scan(cosignatureTable, numberKey(t.Number), storage.PrefixEnd(numberKey(t.Number))) {
		if err != nil {
			return err
		}
		if len(item.Key) < 12 {
			badf("has a row without a size")
			continue
		}
		size, witness := sizeOf(item.Key), string(item.Key[12:])
		of.next(size, witness == "", badf)
		if witness != "" {
			t.checkLine(size, witness, string(item.Value), badf)
		} else if err := t.checkKeptCheckpoint(size, string(item.Value), v, badf); err != nil {
			return err
		}
	}
	if err := t.checkWitnesses(bad); err != nil {
		return err
	}
	of.next(0, false, badf)
	return nil
}

// checkLine wants the signature line of a witness to be its own, and of no more leaves than it is said to have cosigned.
func (t *Tree) checkLine(size uint64, witness, line string, badf func(format string, args ...any)) {
	if !isLineOf(line, witness) {
		badf("of %d leaves has a line that is not of %s", size, witness)
	}
	if last, ok, err := t.CosignedBy(witness); err == nil && ok && last < size {
		badf("of %d leaves has a signature of %s, whose last is to be of %d", size, witness, last)
	}
}

// checkKeptCheckpoint wants a checkpoint that was cosigned to be signed by the log, and to be what its rows say.
func (t *Tree) checkKeptCheckpoint(size uint64, text string, v note.Verifier, badf func(format string, args ...any)) error {
	is, err := checkpoint.Open(text, v)
	if err != nil {
		badf("of %d leaves is not signed by it: %w", size, err)
		return nil
	}
	ours, err := t.CheckpointAt(size)
	switch {
	case errors.Is(err, ErrSize):
		badf("goes up to %d leaves, and it has %d", size, t.Size)
	case err != nil:
		return err
	case is != ours:
		badf("says %d leaves with the root %s, and its rows say %d with %s", is.Size, is.Root, ours.Size, ours.Root)
	}
	return nil
}

func (t *Tree) badCosigned(format string, args ...any) error {
	return fmt.Errorf("%w: log %s: what is kept of its cosigned checkpoints "+format, append([]any{storage.ErrCorrupt, t.Origin}, args...)...)
}

// checkWitnesses wants what a witness is said to have cosigned last to be there, and nothing of it behind that.
func (t *Tree) checkWitnesses(bad func(error)) error {
	for item, err := range t.tx.Scan(witnessTable, numberKey(t.Number), storage.PrefixEnd(numberKey(t.Number))) {
		if err != nil {
			return err
		}
		witness := string(item.Key[4:])
		size, _, err := t.CosignedBy(witness)
		if err != nil {
			bad(err)
			continue
		}
		if _, err := t.tx.Get(cosignatureTable, append(sizeKey(t.Number, size), witness...)); errors.Is(err, storage.ErrNotFound) {
			bad(t.badCosigned("lacks the signature of %s of %d leaves, which is to be its last", witness, size))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// cosignedRows are the rows of one size, which go by in order: a checkpoint, and then the signatures of witnesses.
type cosignedRows struct {
	size              uint64
	checkpoint, lines bool
}

// next takes the next row, and says of the size before it what is missing.
func (c *cosignedRows) next(size uint64, checkpoint bool, badf func(format string, args ...any)) {
	if size != c.size {
		switch {
		case c.checkpoint && !c.lines:
			badf("of %d leaves has no signature of a witness", c.size)
		case c.lines && !c.checkpoint:
			badf("of %d leaves has a signature of a witness, and no checkpoint", c.size)
		}
		*c = cosignedRows{size: size}
	}
	c.checkpoint, c.lines = c.checkpoint || checkpoint, c.lines || !checkpoint
}

// isLineOf says that a signature line is of a witness, NAME+HASH, as far as the line says itself.
func isLineOf(line, witness string) bool {
	rest, ok := strings.CutPrefix(line, "— ")
	name, signature, ok2 := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
	raw, err := base64.StdEncoding.DecodeString(signature)
	return ok && ok2 && err == nil && len(raw) > 4 && checkpoint.KeyName(name, binary.BigEndian.Uint32(raw)) == witness
}
