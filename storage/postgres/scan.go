package postgres

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/seed-260924e6/hallmark/storage"
)

// A scan is read in pieces: most of them are left after the first rows, and a row may have a mebibyte. The first piece
// is small.
const (
	firstPiece = 64
	nextPieces = 256
)

// span is what is left of a scan.
type span struct {
	table    storage.Table
	from, to []byte // to is nil where there is no end
	reverse  bool
}

const (
	scanUp   = `SELECT k, v FROM hallmark_rows WHERE t = $1 AND k >= $2 ORDER BY k LIMIT $3`
	scanDown = `SELECT k, v FROM hallmark_rows WHERE t = $1 AND k >= $2 ORDER BY k DESC LIMIT $3`

	scanUpTo   = `SELECT k, v FROM hallmark_rows WHERE t = $1 AND k >= $2 AND k < $4 ORDER BY k LIMIT $3`
	scanDownTo = `SELECT k, v FROM hallmark_rows WHERE t = $1 AND k >= $2 AND k < $4 ORDER BY k DESC LIMIT $3`
)

func (s span) statement(limit int) statement {
	one := statement{scanUp, []uint32{oidText, oidBytea, oidInt8}, [][]byte{[]byte(s.table), set(s.from), int8bytes(int64(limit))}}
	if s.reverse {
		one.sql = scanDown
	}
	if s.to == nil {
		return one
	}
	one.sql, one.types, one.values = scanUpTo, append(one.types, oidBytea), append(one.values, set(s.to))
	if s.reverse {
		one.sql = scanDownTo
	}
	return one
}

// behind is what is left when key was the last of a piece.
func (s span) behind(key []byte) span {
	if s.reverse {
		s.to = key
	} else {
		s.from = append(bytes.Clone(key), 0)
	}
	return s
}

// name tells a span from others.
func (s span) name() string {
	return fmt.Sprintf("%s\x00%x\x00%x\x00%v\x00%v", s.table, s.from, s.to, s.to == nil, s.reverse)
}

// before says that a key comes before another in the order of the scan.
func (s span) before(a, b []byte) bool {
	if s.reverse {
		a, b = b, a
	}
	return bytes.Compare(a, b) < 0
}

// nextTables finds each table behind the one before it, and reads no other row.
const nextTables = `WITH RECURSIVE n AS ((SELECT t FROM hallmark_rows ORDER BY t LIMIT 1)
	UNION ALL SELECT (SELECT t FROM hallmark_rows WHERE t > n.t ORDER BY t LIMIT 1) FROM n WHERE n.t IS NOT NULL)
	SELECT t FROM n WHERE t IS NOT NULL`

// Tables implements storage.Lister.
func (r *reader) Tables() (tables []storage.Table, err error) {
	answers, err := r.ask(plain(nextTables))
	if err != nil {
		return nil, err
	}
	for _, row := range answers[0].Rows {
		tables = append(tables, storage.Table(row[0]))
	}
	return tables, nil
}

// Scan implements storage.Reader.
func (r *reader) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.scan(span{table: table, from: from, to: to})
}

// ScanReverse implements storage.Reader.
func (r *reader) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.scan(span{table: table, from: from, to: to, reverse: true})
}

// scan merges what is in the database with what this group has changed of it until the scan began.
func (r *reader) scan(s span) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		changed := r.group.within(s)
		for item, err := range r.stored(s) {
			if err != nil {
				yield(storage.Item{}, err)
				return
			}
			for len(changed) > 0 && s.before(changed[0].Key, item.Key) {
				if !yieldSet(yield, changed[0]) {
					return
				}
				changed = changed[1:]
			}
			if len(changed) > 0 && bytes.Equal(changed[0].Key, item.Key) {
				item, changed = changed[0], changed[1:]
			}
			if !yieldSet(yield, item) {
				return
			}
		}
		for _, item := range changed {
			if !yieldSet(yield, item) {
				return
			}
		}
	}
}

// yieldSet yields an item that was not deleted.
func yieldSet(yield func(storage.Item, error) bool, item storage.Item) bool {
	return item.Value == nil || yield(item, nil)
}

// A piece is some rows of a span, in its order.
type piece struct {
	items []storage.Item
	last  bool // there are no more
}

// pieceOf reads the answer to a statement of a span that asked for up to limit rows.
func pieceOf(answer *pgconn.Result, limit int) piece {
	p := piece{last: len(answer.Rows) < limit}
	for _, row := range answer.Rows {
		p.items = append(p.items, storage.Item{Key: row[0], Value: set(row[1])})
	}
	return p
}

// first returns the first piece of a span, which may have been declared.
func (r *reader) first(s span) (piece, error) {
	if p, ok := r.spans[s.name()]; ok {
		return p, nil
	}
	return r.piece(s, firstPiece)
}

func (r *reader) piece(s span, limit int) (piece, error) {
	answers, err := r.ask(s.statement(limit))
	if err != nil {
		return piece{}, err
	}
	return pieceOf(answers[0], limit), nil
}

// stored reads what is in the database, piece by piece.
func (r *reader) stored(s span) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		p, err := r.first(s)
		for err == nil {
			for _, item := range p.items {
				if !yield(item, nil) {
					return
				}
			}
			if p.last {
				return
			}
			s = s.behind(p.items[len(p.items)-1].Key)
			p, err = r.piece(s, nextPieces)
		}
		yield(storage.Item{}, err)
	}
}
