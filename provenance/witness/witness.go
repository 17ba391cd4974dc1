// Package witness cosigns the checkpoints of logs, after it has seen that each continues the
// last one that it cosigned. If you demand such a cosignature on a checkpoint, either the log shows
// everybody the same history, or the witness lies as well.
//
// The rules are C2SP's: tlog-witness for requests, tlog-cosignature for answers. A witness
// is one small file: its key, and the last checkpoint of each log. They are one file on purpose: a witness
// that lost its memory and kept its key could cosign a second history.
package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The reasons for which a witness does not cosign.
var (
	ErrUnknownLog = errors.New("this log is not known here")
	ErrSignature  = errors.New("the log has not signed this checkpoint")
	ErrMalformed  = errors.New("this is no request to cosign a checkpoint")
	ErrProof      = errors.New("the proof does not show that the checkpoint continues the last one")
	ErrOtherKey   = errors.New("the log has had another key before")
	ErrInUse      = errors.New("another witness runs on it")
	ErrFull       = fmt.Errorf("there are %d logs already", MaxLogs)
)

// MaxLogs is the number of logs that one witness knows.
const MaxLogs = 10_000

// A ConflictError says that a request continues another checkpoint than the last one that was cosigned.
type ConflictError struct {
	Size uint64 // of the last one
}

// Error says so.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("the last checkpoint cosigned here has %d leaves, with another root hash or not that many as the request says", e.Size)
}

// A Witness cosigns checkpoints. It is safe for concurrent use, and one process at a time has its file.
type Witness struct {
	path   string
	signer *torchwood.CosignatureSigner
	lock   *os.File

	mu   sync.Mutex // guards file, and the file on disk
	file file
}

// file is what a witness keeps.
type file struct {
	Name string         `json:"name"`
	Seed []byte         `json:"seed"` // of the Ed25519 key: keep it secret
	Logs map[string]Log `json:"logs"` // by origin
}

// A Log is what a witness knows of one log.
type Log struct {
	VKey string    `json:"vkey"`
	Size uint64    `json:"size"` // of the last checkpoint cosigned; 0 before the first
	Root tlog.Hash `json:"root"`
	// Registry is the URL at which it was met, if it was. Should that one name another log in its place, somebody is asked.
	Registry string `json:"registry,omitempty"`
	// Next is the log that was followed from this one: how it ended was looked at, or a person said yes.
	Next string `json:"next,omitempty"`
}

// Create makes a new witness in a file that is not there yet. Its name is one that others know it by, as
// witness.example/w1; it needs not resolve.
func Create(path, name string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if _, err := torchwood.NewCosignatureSigner(name, key); err != nil {
		return fmt.Errorf("%q cannot name a witness: it has a space or a plus, or is empty", name)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: %w", path, fs.ErrExist)
	}
	return write(path, file{Name: name, Seed: key.Seed(), Logs: map[string]Log{}})
}

// Open opens a witness, or says that ErrInUse.
func Open(path string) (*Witness, error) {
	w := &Witness{path: path}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &w.file); err != nil || len(w.file.Seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is not the file of a witness", path)
	}
	if w.signer, err = torchwood.NewCosignatureSigner(w.file.Name, ed25519.NewKeyFromSeed(w.file.Seed)); err != nil {
		return nil, err
	}
	if w.file.Logs == nil {
		w.file.Logs = map[string]Log{}
	}
	return w, w.takeLock()
}

// takeLock keeps other processes from cosigning with the same file: two that do not know of each other
// could cosign two histories.
func (w *Witness) takeLock() (err error) {
	if w.lock, err = os.OpenFile(w.path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(w.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", w.path, ErrInUse), w.lock.Close())
	}
	return nil
}

// Close lets another process have the file.
func (w *Witness) Close() error { return w.lock.Close() }

// ParseKey reads the key of a witness, NAME+HASH+KEY, and returns what checks its cosignatures.
func ParseKey(vkey string) (note.Verifier, error) {
	v, err := torchwood.NewCosignatureVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("%q is not the key of a witness, NAME+HASH+KEY: %w", vkey, err)
	}
	return v, nil
}

// VKey returns the key that checks the witness's cosignatures: what others demand it by.
func (w *Witness) VKey() string { return w.signer.Verifier().String() }

// Log returns what is known of a log, or ErrUnknownLog.
func (w *Witness) Log(origin string) (Log, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.file.Logs[origin]
	if !ok {
		return l, fmt.Errorf("%.80q: %w", origin, ErrUnknownLog)
	}
	return l, nil
}

// Add makes a log known by its key, or returns ErrOtherKey or ErrFull.
func (w *Witness) Add(vkey string) error {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("%q is not the key of a log, NAME+HASH+KEY: %w", vkey, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.file.Logs[v.Name()]
	switch {
	case ok && l.VKey != vkey:
		return fmt.Errorf("%s: %w", v.Name(), ErrOtherKey)
	case ok:
		return nil
	case len(w.file.Logs) >= MaxLogs:
		return ErrFull
	}
	return w.set(v.Name(), Log{VKey: vkey})
}

// Met remembers at which registry a log was met, and that it was followed from those before it: those given, and
// all others of that registry. Error: ErrUnknownLog.
func (w *Witness) Met(origin, registry string, before []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.file.Logs[origin]
	if !ok {
		return fmt.Errorf("%.80q: %w", origin, ErrUnknownLog)
	}
	for name, other := range w.file.Logs {
		if name == origin || other.Next != "" || other.Registry != registry && !slices.Contains(before, name) {
			continue
		}
		other.Next = origin
		if err := w.set(name, other); err != nil {
			return err
		}
	}
	if l.Registry == registry {
		return nil
	}
	l.Registry = registry
	return w.set(origin, l)
}

// Cosign cosigns a signed checkpoint that continues, as the proof shows, the last one that was cosigned,
// whose size is oldSize. It returns the signature's line.
func (w *Witness) Cosign(oldSize uint64, proof tlog.TreeProof, signed string) (line string, err error) {
	claimed, err := checkpoint.Parse(signed)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.file.Logs[claimed.Origin]
	if !ok {
		return "", fmt.Errorf("%.80q: %w", claimed.Origin, ErrUnknownLog)
	}
	c, err := l.open(signed)
	if err != nil {
		return "", err
	}
	if err := l.continues(c, oldSize, proof); err != nil {
		return "", err
	}
	if c.Size != l.Size {
		// If we stop behind this line, then the file knows a checkpoint that nobody has our cosignature on,
		// which does no harm. The other way round, the next start could cosign another one of this size.
		l.Size, l.Root = c.Size, c.Root
		if err := w.set(c.Origin, l); err != nil {
			return "", err
		}
	}
	cosigned, err := note.Sign(&note.Note{Text: c.String()}, w.signer)
	if err != nil {
		return "", err
	}
	_, line, _ = strings.Cut(string(cosigned), "\n\n")
	return line, nil
}

func (l Log) open(signed string) (checkpoint.Checkpoint, error) {
	v, err := note.NewVerifier(l.VKey)
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	c, err := checkpoint.Open(signed, v)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return c, nil
}

// continues checks a checkpoint against the last one that was cosigned.
func (l Log) continues(c checkpoint.Checkpoint, oldSize uint64, proof tlog.TreeProof) error {
	switch {
	case oldSize > c.Size:
		return fmt.Errorf("%w: its old size is above the checkpoint's", ErrMalformed)
	case oldSize == 0 && len(proof) > 0:
		return fmt.Errorf("%w: from size 0 there is nothing to prove", ErrMalformed)
	case oldSize != l.Size:
		return &ConflictError{l.Size}
	case c.Size == l.Size && l.Size > 0 && c.Root != l.Root:
		return &ConflictError{l.Size}
	case l.Size == 0:
		return nil
	}
	if tlog.CheckTree(proof, int64(c.Size), c.Root, int64(l.Size), l.Root) != nil {
		return ErrProof
	}
	return nil
}

// set changes what is known of a log, durably, or not at all as far as this process goes.
func (w *Witness) set(origin string, l Log) error {
	old, had := w.file.Logs[origin]
	w.file.Logs[origin] = l
	err := write(w.path, w.file)
	if err == nil {
		return nil
	}
	if delete(w.file.Logs, origin); had {
		w.file.Logs[origin] = old
	}
	return fmt.Errorf("keeping what was seen: %w", err)
}

func write(path string, f file) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// Origins returns the names of all known logs, sorted.
func (w *Witness) Origins() (origins []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for origin := range w.file.Logs {
		origins = append(origins, origin)
	}
	slices.Sort(origins)
	return origins
}
