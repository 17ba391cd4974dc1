package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// ErrChanged says that the file of what was remembered is not as it was written.
var ErrChanged = errors.New("this file was changed since an audit wrote it, so it says nothing about a registry: put the right one back, or move it away to begin anew")

// A File is what is remembered of several registries, by what they are called. Its first line has the SHA-256 of the rest:
// a changed file is told from a changed registry.
type File struct {
	path   string
	others map[string]json.RawMessage
}

// fileHead begins the first line.
const fileHead = "hallmark audit, version 1, sha256:"

// OpenFile reads a file, which may not be there yet. Error: ErrChanged.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, others: make(map[string]json.RawMessage)}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	if string(head) != headOf(rest) || json.Unmarshal(rest, &f.others) != nil {
		return nil, fmt.Errorf("%s: %w", path, ErrChanged)
	}
	return f, nil
}

func headOf(rest []byte) string {
	sum := sha256.Sum256(rest)
	return fileHead + hex.EncodeToString(sum[:])
}

// Memory returns what is remembered of a registry. Error: ErrChanged, also where the log did not sign a checkpoint that is
// said to have been seen.
func (f *File) Memory(name string) (*Memory, error) {
	m := new(Memory)
	data, ok := f.others[name]
	if !ok {
		return m, nil
	}
	err := json.Unmarshal(data, m)
	if errors.Is(err, replay.ErrOlder) { // all else was read
		m.State, err = nil, nil
	}
	if err != nil || m.Log.Check() != nil {
		return nil, fmt.Errorf("%s: %w", f.path, ErrChanged)
	}
	return m, nil
}

// Keep writes what is remembered of a registry to the file, beside that of others. If we stop within it the file is as it was.
func (f *File) Keep(name string, m *Memory) (err error) {
	if f.others[name], err = json.Marshal(m); err != nil {
		return err
	}
	rest, err := json.Marshal(f.others)
	if err != nil {
		return err
	}
	return durable.WriteFile(f.path, append([]byte(headOf(rest)+"\n"), rest...), 0o600)
}
