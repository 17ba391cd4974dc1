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

// uses remembers the last use of secrets and of sessions, and writes it down behind the request: nobody waits for a commit to pull.
// That of a session is written at once, because it moves the end of a login; that of a robot's secret, which is only shown, once a minute.
//
// If we are killed in between, it is forgotten: another time is shown, and a login that nobody uses again within ten minutes ends
// that much earlier.
type uses struct {
	mu      sync.Mutex
	pending map[string]Use // by account, or by the id of a session; only of such that exist. Guarded by mu.
	some    chan struct{}  // holds one where the use of a session may be pending
}

// The bounds of uses. Those that find no room are forgotten: a session that goes on being used notes it again.
const (
	maxUses  = 64 << 10
	usesStep = 200              // that are written in one transaction
	usesWait = time.Second      // until it is tried again
	usesStop = 10 * time.Second // for which a stop waits until the store begins to take them
)

func newUses() *uses { return &uses{pending: map[string]Use{}, some: make(chan struct{}, 1)} }

// note remembers a use.
func (u *uses) note(id, address string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.pending[id]; !there && len(u.pending) >= maxUses {
		return
	}
	u.pending[id] = Use{provenance.At(now), address}
}

// noteSession remembers the use of a session, and has it written soon.
func (u *uses) noteSession(id, address string, now time.Time) {
	if use, ok := u.noted(id); !ok || now.Sub(use.Time.Time) >= touchEvery {
		u.note(id, address, now)
	}
	u.wake()
}

func (u *uses) wake() {
	select {
	case u.some <- struct{}{}:
	default: // it has been told
	}
}

// noted returns a use that is not written yet.
func (u *uses) noted(id string) (use Use, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	use, ok = u.pending[id]
	return use, ok
}

// last returns the last use, or nil.
func (u *uses) last(tx storage.Reader, id string) (*Use, error) {
	if use, ok := u.noted(id); ok {
		return &use, nil
	}
	value, err := tx.Get(useTable, []byte(id))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	use := new(Use)
	return use, json.Unmarshal(value, use)
}

// forget removes what is known of something that is removed.
func (u *uses) forget(tx storage.Tx, id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pending, id)
	tx.Delete(useTable, []byte(id))
}

// take returns some that are pending, which they stay until written is told.
func (u *uses) take() map[string]Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := map[string]Use{}
	for id, use := range u.pending {
		if taken[id] = use; len(taken) == usesStep {
			break
		}
	}
	return taken
}

// written forgets those that are written, unless they were used again meanwhile.
func (u *uses) written(taken map[string]Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, use := range taken {
		if u.pending[id] == use {
			delete(u.pending, id)
		}
	}
}

// WriteUses writes the last uses of secrets and sessions down.
func (a *Access) WriteUses(ctx context.Context) error {
	for {
		taken := a.uses.take()
		if len(taken) == 0 {
			return nil
		}
		err := a.store.Update(ctx, func(tx storage.Tx) error {
			for id, use := range taken {
				if _, still := a.uses.noted(id); !still { // it was removed
					continue
				}
				if err := use.write(tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		a.uses.written(taken)
	}
}

// write writes a use down, unless it is one of a session that has ended, or whose row is damaged: nobody signs in with that. That of a
// robot stays out where another process has removed the robot since, or has kept a later one.
func (use Use) write(tx storage.Tx, id string) error {
	if sessionKind(id) != "" {
		s, err := readSession(tx, id)
		if errors.Is(err, ErrUnknownSession) || errors.Is(err, storage.ErrCorrupt) || err == nil && s.Ended {
			return nil
		}
		if err != nil {
			return err
		}
		return s.use(tx, use)
	}
	if worth, err := use.isWorthKeeping(tx, id); err != nil || !worth {
		return err
	}
	value, err := json.Marshal(use)
	if err == nil {
		tx.Put(useTable, []byte(id), value)
	}
	return err
}

// isWorthKeeping says that a robot is there still, and that no later use of it is kept, by another process.
func (use Use) isWorthKeeping(tx storage.Reader, account string) (bool, error) {
	if _, err := tx.Get(accountTable, []byte(account)); errors.Is(err, storage.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	before, err := tx.Get(useTable, []byte(account))
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	var kept Use
	if err != nil || json.Unmarshal(before, &kept) != nil {
		return true, err
	}
	return !kept.Time.After(use.Time.Time) || kept.Time.After(time.Now()), nil
}

// KeepUses writes the last uses of secrets and sessions down, each minute or sooner, and when ctx ends.
func (a *Access) KeepUses(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for failing := false; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		case <-a.uses.some:
		}
		err := a.WriteUses(ctx)
		if err != nil && ctx.Err() == nil {
			if !failing {
				failed(err)
			}
			a.uses.retry(ctx)
		}
		failing = err != nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), usesStop)
	defer cancel()
	if err := a.WriteUses(ctx); err != nil {
		failed(err)
	}
}

// retry has what could not be written tried again, a moment later.
func (u *uses) retry(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(usesWait):
	}
	u.wake()
}
