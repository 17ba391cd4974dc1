package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Another registry's word counts where a quorum of witnesses is demanded of it as soon as an import has fetched a checkpoint that they
// cosigned: what comes with an image has no cosignatures.

// witnessed is a registry with two witnesses, behind something that can lie, and one that imports from it and demands both.
type witnessed struct {
	*testing.T
	a, b      *testServer
	witnesses []*cosigner
	config    string // of a
	upstream  string
	logOf     atomic.Pointer[testServer] // whose /log is served; nil: none answers
}

func newWitnessed(t *testing.T) *witnessed {
	t.Helper()
	w := &witnessed{T: t, witnesses: []*cosigner{newCosigner(t), newCosigner(t)}}
	dir := t.TempDir()
	w.config = writeIn(t, dir, "a.yaml", fmt.Sprintf("witnesses: [%s, %s]\n", w.witnesses[0].vkey, w.witnesses[1].vkey))
	w.a = startServer(t, filepath.Join(dir, "a"), "--config", w.config)
	w.logOf.Store(w.a)
	for _, name := range []string{"logs.json", "receipts.json"} {
		writeIn(t, dir, name, w.a.want(200, "GET", "/keys/"+name))
	}
	writeIn(t, dir, "a.policy", fmt.Sprintf("log %s\nwitness one %s\nwitness two %s\ngroup both all one two\nquorum both\n",
		strings.TrimSpace(w.a.want(200, "GET", "/keys/log.vkey")), w.witnesses[0].vkey, w.witnesses[1].vkey))
	writeIn(t, dir, "trust.yaml", "registries: [{name: a, logs: logs.json, receipts: receipts.json, policy: a.policy, repositories: [{theirs: '**', ours: 'mirror/**'}]}]\n")
	w.b = startServer(t, filepath.Join(dir, "b"), "--config", writeIn(t, dir, "b.yaml", "trust:\n  file: trust.yaml\n"))
	upstream := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(upstream.Close)
	w.upstream = upstream.URL
	return w
}

// serve answers as a does, with the log of another, or of none.
func (w *witnessed) serve(to http.ResponseWriter, r *http.Request) {
	from := w.a
	if strings.HasPrefix(r.URL.Path, "/log/") {
		if from = w.logOf.Load(); from == nil {
			panic(http.ErrAbortHandler)
		}
	}
	status, header, body := from.do(r.Method, r.URL.RequestURI(), "admin:"+adminPassword, "", "Accept", "*/*")
	if kind := header.Get("Content-Type"); kind != "" {
		to.Header().Set("Content-Type", kind)
	}
	to.WriteHeader(status)
	_, _ = io.WriteString(to, body)
}

// cosign has some of the witnesses cosign the newest checkpoint of a registry.
func (w *witnessed) cosign(of *testServer, by ...*cosigner) {
	w.Helper()
	text, _, _ := strings.Cut(of.want(200, "GET", "/log/checkpoint"), "\n\n")
	for _, c := range by {
		if status, _, body := of.do("POST", "/log/cosignature", "none", c.cosign(text+"\n"), "Content-Type", "application/json"); status != 200 {
			w.Fatal(body)
		}
	}
}

// imported imports a repository, and wants of the report.
func (w *witnessed) imported(repo string, want ...string) {
	w.Helper()
	out := w.b.hallmark("import", "--into", "mirror", w.upstream, repo)
	for _, part := range append(want, " 0 refused") {
		if !strings.Contains(out, part) {
			w.Errorf("import of %s: %s\nwant %q", repo, out, part)
		}
	}
}

// wants wants of what B shows.
func (w *witnessed) wants(what string, want ...string) {
	w.Helper()
	out := w.b.hallmark("show", what)
	for _, part := range want {
		if !strings.Contains(out, part) {
			w.Errorf("show %s:\n%s\nwant %q", what, out, part)
		}
	}
}

func TestImportedWitnessed(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	w := newWitnessed(t)
	w.a.push("team/app", "1.0", "app", nil)
	w.imported("team/app", "1 came", "no witnesses: team/app@sha256:", "does not give a cosigned checkpoint")
	w.wants("mirror/team/app:1.0", "claimed", "has not the cosignatures that are wanted of the registry a: there are 0")

	// One of two is no quorum; nor are both, each at another size.
	w.cosign(w.a, w.witnesses[0])
	w.imported("team/app", "1 were here", "has the cosignatures that are wanted: import again once its witnesses have come")
	w.a.push("team/other", "1.0", "other", nil)
	w.cosign(w.a, w.witnesses[1])
	w.imported("team/app", "has the cosignatures that are wanted: import again once its witnesses have come")
	w.b.readWords("mirror/team/app", `"class":"claimed"`)

	// Both have: that is on record, once, and counts from then on without asking.
	w.cosign(w.a, w.witnesses...)
	w.a.push("team/app", "2.0", "newer", nil)
	w.cosign(w.a, w.witnesses[0])
	w.imported("team/app", "1 came", "1 were here", "no witnesses: team/app@sha256:", "so far, and the record is leaf")
	w.wants("mirror/team/app:1.0", "attested", "by registry a: pushed by admin", "verified before", "witness.example, witness.example")
	w.b.readWords("mirror/team/app", `"class":"attested"`)
	records := w.b.hallmark("records", "--action", "attest")
	w.logOf.Store(nil)
	w.imported("team/app", "2 were here", "no witnesses: team/app@sha256:")
	w.wants("mirror/team/app:1.0", "attested", "by registry a")
	if again := w.b.hallmark("records", "--action", "attest"); again != records {
		t.Errorf("nothing new was found, and it made records:\n%s\nafter\n%s", again, records)
	}
	if said := w.b.hallmark("fsck"); !strings.Contains(said, ": 0 problems") {
		t.Error(said)
	}
	w.logOf.Store(w.a)
	w.cosign(w.a, w.witnesses...)
	w.imported("team/app", "2 were here")
	w.wants("mirror/team/app:2.0", "attested", "by registry a")
}

// TestImportedForked imports from a registry that has copied itself, pushed to both, and had one cosigned: its log is not the one that
// proves what it says of its images. In the second case the cosigned history does not reach as far as the record.
func TestImportedForked(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	for _, pushes := range [][2]int{{1, 4}, {3, 2}} {
		w := newWitnessed(t)
		w.a.push("team/app", "1.0", "app", nil)
		two := w.fork()
		for n, s := range []*testServer{w.a, two} {
			for i := range pushes[n] {
				s.push("team/web", fmt.Sprint(i), fmt.Sprint("history ", n, " has ", i), nil)
			}
		}
		w.a.push("team/app", "2.0", "what one history has", nil)
		w.cosign(two, w.witnesses...)
		w.logOf.Store(two)
		w.imported("team/app", "2 came")
		w.wants("mirror/team/app:2.0", "claimed", "has shown two histories")
		w.wants("mirror/team/app:1.0", "claimed", "has shown two histories")
		if said := w.b.hallmark("fsck"); !strings.Contains(said, ": 0 problems") {
			t.Error(said)
		}
		w.proves()
	}
}

// fork copies a, and starts both.
func (w *witnessed) fork() *testServer {
	w.Helper()
	w.a.kill()
	dir := w.a.dir
	if err := os.Remove(filepath.Join(dir, socketFile)); err != nil {
		w.Fatal(err)
	}
	if err := os.CopyFS(dir+"2", os.DirFS(dir)); err != nil {
		w.Fatal(err)
	}
	w.a = startServer(w.T, dir, "--config", w.config)
	return startServer(w.T, dir+"2", "--config", w.config)
}

// proves wants the newest record to keep a proof of the fork that convinces others.
func (w *witnessed) proves() {
	w.Helper()
	var page struct {
		Records []struct {
			Index uint64
			Word  struct{ Reason string }
		}
	}
	w.b.readJSON("/api/v1/records?action=attest", &page)
	forks := 0
	for _, r := range page.Records {
		if r.Word.Reason != "fork" {
			continue
		}
		forks++
		file := filepath.Join(w.TempDir(), "fork.json")
		w.b.hallmark("log", "fork", fmt.Sprint(r.Index), "-o", file)
		if said := w.b.hallmark("log", "proof", file, "--log", strings.TrimSpace(w.a.want(200, "GET", "/keys/log.vkey"))); !strings.Contains(said, "proved: ") {
			w.Error(said)
		}
	}
	if forks == 0 {
		w.Errorf("no record proves a fork: %+v", page)
	}
}
