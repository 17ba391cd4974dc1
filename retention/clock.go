package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A clock that jumps ahead makes everything older: tags, images without a tag, pulls, and holds end. So a schedule notes when it ran, and stops when much
// more time than an interval seems to have passed. An administrator who applies a plan by hand says that the clock is right.
// A clock that is set back keeps more, and needs no care.

// clockSlack is how much more time than its interval may pass between two runs of a schedule: a server may be down for some days.
const clockSlack = 7 * 24 * time.Hour

var seenKey = []byte("seen") // in approvedTable

func putSeen(tx storage.Tx, t time.Time) {
	tx.Put(approvedTable, seenKey, []byte(provenance.At(t).String()))
}

// noteRun notes that a schedule runs. Error: errClock.
//
// If we stop behind it, the next run finds that this one was at its time, which is true.
func (k *Keeper) noteRun(ctx context.Context, every time.Duration) error {
	now := k.now()
	return k.c.Store.Update(ctx, func(tx storage.Tx) error {
		value, err := tx.Get(approvedTable, seenKey)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		seen, err := time.Parse(time.RFC3339, string(value))
		switch {
		case err != nil: // nobody has applied a plan since times are noted, or somebody wrote into the store
			return fmt.Errorf("%w; no earlier run is known", errClock)
		case now.After(seen.Add(every + clockSlack)):
			return fmt.Errorf("%w; it says %s, and the last run was at %s", errClock, now.UTC().Format(time.RFC3339), value)
		case now.After(seen): // else it was set back: what it said before is no jump when it says so again
			putSeen(tx, now)
		}
		return nil
	})
}

// clockWarnings warn a person who plans of a clock that may be ahead.
func (k *Keeper) clockWarnings(ctx context.Context, now time.Time) ([]string, error) {
	page, err := k.c.Book.Find(ctx, provenance.Query{Descending: true, Limit: 1})
	if err != nil || len(page.Records) == 0 {
		return nil, err
	}
	newest := page.Records[0].Time.Time
	if !now.After(newest.Add(clockSlack)) {
		return nil, nil
	}
	return []string{fmt.Sprintf("the clock says %s, and the newest record is of %s: is the clock right?", now.UTC().Format(time.RFC3339), newest.UTC().Format(time.RFC3339))}, nil
}
