package policy

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
)

// TestGrades wants the grade of a kept report as long as it counts: not of another image, not under another name, not a week later, and not
// of what an older version kept.
func TestGrades(t *testing.T) {
	w := newWorld(t, "rules: []")
	m, blobs := imageOf("one", nil)
	d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(t, err)
	images := []registry.RepoDigest{{Repository: "team/app", Digest: d.Digest}, {Repository: "team/app", Digest: digest.FromString("none")}}
	grades := func() trust.Grade {
		t.Helper()
		list, err := w.Grades(t.Context(), images)
		must(t, err)
		if len(list) != 2 || list[1] != "" {
			t.Fatalf("%q", list)
		}
		return list[0]
	}
	if got := grades(); got != "" {
		t.Errorf("%s before anybody asked", got)
	}
	views := w.store.views.Load()
	w.KeepReport("team/app", d.Digest)
	w.KeepWanted(t.Context())
	made := w.store.views.Load() - views
	kept := grades()
	if kept == "" {
		t.Error("no grade is kept")
	}
	views = w.store.views.Load()
	w.KeepReport("team/app", d.Digest)
	w.KeepWanted(t.Context())
	if again := w.store.views.Load() - views; again != 1 || made <= again {
		t.Errorf("%d views where a report is kept, and %d where none is", again, made)
	}
	w.subject = "another.example"
	if got := grades(); got != "" {
		t.Errorf("%s under another name", got)
	}
	w.subject = "registry.example"
	w.set(time.Now().Add(reportKept + time.Minute))
	if got := grades(); got != "" {
		t.Errorf("%s after its time", got)
	}
	for body, want := range map[string]trust.Grade{
		`{"by":"x","until":"2026-11-24T00:00:00Z","grade":"B","report":{}}`: "B",
		`{"by":"x","until":"2026-11-24T00:00:00Z","report":{"grade":"B"}}`:  "",
		`{"by":"x","until":"2026-11-24T00:00:00Z","grade":1}`:               "",
		`{"by":"x"`: "", `[]`: "", "": "",
	} {
		if got := headOf([]byte(body)).Grade; got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}
