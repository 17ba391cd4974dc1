package storagetest

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"

	"github.com/seed-260924e6/hallmark/storage"
)

// Trips counts how often an engine behind a network would be asked, and waited for, before somebody goes on. In a View each read is
// a trip, whose end the next one may depend on: GetMany is one, and so is a scan, however many rows it yields, and an Expect with all
// that it names. What was read or put in a transaction is there, and costs nothing when it is read again; Views begin with their
// first read. An Update is two trips, its beginning with what it declares, and its commit with all writes, and one for each read beside.
type Trips struct {
	// Counts says whether what is done with a context is counted, so that the background's work is not.
	Counts func(ctx context.Context) bool
	// Say is told of each trip, if it is set: what is asked for, and by whom.
	Say func(trip string)

	mu       sync.Mutex
	views    int // guarded by mu
	updates  int // guarded by mu
	unbooked int // guarded by mu
}

// Take returns what was counted since it was taken the last time: the trips of Views, and those of Updates.
func (t *Trips) Take() (views, updates int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.views, t.updates = 0, 0 }()
	return t.views, t.updates
}

// Text writes what was taken: "3", or "1 + 2" with Updates.
func Text(views, updates int) string {
	if updates == 0 {
		return fmt.Sprint(views)
	}
	return fmt.Sprintf("%d + %d", views, updates)
}

// add counts trips of one kind.
func (t *Trips) add(count *int, n int, what string, table storage.Table) {
	if t.Say != nil && count != &t.unbooked {
		t.Say(fmt.Sprintf("%-8s %-22s %s", what, table, callers()))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	*count += n
}

// callers names the functions that made a trip, but for those of stores.
func callers() string {
	pcs := make([]uintptr, 48)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var names []string
	for more := true; more && len(names) < 8; {
		var f runtime.Frame
		f, more = frames.Next()
		name := path.Base(f.Function)
		if room, _, _ := strings.Cut(name, "."); room != "storage" && room != "storagetest" && room != "bolt" && room != "runtime" {
			names = append(names, name)
		}
	}
	return strings.Join(names, " < ")
}

// Over returns a Store over s that counts, and takes declared reads as an engine behind a network does.
func (t *Trips) Over(s storage.Store) storage.Store { return tripStore{s, t} }

type tripStore struct {
	storage.Store
	trips *Trips
}

// View implements storage.Store.
func (s tripStore) View(ctx context.Context, fn func(storage.Reader) error) error {
	return s.Store.View(ctx, func(r storage.Reader) error { return fn(newTripReader(r, s.trips, s.count(ctx, &s.trips.views))) })
}

// Update implements storage.Store.
func (s tripStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.UpdateReading(ctx, nil, fn)
}

// UpdateReading implements storage.Declarer.
func (s tripStore) UpdateReading(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	count := s.count(ctx, &s.trips.updates)
	s.trips.add(count, 2, fmt.Sprintf("UPDATE%d", len(reads)), "")
	return s.Store.Update(ctx, func(tx storage.Tx) error {
		r := newTripReader(tx, s.trips, count)
		if err := r.take(reads); err != nil {
			return err
		}
		return fn(&tripTx{tripReader: r, tx: tx, own: map[rowKey]bool{}})
	})
}

// count is where the trips of a context are counted.
func (s tripStore) count(ctx context.Context, count *int) *int {
	if s.trips.Counts == nil || s.trips.Counts(ctx) {
		return count
	}
	return &s.trips.unbooked
}
