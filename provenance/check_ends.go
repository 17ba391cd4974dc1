package provenance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// A log ends, and the next one begins, in the transaction of a record: what the rows of the logs say of it must be what that
// record says.

// sameMoment is how far apart two readings of the clock in one transaction can be.
const sameMoment = time.Minute

// checkEndings compares how logs ended, and when others began, with the records that say so.
func checkEndings(tx storage.Reader, ends []logEnd, bad func(error)) error {
	for i, e := range ends {
		r, err := ReadStated(tx, e.First)
		if errors.Is(err, ErrNoRecord) || errors.Is(err, storage.ErrCorrupt) {
			continue // the check of the records says so; or there is none yet
		}
		if err != nil {
			return err
		}
		badf := func(format string, args ...any) {
			bad(fmt.Errorf("%w: log %s "+format, append([]any{storage.ErrCorrupt, e.Origin}, args...)...))
		}
		if i == 0 {
			if r.Continues != nil {
				badf("is the first, and record %d says that it continues %s", e.First, r.Continues.Origin)
			}
			continue
		}
		if apart(e.Begun, r.Time.Time) {
			badf("is said to have begun at %s; by record %d it was at %s", At(e.Begun), e.First, r.Time)
		}
		checkEnding(ends[i-1].Log, r, bad)
	}
	return nil
}

// checkEnding compares the end of a log with the record that began the next one.
func checkEnding(before log.Log, r *Record, bad func(error)) {
	badf := func(format string, args ...any) {
		bad(fmt.Errorf("%w: log %s "+format, append([]any{storage.ErrCorrupt, before.Origin}, args...)...))
	}
	switch {
	case before.Closed == nil:
		badf("is not closed; by record %d it is", r.Index)
	case r.Continues == nil || r.Key == nil || r.Continues.Origin != before.Origin:
		badf("is said to be closed; record %d, which begins the next one, does not say so", r.Index)
	case before.Closed.Checkpoint != r.Continues.Checkpoint:
		badf("is said to have ended with another checkpoint than record %d says", r.Index)
	case before.Closed.Reason != r.Key.Reason:
		badf("is said to have ended because its key was %q; by record %d because it was %q", before.Closed.Reason, r.Index, r.Key.Reason)
	case apart(before.Closed.Time, r.Time.Time):
		badf("is said to have ended at %s; by record %d it was at %s", At(before.Closed.Time), r.Index, r.Time)
	}
}

func apart(a, b time.Time) bool { return a.Sub(b).Abs() > sameMoment }

// checkCosigned compares the cosigned checkpoints of a log with it.
func (b *Book) checkCosigned(ctx context.Context, origin string, bad func(error)) error {
	return b.store.View(ctx, func(tx storage.Reader) error {
		tree, err := log.Open(tx, origin)
		if err != nil {
			return err
		}
		return tree.CheckCosigned(bad)
	})
}
