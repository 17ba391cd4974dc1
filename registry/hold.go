package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"github.com/seed-260924e6/hallmark/storage"
)

// A hold keeps an image from rules of retention until a time; people may delete it all the same. It is of a digest in a repository,
// not of a tag, and its row outlives the image: one that is deleted and comes back is held again.

// A Held is an image that is held.
type Held struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	Until      provenance.Time  `json:"until"`
	Reason     string           `json:"reason"`
	Record     uint64           `json:"record"` // that holds it
	By         provenance.Actor `json:"by"`
	// Gone says that the image is not there now.
	Gone bool `json:"gone,omitempty"`
}

// The errors of holds, beside ErrUnknown.
var (
	// ErrMayNotHold: only those who may delete in a repository hold its images.
	ErrMayNotHold = fault.New(fault.Denied, "only those who may delete in the repository may hold its images and release them")
	// ErrNotHeld: there is nothing to release.
	ErrNotHeld = fault.New(fault.Missing, "nobody holds this image; `hallmark hold list` lists what is held")
	// ErrHold: what a hold needs.
	ErrHold = fault.Newf(fault.Invalid, "a hold has an end in the future, and a reason of 1 to %d bytes in one line", provenance.MaxReason)
)

// heldRow says until when an image is held.
type heldRow struct {
	record uint64 // that holds it
	until  uint64 // microseconds since 1970
}

func (h heldRow) encode() []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, h.record), h.until)
}

func decodeHeldRow(value []byte) (heldRow, error) {
	f := fields{rest: value}
	h := heldRow{record: f.number(), until: f.number()}
	return h, f.err("hold")
}

func (h heldRow) end() provenance.Time { return provenance.At(time.UnixMicro(int64(h.until))) }

// heldAt returns until when an image is held at a time, or the zero value.
func heldAt(tx storage.Reader, repo string, manifest []byte, now time.Time) (until provenance.Time, err error) {
	value, err := getOrNil(tx, heldTable, repoKey(repo, manifest))
	if err != nil || value == nil {
		return until, err
	}
	row, err := decodeHeldRow(value)
	if err != nil || !row.end().After(now) {
		return until, err
	}
	return row.end(), nil
}

// Hold holds an image until a time, in the place of an earlier hold. Errors: ErrUnknown, ErrMayNotHold, ErrHold.
func (g *Registry) Hold(ctx context.Context, who provenance.Identity, repo string, d digest.Digest, until time.Time, reason string) (r *provenance.Record, err error) {
	end := provenance.At(until)
	switch {
	case !end.After(g.machine()):
		return nil, fmt.Errorf("%w: this one would end at %s, which has passed", ErrHold, end)
	case reason == "" || len(reason) > provenance.MaxReason || !utf8.ValidString(reason) || !isPrintable(reason) || strings.TrimSpace(reason) != reason:
		return nil, fmt.Errorf("%w: the reason %.40q is not one", ErrHold, reason)
	}
	return g.changeHold(ctx, who, repo, d, func(tx storage.Tx, key []byte) (*provenance.Hold, error) {
		f, err := readManifest(tx, repo, d.String(), d)
		if err == nil && f.rendered {
			err = errManifestUnknown(repo, d.String())
		}
		return &provenance.Hold{Until: &end, Reason: reason}, err
	})
}

// Release ends the hold of an image. Errors: ErrUnknown, ErrMayNotHold, ErrNotHeld.
func (g *Registry) Release(ctx context.Context, who provenance.Identity, repo string, d digest.Digest) (*provenance.Record, error) {
	return g.changeHold(ctx, who, repo, d, func(tx storage.Tx, key []byte) (*provenance.Hold, error) {
		_, err := tx.Get(heldTable, key)
		if errors.Is(err, storage.ErrNotFound) {
			err = ErrNotHeld
		}
		return &provenance.Hold{Released: true}, err
	})
}

// changeHold commits a change of a hold with its record.
func (g *Registry) changeHold(ctx context.Context, who provenance.Identity, repo string, d digest.Digest, change func(storage.Tx, []byte) (*provenance.Hold, error)) (r *provenance.Record, err error) {
	if _, ok := parseDigest(d.String()); !ok || !validName(repo) {
		return nil, errManifestUnknown(repo, d.String())
	}
	key := repoKey(repo, digestKey(d))
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		may, err := g.gate.MayIn(tx, who, access.Delete, repo)
		if err != nil {
			return err
		}
		if !may {
			return ErrMayNotHold
		}
		hold, err := change(tx, key)
		if err != nil {
			return err
		}
		e := provenance.Event{Action: provenance.HoldChange, Repository: repo, Digest: d, Who: who, Hold: hold}
		e.Observed.RequestID = obs.RequestID(ctx)
		if r, err = g.book.Append(tx, e); err != nil {
			return err
		}
		if hold.Released {
			tx.Delete(heldTable, key)
		} else {
			tx.Put(heldTable, key, heldRow{r.Index, uint64(hold.Until.UnixMicro())}.encode())
		}
		return nil
	})
	return r, err
}

// HeldImages returns up to n images that are held now, those of one repository or of all, in order, from behind one; and where the next
// page begins, or nil.
func (g *Registry) HeldImages(ctx context.Context, repo string, after *RepoDigest, n int) (list []Held, next *RepoDigest, err error) {
	var from, to []byte
	if repo != "" {
		from = repoKey(repo)
		to = storage.PrefixEnd(from)
	}
	if after != nil {
		if _, ok := parseDigest(after.Digest.String()); !ok {
			return nil, nil, errDigest(after.Digest.String())
		}
		// A page never begins before the repository that was asked for.
		from = slices.MaxFunc([][]byte{from, append(repoKey(after.Repository, digestKey(after.Digest)), 0)}, bytes.Compare)
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		list, next = []Held{}, nil
		rest, err := storage.SomeRows(tx, heldTable, from, to, n, func(item storage.Item) error {
			repo, key := cutRepo(item.Key)
			d, _, err := cutDigest(key)
			if err != nil {
				return err
			}
			next = &RepoDigest{repo, d}
			held, err := readHeld(tx, *next, item)
			if err == nil && held.Until.After(g.machine()) {
				list = append(list, held)
			}
			return err
		})
		if rest == nil {
			next = nil
		}
		return err
	})
	return list, next, err
}

func readHeld(tx storage.Reader, p RepoDigest, item storage.Item) (h Held, err error) {
	row, err := decodeHeldRow(item.Value)
	if err != nil {
		return h, err
	}
	h = Held{Repository: p.Repository, Digest: p.Digest, Until: row.end(), Record: row.record}
	r, err := provenance.ReadRecord(tx, row.record)
	if err != nil {
		return h, err
	}
	h.By = r.Actor
	if r.Hold != nil {
		h.Reason = r.Hold.Reason
	}
	there, err := getOrNil(tx, manifestTable, item.Key)
	h.Gone = there == nil
	return h, err
}

// heldRow wants an image to be held as the records say.
func (f *follower) heldRow(_ storage.Reader, in *replay.Repository, repo string, key, value []byte) error {
	d, _, err := cutDigest(key)
	if err != nil {
		f.badf("%s has a hold of something that is no digest", repo)
		return nil
	}
	row, err := decodeHeldRow(value)
	if err != nil {
		f.badf("the hold of %s@%s cannot be read", repo, d)
		return nil
	}
	switch should, held := in.Holds[d]; {
	case !held:
		f.badf("%s@%s is held by record %d; by the records it is not", repo, d, row.record)
	case should.Record != row.record || !should.Until.Equal(row.end().Time):
		f.badf("%s@%s is held until %s by record %d; by the records it is until %s by record %d", repo, d, row.end(), row.record, should.Until, should.Record)
	}
	return nil
}

// missingHold wants an image that is held by the records to be.
func (f *follower) missingHold(tx storage.Reader, in *replay.Repository, repo string, d digest.Digest) error {
	should, held := in.Holds[d]
	if !held { // it was released meanwhile
		return nil
	}
	row, err := getOrNil(tx, heldTable, repoKey(repo, digestKey(d)))
	if err == nil && row == nil {
		f.badf("%s@%s is not held; by the records it is, until %s by record %d", repo, d, should.Until, should.Record)
	}
	return err
}
