package provenance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// tailOf returns how many records have no rows yet.
func tailOf(t *testing.T, b *Book) (n uint64) {
	t.Helper()
	err := b.store.View(background, func(tx storage.Reader) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		x, err := readIndexed(tx)
		n = h.next - x.next
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// answers asks a book what the tail has a part in, in both orders and by small pages.
func answers(t *testing.T, b *Book, moments []time.Time) (all string) {
	t.Helper()
	for _, q := range []Query{
		{},
		{Repository: "r1"},
		{Repository: "r2", Tag: "t"},
		{Identity: "bob"},
		{Revision: "c1"},
		{Source: "git.example/1", Revision: "c2"},
		{Digest: dig("3")},
		{Since: moments[5], Until: moments[20]},
		{Until: moments[11], Repository: "r0"},
	} {
		for _, q.Descending = range []bool{false, true} {
			for q.Limit, q.After = 5, nil; ; {
				page, err := b.Find(background, q)
				if err != nil {
					t.Fatal(err)
				}
				all += indexes(page.Records) + " "
				if q.After = page.Next; q.After == nil {
					break
				}
			}
			all += "\n"
		}
	}
	for _, q := range []ImageQuery{{Source: "git.example/1"}, {Revision: "c2"}, {Revision: "c1", Source: "git.example/0"}, {Bases: []digest.Digest{dig("base")}}} {
		for q.Limit = 2; ; {
			page, err := b.Images(background, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, img := range page.Images {
				all += fmt.Sprint(img.Repository, img.Digest, img.Record.Index, " ")
			}
			if q.After = page.Next; q.After == nil {
				break
			}
		}
		all += "\n"
	}
	arrivals, _, err := b.Arrivals(background, dig("2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	all += indexes(arrivals) + "\n"
	for _, at := range moments {
		m, err := b.Meaning(background, "r2", "t", at)
		all += fmt.Sprint(m.To, err, "\n")
	}
	return all
}

// TestTail wants the same answers whatever part of the records has its rows, with a clock that goes back too.
func TestTail(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	const records = 24
	random := rand.New(rand.NewPCG(1, 2))
	b, clock := testBook(t)
	var moments []time.Time
	err := b.store.Update(background, func(tx storage.Tx) error {
		*clock, moments = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), nil
		for range records {
			*clock = clock.Add(time.Duration(random.IntN(100)-30) * time.Second)
			moments = append(moments, *clock)
			n := random.IntN(4)
			d := dig(fmt.Sprint(n))
			e := Event{Action: Push, Repository: fmt.Sprintf("r%d", random.IntN(3)), Digest: d, Tags: []TagMove{{Name: "t"}}, Who: alice, Claimed: ClaimsOf(d, map[string]string{
				"org.opencontainers.image.source": fmt.Sprintf("https://git.example/%d", n%2), "org.opencontainers.image.revision": fmt.Sprintf("c%d", n),
				"org.opencontainers.image.base.digest": dig("base").String(),
			}, Config{})}
			if random.IntN(3) == 0 {
				e.Who = bob
			}
			if _, err := b.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := tailOf(t, b); n != records {
		t.Fatalf("the tail has %d records, want all %d", n, records)
	}
	want := answers(t, b, moments)
	for n := records; n > 0; n = int(tailOf(t, b)) {
		wantClean(t, b)
		indexSome(t, b, 9)
		if got := answers(t, b, moments); got != want {
			t.Fatalf("with %d records in the tail:\n%s\nwith all of them:\n%s", tailOf(t, b), got, want)
		}
	}
	wantClean(t, b)
}

// TestTailIsBounded wants an append to make rows itself when nobody else does.
func TestTailIsBounded(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	for range 3 {
		err := b.store.Update(background, func(tx storage.Tx) error {
			for i := range maxTail {
				if _, err := b.Append(tx, Event{Action: Push, Repository: "a", Digest: dig(fmt.Sprint(i)), Who: alice}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := tailOf(t, b); n > maxTail {
			t.Errorf("the tail has %d records, and may have %d", n, maxTail)
		}
	}
	wantClean(t, b)
}

// TestKeepIndexed wants rows for what the last run left, and then for what comes.
func TestKeepIndexed(t *testing.T) {
	b, _ := testBook(t)
	ctx, stop := context.WithCancel(background)
	ended := make(chan struct{})
	appendEvent(t, b, Event{Repository: "a", Digest: dig("left")})
	go func() {
		defer close(ended)
		b.KeepIndexed(ctx, func(err error) { t.Error(err) })
	}()
	for i := range 5 {
		for deadline := time.Now().Add(20 * time.Second); tailOf(t, b) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %d records there is a tail of %d", i+1, tailOf(t, b))
			}
		}
		appendEvent(t, b, Event{Repository: "a", Digest: dig(fmt.Sprint(i))})
	}
	stop()
	<-ended
	wantClean(t, b)
}

// TestFillFails wants what records of an older version lack to be tried again when the next record comes, and not every few milliseconds.
func TestFillFails(t *testing.T) {
	b, _ := testBook(t)
	follower, broken := b.follower, errors.New("the follower is broken")
	b.follower = nil
	appendEvent(t, b, Event{Repository: "a", Digest: dig("older")})
	indexSome(t, b, 1)
	b.Follow(func(storage.Tx, *Record) error { return broken })
	if behind, err := b.catchUpSome(background); behind || !errors.Is(err, broken) {
		t.Errorf("more at once: %v, %v", behind, err)
	}
	b.Follow(follower)
	if behind, err := b.catchUpSome(background); behind || err != nil {
		t.Errorf("more at once, once nothing fails: %v, %v", behind, err)
	}
	wantClean(t, b)
}

// TestMarkIndexed takes over a store of a version that made rows at once.
func TestMarkIndexed(t *testing.T) {
	b, _ := testBook(t)
	for i := range 4 {
		appendEvent(t, b, Event{Repository: "a", Digest: dig(fmt.Sprint(i))})
	}
	indexSome(t, b, 4)
	err := b.store.Update(background, func(tx storage.Tx) error {
		tx.Delete(headTable, indexedKey)
		return nil
	})
	if err == nil {
		err = MarkIndexed(background, b.store)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := tailOf(t, b); n != 0 {
		t.Errorf("the tail has %d records", n)
	}
	appendEvent(t, b, Event{Repository: "a", Digest: dig("new")})
	if got := indexes(all(t, b, Query{Repository: "a"})); got != "0 1 2 3 4" {
		t.Errorf("found %s", got)
	}
	wantClean(t, b)
}
