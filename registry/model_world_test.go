package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/files"
	"golang.org/x/crypto/bcrypt"
)

var background = context.Background()

// world is a registry on a disk, which is stopped, killed and started again, with a clock that the test sets.
type world struct {
	*things
	t     teller
	dir   string
	keys  provenance.Keys
	start uint64 // what the clock showed first
	ticks uint64 // each look at the clock is a microsecond later
	m     *model

	store    *mortalStore
	book     *provenance.Book
	gate     *access.Access
	registry *registry.Registry
	keeper   *retention.Keeper
	plan     *retention.Plan // that was made last
	warned   bool            // the push that was made last exceeds a soft limit
	turns    int             // how often everything was asked for

	victims, moved int // processes that were killed, and those of them that had changed something before
}

// mortalStore is a store that dies before one of its commits: neither that nor anything later happens, as in a process that was killed. The
// disk has what was committed before.
// Real processes get SIGKILL in model_victim_test.go.
type mortalStore struct {
	storage.Store
	left   int // commits until it dies; negative: it does not
	dead   bool
	victim bool // behind the last of these commits the process gets SIGKILL
}

var errDead = errors.New("the process was killed")

func (s *mortalStore) View(ctx context.Context, fn func(storage.Reader) error) error {
	if s.dead {
		return errDead
	}
	return s.Store.View(ctx, fn)
}

func (s *mortalStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if s.dead || s.left == 0 {
		s.dead = true
		return errDead
	}
	err := s.Store.Update(ctx, fn)
	if err == nil && s.left > 0 {
		s.left--
	}
	if s.victim && s.left == 0 {
		killSelf()
	}
	return err
}

// mortalBlobs are the files of a process that is killed with its store.
type mortalBlobs struct {
	storage.Blobs
	store *mortalStore
}

func (b mortalBlobs) Remove(ctx context.Context, at storage.Location) error {
	if b.store.dead {
		return errDead
	}
	return b.Blobs.Remove(ctx, at)
}

// teller is told what is wrong. *testing.T is one.
type teller interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

func must(t teller, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const login = "correct horse"

func newWorld(t teller, dir string, keep, most int) *world {
	keys, err := provenance.GenerateKeys()
	must(t, err)
	w := &world{things: newThings(), t: t, dir: dir, keys: keys}
	w.m = newModel(w.things, keep, most)
	w.open()
	w.start = w.registry.Clock()
	w.registry.SetClock(w.clock)
	return w
}

func (w *world) clock() uint64 {
	w.ticks++
	return w.start + uint64(w.m.now)*unit*1000 + w.ticks
}

// open starts a registry on the disk.
func (w *world) open() {
	store, err := bolt.Open(filepath.Join(w.dir, "store.db"), bolt.Config{})
	must(w.t, err)
	w.store = &mortalStore{Store: store, left: -1}
	blobs, err := files.Open(filepath.Join(w.dir, "blobs"), "")
	must(w.t, err)
	w.book, err = provenance.NewBook(w.store, "https://registry.example")
	must(w.t, err)
	must(w.t, w.book.Begin(background, w.keys))
	w.gate, err = access.New(background, w.store, access.Config{URL: "https://registry.example", Book: w.book, BcryptCost: bcrypt.MinCost})
	must(w.t, err)
	w.addUsers(w.gate)
	log := slog.New(slog.DiscardHandler)
	c := registry.Config{Reserve: 1, Lease: units.Duration(time.Second)}
	w.registry, err = registry.New(background, w.store, mortalBlobs{blobs, w.store}, w.book, w.gate, log, c)
	must(w.t, err)
	w.registry.UseTrash(registry.TrashConfig{Keep: units.Duration(time.Duration(w.m.keep) * time.Millisecond), Max: units.Size(w.m.max)})
	w.keeper = retention.NewKeeper(retention.Config{Store: w.store, Registry: w.registry, Book: w.book, Pulls: longPulls{w.registry}, Log: log, Most: 1})
	if w.start > 0 {
		w.registry.SetClock(w.clock)
	}
	must(w.t, w.registry.Recover(background))
	must(w.t, w.registry.IgnorePulls(registry.PullConfig{Ignore: []string{"user:bob"}})) // who only looks
	must(w.t, w.registry.CountPulls(background))
}

// addUsers adds alice, who may do everything, and bob, who may pull.
func (w *world) addUsers(gate *access.Access) {
	for name, admin := range map[string]bool{"alice": true, "bob": false} {
		if _, err := gate.AddUser(background, access.Operator, name, login, admin); err != nil && !errors.Is(err, access.ErrUserExists) {
			w.t.Fatal(err)
		}
	}
	var g access.Grant
	must(w.t, errors.Join(g.Subject.UnmarshalText([]byte("user:bob")), g.Pattern.UnmarshalText([]byte("**")), g.Role.UnmarshalText([]byte("pull"))))
	_, err := gate.Grant(background, access.Operator, g)
	must(w.t, err)
}

// restart stops the registry, or finds it dead, and starts another.
func (w *world) restart() {
	w.t.Helper()
	must(w.t, w.store.Close())
	w.open()
}

// do asks as somebody.
func (w *world) do(user, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r, err := http.NewRequestWithContext(background, method, "https://registry.example"+path, strings.NewReader(body))
	must(w.t, err)
	r.RemoteAddr = "192.0.2.1:1"
	r.SetBasicAuth(user, login)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	w.registry.ServeHTTP(answer, r)
	return answer
}

func (w *world) blobPath(repo, blob string) string {
	return "/v2/" + repo + "/blobs/" + w.by[blob].digest.String()
}

func (w *world) pushBlob(repo, blob string) int {
	t := w.by[blob]
	return w.do("alice", "POST", "/v2/"+repo+"/blobs/uploads/?digest="+t.digest.String(), t.body, "Content-Type", "application/octet-stream").Code
}

// mount mounts a blob, and gives the upload up that it gets where there is nothing to mount.
func (w *world) mount(repo, blob, from string) int {
	query := "?mount=" + w.by[blob].digest.String()
	if from != "" {
		query += "&from=" + from
	}
	got := w.do("alice", "POST", "/v2/"+repo+"/blobs/uploads/"+query, "")
	if got.Code == http.StatusAccepted {
		w.do("alice", "DELETE", got.Header().Get("Location"), "")
	}
	return got.Code
}

// push pushes a manifest, and wants a warning where a quota's soft limit is exceeded.
func (w *world) push(repo, name string, tags []string, warned *bool) int {
	t := w.by[name]
	ref := t.digest.String()
	switch {
	case len(tags) == 1:
		ref = w.tag(tags[0])
	case len(tags) > 1:
		ref += "?tag=" + w.tag(tags[0]) + "&tag=" + w.tag(tags[1])
	}
	got := w.do("alice", "PUT", "/v2/"+repo+"/manifests/"+ref, t.body, "Content-Type", t.mediaType)
	*warned = got.Header().Get("Warning") != ""
	return got.Code
}

func (w *world) deleteManifest(repo, ref string) int {
	return w.do("alice", "DELETE", "/v2/"+repo+"/manifests/"+ref, "").Code
}

// ref is how a manifest or tag is named.
func (w *world) ref(ref string) string {
	if t := w.by[ref]; t != nil {
		return t.digest.String()
	}
	return w.tag(ref)
}

// status is how an error is answered.
func (w *world) status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	if a, ok := registry.AnswerOf(err); ok {
		return a.Status
	}
	if errors.Is(err, registry.ErrNotHeld) || errors.Is(err, registry.ErrUnknownQuota) || errors.Is(err, access.ErrUnknownRule) {
		return http.StatusNotFound
	}
	if !errors.Is(err, errDead) {
		w.t.Errorf("an error: %v", err)
	}
	return http.StatusInternalServerError
}

func (w *world) undelete(repo, ref string) int {
	r := httptest.NewRequest("POST", "/api/v1/trash/undelete", nil)
	_, err := w.registry.Undelete(background, access.Operator, r, repo, w.ref(ref))
	return w.status(err)
}

func (w *world) empty(repo, ref string) int {
	e := registry.Emptying{Repository: repo, Who: access.Operator}
	if ref != "" {
		e.Reference = w.ref(ref)
	}
	_, err := w.registry.Empty(background, e)
	return w.status(err)
}

func (w *world) hold(repo, name string) int {
	_, err := w.registry.Hold(background, access.Operator, repo, w.by[name].digest, time.Now().Add(24*time.Hour), "an audit")
	return w.status(err)
}

func (w *world) unhold(repo, name string) int {
	_, err := w.registry.Release(background, access.Operator, repo, w.by[name].digest)
	return w.status(err)
}

func (w *world) pattern(text string) access.Pattern {
	p, err := access.ParsePattern(text)
	must(w.t, err)
	return p
}

func (w *world) setQuota(pattern string, q quota) int {
	_, err := w.registry.SetQuota(background, access.Operator, registry.Quota{
		Pattern: w.pattern(pattern), Bytes: int64(q.bytes), Soft: int64(q.soft), Tags: int64(q.tags),
	})
	return w.status(err)
}

func (w *world) removeQuota(pattern string) int {
	return w.status(w.registry.RemoveQuota(background, access.Operator, w.pattern(pattern)))
}

// planFile is where the plan is that was made last: also that of a process that was killed.
func (w *world) planFile() string { return filepath.Join(w.dir, "plan.jsonl") }

// retain makes a plan by rules, and applies it. There is no plan where the process was killed before.
func (w *world) retain(file string) int {
	set, err := retention.Parse("rules.yaml", []byte(file), nil)
	must(w.t, err)
	w.keeper.Use(set)
	w.plan = nil
	if err := w.registry.FlushPulls(background); err != nil { // as the plan does: the process may be killed in it
		return w.status(err)
	}
	var text bytes.Buffer
	_, _, err = w.keeper.Plan(background, &text)
	must(w.t, err)
	must(w.t, os.WriteFile(w.planFile(), text.Bytes(), 0o600))
	w.plan, err = retention.ReadPlan(&text, nil)
	must(w.t, err)
	skipped := func(s retention.Skipped) error {
		w.t.Errorf("a plan that was just made is not applied whole: %+v", s)
		return nil
	}
	_, err = w.keeper.Apply(background, access.Operator, w.plan, skipped, func(retention.Applied) error { return nil })
	return w.status(err)
}

// fsck wants everything to fit.
func (w *world) fsck() {
	w.t.Helper()
	bad := func(err error) { w.t.Errorf("fsck: %v", err) }
	_, err := w.registry.Check(background, true, bad)
	must(w.t, err)
	_, err = w.book.Check(background, bad)
	must(w.t, err)
}

// lines are what anybody can see of the registry, as model.lines says it.
func (w *world) lines() []string {
	w.turns++
	o := &observer{world: w, turn: w.turns}
	o.catalog()
	for _, repo := range repoNames {
		o.tags(repo)
		o.readable(repo)
	}
	o.trash()
	o.holds()
	o.usage()
	o.quotas()
	o.pulls()
	o.fixed()
	slices.Sort(o.lines)
	return o.lines
}

type observer struct {
	*world
	turn  int
	lines []string
}

func (o *observer) add(format string, args ...any) {
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
}

// list asks for a list; there is none where the answer is 404.
func (o *observer) list(path string, into any) {
	o.t.Helper()
	got := o.do("alice", "GET", path, "")
	if got.Code == http.StatusNotFound {
		return
	}
	if got.Code != http.StatusOK {
		o.t.Errorf("GET %s: %d %s", path, got.Code, got.Body)
		return
	}
	must(o.t, json.Unmarshal(got.Body.Bytes(), into))
}

func (o *observer) catalog() {
	var all struct{ Repositories []string }
	o.list("/v2/_catalog", &all)
	for _, repo := range all.Repositories {
		o.add("catalog %s", repo)
	}
}

func (o *observer) tags(repo string) {
	var all struct{ Tags []string }
	o.list("/v2/"+repo+"/tags/list", &all)
	for _, tag := range all.Tags {
		got := o.do("alice", "HEAD", "/v2/"+repo+"/manifests/"+tag, "")
		o.add("%s:%s is %s", repo, o.short(tag), o.named[digest.Digest(got.Header().Get("Docker-Content-Digest"))])
	}
}

// readable asks for everything that there may be, with HEAD and GET in turn. Bob's question begins no lease anew, because he may not
// push.
func (o *observer) readable(repo string) {
	for _, name := range o.manifests {
		o.read(repo, "manifest", name, "/v2/"+repo+"/manifests/"+o.by[name].digest.String())
	}
	for _, name := range o.blobs {
		o.read(repo, "blob", name, o.blobPath(repo, name))
	}
}

func (o *observer) read(repo, kind, name, path string) {
	method, want := "HEAD", ""
	if o.turn++; o.turn%2 == 0 {
		method, want = "GET", o.by[name].body
	}
	got := o.do("bob", method, path, "")
	switch {
	case got.Code == http.StatusOK && got.Body.String() == want:
		o.add("%s has %s %s", repo, kind, name)
	case got.Code != http.StatusNotFound:
		o.add("%s: %s of %s %s is answered with %d and %d bytes", repo, method, kind, name, got.Code, got.Body.Len())
	}
}

func (o *observer) trash() {
	q := registry.TrashQuery{Limit: 5, Visible: func(string) bool { return true }}
	for {
		found, next, err := o.registry.TrashPage(background, q)
		must(o.t, err)
		for _, e := range found {
			tags := make([]string, len(e.Tags))
			for i, tag := range e.Tags {
				tags[i] = o.short(tag)
			}
			slices.Sort(tags)
			o.add("trash of %s has %s with tags %v", e.Repository, o.named[e.Digest], tags)
		}
		if q.After = next; next == nil {
			break
		}
	}
	sum, err := o.registry.Trashed(background)
	must(o.t, err)
	o.add("trash has %d manifests, %d bytes", sum.Manifests, sum.Bytes)
}

func (o *observer) holds() {
	held, _, err := o.registry.HeldImages(background, "", nil, 1000)
	must(o.t, err)
	for _, h := range held {
		o.add("%s is held in %s, gone %t", o.named[h.Digest], h.Repository, h.Gone)
	}
}

func (o *observer) usage() {
	rooms, _, err := o.registry.Rooms(background, access.Everything, nil, 100)
	must(o.t, err)
	for _, r := range rooms {
		u := usage{int(r.Blobs), int(r.BlobBytes), int(r.Manifests), int(r.ManifestBytes), int(r.Tags)}
		o.add("%s uses %v: unique %d, shared %d, freed %d", r.Repository, u, r.Unique, r.Shared, r.Freed)
	}
}

func (o *observer) quotas() {
	uses, err := o.registry.Quotas(background)
	must(o.t, err)
	for _, u := range uses {
		if u.Counting || u.ReservedBytes != 0 {
			o.add("quota %s: counting %t, %d bytes reserved", u.Pattern, u.Counting, u.ReservedBytes)
		}
		o.add("quota %s %v: %d bytes, %d tags", u.Pattern, quota{int(u.Bytes), int(u.Soft), int(u.Tags)}, u.UsedBytes, u.UsedTags)
	}
}
