package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
)

// TestHold holds an image, holds it longer, deletes it, brings it back, and releases it.
func TestHold(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one, two := s.pushImage("app", "1", "one"), s.pushImage("app", "2", "two")
	until := time.Now().Add(time.Hour)
	hold := func(d digest.Digest, until time.Time) uint64 {
		t.Helper()
		r, err := s.Hold(background, access.Operator, "app", d, until, "an audit")
		if err != nil {
			t.Fatal(err)
		}
		return r.Index
	}
	held := func() []Held {
		t.Helper()
		list, next, err := s.HeldImages(background, "app", nil, 10)
		if err != nil || next != nil {
			t.Fatal(err, next)
		}
		return list
	}
	hold(one.digest, until)
	record := hold(one.digest, until.Add(time.Hour))
	want := Held{"app", one.digest, provenance.At(until.Add(time.Hour)), "an audit", record, access.Operator.Actor, false}
	if list := held(); len(list) != 1 || list[0] != want {
		t.Errorf("held %+v, want %+v", list, want)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 202, "") // a hold binds rules, and not people
	if list := held(); len(list) != 1 || !list[0].Gone {
		t.Errorf("held %+v, and the image is gone", list)
	}
	s.pushManifest("app", "1", one.body)
	if list := held(); len(list) != 1 || list[0] != want {
		t.Errorf("held %+v, and the image is back", list)
	}
	hold(two.digest, until)
	all, next, err := s.HeldImages(background, "", nil, 1)
	if err != nil || len(all) != 1 || next == nil {
		t.Fatalf("%+v, next %v, %v", all, next, err)
	}
	more, next, err := s.HeldImages(background, "", next, 1)
	if err != nil || len(more) != 1 || more[0].Digest == all[0].Digest || next != nil {
		t.Errorf("%+v, next %v, %v", more, next, err)
	}
	for _, d := range []digest.Digest{one.digest, two.digest} {
		if r, err := s.Release(background, access.Operator, "app", d); err != nil || !r.Hold.Released {
			t.Error(r, err)
		}
	}
	if list := held(); len(list) != 0 {
		t.Errorf("held %+v", list)
	}
	s.wantClean()
}

// TestHoldRefused wants what is refused to leave no record.
func TestHoldRefused(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1", "one")
	later, nobody := time.Now().Add(time.Hour), provenance.Identity{Actor: provenance.Actor{Kind: provenance.Anonymous, Handle: "anonymous"}}
	before, err := s.book.Len(background)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		who    provenance.Identity
		repo   string
		d      digest.Digest
		until  time.Time
		reason string
		want   fault.Class
	}{
		"no right":         {nobody, "app", one.digest, later, "x", fault.Denied},
		"no image":         {access.Operator, "app", digest.FromString("nothing"), later, "x", fault.Missing},
		"no repository":    {access.Operator, "App", one.digest, later, "x", fault.Missing},
		"no digest":        {access.Operator, "app", "sha256:x", later, "x", fault.Missing},
		"no reason":        {access.Operator, "app", one.digest, later, "", fault.Invalid},
		"a long reason":    {access.Operator, "app", one.digest, later, strings.Repeat("x", provenance.MaxReason+1), fault.Invalid},
		"several lines":    {access.Operator, "app", one.digest, later, "a\nb", fault.Invalid},
		"an end that past": {access.Operator, "app", one.digest, time.Now().Add(-time.Second), "x", fault.Invalid},
	} {
		if _, err := s.Hold(background, tt.who, tt.repo, tt.d, tt.until, tt.reason); fault.Of(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Release(background, access.Operator, "app", one.digest); !errors.Is(err, ErrNotHeld) {
		t.Errorf("released %v", err)
	}
	if _, err := s.Release(background, nobody, "app", one.digest); !errors.Is(err, ErrMayNotHold) {
		t.Errorf("released %v", err)
	}
	if after, err := s.book.Len(background); err != nil || after != before {
		t.Errorf("%d records, and there were %d: %v", after, before, err)
	}
}

// TestHoldPasses wants a hold that has passed to be shown no more.
func TestHoldPasses(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1", "one")
	if _, err := s.Hold(background, access.Operator, "app", one.digest, s.machine().Add(time.Hour), "a moment"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if list, _, err := s.HeldImages(background, "app", nil, 10); err != nil || len(list) != want {
			t.Errorf("%d images are held, want %d: %v", len(list), want, err)
		}
		s.later(time.Hour)
	}
	s.wantClean()
}

// TestReferencesToOthers wants a blob that an index lists, and that only another repository has, to be no reference: a plan of
// retention would count its bytes as given back.
func TestReferencesToOthers(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("other", "cached")
	list := listing(blob)
	count := func() (n int) {
		err := s.EachReference(background, "app", func(_, _ digest.Digest) error { n++; return nil })
		if err != nil {
			t.Error(err)
		}
		return n
	}
	s.pushManifest("app", "1", list, typeOf(list))
	if n := count(); n != 0 {
		t.Errorf("%d references, want none", n)
	}
	s.pushBlob("app", "cached")
	if n := count(); n != 1 {
		t.Errorf("%d references once the blob is there, want 1", n)
	}
}
