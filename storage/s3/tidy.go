package s3

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// settling is how long a request may still have an effect that we have given up: what it puts is removed behind it.
const settling = 15 * time.Minute

func settled() time.Time { return time.Now().Add(settling) }

// Remove implements storage.Blobs. The object stays for Config.Keep.
func (s *Store) Remove(ctx context.Context, at storage.Location) error {
	p, ok := place.OfLocation(at)
	if !ok {
		return nil
	}
	return s.rows.Update(ctx, func(tx storage.Tx) error {
		var o object
		err := getRow(tx, objectTable, p, &o)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		tx.Delete(objectTable, objectKey(p))
		putGone(tx, time.Now().Add(s.keep), goneRow{Place: o.place(p).String(), Epoch: o.Epoch, Size: o.Size})
		return nil
	})
}

// tableStep is how many rows are read at once.
const tableStep = 500

// eachRow yields the rows of a table. Whoever gets one may change the table.
func (s *Store) eachRow(ctx context.Context, table storage.Table, to []byte) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		for from, more := []byte(nil), true; more; {
			var some []storage.Item
			var next []byte
			err := s.rows.View(ctx, func(tx storage.Reader) (err error) {
				some = nil
				next, err = storage.SomeRows(tx, table, from, to, tableStep, func(item storage.Item) error {
					some = append(some, storage.Item{Key: bytes.Clone(item.Key), Value: bytes.Clone(item.Value)})
					return nil
				})
				return err
			})
			if err != nil {
				yield(storage.Item{}, err)
				return
			}
			for _, item := range some {
				if !yield(item, nil) {
					return
				}
			}
			from, more = next, next != nil
		}
	}
}

// Uploads implements storage.Blobs.
func (s *Store) Uploads(ctx context.Context) iter.Seq2[storage.UploadInfo, error] {
	return func(yield func(storage.UploadInfo, error) bool) {
		for item, err := range s.eachRow(ctx, uploadTable, nil) {
			var info storage.UploadInfo
			if err == nil {
				info, err = s.infoOf(item)
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

func (s *Store) infoOf(item storage.Item) (storage.UploadInfo, error) {
	p, _ := place.Parse(string(item.Key), ".")
	if info, open := s.live(p); open {
		return info, nil
	}
	var row uploadRow
	err := decode(item.Value, &row)
	return row.info(p), err
}

// Leftovers implements storage.Blobs. An object that nobody names may be one that is about to be named; so those that this
// process has sealed are left out, as they have to be, and those that any process has sealed just now, where there are several.
func (s *Store) Leftovers(ctx context.Context, named iter.Seq2[storage.Location, error]) iter.Seq2[storage.Leftover, error] {
	return func(yield func(storage.Leftover, error) bool) {
		since, err := s.named(ctx)
		if err != nil {
			yield(storage.Leftover{}, err)
			return
		}
		keep := place.Set{}
		for at, err := range named {
			if err != nil {
				yield(storage.Leftover{}, err)
				return
			}
			if p, ok := place.OfLocation(at); ok {
				keep.Add(p)
			}
		}
		for item, err := range s.eachRow(ctx, objectTable, nil) {
			var o object
			if err == nil {
				err = decode(item.Value, &o)
			}
			p, _ := place.Parse(string(item.Key), ".")
			if err == nil && (o.Run == s.run || keep.Has(p) || o.Sealed > since) {
				continue
			}
			if !yield(storage.Leftover{At: p.Locate("unknown"), Size: o.Size}, err) || err != nil {
				return
			}
		}
	}
}

// named is the time before which every object that other processes have sealed is named, or is a leftover, in seconds since 1970. It has to be taken
// before the names are read. One process alone begins with none that are about to be named.
func (s *Store) named(ctx context.Context) (since int64, err error) {
	if !s.several {
		return math.MaxInt64, nil
	}
	err = s.rows.View(ctx, func(tx storage.Reader) error {
		now, err := storage.Now(tx)
		since = now.Add(-s.linked).Unix()
		return err
	})
	return since, err
}

// Tidy removes, until ctx ends, what nothing needs any more and whose time has come.
func (s *Store) Tidy(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.tidy(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.Error("removing objects that nothing needs failed; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tidy removes what was due at a time. One that cannot be removed does not keep the others.
func (s *Store) tidy(ctx context.Context, now time.Time) (first error) {
	due := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())+1)
	for item, err := range s.eachRow(ctx, goneTable, due) {
		if err != nil {
			return err
		}
		var g goneRow
		if err := decode(item.Value, &g); err != nil {
			return err
		}
		gone, err := s.removeGone(ctx, g)
		if err == nil && gone {
			err = s.rows.Update(ctx, func(tx storage.Tx) error {
				tx.Delete(goneTable, item.Key)
				return nil
			})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// removeGone removes an object, or what is left of an upload, and says whether the store says that it is gone.
func (s *Store) removeGone(ctx context.Context, g goneRow) (gone bool, err error) {
	p, ok := place.Parse(g.Place, ".")
	if !ok {
		return true, nil
	}
	key := s.client.key(p, g.Epoch)
	if !g.Unended {
		return true, s.client.remove(ctx, key)
	}
	// Who may not ask for them has a life-cycle rule. Where they cannot be told now, what is known goes all the same.
	found, unknown := s.client.uploads(ctx, key)
	gone = unknown == nil
	for _, id := range append(found, g.Multipart) {
		if id == "" {
			continue
		}
		err := s.client.abort(ctx, key, id)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return false, err
		}
		gone = gone && err != nil // it knows nothing of it
	}
	// Its parts may have been put together, and the answer was lost.
	return gone, errors.Join(unknown, s.client.remove(ctx, key))
}
