// Package storage is the contract between Hallmark's rooms and the engines that keep their data: an ordered,
// transactional key-value [Store] for everything that must change together, and [Blobs] for bytes too
// large for it.
//
// It knows no domain type: tables are names, keys and values are bytes. Each room declares its own
// tables and builds its own keys. The engines live below (bolt, files), and every engine passes the
// suites of storagetest.
package storage

import (
	"context"
	"errors"
	"iter"

	"github.com/seed-260924e6/hallmark/internal/fault"
)

// MaxKey is the longest key that a Store takes, in bytes.
const MaxKey = 1024

// The errors of a Store and of Blobs. Engines wrap them; test with [errors.Is].
var (
	// ErrNotFound: no such key, upload or blob.
	ErrNotFound = errors.New("not found")
	// ErrClosed: the store was closed before the operation began. Nothing happened.
	ErrClosed = fault.New(fault.Closing, "the store is closed")
	// ErrFull: the disk has no room. Nothing happened, and the same call may succeed later.
	ErrFull = fault.New(fault.Full, "no space left on the disk")
	// ErrUnknownOutcome: the disk failed while a change was being made durable, so it happened whole or
	// not at all, and this process cannot tell which. The store refuses every later Update until it is
	// opened again. Never run the closure again on this error.
	ErrUnknownOutcome = fault.New(fault.Uncertain, "the disk failed during a commit, whose outcome is unknown until the store is opened again")
	// ErrInUse: another process has the store open.
	ErrInUse = errors.New("in use by another process")
	// ErrReadOnly: the store was opened for reading only. Nothing happened.
	ErrReadOnly = fault.New(fault.Stopped, "opened for reading only").Telling("the registry was opened for reading only, and takes no changes")
	// ErrOlder: an earlier version of this program wrote the store, and it was opened for reading only.
	ErrOlder = errors.New("written by an older version")
	// ErrNewer: a later version of this program wrote the store.
	ErrNewer = errors.New("written by a newer version")
	// ErrCorrupt: what is on the disk cannot be what was written.
	ErrCorrupt = fault.New(fault.Damaged, "damaged")
	// ErrKeySize: a key is empty or longer than MaxKey.
	ErrKeySize = errors.New("key is empty or too long")
	// ErrAway: what keeps the bytes does not answer now, or refuses to. The errors that wrap it say what to do.
	ErrAway = fault.New(fault.Away, "the object store does not do what it is asked").
		Telling("the registry does not reach what keeps its blobs; try again in a moment")
	// ErrBusy: another writer has this upload open.
	ErrBusy = fault.New(fault.Busy, "another writer has it open")
)

// A Table names one ordered set of keys. The room that declares it is the only one that builds its keys.
type Table string

// An Item is one key with its value, as a scan yields it.
type Item struct{ Key, Value []byte }

// A Store keeps tables. It is safe for concurrent use.
//
// A closure never calls the Store itself, and does no network, file or signature-checking work: everyone else who writes
// waits for it. The closure of an Update may be run again, after a run of which nothing is kept, and then has to do the same: it
// sets each variable outside of it before it reads it, sends nothing, counts nothing, and moves nobody's place in a table.
type Store interface {
	// View runs fn on a snapshot that no Update changes. It is taken at the first read at the latest, which an engine behind a
	// network does not make wait for another answer. View returns the error of fn, ErrClosed, or the
	// context's error when that ended before fn began.
	View(ctx context.Context, fn func(Reader) error) error

	// Update runs fn alone, and makes everything it changed durable at once, or nothing of it. An error
	// of fn undoes fn and is returned as it is. The context counts until the commit starts; from then
	// on its outcome is awaited. Errors: ErrClosed, ErrFull, ErrUnknownOutcome, ErrKeySize, ErrReadOnly.
	Update(ctx context.Context, fn func(Tx) error) error

	// Close waits for what is running and releases the disk. Calling it twice is harmless.
	Close() error
}

// A Reader reads one consistent state. The slices that it returns are valid until the closure returns:
// copy what must live longer, and never write to them.
type Reader interface {
	// Get returns the value of a key, or ErrNotFound.
	Get(table Table, key []byte) ([]byte, error)

	// GetMany returns the values of many keys in their order, nil where a key is absent. An engine
	// behind a network answers it in one round trip.
	GetMany(table Table, keys [][]byte) ([][]byte, error)

	// Scan yields the items whose keys lie in [from, to), in ascending order of bytes. A nil from means
	// the first key, a nil to means past the last. It ends after yielding an error.
	Scan(table Table, from, to []byte) iter.Seq2[Item, error]

	// ScanReverse yields the same items in descending order.
	ScanReverse(table Table, from, to []byte) iter.Seq2[Item, error]
}

// A Tx is a Reader that can change what it reads. Changes are kept aside until the closure returns: Get
// and GetMany see them, a scan does not. A key or table that is refused makes Update fail, whatever the
// closure returns.
type Tx interface {
	Reader
	// Put sets a key. Key and value are copied.
	Put(table Table, key, value []byte)
	// Delete removes a key, and does nothing where it is absent.
	Delete(table Table, key []byte)
}

// A Step takes a store from one layout to the next: the rooms above keep rows in ways that change with the program. It is never changed
// or removed once it was released.
type Step struct {
	// Does says what the step does, for people: "sign the records".
	Does string
	// Run makes the change, in Updates of which none is long. If we stop within it, the next start runs it
	// again, over what it has committed: it finds from the rows how far it came.
	Run func(Store) error
}

// PrefixEnd returns the first key after all those that begin with prefix: the exclusive end of a scan
// over them. It is nil, which a scan reads as "to the end", when there is no such key.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
