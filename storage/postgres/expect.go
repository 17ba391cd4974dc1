package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/seed-260924e6/hallmark/storage"
)

// wanted is what is declared and not known yet: rows of all tables, which are one statement, and ranges, of which each is one.
type wanted struct {
	places []place
	spans  []span
}

// wants sorts out what is declared.
func (r *reader) wants(reads []storage.Read) (w wanted) {
	seen := map[string]bool{}
	var places []place
	for _, read := range reads {
		if !read.Range {
			places = append(places, place{read.Table, string(read.Key)})
			continue
		}
		s := span{table: read.Table, from: read.Key, to: read.To, reverse: read.Reverse}
		if _, ok := r.spans[s.name()]; !ok && !seen[s.name()] {
			seen[s.name()], w.spans = true, append(w.spans, s)
		}
	}
	w.places = r.unknown(places)
	return w
}

func (w wanted) statements() (all []statement) {
	if len(w.places) > 0 {
		all = append(all, askRows(w.places))
	}
	for _, s := range w.spans {
		all = append(all, s.statement(firstPiece))
	}
	return all
}

// keepAll remembers the answers to the statements of what was declared.
func (r *reader) keepAll(w wanted, answers []*pgconn.Result) error {
	if len(answers) != len(w.statements()) {
		return fmt.Errorf("%w: it left out answers", ErrAway)
	}
	if len(w.places) > 0 {
		if err := r.keep(w.places, answers[0]); err != nil {
			return err
		}
		answers = answers[1:]
	}
	for i, s := range w.spans {
		r.spans[s.name()] = pieceOf(answers[i], firstPiece)
	}
	return nil
}

// Expect implements storage.Expecter. What goes wrong shows at the first Get, which then asks again.
func (r *reader) Expect(reads []storage.Read) {
	w := r.wants(reads)
	all := w.statements()
	if len(all) == 0 {
		return
	}
	if answers, err := r.ask(all...); err == nil {
		_ = r.keepAll(w, answers)
	}
}
