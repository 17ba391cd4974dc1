package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
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

// newAPI returns an API over a registry with one record.
func newAPI(t testing.TB) *API {
	t.Helper()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a, _ := newAPIOver(t, storagetest.Twice(store))
	return a
}

func newAPIOver(t testing.TB, store storage.Store) (*API, *registry.Registry) {
	t.Helper()
	ctx := context.Background()
	blobs, err := files.Open(filepath.Join(t.TempDir(), "blobs"), "")
	if err != nil {
		t.Fatal(err)
	}
	const url = "https://registry.example"
	book, err := provenance.NewBook(store, url)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := provenance.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Begin(ctx, keys); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	gate, err := access.New(ctx, store, access.Config{URL: url, Book: book, BcryptCost: 4})
	if err != nil {
		t.Fatal(err)
	}
	g, err := registry.New(ctx, store, blobs, book, gate, log, registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(ctx, func(tx storage.Tx) error {
		_, err := book.Append(tx, provenance.Event{
			Action: provenance.Push, Repository: "team/app", Digest: digest.FromString("x"),
			Tags: []provenance.TagMove{{Name: "1.0"}},
			Claimed: []provenance.Claim{{
				Fact: "source", Value: "https://git.example/team/app", About: digest.FromString("x"), From: "label org.opencontainers.image.source",
			}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := policy.NewEngine(policy.Config{Registry: g, Book: book, Log: log, Inspect: func() image.Config { return image.Config{} }})
	if err != nil {
		t.Fatal(err)
	}
	c := Over(gate, g, book)
	c.URL, c.Log, c.Policy = url, log, engine
	return New(c), g
}

// FuzzQuery asks with any path and query: filters, cursors, times, references. Whatever is asked, the API
// neither panics nor says that the fault is its own, and what is wrong is a problem with a sentence.
func FuzzQuery(f *testing.F) {
	a := newAPI(f)
	for _, target := range []string{
		"records?repo=team/app&tag=1.0&order=asc&limit=1&after=0", "records?digest=sha256:00&base=x", "records?source=git@git.example:team/app.git&revision=0",
		"records?since=2026-11-24&until=2026-11-24T00:00:00Z&class=claimed&action=push&identity=alice", "records/0", "records/18446744073709551616",
		"history?repo=team/app&tag=1.0&at=0001-01-01T00:00:00Z", "image?repo=team/app&ref=sha256:x", "tags?repo=team/app&after=%00", "repositories?limit=1001",
		"users?after=%ff", "certificate", "check?deep=x", "records?%zz",
	} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI("/api/v1/" + target)
		if err != nil {
			return // net/http answers these itself
		}
		ctx, cancel := context.WithTimeout(access.WithOperator(t.Context()), 10*time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		r.URL = u
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		if w.Code < 400 {
			return
		}
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s: %d with %q", target, w.Code, w.Body)
		}
	})
}
