package access

import (
	"context"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrUnknownRule says that a rule for tags is not there.
var ErrUnknownRule = fault.New(fault.Missing, "there is no such rule for tags; `hallmark tags rules` lists what there is")

// is says whether a rule is about the same tags of the same repositories.
func (f FixedTags) is(other FixedTags) bool {
	return f.Repositories == other.Repositories && f.Tags == other.Tags
}

// Covers says whether a tag of a repository stays as it is by this rule.
func (f FixedTags) Covers(repository, tag string) bool {
	return f.Repositories.Matches(repository) && f.Tags.Matches(tag) &&
		!slices.ContainsFunc(f.Except, func(e Glob) bool { return e.Matches(tag) })
}

// AttachedTags are exceptions for what clients attach to images under tags, and move with each one that they add: cosign
// its older signatures and attestations (sha256-….sig, .att, .sbom), others the lists of referrers for registries that
// have none (sha256-…).
func AttachedTags() []Glob { return []Glob{{compileGlob("sha256-*")}, {compileGlob("sha512-*")}} }

// KeepsAttached says whether the rule keeps tags of what is attached to images, so that a second signature in the older
// form is refused.
func (f FixedTags) KeepsAttached() bool {
	image := "sha256-" + strings.Repeat("0", 64)
	return slices.ContainsFunc([]string{"", ".sig", ".att", ".sbom"}, func(suffix string) bool {
		return f.Tags.Matches(image+suffix) && !slices.ContainsFunc(f.Except, func(e Glob) bool { return e.Matches(image + suffix) })
	})
}

// ParseFixed reads the rule in the record of one that was made or ended.
func ParseFixed(c provenance.RightsChange) (f FixedTags, err error) {
	if f.Repositories, err = ParsePattern(c.Pattern); err != nil {
		return f, err
	}
	if f.Tags, err = ParseGlob(c.Tags); err != nil {
		return f, err
	}
	for _, e := range c.Except {
		g, err := ParseGlob(e)
		if err != nil {
			return f, err
		}
		f.Except = append(f.Except, g)
	}
	return f, nil
}

// Fix makes tags immutable, in the place of a rule for the same tags of the same repositories. It says whether
// that changes anything. Errors: ErrNotAdmin, ErrTooMuch.
func (a *Access) Fix(ctx context.Context, by provenance.Identity, f FixedTags) (isNew bool, err error) {
	err = a.change(ctx, func(tx storage.Tx) error {
		list, err := a.editFixed(tx, by, f, func(d *Document) error {
			d.Fixed = append(slices.DeleteFunc(d.Fixed, f.is), f)
			return nil
		})
		isNew = len(list) > 0
		return err
	})
	return isNew, err
}

// Unfix takes the rule for some tags of some repositories away, whatever it excepts. Errors: ErrNotAdmin,
// ErrUnknownRule.
func (a *Access) Unfix(ctx context.Context, by provenance.Identity, f FixedTags) error {
	return a.change(ctx, func(tx storage.Tx) error {
		_, err := a.editFixed(tx, by, f, func(d *Document) error {
			before := len(d.Fixed)
			if d.Fixed = slices.DeleteFunc(d.Fixed, f.is); len(d.Fixed) == before {
				return ErrUnknownRule
			}
			return nil
		})
		return err
	})
}

// editFixed edits the document for a rule whose repositories the caller administrates.
func (a *Access) editFixed(tx storage.Tx, by provenance.Identity, f FixedTags, change func(*Document) error) ([]Change, error) {
	now, err := a.rulesIn(tx)
	if err != nil {
		return nil, err
	}
	if !now.administers(by, f.Repositories) {
		return nil, ErrNotAdmin
	}
	return a.edit(tx, by, change)
}

// Fixes returns the rules for tags of the repositories that somebody administrates, in order.
func (a *Access) Fixes(who provenance.Identity) []FixedTags {
	r := a.rules.Load()
	return slices.DeleteFunc(slices.Clone(r.document.Fixed), func(f FixedTags) bool { return !r.administers(who, f.Repositories) })
}
