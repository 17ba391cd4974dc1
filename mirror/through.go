package mirror

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// Two registries that mirror each other would bring each other's mirrors, below longer and longer names. So each Hallmark has a name that
// it drew, and says with a repository's list of tags through which registries its images came: its own name, and where the repository is
// a mirror, those that the upstream said. What came through here is not brought here. A registry of another make says nothing, and a circle
// through one ends with the length of names alone.

// maxThrough bounds the registries of a list.
const maxThrough = 16

var selfKey = []byte("name")

// Draw draws the name of this registry, unless it has one. Lists of tags do not say it before: they neither read nor
// write for it, also where the disk is full.
func (m *Mirrors) Draw(ctx context.Context) error {
	_, err := m.ownName(ctx)
	return err
}

// ownName is the name that this registry drew.
func (m *Mirrors) ownName(ctx context.Context) (string, error) {
	if name := m.self.Load(); name != nil {
		return *name, nil
	}
	drawn := make([]byte, 16)
	rand.Read(drawn) // which never fails
	kept, err := storage.GetOrPut(ctx, m.c.Store, selfTable, selfKey, drawn)
	if err != nil {
		return "", err
	}
	name := hex.EncodeToString(kept)
	m.self.Store(&name)
	return name, nil
}

// Through implements registry.Mirrors.
func (m *Mirrors) Through(ctx context.Context, repo string) ([]string, error) {
	self := m.self.Load()
	if self == nil {
		return nil, nil
	}
	if m.Rules().Of(repo) == nil {
		return []string{*self}, nil
	}
	before, err := m.throughOf(ctx, repo)
	return append([]string{*self}, before...), err
}

// throughOf is what the upstream of a repository said last.
func (m *Mirrors) throughOf(ctx context.Context, repo string) (names []string, err error) {
	err = m.c.Store.View(ctx, func(tx storage.Reader) error {
		value, err := tx.Get(throughTable, []byte(repo))
		if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		names = strings.Fields(string(value))
		return err
	})
	return names, err
}

// comesFrom keeps through which registries a repository comes, before anything of it is brought, and refuses one that came through this.
// If it were kept later, another registry could bring from here what it does not know to be its own.
func (m *Mirrors) comesFrom(ctx context.Context, into string, names []string, dry bool) error {
	self, err := m.ownName(ctx)
	if err != nil {
		return err
	}
	switch {
	case len(names) > maxThrough:
		return fmt.Errorf("its images came through more than %d registries", maxThrough)
	case len(names) > 1 && slices.Contains(names[1:], self): // the first is the upstream, which may be a copy of this one
		return errors.New("there it is a mirror of this registry, and mirrors would go round: leave it out of the rule's repositories")
	}
	before, err := m.throughOf(ctx, into)
	if err != nil || dry || slices.Equal(before, names) {
		return err
	}
	return m.c.Store.Update(ctx, func(tx storage.Tx) error {
		if len(names) == 0 {
			tx.Delete(throughTable, []byte(into))
		} else {
			tx.Put(throughTable, []byte(into), []byte(strings.Join(names, " ")))
		}
		return nil
	})
}

// heard is what upstreams said of repositories in a run. It is safe for concurrent use.
type heard struct{ by sync.Map } // the path of a list of tags → what stands in the header

// hear notes what an answer says.
func (h *heard) hear(resp *http.Response) {
	if strings.HasSuffix(resp.Request.URL.Path, "/tags/list") && resp.StatusCode == http.StatusOK {
		h.by.Store(resp.Request.URL.Path, resp.Header.Get(registry.ThroughHeader))
	}
}

// of returns the names that were said of a repository; what is no name of a Hallmark is left out.
func (h *heard) of(repo string) (names []string) {
	said, _ := h.by.Load("/v2/" + repo + "/tags/list")
	text, _ := said.(string)
	for _, name := range strings.Fields(text) {
		if len(name) == 32 && strings.Trim(name, "0123456789abcdef") == "" && len(names) <= maxThrough {
			names = append(names, name)
		}
	}
	return names
}
