package access

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// useTable: id → JSON of Use. Its rows name addresses, and can be erased.
const useTable = storage.Table("access/use")

// A Use is when and from where something was last signed in with.
type Use struct {
	Time    provenance.Time `json:"time"`
	Address string          `json:"address"`
}

// uses remembers the last use of secrets, and writes it down now and then: a pull must not wait for a
// commit. If we stop in between, a minute of it is forgotten.
type uses struct {
	mu      sync.Mutex
	pending map[string]Use // by account, or by the id of a token; only of such that exist. Guarded by mu.
}

// note remembers a use.
func (u *uses) note(id, address string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending == nil {
		u.pending = map[string]Use{}
	}
	u.pending[id] = Use{provenance.At(now), address}
}

// last returns the last use, or nil.
func (u *uses) last(tx storage.Reader, id string) (*Use, error) {
	u.mu.Lock()
	use, ok := u.pending[id]
	u.mu.Unlock()
	if ok {
		return &use, nil
	}
	value, err := tx.Get(useTable, []byte(id))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &use, json.Unmarshal(value, &use)
}

// forget removes what is known of something that is removed.
func (u *uses) forget(tx storage.Tx, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pending, id)
	tx.Delete(useTable, []byte(id))
}

func (u *uses) take() map[string]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.pending
	u.pending = nil
	return taken
}

// WriteUses writes the last uses of secrets down.
func (a *Access) WriteUses(ctx context.Context) error {
	taken := a.uses.take()
	if len(taken) == 0 {
		return nil
	}
	return a.store.Update(ctx, func(tx storage.Tx) error {
		for id, use := range taken {
			value, err := json.Marshal(use)
			if err != nil {
				return err
			}
			tx.Put(useTable, []byte(id), value)
		}
		return nil
	})
}

// KeepUses writes the last uses of secrets down every minute, and when ctx ends.
func (a *Access) KeepUses(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		if err := a.WriteUses(context.WithoutCancel(ctx)); err != nil {
			failed(err)
		}
	}
}
