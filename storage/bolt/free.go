package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/seed-260924e6/hallmark/storage"
)

// bbolt writes the list of its free pages anew with each commit, so what a commit costs follows their
// number. It counts them where it keeps statistics, which cost every View; here they are read from the list
// itself, when somebody asks.
//
// The head of a page, in the machine's order of bytes: its number (8), flags (2), count (2), overflow (4). The
// second word of a list with 0xffff entries or more is their number. A page with the head of the file goes on:
// magic (4), version (4), page size (4), flags (4), root (16), number of the list's page (8).
const (
	pageHead       = 16
	countAt        = 10
	pageSizeAt     = pageHead + 8
	freelistPageAt = pageHead + 32
)

// FreePages returns how many pages of the file hold nothing, and how many there are.
func (s *Store) FreePages() (free, all int64, err error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return 0, 0, closedError(err)
	}
	defer tx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	var head firstPage
	if _, err := tx.WriteTo(&head); len(head) == 0 { // else the error is errEnough
		return 0, 0, fmt.Errorf("read the store's head: %w", err)
	}
	f, err := os.Open(s.db.Path())
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()                  //nolint:errcheck // it was only read
	list := make([]byte, pageHead+8) // the transaction keeps the page from being written over
	size := int64(binary.NativeEndian.Uint32(head[pageSizeAt:]))
	at := int64(binary.NativeEndian.Uint64(head[freelistPageAt:])) * size
	if size == 0 || at >= tx.Size() {
		return 0, 0, fmt.Errorf("%w: its head names no list of free pages", storage.ErrCorrupt)
	}
	if _, err := f.ReadAt(list, at); err != nil {
		return 0, 0, err
	}
	free = int64(binary.NativeEndian.Uint16(list[countAt:]))
	if free == 0xffff {
		free = int64(binary.NativeEndian.Uint64(list[pageHead:]))
	}
	return free, tx.Size() / size, nil
}

var errEnough = errors.New("enough")

// firstPage keeps the head of what is written to it, and wants no more.
type firstPage []byte

func (p *firstPage) Write(b []byte) (int, error) {
	if len(b) < freelistPageAt+8 {
		return 0, fmt.Errorf("%w: its head is short", storage.ErrCorrupt)
	}
	*p = append([]byte(nil), b[:freelistPageAt+8]...)
	return 0, errEnough
}
