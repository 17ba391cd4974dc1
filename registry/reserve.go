package registry

import (
	"context"
	"errors"
	"sync"

	"github.com/opencontainers/go-digest"
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

// maxReserve is how much one upload reserves at most, 256 TiB: a Content-Length can say anything, and the sum of many has to fit.
const maxReserve = 1 << 48

// reserve makes an upload's reservation as large as its bytes, or gives it back where they are those of a blob that the repository has:
// d, or "" where the client has not said what they are. Error: a failure, where a quota has no room for them.
func (g *Registry) reserve(ctx context.Context, repo string, r *reservation, d digest.Digest, bytes int64) error {
	if all := g.quotas.Load(); all == nil || len(all.Quotas) == 0 {
		return nil
	}
	var held []Quota
	var rows []quotaRow
	err := g.store.View(ctx, func(tx storage.Reader) (err error) {
		held, rows = nil, nil
		if known, err := isLinkedAs(tx, repo, d, bytes); err != nil || known {
			return err
		}
		held, rows, err = g.quotaRowsOf(tx, repo)
		return err
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
	r.bytes = min(bytes, maxReserve)
	for _, q := range held {
		r.quotas = append(r.quotas, q.Pattern)
		g.reserved.add(q.Pattern, r.bytes)
	}
	return nil
}

// quotaRowsOf are the quotas that hold for a repository, with what is used of each.
func (g *Registry) quotaRowsOf(tx storage.Reader, repo string) (held []Quota, rows []quotaRow, err error) {
	all, err := g.quotasIn(tx)
	if err != nil {
		return nil, nil, err
	}
	held = all.matching(repo)
	for _, q := range held {
		row, err := readQuotaRow(tx, q.Pattern)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return held, rows, nil
}

// isLinkedAs says whether a repository has a blob that so many bytes can be.
func isLinkedAs(tx storage.Reader, repo string, d digest.Digest, bytes int64) (bool, error) {
	if d == "" {
		return false, nil
	}
	row, err := readLinked(tx, repo, d)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil && bytes <= row.size, err
}

// shrink gives back what an upload has reserved beyond its bytes.
func (g *Registry) shrink(r *reservation, bytes int64) {
	less := r.bytes - bytes
	if less <= 0 {
		return
	}
	for _, p := range r.quotas {
		g.reserved.add(p, -less)
	}
	r.bytes = bytes
}

// unreserve gives a reservation back.
func (g *Registry) unreserve(r *reservation) {
	for _, p := range r.quotas {
		g.reserved.add(p, -r.bytes)
	}
	*r = reservation{}
}
