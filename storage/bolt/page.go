package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/storage"
	"go.etcd.io/bbolt"
)

// How bbolt lays out its file, in the machine's order of bytes.
//
// A page begins with its number (8), its kind (2), a count (2) and how many further pages belong to it (4). Pages
// that hold rows go on with count elements. In a leaf: 1 for a table, else 0 (4), where the key begins, from here (4), the
// key's length (4), the value's length (4); the value follows the key, and that of a table is the number of its first
// page (8) and a sequence (8), with the page itself behind them where that number is 0. In a branch: where the key
// begins (4), its length (4), the page below (8).
//
// A list of free pages goes on with their numbers; with 0xffff entries or more, the first word is how many.
//
// Two pages with the head of the file go on: magic (4), version (4), page size (4), flags (4), the first page of all
// tables (8), a sequence (8), the list's page (8), how many pages there are (8), the number of the transaction (8).
const (
	pageHead    = 16
	elementSize = 16
	tableHead   = 16
	kindAt      = 8
	countAt     = 10
	moreAt      = 12

	branchKind = 0x01
	leafKind   = 0x02
	listKind   = 0x10
	manyFree   = 0xffff

	pageSizeAt     = pageHead + 8
	rootAt         = pageHead + 16
	freelistPageAt = pageHead + 32
	pagesAt        = pageHead + 40
	headEnd        = pageHead + 48
)

// fileHead is what the head of the file says, as a transaction sees it.
type fileHead struct {
	size  int64  // of a page, in bytes
	pages uint64 // how many there are
	root  uint64 // the first page of all tables
	list  uint64 // the page where the list of free pages begins
}

// readHead reads the head of the file as a transaction sees it: by the time it is read, the file may have another.
func readHead(tx *bbolt.Tx) (h fileHead, err error) {
	var first firstPage
	if _, err := tx.WriteTo(&first); len(first) == 0 { // else the error is errEnough
		return h, fmt.Errorf("read the store's head: %w", err)
	}
	h = fileHead{
		size:  int64(binary.NativeEndian.Uint32(first[pageSizeAt:])),
		pages: binary.NativeEndian.Uint64(first[pagesAt:]),
		root:  binary.NativeEndian.Uint64(first[rootAt:]),
		list:  binary.NativeEndian.Uint64(first[freelistPageAt:]),
	}
	if h.size < pageHead || h.list >= h.pages || h.pages > uint64(tx.Size()/h.size) {
		return h, fmt.Errorf("%w: its head names no list of free pages", storage.ErrCorrupt)
	}
	return h, nil
}

var errEnough = errors.New("enough")

// firstPage keeps the head of what is written to it, and wants no more.
type firstPage []byte

func (p *firstPage) Write(b []byte) (int, error) {
	if len(b) < headEnd {
		return 0, fmt.Errorf("%w: its head is short", storage.ErrCorrupt)
	}
	*p = append([]byte(nil), b[:headEnd]...)
	return 0, errEnough
}

// page is a page with all that belong to it.
type page struct {
	n     uint64
	kind  uint16
	count uint16
	more  uint32
	bytes []byte
}

// parsePage reads the head of a page, which is there.
func parsePage(n uint64, b []byte) *page {
	return &page{
		n: n, bytes: b,
		kind:  binary.NativeEndian.Uint16(b[kindAt:]),
		count: binary.NativeEndian.Uint16(b[countAt:]),
		more:  binary.NativeEndian.Uint32(b[moreAt:]),
	}
}

// pageElement is a row of a leaf, or what a branch names.
type pageElement struct {
	key, value []byte
	table      bool
	child      uint64
}

// element returns the element i, whose head is there, and whether it lies inside of its page.
func (p *page) element(i int) (e pageElement, inside bool) {
	at := pageHead + elementSize*i
	word := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(p.bytes[at+4*i:])) }
	pos, key, value := word(1), word(2), word(3)
	if p.kind == branchKind {
		pos, key, value = word(0), word(1), 0
		e.child = binary.NativeEndian.Uint64(p.bytes[at+8:])
	}
	begin := uint64(at) + pos // each at most 4 GiB: their sum is no less than each
	if begin+key+value > uint64(len(p.bytes)) {
		return e, false
	}
	e.key, e.value = p.bytes[begin:begin+key], p.bytes[begin+key:begin+key+value]
	e.table = p.kind == leafKind && word(0)&1 != 0
	return e, true
}
