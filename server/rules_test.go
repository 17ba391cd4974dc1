package server

import (
	"context"
	"log/slog"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

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
	between := &interposed{Store: engines.New(t)}
	keys, err := provenance.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	s := &services{}
	if s.book, err = provenance.NewBook(between, "https://registry.example"); err != nil {
		t.Fatal(err)
	}
	if err := s.book.Begin(t.Context(), keys); err != nil {
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
