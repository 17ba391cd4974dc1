package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"github.com/seed-260924e6/hallmark/storage/postgres/pgtest"
)

// TestRefused opens what is not there, or not fit, and wants to be told what to do.
func TestRefused(t *testing.T) {
	c := pgtest.Start(t, "fsync=off")
	c.SQL("postgres", "CREATE ROLE guest LOGIN")
	empty := c.Database()
	for _, one := range []struct{ name, url, want string }{
		{"no URL", "postgres://u:secret@[::1/x", "no URL of a database"},
		{"wrong port", "postgres://hallmark:secret@127.0.0.1:1/x", "does not do what it is asked"},
		{"no such database", c.URL("none"), "createdb"},
		{"no such user", strings.Replace(empty, "hallmark@", "nobody:secret@", 1), "pg_hba.conf"},
		{"no right", strings.Replace(empty, "hallmark@", "guest@", 1), "CREATE on the schema"},
		{"read-only", empty + "&default_transaction_read_only=on", "takes no changes"},
	} {
		_, err := postgres.Open(background, postgres.Config{URL: one.url, Process: "p"})
		if err == nil || !strings.Contains(err.Error(), one.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q, and no secret", one.name, err, one.want)
		}
	}
	if _, err := postgres.Open(background, postgres.Config{URL: empty, ReadOnly: true}); err == nil || !strings.Contains(err.Error(), "there is no registry in this database") {
		t.Errorf("an empty database, only to be read: %v", err)
	}
}

// TestSaid wants warnings about a database that loses what it acknowledges.
func TestSaid(t *testing.T) {
	c := pgtest.Start(t, "fsync=off", "synchronous_commit=off")
	var said []string
	s, err := postgres.Open(background, postgres.Config{URL: c.Database(), Process: "p", Say: func(one string) { said = append(said, one) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(s, "k", "1"), s.Close()); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "fsync") {
		t.Errorf("said %q", said)
	}
}

// TestLayouts takes a store through a step, and refuses one that a later program wrote.
func TestLayouts(t *testing.T) {
	url := pgtest.Start(t, "fsync=off").Database()
	runs := 0
	step := storage.Step{Does: "double", Run: func(s storage.Store) error {
		runs++
		return put(s, "k", "22")
	}}
	if err := put(open(t, url, "p"), "k", "11"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := postgres.Open(background, postgres.Config{URL: url, Process: "p", Steps: []storage.Step{step}})
		if err != nil {
			t.Fatal(err)
		}
		if got := get(s, "k"); got != "22" || runs != 1 {
			t.Errorf("after %d runs there is %s", runs, got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := postgres.Open(background, postgres.Config{URL: url, Process: "p"}); !errors.Is(err, storage.ErrNewer) {
		t.Errorf("an older program: %v", err)
	}
}

func TestShown(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:secret@db.example/x?sslmode=verify-full": "postgres://u@db.example/x?sslmode=verify-full",
		"postgres://db.example/x?password=secret":              "postgres://db.example/x?password=%E2%80%A6",
		"postgres://u:secret@[::1/x":                           "postgres://…",
	} {
		if got := postgres.Shown(url); got != want {
			t.Errorf("%s is shown as %s", url, got)
		}
	}
}
