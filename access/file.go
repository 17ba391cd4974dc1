package access

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A File is a Document as people keep it: with names in the place of accounts.
type File struct {
	// Version is that of the document that this is, or that it is meant to follow; 0 follows any.
	Version   uint64              `json:"version,omitempty"`
	Teams     map[string][]string `json:"teams"` // the names of their members
	Grants    []Grant             `json:"grants"`
	Immutable []FixedTags         `json:"immutable"`
}

// ErrChanged says that somebody else changed the document meanwhile.
var ErrChanged = fault.New(fault.Conflict, "somebody else changed who may do what meanwhile; look at the difference again")

// An EntryError says which entry of a File is wrong.
type EntryError struct {
	At  string // as grants[3], teams.core or immutable[0]
	Err error
}

func (e *EntryError) Error() string { return e.At + ": " + e.Err.Error() }

// Class says that it is the body that is wrong, whatever is wrong with it.
func (e *EntryError) Class() fault.Class { return fault.Entry }

// Unwrap serves errors.Is.
func (e *EntryError) Unwrap() error { return e.Err }

// Export returns the document in force as a File, and its digest, which the record of its last change has: "" where nobody was
// ever granted anything.
func (a *Access) Export(ctx context.Context) (f File, sum digest.Digest, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		r, err := a.rulesIn(tx)
		if err != nil {
			return err
		}
		d := r.document
		sum = r.digest
		f = File{Version: d.Version, Teams: map[string][]string{}, Grants: []Grant{}, Immutable: append([]FixedTags{}, d.Fixed...)}
		for _, t := range d.Teams {
			entry, err := nameTeam(tx, t)
			if err != nil {
				return err
			}
			f.Teams[t.Name] = entry.Members
		}
		entries := make([]GrantEntry, len(d.Grants))
		for i, g := range d.Grants {
			entries[i].Grant = g
		}
		if err := nameAll(tx, entries); err != nil {
			return err
		}
		slices.SortFunc(entries, compareText)
		for _, e := range entries {
			f.Grants = append(f.Grants, e.Grant)
		}
		return nil
	})
	return f, sum, err
}

// DocumentText returns the document in force as it is stored, whose digest the record of its last change has; nothing where
// nobody was ever granted anything.
func (a *Access) DocumentText(ctx context.Context) (text []byte, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		d, sum, err := readDocument(tx)
		if err != nil || sum == "" {
			return err
		}
		text, _, err = d.encode()
		return err
	})
	return text, err
}

// Apply makes the document what a File says, in one transaction with the records of all that changes, or
// only says what would change. A dry run is refused like the run. Errors: EntryError, ErrChanged, ErrLastAdmin, ErrTooMuch, ErrManyChanges.
func (a *Access) Apply(ctx context.Context, by provenance.Identity, f File, dryRun bool) (list []Change, version uint64, err error) {
	if dryRun {
		err = a.store.View(ctx, func(tx storage.Reader) error {
			if version, err = readVersion(tx); err != nil {
				return err
			}
			p, err := a.plan(tx, func(d *Document) error { return a.bindFile(tx, f, d) })
			if err == nil {
				list = p.list
			}
			return err
		})
		return list, version, err
	}
	err = a.change(ctx, func(tx storage.Tx) error {
		list, err = a.edit(tx, by, func(d *Document) error { return a.bindFile(tx, f, d) })
		if err != nil {
			return err
		}
		version, err = readVersion(tx)
		return err
	})
	return list, version, err
}

// bindFile makes a document what a file says.
func (a *Access) bindFile(tx storage.Reader, f File, d *Document) error {
	if f.Version != 0 && f.Version != d.Version {
		return ErrChanged
	}
	known := make(map[string]bool, len(d.Grants))
	for _, g := range d.Grants {
		known[g.key()] = true
	}
	d.Teams, d.Grants, d.Fixed = nil, nil, slices.Clone(f.Immutable)
	for _, name := range slices.Sorted(maps.Keys(f.Teams)) {
		t, err := bindTeam(tx, name, f.Teams[name])
		if err != nil {
			return &EntryError{"teams." + name, err}
		}
		d.Teams = append(d.Teams, t)
	}
	for i, g := range f.Grants {
		s, err := bind(tx, g.Subject)
		switch {
		case err != nil:
		case s.Kind == TeamSubject && d.team(s.Name) == nil:
			err = fmt.Errorf("team %s: %w", s.Name, ErrUnknownTeam)
		case g.Role > s.highest():
			err = ErrTooHigh
		case known[Grant{s, g.Pattern, g.Role}.key()]:
			err = a.bound(s) // one that can never match does no harm, and was taken before
		default:
			err = a.grantable(s)
		}
		if err != nil {
			return &EntryError{fmt.Sprintf("grants[%d]", i), err}
		}
		d.Grants = append(d.Grants, Grant{s, g.Pattern, g.Role})
	}
	for i, r := range f.Immutable {
		if len(r.Except) > maxExcept {
			return &EntryError{fmt.Sprintf("immutable[%d]", i), ErrTooMuch}
		}
	}
	return nil
}

func bindTeam(tx storage.Reader, name string, members []string) (Team, error) {
	t := Team{Name: name, Members: []string{}}
	if !validUserName(name) {
		return t, ErrUserName
	}
	for _, m := range members {
		s, err := bind(tx, Subject{Kind: UserSubject, Name: m})
		if err != nil {
			return t, err
		}
		t.Members = append(t.Members, s.Name)
	}
	return t, nil
}
