package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

// reads is a store that counts the rows that are read of it.
type reads struct {
	storage.Store
	rows    atomic.Int64
	full    atomic.Bool  // it takes no more
	updates atomic.Int64 // since it is full
}

func (s *reads) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if s.full.Load() {
		s.updates.Add(1)
		return storage.ErrFull
	}
	return s.Store.Update(ctx, fn)
}

func (s *reads) View(ctx context.Context, fn func(storage.Reader) error) error {
	return s.Store.View(ctx, func(tx storage.Reader) error { return fn(countedReads{tx, &s.rows}) })
}

type countedReads struct {
	storage.Reader
	rows *atomic.Int64
}

func (r countedReads) Get(table storage.Table, key []byte) ([]byte, error) {
	r.rows.Add(1)
	return r.Reader.Get(table, key)
}

func (r countedReads) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	r.rows.Add(int64(len(keys)))
	return r.Reader.GetMany(table, keys)
}

func (r countedReads) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.counted(r.Reader.Scan(table, from, to))
}

func (r countedReads) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.counted(r.Reader.ScanReverse(table, from, to))
}

func (r countedReads) counted(items iter.Seq2[storage.Item, error]) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		for item, err := range items {
			r.rows.Add(1)
			if !yield(item, err) {
				return
			}
		}
	}
}

// lists is a real registry whose reads are counted.
type lists struct {
	*testing.T
	store    *reads
	book     *provenance.Book
	registry http.Handler
	engine   *policy.Engine
	api      *API
}

const listsLogin = "alice"

func newLists(t *testing.T) *lists {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	opened, err := bolt.Open(t.TempDir()+"/store.db", bolt.Config{})
	must(err)
	t.Cleanup(func() { must(opened.Close()) })
	store := &reads{Store: storagetest.Twice(opened)}
	blobs, err := files.Open(t.TempDir()+"/blobs", "")
	must(err)
	book, err := provenance.NewBook(store, worldURL)
	must(err)
	keys, err := provenance.GenerateKeys()
	must(err)
	must(book.Begin(t.Context(), keys))
	who, err := access.New(t.Context(), store, access.Config{URL: worldURL, Book: book, BcryptCost: 4})
	must(err)
	_, err = who.AddUser(t.Context(), access.Operator, listsLogin, "a secret of alice", false)
	must(err)
	subject, err := access.ParseSubject("user:alice")
	must(err)
	_, err = who.Grant(t.Context(), access.Operator, access.Grant{Subject: subject, Pattern: access.Everything, Role: access.Admin})
	must(err)
	log := slog.New(slog.DiscardHandler)
	images, err := registry.New(t.Context(), store, blobs, book, who, log, registry.Config{Reserve: 1})
	must(err)
	c := Over(who, images, book)
	c.URL = worldURL
	engine, err := policy.NewEngine(policy.Config{Registry: images, Book: book, Log: log, Version: "test", Inspect: func() image.Config { return image.Config{Subject: "registry.example"} }})
	must(err)
	c.Policy = engine
	return &lists{t, store, book, images, engine, New(c)}
}

// push pushes an image without anything in it, under tags.
func (l *lists) push(repo string, annotations map[string]string, tags ...string) digest.Digest {
	l.Helper()
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": []any{}, "annotations": annotations})
	if err != nil {
		l.Fatal(err)
	}
	d := digest.FromBytes(body)
	l.send("PUT", "/v2/"+repo+"/manifests/"+d.String()+"?"+url.Values{"tag": tags}.Encode(), ocispec.MediaTypeImageIndex, body, http.StatusCreated)
	return d
}

// send sends a request to the registry, and wants a status.
func (l *lists) send(method, target, kind string, body []byte, status int) {
	l.Helper()
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	r.SetBasicAuth(listsLogin, "a secret of alice")
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	if l.registry.ServeHTTP(w, r); w.Code != status {
		l.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
}

// get asks, and returns how many rows were read for the answer.
func (l *lists) get(target string, answer any) int64 {
	l.Helper()
	before := l.store.rows.Load()
	w := request{method: "GET", target: target, login: listsLogin}.do(l.api)
	read := l.store.rows.Load() - before
	if w.Code != http.StatusOK {
		l.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
		l.Fatal(err)
	}
	return read
}

type listedNames struct {
	Tags, Repositories []struct{ Name string }
	Next               string
}

// all follows a list to its end, and returns all names, and the most rows that one page read.
func (l *lists) all(target string) (names []string, most int64) {
	l.Helper()
	for target != "" {
		var page listedNames
		most = max(most, l.get(target, &page))
		for _, e := range append(page.Tags, page.Repositories...) {
			names = append(names, e.Name)
		}
		target = page.Next
	}
	return names, most
}

// TestListOrder lists tags and repositories in each order, in pages, as a whole: each stands there once. Following the records,
// as for what is too large to be sorted, finds the same.
func TestListOrder(t *testing.T) {
	l := newLists(t)
	var newestTags, newestRepos []string
	for i := range 40 {
		repo, tag := fmt.Sprintf("team/r%02d", i%20), fmt.Sprintf("t%02d", (i*7)%40)
		l.push(repo, nil, "x")
		l.push("team/app", map[string]string{"n": fmt.Sprint(i)}, tag)
		newestRepos, newestTags = append(slices.DeleteFunc(newestRepos, func(s string) bool { return s == repo }), repo), append(newestTags, tag)
	}
	d := l.push("team/app", nil, "moved", "again", "t07")
	l.push("team/app", nil, "sha256-"+d.Encoded()+".sig", "moved")
	newestTags = append(slices.DeleteFunc(newestTags, func(s string) bool { return s == "t07" }), "t07", "again", "moved")
	newestRepos = append(newestRepos, "team/app")
	slices.Reverse(newestTags)
	slices.Reverse(newestRepos)
	if i := slices.Index(newestTags, "again"); i != 1 {
		t.Fatal("the test is wrong: ", i)
	}
	if err := l.book.Index(t.Context()); err != nil {
		t.Fatal(err)
	}
	sorted := func(s []string) []string { return slices.Sorted(slices.Values(s)) }
	for target, want := range map[string][]string{
		"/api/v1/tags?repo=team/app&images=true":                                 sorted(newestTags),
		"/api/v1/tags?repo=team/app&images=true&order=newest":                    newestTags,
		"/api/v1/tags?repo=team/app&images=true&order=newest&identity=alice":     newestTags,
		"/api/v1/tags?repo=team/app&images=true&order=newest&identity=user:bob":  nil,
		"/api/v1/tags?repo=team/app&prefix=t1":                                   {"t10", "t11", "t12", "t13", "t14", "t15", "t16", "t17", "t18", "t19"},
		"/api/v1/tags?repo=team/app&prefix=sha":                                  {"sha256-" + d.Encoded() + ".sig"},
		"/api/v1/repositories":                                                   sorted(newestRepos),
		"/api/v1/repositories?order=newest":                                      newestRepos,
		"/api/v1/repositories?prefix=team/r0&order=name":                         sorted(newestRepos)[1:11],
		"/api/v1/repositories?prefix=other/":                                     nil,
		"/api/v1/tags?repo=team/app&images=true&order=newest&prefix=t&limit=100": slices.DeleteFunc(slices.Clone(newestTags), func(s string) bool { return s[0] != 't' }),
	} {
		for _, limit := range []string{"", "1", "3"} {
			asked := target
			if limit != "" {
				if strings.Contains(target, "limit") {
					continue
				}
				asked += map[bool]string{true: "&", false: "?"}[strings.Contains(target, "?")] + "limit=" + limit
			}
			if got, _ := l.all(asked); !slices.Equal(got, want) {
				t.Errorf("%s:\n%q\nwant\n%q", asked, got, want)
			}
		}
	}
	l.push("gone/app", nil, "x")
	l.send("DELETE", "/v2/gone/app/manifests/"+d.String(), "", nil, http.StatusAccepted)
	for at, limit := (newestAfter{}), 3; ; {
		c := &call{Request: httptest.NewRequest("GET", "/", nil), who: worldUser("nobody")}
		c.SetBasicAuth(listsLogin, "a secret of alice")
		var err error
		if c.who, err = l.api.Gate.Identify(c.Request); err != nil {
			t.Fatal(err)
		}
		found, next, err := l.api.followRepositories(c, repositoryList{limit: limit, newest: true, behind: at})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if len(newestRepos) == 0 || f.name != newestRepos[0] {
				t.Fatalf("followed to %s, and not to %q", f.name, newestRepos)
			}
			newestRepos = newestRepos[1:]
		}
		if next == "" {
			break
		}
		r := httptest.NewRequest("GET", "/?after="+url.QueryEscape(next), nil)
		at = (&call{Request: r}).query().newestAfter("after")
	}
	if len(newestRepos) > 0 {
		t.Errorf("the records do not lead to %q", newestRepos)
	}
}

// TestListCost counts the rows that are read for a page: they follow the page, and not the repository. Each image has more beside it than
// is shown.
func TestListCost(t *testing.T) {
	l := newLists(t)
	const limit, beside = 10, registry.MaxBeside + 1
	fill := func(from, to int) {
		for i := from; i < to; i += provenance.MaxTags {
			var tags []string
			for n := range provenance.MaxTags {
				tags = append(tags, fmt.Sprintf("a%05d", i+n))
			}
			d := l.push("team/app", map[string]string{"n": fmt.Sprint(i)}, tags...)
			l.push("team/app", map[string]string{"moved": fmt.Sprint(i)}, "moved")
			for n := range beside {
				l.push("team/app", map[string]string{"about": fmt.Sprint(i)}, fmt.Sprintf("sha256-%s.n%02d", d.Encoded(), n))
			}
			l.push(fmt.Sprintf("team/r%05d", i), nil, "x")
		}
	}
	pages := map[string]int64{
		"/api/v1/tags?repo=team/app&images=true&limit=10":                             40 * limit,
		"/api/v1/tags?repo=team/app&images=true&limit=10&after=a00050":                40 * limit,
		"/api/v1/tags?repo=team/app&limit=10&prefix=a001":                             40 * limit,
		"/api/v1/repositories?limit=10":                                               20 * limit,
		"/api/v1/tags?repo=team/app&images=true&limit=10&order=newest&identity=alice": maxFollowed*4*limit + 40*limit,
		"/api/v1/tags?repo=team/app&images=true&limit=10&order=newest":                maxSorted + maxFollowed*20*limit + 40*limit + 200,
	}
	index := func() {
		if err := l.book.Index(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n, images := range []int{300, 1200} {
		fill(n*300, images)
		index()
		for page, most := range pages {
			if read := l.get(page, &listedNames{}); read > most {
				t.Errorf("%s reads %d rows of %d tags, and more than %d", page, read, images, most)
			} else {
				t.Logf("%s: %d rows of %d tags", page, read, images)
			}
		}
	}
}

// TestListReadsOnce wants a list to read an image once, however many tags of the page mean it, and a record once, whatever it says.
func TestListReadsOnce(t *testing.T) {
	l := newLists(t)
	const tags = 20
	var names []string
	for i := range tags {
		names = append(names, fmt.Sprintf("t%02d", i))
	}
	l.push("team/app", nil, names...)
	if err := l.book.Index(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, all := l.get("/api/v1/tags?repo=team/app&limit=1", &listedNames{}), l.get("/api/v1/tags?repo=team/app", &listedNames{})
	if all-one > 2*tags {
		t.Errorf("a tag takes %d rows, and %d of the same image %d", one, tags, all)
	}
}

// TestReportWithoutKeeping wants a report to be answered where its grade cannot be kept, and without anything written for it.
func TestReportWithoutKeeping(t *testing.T) {
	l := newLists(t)
	l.push("team/app", nil, "1.0")
	l.store.full.Store(true)
	l.get("/api/v1/report?repo=team/app&ref=1.0", &struct{}{})
	if n := l.store.updates.Load(); n != 0 {
		t.Errorf("%d transactions before the answer", n)
	}
	l.engine.KeepWanted(t.Context())
	if n := l.store.updates.Load(); n != 1 {
		t.Errorf("%d attempts to keep the grade, and not 1", n)
	}
	l.get("/api/v1/report?repo=team/app&ref=1.0", &struct{}{})
}

// TestKeptGrade wants lists to show the grade of an image once somebody has asked for its report, and no more when something
// was attached to it.
func TestKeptGrade(t *testing.T) {
	l := newLists(t)
	for _, blob := range [][]byte{app.config, app.layer} {
		l.send("POST", "/v2/team/app/blobs/uploads/?digest="+digest.FromBytes(blob).String(), "application/octet-stream", blob, http.StatusCreated)
	}
	push := func() { l.send("PUT", "/v2/team/app/manifests/1.0", app.mediaType, app.manifest, http.StatusCreated) }
	push()
	grade := func(target string) string {
		var page struct {
			Tags         []struct{ Grade string }
			Repositories []struct {
				Newest struct{ Image struct{ Grade string } }
			}
		}
		if l.get(target, &page); len(page.Tags) > 0 {
			return page.Tags[0].Grade
		}
		return page.Repositories[0].Newest.Image.Grade
	}
	const tags, repositories = "/api/v1/tags?repo=team/app", "/api/v1/repositories"
	if got := grade(tags) + grade(repositories); got != "" {
		t.Errorf("there is a grade %s before anybody asked", got)
	}
	l.get("/api/v1/report?repo=team/app&ref=1.0", &struct{}{})
	l.engine.KeepWanted(t.Context())
	if got := grade(tags); got == "" || got != grade(repositories) {
		t.Errorf("the grade %q is kept", got)
	}
	push()
	if got := grade(tags); got != "" {
		t.Errorf("the grade %s is kept of an image that was pushed again", got)
	}
}
