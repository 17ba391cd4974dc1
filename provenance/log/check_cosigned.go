package log

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
)

// CheckCosigned compares what is kept of cosigned checkpoints with the log that they are of, and reports to bad what does not
// fit. Whose signature a line is can be told by who knows the witness: it is read here, and not verified.
func (t *Tree) CheckCosigned(bad func(error)) error {
	v, err := t.Verifier()
	if err != nil {
		return err
	}
	for item, err := range t.tx.Scan(cosignatureTable, numberKey(t.Number), storage.PrefixEnd(numberKey(t.Number))) {
		if err != nil {
			return err
		}
		badf := func(format string, args ...any) {
			bad(fmt.Errorf("%w: log %s: what is kept of its cosigned checkpoints "+format, append([]any{storage.ErrCorrupt, t.Origin}, args...)...))
		}
		if len(item.Key) < 12 {
			badf("has a row without a size")
			continue
		}
		size := sizeOf(item.Key)
		if witness := string(item.Key[12:]); witness != "" {
			if !isLineOf(string(item.Value), witness) {
				badf("of %d leaves has a line that is not of %s", size, witness)
			}
			continue
		}
		is, err := checkpoint.Open(string(item.Value), v)
		if err != nil {
			badf("of %d leaves is not signed by it: %w", size, err)
			continue
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
	}
	return nil
}

// isLineOf says that a signature line is of a witness, NAME+HASH, as far as the line says itself.
func isLineOf(line, witness string) bool {
	rest, ok := strings.CutPrefix(line, "— ")
	name, signature, ok2 := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
	raw, err := base64.StdEncoding.DecodeString(signature)
	return ok && ok2 && err == nil && len(raw) > 4 && fmt.Sprintf("%s+%08x", name, binary.BigEndian.Uint32(raw)) == witness
}
