package registry

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// What is decided about images is remembered with marks (marks.go), and a change moves them in the process that makes it. Where several
// processes work on one store, the change is also noted in its own transaction, as a row with the next number: which marks it moves.
// The first View of each request reads the rows behind the last that this process knows, with its own, and moves its marks. So what was
// decided before somebody pushed, deleted or signed elsewhere is decided anew with the next request.
//
// One process alone neither writes nor reads any of it: it begins with no memory.

// keptMoves is how many moves are kept. A process that has missed more forgets all that it has decided.
const keptMoves = 4096

// movesAhead is how many moves are mostly read.
const movesAhead = 64

var lastMoveKey = []byte("last")

// moves are those that this process knows.
type moves struct {
	several bool          // does not change
	seen    atomic.Uint64 // the number of the last

	applying sync.Mutex // held while marks are moved, so that seen is never ahead of them
}

// ShareMarks says that other processes work on the store too, before the registry serves anybody.
func (g *Registry) ShareMarks() { g.moves.several = true }

func moveKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// moveReads are what noteMoves reads, for an Update to declare.
func (g *Registry) moveReads() []storage.Read {
	if !g.moves.several {
		return nil
	}
	return []storage.Read{storage.Row(lastMoveTable, lastMoveKey)}
}

// noteMoves notes in a transaction that it changes what is known of digests.
func (g *Registry) noteMoves(tx storage.Tx, digests ...digest.Digest) error {
	if !g.moves.several {
		return nil
	}
	last, err := lastMove(tx)
	if err != nil {
		return err
	}
	row := []byte{boolByte(g.withholds.Load())}
	for _, d := range digests {
		if d != "" {
			row = binary.BigEndian.AppendUint16(row, markOf(d))
		}
	}
	last++
	tx.Put(lastMoveTable, lastMoveKey, moveKey(last))
	tx.Put(movesTable, moveKey(last), row)
	if last > keptMoves {
		tx.Delete(movesTable, moveKey(last-keptMoves))
	}
	return nil
}

func lastMove(tx storage.Reader) (uint64, error) {
	value, err := getOrNil(tx, lastMoveTable, lastMoveKey)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, damaged("the number of the last change has %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// unseenMoves are what followMoves reads.
func (g *Registry) unseenMoves() []storage.Read {
	if !g.moves.several {
		return nil
	}
	return []storage.Read{storage.Rows(movesTable, moveKey(g.moves.seen.Load()+1), nil).First(movesAhead)}
}

// followMoves moves the marks that other processes have moved, as a transaction sees it.
func (g *Registry) followMoves(tx storage.Reader) error {
	if !g.moves.several {
		return nil
	}
	next := g.moves.seen.Load() + 1
	var rows []storage.Item
	for item, err := range tx.Scan(movesTable, moveKey(next), nil) {
		if err != nil {
			return err
		}
		if len(item.Key) != 8 {
			return damaged("a change has the number %x", item.Key)
		}
		rows = append(rows, item)
	}
	if len(rows) == 0 {
		return nil
	}
	g.moves.applying.Lock()
	defer g.moves.applying.Unlock()
	if first := binary.BigEndian.Uint64(rows[0].Key); first != next && first > g.moves.seen.Load()+1 {
		g.marks.moveAll()
	}
	for _, row := range rows {
		if err := g.followMove(row.Value); err != nil {
			return err
		}
	}
	if last := binary.BigEndian.Uint64(rows[len(rows)-1].Key); last > g.moves.seen.Load() {
		g.moves.seen.Store(last)
	}
	return nil
}

func (g *Registry) followMove(row []byte) error {
	if len(row)%2 == 0 {
		return errors.Join(storage.ErrCorrupt, errors.New("a change names half a mark"))
	}
	if row[0] == 1 {
		g.withholds.Store(true)
	}
	now := g.marks.last.Add(1)
	for rest := row[1:]; len(rest) > 0; rest = rest[2:] {
		reach(&g.marks.of[binary.BigEndian.Uint16(rest)], now)
	}
	return nil
}
