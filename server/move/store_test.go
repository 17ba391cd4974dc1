package move_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/move"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// moved is a registry whose store is moved.
type moved struct {
	t      *testing.T
	dir    string
	url    string // of the database
	images map[string]digest.Digest
}

func newMoved(t *testing.T) *moved {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	m := &moved{t, dir, engines.Database(t, dir), map[string]digest.Digest{}}
	m.push(false, "first")
	return m
}

// options are those of a server on the store in the database, or in the directory.
func (m *moved) options(inDatabase bool) server.Options {
	o := servertest.Options()
	if inDatabase {
		o.Config.Store = m.url
	}
	return o
}

// push pushes an image, and wants those that were pushed before to be there.
func (m *moved) push(inDatabase bool, tag string) {
	m.t.Helper()
	s := servertest.StartOn(m.t, m.dir, m.options(inDatabase))
	defer s.Stop()
	for tag, d := range m.images {
		status, said, err := s.Do("GET", "/v2/app/manifests/"+tag, servertest.Login, nil)
		if err != nil || status != http.StatusOK || digest.FromString(said) != d {
			m.t.Errorf("app:%s: %d %s, %v", tag, status, said, err)
		}
	}
	m.images[tag] = s.Push("app", tag, tag)
}

// starts says whether a server starts.
func (m *moved) starts(inDatabase bool) (string, bool) {
	s, err := servertest.TryOn(m.dir, m.options(inDatabase))
	if err != nil {
		return err.Error(), false
	}
	s.Stop()
	return "", true
}

func (m *moved) move(into bool, before func() error) (datadir.Moved, error) {
	s := &move.Store{Dir: m.dir, Database: m.url, Into: into, Bring: datadir.Bring{Before: before}}
	return s.Run(m.t.Context())
}

// TestStoreMoveBreaksOff takes a store into a database, and back, and there again, and breaks off before each step: at no moment a server starts on
// both, what was pushed in between comes along, and the log goes on.
func TestStoreMoveBreaksOff(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	engines.OnFile(t)
	m := newMoved(t)
	broke := errors.New("broke off")
	for _, into := range []bool{true, false, true} {
		steps := 0
		for good := 0; ; good++ {
			n := 0
			got, err := m.move(into, func() error {
				if n++; n > good {
					return broke
				}
				return nil
			})
			if err == nil {
				if !got.Again && (got.Log == nil || got.Log.Size == 0 || got.Rows == 0) {
					t.Errorf("it says %+v", got)
				}
				break
			}
			if !errors.Is(err, broke) {
				t.Fatal(err)
			}
			steps++
			why, there := m.starts(into)
			_, here := m.starts(!into)
			if there {
				t.Errorf("it starts where the store is to be, %d steps before the end", steps)
			}
			if !strings.Contains(why, "hallmark move") && !strings.Contains(why, "leave store out") {
				t.Errorf("the refusal does not say what to do: %s", why)
			}
			if here {
				m.push(!into, "between")
			}
		}
		if steps < 2 {
			t.Errorf("it broke off %d times", steps)
		}
		if _, was := m.starts(!into); was {
			t.Error("it starts where the store was, too")
		}
		m.push(into, "then")
		if got, err := m.move(into, nil); err != nil || !got.Again {
			t.Errorf("a second time: %+v, %v", got, err)
		}
	}
}

// TestStoreMoveRefused moves stores to where they must not come: nothing changes, and the registry is where it was.
func TestStoreMoveRefused(t *testing.T) {
	engines.OnFile(t)
	m, other := newMoved(t), newMoved(t)
	if _, err := m.move(true, nil); err != nil {
		t.Fatal(err)
	}
	other.url = m.url
	if _, err := other.move(true, nil); err == nil || !strings.Contains(err.Error(), "name an empty one") {
		t.Errorf("into another registry's database: %v", err)
	}
	other.push(false, "still")
	s := servertest.StartOn(t, m.dir, m.options(true))
	if _, err := m.move(false, nil); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("while it serves: %v", err)
	}
	s.Stop()

	broke := errors.New("broke off")
	if _, err := m.move(false, func() error { return broke }); !errors.Is(err, broke) {
		t.Fatal(err)
	}
	m.push(true, "between")
	if _, err := m.move(false, nil); err != nil {
		t.Fatal(err)
	}
	elsewhere := *m
	elsewhere.dir = filepath.Join(t.TempDir(), "data")
	if why, ok := elsewhere.starts(true); ok || !strings.Contains(why, "was moved to the file") {
		t.Errorf("another machine, on the database that the registry has left: %s", why)
	}
	if _, err := elsewhere.move(true, nil); err == nil || !strings.Contains(err.Error(), "was moved to the file") {
		t.Errorf("a move by another machine: %v", err)
	}
	empty := *m
	empty.dir = filepath.Join(t.TempDir(), "data")
	if _, err := empty.move(true, nil); !errors.Is(err, datadir.ErrNone) {
		t.Errorf("of no registry: %v", err)
	}
	m.push(false, "last")
}
