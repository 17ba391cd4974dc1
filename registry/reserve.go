package registry

import (
	"context"
	"sync"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// Bytes of uploads under way are reserved in memory, so that an upload that cannot fit is refused before its bytes have come. What
// binds is the check in the transaction that links the blob: a restart forgets the reservations, and nothing is exceeded by it.

// reservations are the bytes of uploads under way, by the quotas that held for them when they were reserved.
type reservations struct {
	mu sync.Mutex
	by map[access.Pattern]int64 // guarded by mu; none is 0
}

// add changes what is reserved of a quota.
func (r *reservations) add(p access.Pattern, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[access.Pattern]int64{}
	}
	if r.by[p] += n; r.by[p] == 0 {
		delete(r.by, p)
	}
}

func (r *reservations) of(p access.Pattern) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by[p]
}

// reservation is what one upload has reserved. Whoever has the upload open for writing owns it.
type reservation struct {
	bytes  int64
	quotas []access.Pattern // of which
}

// reserve makes an upload's reservation as large as its bytes. Error: a failure, where a quota has no room for them.
func (g *Registry) reserve(ctx context.Context, repo string, r *reservation, bytes int64) error {
	if all := g.quotas.Load(); all == nil || len(all.Quotas) == 0 {
		return nil
	}
	var held []Quota
	var rows []quotaRow
	err := g.store.View(ctx, func(tx storage.Reader) error {
		all, err := g.quotasIn(tx)
		if err != nil {
			return err
		}
		held, rows = all.matching(repo), nil
		for _, q := range held {
			row, err := readQuotaRow(tx, q.Pattern)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.unreserve(r)
	for i, q := range held {
		rows[i].bytes += g.reserved.of(q.Pattern)
		if err := q.room(rows[i], max(bytes, 1), 0); err != nil {
			return err
		}
	}
	r.bytes = bytes
	for _, q := range held {
		r.quotas = append(r.quotas, q.Pattern)
		g.reserved.add(q.Pattern, bytes)
	}
	return nil
}

// unreserve gives a reservation back.
func (g *Registry) unreserve(r *reservation) {
	for _, p := range r.quotas {
		g.reserved.add(p, -r.bytes)
	}
	*r = reservation{}
}
