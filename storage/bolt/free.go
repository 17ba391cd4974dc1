package bolt

import (
	"encoding/binary"
	"os"
)

// FreePages returns how many pages of the file hold nothing, and how many there are.
//
// bbolt writes the list of its free pages anew with each commit, so what a commit costs follows their
// number. It counts them where it keeps statistics, which cost every View; here they are read from the list
// itself, when somebody asks.
func (s *Store) FreePages() (free, all int64, err error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return 0, 0, closedError(err)
	}
	defer tx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	h, err := readHead(tx)
	if err != nil {
		return 0, 0, err
	}
	f, err := os.Open(s.db.Path())
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()                  //nolint:errcheck // it was only read
	list := make([]byte, pageHead+8) // the transaction keeps the page from being written over
	if _, err := f.ReadAt(list, int64(h.list)*h.size); err != nil {
		return 0, 0, err
	}
	free = int64(binary.NativeEndian.Uint16(list[countAt:]))
	if free == manyFree {
		free = int64(binary.NativeEndian.Uint64(list[pageHead:]))
	}
	return free, int64(h.pages), nil
}
