package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

// TestRulesWithoutKey starts a registry that can sign nothing, with other rules than before: it serves what it has, by
// these rules, and puts them on record as soon as it can.
func TestRulesWithoutKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	s.push("team/app", "1", "one", nil)
	s.kill()
	key := filepath.Join(dir, keysDir, "receipt.pem")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	rules := writeFile(t, "rules:\n- {name: never, repositories: [secret/*], at: [pull], require: 'false', owner: ops}\n")
	s = startServer(t, dir, "--config", writeFile(t, "policy: {file: "+rules+"}\n"))
	s.want(200, "GET", "/v2/team/app/manifests/1")
	if said := s.hallmark("policy", "show"); !strings.Contains(said, "never") {
		t.Errorf("the rules in force are %s", said)
	}
	s.hallmark("key", "rotate", "--lost")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.hallmark("records", "--action", "rules"), "policy sha256:"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the rules are not on record")
		}
	}
}

// interposed does something once, before the next Update begins.
type interposed struct {
	storage.Store
	before func()
}

func (s *interposed) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	return s.Store.Update(ctx, fn)
}

// TestRulesOvertaken reloads the rules while those of before are about to be put on record, late: the newest record names
// those in force.
func TestRulesOvertaken(t *testing.T) {
	t.Parallel()
	store, err := bolt.Open(filepath.Join(t.TempDir(), "hallmark.db"), bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	between := &interposed{Store: store}
	s := &services{}
	if s.book, err = provenance.NewBook(between, "https://registry.example"); err != nil {
		t.Fatal(err)
	}
	if err := s.book.Begin(t.Context(), newKeys(t)); err != nil {
		t.Fatal(err)
	}
	older, newer := digest.FromString("older"), digest.FromString("newer")
	s.unrecorded.Store(&provenance.RuleFiles{Policy: older})
	between.before = func() { s.recordRules(t.Context(), slog.New(slog.DiscardHandler), &policy.Set{Digest: newer}, nil) }
	if err := s.recordWaiting(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := s.book.Find(t.Context(), provenance.Query{Action: provenance.Rules, Descending: true, Limit: 1})
	if err != nil || len(page.Records) != 1 || page.Records[0].Rules.Policy != newer || s.unrecorded.Load() != nil {
		t.Errorf("%+v, %v; %v waits", page.Records, err, s.unrecorded.Load())
	}
}
