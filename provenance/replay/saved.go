package replay

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// saved is a State as JSON. What follows from it, and the options, are not in it.
type saved struct {
	Next         uint64                 `json:"next"`
	States       uint64                 `json:"states"`
	PassedStates bool                   `json:"passedStates,omitempty"`
	Repositories map[string]*Repository `json:"repositories"`
	Access       Access                 `json:"access"`
	Accounts     map[string]Account     `json:"accounts"`
	Tokens       map[string]Token       `json:"tokens"`
	Rights       []Right                `json:"rights"`
	Baseline     *Baseline              `json:"baseline,omitempty"`
	Founded      bool                   `json:"founded,omitempty"`
	Introduced   map[string]string      `json:"introduced"`
	Skipped      bool                   `json:"skipped,omitempty"`
}

type savedRepository struct {
	Newest    uint64                    `json:"newest"`
	Unknown   *uint64                   `json:"unknown,omitempty"`
	Manifests []*Manifest               `json:"manifests"`
	Removed   map[digest.Digest]uint64  `json:"removed"`
	Trash     map[digest.Digest]Trashed `json:"trash"`
	Holds     map[digest.Digest]Hold    `json:"holds"`
	Tags      map[string]Tag            `json:"tags"`
}

// MarshalJSON implements json.Marshaler. What it returns is for UnmarshalJSON, so that a replay can be gone on with.
func (s *State) MarshalJSON() ([]byte, error) {
	return json.Marshal(saved{
		s.Next, s.States, s.states, s.Repositories, s.Access, s.Accounts, s.Tokens, slices.Collect(maps.Values(s.Rights)), s.Baseline, s.Founded,
		s.Introduced, s.Skipped,
	})
}

// ErrOlder says that a State was saved by a version that did not keep all of it: the records are to be replayed anew.
var ErrOlder = errors.New("a replay of an older version, which did not keep which manifests were removed, held, or in the trash, or which secrets were introduced")

// Use sets what is followed from here on: a State that was read from JSON has the zero Options.
func (s *State) Use(o Options) { s.options = o }

// UnmarshalJSON implements json.Unmarshaler. It keeps the options. Error: ErrOlder.
func (s *State) UnmarshalJSON(data []byte) error {
	fresh := New(s.options)
	from := saved{Repositories: fresh.Repositories, Accounts: fresh.Accounts, Tokens: fresh.Tokens}
	if err := json.Unmarshal(data, &from); err != nil {
		return err
	}
	if from.Introduced == nil {
		return ErrOlder
	}
	fresh.Introduced, fresh.Skipped = from.Introduced, from.Skipped
	fresh.Next, fresh.States, fresh.states, fresh.Access = from.Next, from.States, from.PassedStates, from.Access
	fresh.Baseline, fresh.Founded = from.Baseline, from.Founded
	for _, r := range from.Rights {
		fresh.Rights[KeyOf(r.RightsChange)] = r
	}
	*s = *fresh
	return nil
}

// MarshalJSON implements json.Marshaler.
func (p *Repository) MarshalJSON() ([]byte, error) {
	return json.Marshal(savedRepository{p.Newest, p.Unknown, slices.Collect(maps.Values(p.Manifests)), p.Removed, p.Trash, p.Holds, p.tags})
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Repository) UnmarshalJSON(data []byte) error {
	from := savedRepository{Tags: make(map[string]Tag)}
	if err := json.Unmarshal(data, &from); err != nil {
		return err
	}
	if from.Removed == nil || from.Holds == nil || from.Trash == nil {
		return ErrOlder
	}
	*p = Repository{
		Newest: from.Newest, Unknown: from.Unknown, seen: true, Manifests: make(map[digest.Digest]*Manifest), Removed: from.Removed, Holds: from.Holds,
		Trash: from.Trash, tags: from.Tags,
	}
	for _, m := range from.Manifests {
		p.Manifests[m.Digest] = m
	}
	return nil
}
