package policy

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
)

// wantedImage is an image of which a report may be kept.
func (w *world) wantedImage() registry.RepoDigest {
	m, blobs := imageOf("one", nil)
	d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(w.t, err)
	return registry.RepoDigest{Repository: "team/app", Digest: d.Digest}
}

// keeps asks for a report to be kept, and returns whether one is kept then, and how many transactions read for that.
func (w *world) keeps(p registry.RepoDigest) (kept bool, views int64) {
	w.t.Helper()
	before := w.store.views.Load()
	w.KeepReport(p.Repository, p.Digest)
	w.KeepWanted(w.t.Context())
	views = w.store.views.Load() - before
	grades, err := w.Grades(w.t.Context(), []registry.RepoDigest{p})
	must(w.t, err)
	return grades[0] != "", views
}

// TestPullsComeFirst wants what is kept for lists to wait for no slot that pulls use, and to be kept when somebody asks later.
func TestPullsComeFirst(t *testing.T) {
	w := newWorld(t, "rules: []")
	p := w.wantedImage()
	for range maxReports {
		w.reporting <- struct{}{}
	}
	if kept, _ := w.keeps(p); kept {
		t.Error("it is kept while pulls use all slots")
	}
	<-w.reporting
	if kept, _ := w.keeps(p); !kept {
		t.Error("it is not kept where a slot is free")
	}
	if n := len(w.reporting); n != maxReports-1 {
		t.Errorf("%d slots are taken when it is done", n)
	}
}

// TestKeepOnce wants a report that cannot be kept to be made once, until something changes or some time has gone by.
func TestKeepOnce(t *testing.T) {
	w := newWorld(t, "rules: []")
	p := w.wantedImage()
	w.store.full.Store(true)
	_, made := w.keeps(p)
	if _, again := w.keeps(p); again >= made || again == 0 {
		t.Errorf("%d views again, after %d", again, made)
	}
	w.set(time.Now().Add(tryAgain + time.Minute))
	if _, later := w.keeps(p); later < made {
		t.Errorf("%d views after some time, and %d at first", later, made)
	}
	w.store.full.Store(false)
	if kept, _ := w.keeps(p); kept {
		t.Error("it was tried again at once")
	}
	w.subject = "another.example"
	if kept, _ := w.keeps(p); !kept {
		t.Error("it is not kept with another configuration")
	}
}

// TestWantedIsBounded wants what waits for the worker to have a bound, and each image once.
func TestWantedIsBounded(t *testing.T) {
	w := newWanted()
	for i := range 2 * maxWanted {
		for range 2 {
			w.add(registry.RepoDigest{Repository: "team/app", Digest: digest.FromString(fmt.Sprint(i))})
		}
	}
	for n := range maxWanted {
		if p, ok := w.take(); !ok || p.Digest != digest.FromString(fmt.Sprint(n)) {
			t.Fatal(n, p, ok)
		}
	}
	if p, ok := w.take(); ok {
		t.Error("one too many:", p)
	}
}

// TestKeepReports wants the worker to keep what is asked for, to go on after an image that is gone, and to end.
func TestKeepReports(t *testing.T) {
	w := newWorld(t, "rules: []")
	p := w.wantedImage()
	ctx, cancel := context.WithCancel(t.Context())
	w.KeepReport("team/app", digest.FromString("gone"))
	w.KeepReport(p.Repository, p.Digest)
	w.store.onUpdate.Store(&cancel) // the report is written
	w.KeepReports(ctx)
	grades, err := w.Grades(t.Context(), []registry.RepoDigest{p})
	if must(t, err); grades[0] == "" {
		t.Error("it is not kept")
	}
}
