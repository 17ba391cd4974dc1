package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/seed-260924e6/hallmark/storage"
)

// place is a key in a table.
type place struct {
	table storage.Table
	key   string
}

// reader reads within one transaction, over what the closures before it in the same group have changed.
type reader struct {
	s     *session
	lease *lease // compared with the first answer of a View, which comes with its first read; nil in a group and where nobody holds it
	known map[place][]byte
	spans map[string]piece // the first piece of what was declared, by span.name
	group *changes         // nil in a View
	at    time.Time        // the database's, when the transaction began; zero until something was answered
	// again begins a View anew, on another connection: nil once it was answered, and in a group.
	again func() (*session, error)
	lost  error // why there is no session any more
}

func newReader(s *session, group *changes) *reader {
	return &reader{s: s, known: map[place][]byte{}, spans: map[string]piece{}, group: group}
}

// The LIMIT has the planner look each key up: no size of the table, and no statistics of it, make it read the table.
const getRows = `SELECT w.i, r.v FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS w(t, k, i)
	CROSS JOIN LATERAL (SELECT v FROM hallmark_rows WHERE t = w.t AND k = w.k LIMIT 1) AS r`

// askRows is the statement that reads rows.
func askRows(places []place) statement {
	tables, keys := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		tables[i], keys[i] = string(p.table), p.key
	}
	return statement{getRows, []uint32{oidTextArray, oidByteaArray}, [][]byte{array(oidText, tables), array(oidBytea, keys)}}
}

// keep remembers the answer to askRows, and which of them are absent.
func (r *reader) keep(places []place, answer *pgconn.Result) error {
	for _, p := range places {
		r.known[p] = nil
	}
	for _, row := range answer.Rows {
		if len(row) != 2 || len(row[0]) != 8 {
			return errors.New("the database answers with rows of another shape")
		}
		i := binary.BigEndian.Uint64(row[0]) - 1
		if i >= uint64(len(places)) {
			return errors.New("the database answers with a row that was not asked for")
		}
		r.known[places[i]] = set(row[1])
	}
	return nil
}

// set makes of an empty value one that is not nil: nil is no value.
func set(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// ask waits for some statements, and for all that was sent before. It returns their answers.
func (r *reader) ask(all ...statement) ([]*pgconn.Result, error) {
	if r.lost != nil {
		return nil, r.lost
	}
	answers, err := r.s.ask(all...)
	if err != nil && r.again != nil && r.s.isClosed() { // the connection was lost while nobody used it
		again := r.again
		r.again = nil
		var next *session
		if next, err = again(); err != nil {
			r.lost = err // there is no session any more: what asks after an Expect is told so, too
			return nil, err
		}
		r.s = next
		answers, err = r.s.ask(all...)
	}
	r.again = nil
	if err != nil {
		return nil, away(err)
	}
	before := len(answers) - len(all)
	if before < 0 {
		return nil, fmt.Errorf("%w: it gave no answer", ErrAway)
	}
	if r.group == nil && before >= 2 { // BEGIN, and the lease
		r.at = timeIn(answers[1])
		if r.lease == nil {
			return answers[before:], nil
		}
		if err := r.lease.held(answers[1]); err != nil {
			return nil, err
		}
	}
	return answers[before:], nil
}

// Now implements storage.Timekeeper: it comes with the answer to the transaction's beginning.
func (r *reader) Now() (time.Time, error) {
	if r.at.IsZero() && r.group == nil {
		if _, err := r.ask(); err != nil {
			return time.Time{}, err
		}
	}
	if r.at.IsZero() {
		return time.Time{}, errors.New("the database does not say what time it is")
	}
	return r.at, nil
}

// unknown are those of some rows that were not read yet, each once.
func (r *reader) unknown(places []place) (missing []place) {
	asked := map[place]bool{}
	for _, p := range places {
		if _, ok := r.known[p]; !ok && !asked[p] && !r.group.has(p) {
			asked[p], missing = true, append(missing, p)
		}
	}
	return missing
}

// fetch reads those of some rows that are not known yet.
func (r *reader) fetch(places []place) error {
	missing := r.unknown(places)
	if len(missing) == 0 {
		return nil
	}
	answers, err := r.ask(askRows(missing))
	if err != nil {
		return err
	}
	return r.keep(missing, answers[0])
}

// now is what a row has now, which was fetched; nil where it is absent.
func (r *reader) now(p place) []byte {
	if value, ok := r.group.get(p); ok {
		return value
	}
	return r.known[p]
}

// Get implements storage.Reader.
func (r *reader) Get(table storage.Table, key []byte) ([]byte, error) {
	p := place{table, string(key)}
	if err := r.fetch([]place{p}); err != nil {
		return nil, err
	}
	if value := r.now(p); value != nil {
		return value, nil
	}
	return nil, storage.ErrNotFound
}

// GetMany implements storage.Reader.
func (r *reader) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	places := make([]place, len(keys))
	for i, key := range keys {
		places[i] = place{table, string(key)}
	}
	if err := r.fetch(places); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, p := range places {
		values[i] = r.now(p)
	}
	return values, nil
}
