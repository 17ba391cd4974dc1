package provenance

import (
	"context"
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
		m := Move{From: t.Previous, To: r.Digest, Record: r}
		if r.Action == Untag || r.Action == Delete {
			m.To = ""
		}
		return m, true
	}
	return Move{}, false
}

// History returns what happened to a tag, newest first. The fields of the page are those of Query.
func (b *Book) History(ctx context.Context, repository, tag string, after *uint64, limit int) (moves []Move, next *uint64, err error) {
	page, err := b.Find(ctx, Query{Repository: repository, Tag: tag, Descending: true, After: after, Limit: limit})
	for _, r := range page.Records {
		if m, ok := MoveOf(r, tag); ok {
			moves = append(moves, m)
		}
	}
	return moves, page.Next, err
}

// Meaning returns the last thing that had happened to a tag at a moment, or ErrNoRecord. Where the clock
// went back, a record counts as made at the latest time that the registry had seen by then.
func (b *Book) Meaning(ctx context.Context, repository, tag string, at time.Time) (m Move, err error) {
	err = b.view(ctx, func(tx storage.Reader) error {
		end, err := firstAt(tx, at.Add(time.Microsecond))
		if err != nil {
			return err
		}
		s := seeker{tx: tx, terms: []term{newTerm(byTag, repository, tag)}, high: end, descending: true, looks: maxLook}
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
		return nil
	})
	return m, err
}
