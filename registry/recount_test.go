package registry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestLostCounters wants no counter that cannot be read to refuse a push, or a list, and each to be counted again.
func TestLostCounters(t *testing.T) {
	for name, bad := range map[string][]byte{"nothing": {}, "cut short": {7, 2}, "no number": {0xff}} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, t.TempDir(), Config{})
			one := s.pushImage("app", "1", "one")
			s.pushImage("web", "1", "one")
			s.setQuota("*", 1<<30, 10, 0)
			s.put(usageTable, []byte("app"), bad)
			s.put(quotaUseTable, []byte("*"), bad)
			s.wantFound("what repository app uses cannot be read", "of the quota * use cannot be read")
			s.pushImage("app", "2", "two")
			s.want(s.do("DELETE", "/v2/app/manifests/1", nil), 202, "")
			if rooms, _, err := s.Rooms(background, access.Everything, nil, 10); err != nil || len(rooms) != 2 {
				t.Errorf("%v, %v", rooms, err)
			}
			if !s.quota("*").Counting {
				t.Error("a quota is said to be counted whose row cannot be read")
			}
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			go s.CountQuotas(ctx)
			for s.quota("*").Counting {
				time.Sleep(time.Millisecond)
			}
			s.wantClean()
			s.put(usageTable, []byte("app"), bad)
			s.pushManifest("app", "3", one.body) // which has it counted again, though nobody starts anything
			for s.used("app") == (Usage{}) {
				time.Sleep(time.Millisecond)
			}
			s.wantClean()
		})
	}
}

// TestLostWhileCounted wants a change in the middle of a count to be counted, and a new quota not to begin with what cannot be read.
func TestLostWhileCounted(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "1", "one")
	s.put(usageTable, []byte("app"), []byte{3})
	first, _, same, err := countWhileSame(background, s.store, "app")
	if err != nil || !same || !first.lost {
		t.Fatal(first, same, err)
	}
	s.pushBlob("app", "more")
	if now, _, _, err := countWhileSame(background, s.store, "app"); err != nil || now == first || !now.lost {
		t.Errorf("after a change: %+v, %v", now, err)
	}
	s.setQuota("app", 1<<30, 0, 0)
	s.wantClean()
	if got, want := s.quota("app").UsedBytes, s.used("app").Bytes(); got != want || got == 0 {
		t.Errorf("%d bytes are used of the quota, and %d by the repository", got, want)
	}
}

// TestQuotaIsCountedThough wants the count of a quota to end whose client has gone.
func TestQuotaIsCountedThough(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("base", "content")
	err := s.store.Update(background, func(tx storage.Tx) error {
		for i := range quotaStep + 1 {
			if _, err := s.putLink(tx, fmt.Sprintf("team/r%04d", i), blob.Digest, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	whole := s.store
	s.store = leaving{whole, cancel}
	_, _ = s.SetQuota(ctx, access.Operator, Quota{Pattern: pattern(t, "team/**"), Bytes: 1 << 30})
	s.store = whole
	if q := s.quota("team/**"); q.Counting || q.UsedBytes != (quotaStep+1)*blob.Size {
		t.Errorf("%+v", q)
	}
}

// leaving is a store whose client goes away as soon as something is written, and that writes nothing for who has gone.
type leaving struct {
	storage.Store
	leave func()
}

func (l leaving) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	defer l.leave()
	return l.Store.Update(ctx, fn)
}

// wantFound wants fsck to find these faults, and no others.
func (s *server) wantFound(want ...string) {
	s.t.Helper()
	var found []string
	if _, err := s.Check(background, false, func(err error) { found = append(found, err.Error()) }); err != nil || len(found) != len(want) {
		s.t.Errorf("fsck finds %q, %v", found, err)
	}
	for _, one := range want {
		if !strings.Contains(strings.Join(found, "\n"), one) {
			s.t.Errorf("fsck finds %q, and not %q", found, one)
		}
	}
}
