package registry

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// countingStore counts the rows that scans read.
type countingStore struct {
	storage.Store
	rows atomic.Int64
}

func (s *countingStore) View(ctx context.Context, fn func(storage.Reader) error) error {
	return s.Store.View(ctx, func(tx storage.Reader) error { return fn(countingReader{tx, &s.rows}) })
}

type countingReader struct {
	storage.Reader
	rows *atomic.Int64
}

func (r countingReader) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		for item, err := range r.Reader.Scan(table, from, to) {
			r.rows.Add(1)
			if !yield(item, err) {
				return
			}
		}
	}
}

const many = 100_000

// TestManyTags lists 100,000 tags and as many repositories in pages. A page reads no more rows than it has.
func TestManyTags(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	counting := &countingStore{Store: s.store}
	s.store = counting
	s.pushImage("app", "x", "one")
	err := s.store.Update(background, func(tx storage.Tx) error {
		row := tagRow{digest: digest.FromString("x")}.encode()
		for i := range many {
			tx.Put(tagTable, repoKey("app", fmt.Appendf(nil, "t%06d", i)), row)
			tx.Put(repositoryTable, fmt.Appendf(nil, "many/r%06d", i), nil)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, first, last string
	}{
		{"/v2/app/tags/list?n=100", "t000000", "t000099"},
		{"/v2/app/tags/list?n=100&last=t050000", "t050001", "t050100"},
		{"/v2/app/tags/list?n=100&last=t099950", "t099951", "x"},
		{"/v2/_catalog?n=100", "app", "many/r000098"},
		{"/v2/_catalog?n=100&last=many/r070000", "many/r070001", "many/r070100"},
		{"/v2/_catalog?n=100&last=many/r099989", "many/r099990", "many/r099999"},
	} {
		counting.rows.Store(0)
		got := s.want(s.do("GET", c.path, nil), 200, "")
		list := got.body[strings.LastIndexByte(got.body, '[')+1 : strings.LastIndexByte(got.body, ']')]
		names := strings.Split(strings.ReplaceAll(list, `"`, ""), ",")
		if names[0] != c.first || names[len(names)-1] != c.last || !slices.IsSorted(names) {
			t.Errorf("%s: %s to %s, want %s to %s", c.path, names[0], names[len(names)-1], c.first, c.last)
		}
		if full := len(names) == 100; full != (got.header.Get("Link") != "") {
			t.Errorf("%s: %d names, Link %q", c.path, len(names), got.header.Get("Link"))
		}
		if n := counting.rows.Load(); n > 101 {
			t.Errorf("%s reads %d rows", c.path, n)
		}
	}
	if all := s.follow("/v2/app/tags/list"); all != many+1 {
		t.Errorf("%d tags in all pages", all)
	}
}

// follow counts the names of all pages.
func (s *server) follow(path string) (names int) {
	s.t.Helper()
	for path != "" {
		got := s.want(s.do("GET", path, nil), 200, "")
		names += strings.Count(got.body, `"t`) + strings.Count(got.body, `"x"`) - strings.Count(got.body, `"tags"`)
		path, _, _ = strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), ">")
	}
	return names
}
