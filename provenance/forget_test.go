package provenance

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// running is a clock that counts while the registry runs.
type running struct{ shows uint64 }

func (r *running) now() uint64 { return r.shows }

func (r *running) goOn(d time.Duration) { r.shows += uint64(d.Microseconds()) }

func addressed(t *testing.T, b *Book) {
	t.Helper()
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x"), Unsigned: Unsigned{ClientAddress: "192.0.2.7"}})
}

// wantForgotten forgets, and wants the addresses of the first records gone, and those of the others there.
func wantForgotten(t *testing.T, b *Book, r *running, keep time.Duration, first uint64) {
	t.Helper()
	if _, err := b.Forget(background, r.now, keep); err != nil {
		t.Fatal(err)
	}
	all, err := b.Len(background)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		record, err := b.Get(background, i)
		if err != nil {
			t.Fatal(err)
		}
		if (record.Unsigned == nil) != (i < first) {
			t.Errorf("record %d: unsigned %v; the first %d are to be forgotten", i, record.Unsigned, first)
		}
	}
	wantClean(t, b)
}

// TestForget asks every hour, and forgets what was there three hours ago.
func TestForget(t *testing.T) {
	b, _ := testBook(t)
	r := &running{1 << 40}
	for hour := range uint64(8) {
		addressed(t, b)
		wantForgotten(t, b, r, 3*time.Hour, max(hour, 2)-2)
		r.goOn(time.Hour)
	}
	if notes := notesOf(t, b); notes != 3 {
		t.Errorf("%d notes are kept, of three hours", notes)
	}
}

// TestForgetWrongClock has every machine's clock that may be, when the record is made and later: only the time
// that the registry ran counts.
func TestForgetWrongClock(t *testing.T) {
	for _, made := range []int{-60, -1, 0, 1, 200} {
		for _, later := range []int{-60, -1, 0, 1, 200} {
			t.Run(fmt.Sprint(made, " years, then ", later), func(t *testing.T) {
				b, clock := testBook(t)
				honest, r := *clock, &running{1 << 40}
				*clock = honest.AddDate(made, 0, 0)
				addressed(t, b)
				wantForgotten(t, b, r, 24*time.Hour, 0)
				*clock = honest.AddDate(later, 0, 0)
				r.goOn(23 * time.Hour)
				wantForgotten(t, b, r, 24*time.Hour, 0)
				r.goOn(time.Hour)
				wantForgotten(t, b, r, 24*time.Hour, 1)
			})
		}
	}
}

// TestForgetClockFallsBack has a clock that lost minutes when the registry was killed, and shows a moment a second time.
func TestForgetClockFallsBack(t *testing.T) {
	b, _ := testBook(t)
	r := &running{1 << 40}
	addressed(t, b)
	wantForgotten(t, b, r, time.Hour, 0)
	for range 3 {
		r.goOn(-10 * time.Minute)
		addressed(t, b)
		wantForgotten(t, b, r, time.Hour, 0)
	}
	r.goOn(10 * time.Minute)
	addressed(t, b)
	wantForgotten(t, b, r, time.Hour, 0)
	r.goOn(20 * time.Minute)
	addressed(t, b)
	wantForgotten(t, b, r, time.Hour, 0)
	r.goOn(40 * time.Minute)
	wantForgotten(t, b, r, time.Hour, 5)
	r.goOn(20 * time.Minute)
	wantForgotten(t, b, r, time.Hour, 6)
}

// TestForgetOlderStore has records from before there were notes: they are kept from the first call on.
func TestForgetOlderStore(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	err := b.store.Update(background, func(tx storage.Tx) error {
		for range forgetStep + 1 {
			if _, err := b.Append(tx, Event{Action: Push, Who: alice, Repository: "a", Digest: dig("x"), Unsigned: Unsigned{ClientAddress: "192.0.2.7"}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{uint64(time.Now().UnixMicro())}
	wantForgotten(t, b, r, time.Hour, 0)
	r.goOn(59 * time.Minute)
	wantForgotten(t, b, r, time.Hour, 0)
	r.goOn(time.Minute)
	wantForgotten(t, b, r, time.Hour, forgetStep+1)
}

// TestForgetNothingNew writes nothing where nothing came.
func TestForgetNothingNew(t *testing.T) {
	b, _ := testBook(t)
	r := &running{}
	wantForgotten(t, b, r, 24*time.Hour, 0)
	if notes := notesOf(t, b); notes != 0 {
		t.Errorf("%d notes of an empty book", notes)
	}
	addressed(t, b)
	for range 5 {
		wantForgotten(t, b, r, 24*time.Hour, 0)
		r.goOn(time.Hour)
	}
	if notes := notesOf(t, b); notes != 1 {
		t.Errorf("%d notes of one record", notes)
	}
}

func notesOf(t *testing.T, b *Book) (n int) {
	t.Helper()
	err := storage.EachRow(background, b.store, countTable, func(storage.Reader, storage.Item) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
