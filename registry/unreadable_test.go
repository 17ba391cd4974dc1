package registry

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

var errUnreadable = errors.New("the disk does not answer")

// unreadableStore has a table of which no transaction can read a row.
type unreadableStore struct {
	storage.Store
	table storage.Table
}

func (u unreadableStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return u.Store.Update(ctx, func(tx storage.Tx) error { return fn(unreadableTx{tx, u.table}) })
}

type unreadableTx struct {
	storage.Tx
	table storage.Table
}

func (u unreadableTx) Get(table storage.Table, key []byte) ([]byte, error) {
	if table == u.table {
		return nil, errUnreadable
	}
	return u.Tx.Get(table, key)
}

// unreadableGate does not know who has a right. Nobody has another.
type unreadableGate struct {
	Gate
	right access.Right
}

func (u unreadableGate) MayIn(_ storage.Reader, _ provenance.Identity, right access.Right, _ string) (bool, error) {
	if right == u.right {
		return false, errUnreadable
	}
	return false, nil
}

// TestUnreadable wants what cannot be read to be answered as that, and neither as something that is not there nor as a refusal.
func TestUnreadable(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	many := s.pushImage("app", "", "many")
	s.tagMany("app", many, provenance.MaxTags+1)
	layer := s.layersOf(s.provenanceOf("app", one.digest).Digest)[0].Digest
	id := s.deletable("app", one.digest).AlongID
	remove := func(kind string, d digest.Digest) func() answer {
		return func() answer { return s.do("DELETE", "/v2/app/"+kind+"/"+d.String(), nil) }
	}
	store, gate := s.store, s.gate
	for name, c := range map[string]struct {
		table storage.Table
		gate  Gate
		do    func() answer
	}{
		"an image with all that belongs to it": {manifestTable, gate, func() answer { return s.deleteAlong("app", one.digest, id) }},
		"many tags":                            {knownTable, gate, remove("manifests", many.digest)},
		"a part of a record":                   {provenanceTable, gate, remove("blobs", layer)},
		"rights":                               {"", unreadableGate{gate, access.Pull}, remove("manifests", one.digest)},
	} {
		t.Run(name, func(t *testing.T) {
			s.store, s.gate = unreadableStore{store, c.table}, c.gate
			defer func() { s.store, s.gate = store, gate }()
			if got := c.do(); got.status != 500 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	s.gate = unreadableGate{gate, access.Delete}
	if _, err := s.Release(background, access.Operator, "app", one.digest); !errors.Is(err, errUnreadable) || errors.Is(err, ErrMayNotHold) {
		t.Errorf("a hold: %v", err)
	}
	s.gate = gate
	s.wantClean()
}
