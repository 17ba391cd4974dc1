package provenance

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Move is one thing that happened to a tag. From is absent when the tag was not there before, To when
// it was removed. They are equal when the same image was pushed to it again.
type Move struct {
	From   digest.Digest `json:"from,omitempty"`
	To     digest.Digest `json:"to,omitempty"`
	Record *Record       `json:"record"`
}

// MoveOf returns what a record did to a tag, and whether it did anything.
func MoveOf(r *Record, tag string) (Move, bool) {
	for _, t := range r.Tags {
		if t.Name != tag {
			continue
		}
		return Move{From: t.Previous, To: r.Meaning(t), Record: r}, true
	}
	return Move{}, false
}

// History returns what happened to a tag, newest first. The fields of the page are those of Query.
//
// A manifest with many tags is deleted by one record, and those of its tags come later, or never where a tag was
// set again meanwhile. So the deletion counts for each tag that meant the manifest then.
func (b *Book) History(ctx context.Context, repository, tag string, after *uint64, limit int) (moves []Move, next *uint64, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	q := Query{Repository: repository, Tag: tag, Descending: true, After: after, Limit: limit}
	err = b.view(ctx, func(tx storage.Reader) error {
		page := Page{}
		if err := q.find(tx, &page); err != nil {
			return err
		}
		moves, err = q.movesOf(tx, page.Records)
		next = page.Next
		if len(moves) > limit || next != nil && len(moves) > 0 {
			moves = moves[:min(limit, len(moves))]
			next = &moves[len(moves)-1].Record.Index // and not less: an end may be behind it
		}
		return err
	})
	return moves, next, err
}

// movesOf returns what records did to the tag of a query, newest first, with the ends that none of them says.
func (q *Query) movesOf(tx storage.Reader, records []*Record) (moves []Move, err error) {
	before, from, err := q.behind(tx)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		m, _ := MoveOf(r, q.Tag)
		if m.To != from {
			end, err := ended(tx, q.Repository, m, before)
			if err != nil {
				return nil, err
			}
			if end != nil {
				moves = append(moves, *end)
			}
		}
		moves, before, from = append(moves, m), r.Index, m.From
	}
	return moves, nil
}

// behind returns the index of the entry before which the page of a history begins, and what the tag meant until
// then.
func (q *Query) behind(tx storage.Reader) (index uint64, from digest.Digest, err error) {
	if q.After == nil {
		h, err := readHead(tx)
		return h.next, "", err
	}
	r, err := ReadRecord(tx, *q.After)
	if errors.Is(err, ErrNoRecord) {
		return *q.After, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	if m, ok := MoveOf(r, q.Tag); ok {
		return r.Index, m.From, nil
	}
	return r.Index, r.Digest, nil // an end
}

// ended returns the end of what a tag meant after a move, where the record of its deletion is the first that
// says so, before an index; or nil.
func ended(tx storage.Reader, repository string, m Move, before uint64) (*Move, error) {
	if m.To == "" {
		return nil, nil
	}
	q := Query{Repository: repository, Digest: m.To, Action: Delete}
	s := seeker{tx: tx, terms: q.terms(), low: m.Record.Index + 1, high: before, looks: maxLook}
	for {
		index, ok, err := s.next()
		if err != nil || !ok {
			return nil, err
		}
		r, err := ReadRecord(tx, index)
		if err != nil {
			return nil, err
		}
		if q.matches(r) {
			return &Move{From: m.To, Record: r}, nil
		}
		s.skip(index)
	}
}

// Meaning returns the last thing that had happened to a tag at a moment, or ErrNoRecord. Where the clock
// went back, a record counts as made at the latest time that the registry had seen by then.
func (b *Book) Meaning(ctx context.Context, repository, tag string, at time.Time) (m Move, err error) {
	err = b.view(ctx, func(tx storage.Reader) error {
		before, err := firstAt(tx, at.Add(time.Microsecond))
		if err != nil {
			return err
		}
		s := seeker{tx: tx, terms: []term{newTerm(byTag, repository, tag)}, high: before, descending: true, looks: maxLook}
		index, ok, err := s.next()
		if err != nil {
			return err
		}
		if !ok {
			return ErrNoRecord
		}
		r, err := ReadRecord(tx, index)
		if err != nil {
			return err
		}
		m, _ = MoveOf(r, tag)
		end, err := ended(tx, repository, m, before)
		if end != nil {
			m = *end
		}
		return err
	})
	return m, err
}

// FirstAt returns the index of the first record that is not older than a time. It goes by the running maximum of the records' times: a
// clock that was set back makes no record older.
func (b *Book) FirstAt(ctx context.Context, t time.Time) (index uint64, err error) {
	err = b.view(ctx, func(tx storage.Reader) error {
		index, err = firstAt(tx, t)
		return err
	})
	return index, err
}
