package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// An upload that nobody goes on with is removed after a time. When a file was written the machine's clock says, which
// may be set forward between two chunks; so that tells only whether there was another chunk. For how long there was none
// the registry's clock says.

// idleRow is what a sweep saw of an upload.
type idleRow struct {
	modified uint64 // by the machine's clock, nanoseconds
	size     uint64
	since    uint64 // when it was first seen so, by the registry's clock
}

func (r idleRow) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, r.modified)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, r.size), r.since)
}

func decodeIdleRow(b []byte) (r idleRow, err error) {
	if len(b) != 24 {
		return r, damaged("what was seen of an upload has %d bytes", len(b))
	}
	return idleRow{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}, nil
}

// seenIdle returns what earlier sweeps saw of uploads.
func (g *Registry) seenIdle(ctx context.Context) (map[string]idleRow, error) {
	seen := map[string]idleRow{}
	err := storage.EachRow(ctx, g.store, idleTable, func(_ storage.Reader, item storage.Item) error {
		row, err := decodeIdleRow(item.Value)
		seen[string(item.Key)] = row
		return err
	})
	return seen, err
}

// keepIdle keeps what this sweep saw instead.
func (g *Registry) keepIdle(ctx context.Context, before, now map[string]idleRow) error {
	var changed []string
	for id, row := range now {
		if before[id] != row {
			changed = append(changed, id)
		}
	}
	for id := range before {
		if _, there := now[id]; !there {
			changed = append(changed, id)
		}
	}
	for len(changed) > 0 {
		some := changed[:min(len(changed), collectStep)]
		changed = changed[len(some):]
		err := g.store.Update(ctx, func(tx storage.Tx) error {
			for _, id := range some {
				if row, there := now[id]; there {
					tx.Put(idleTable, []byte(id), row.encode())
				} else {
					tx.Delete(idleTable, []byte(id))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeAbandoned removes uploads with which nobody went on for Config.UploadKeep.
func (g *Registry) removeAbandoned(ctx context.Context) (n int, err error) {
	before, err := g.seenIdle(ctx)
	if err != nil {
		return 0, err
	}
	now, old := map[string]idleRow{}, g.clock.before(g.now(), time.Duration(g.c.UploadKeep))
	for info, err := range g.blobs.Uploads(ctx) {
		if err != nil {
			return n, err
		}
		row := idleRow{uint64(info.Modified.UnixNano()), uint64(info.Size), g.now()}
		if was, ok := before[info.ID]; ok && was.modified == row.modified && was.size == row.size {
			row.since = was.since
		}
		now[info.ID] = row
		if row.since > old {
			continue
		}
		gone, err := g.dropIdle(ctx, info.ID)
		if err != nil {
			return n, err
		}
		if gone {
			delete(now, info.ID)
			n++
		}
	}
	g.sessions.recount(now)
	return n, g.keepIdle(ctx, before, now)
}

// dropIdle removes an upload, unless somebody writes to it just now.
func (g *Registry) dropIdle(ctx context.Context, id string) (gone bool, err error) {
	up, err := g.blobs.Resume(ctx, id)
	if errors.Is(err, storage.ErrBusy) || errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = up.Cancel()
	}
	if err != nil {
		return false, err
	}
	g.endSession(id)
	return true, nil
}
