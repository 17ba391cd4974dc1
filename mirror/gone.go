package mirror

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// What is gone upstream is read from whole lists: of a repository's tags, and of the repositories where the upstream's catalog was asked for. A list that
// lacks most of what is here may be a fault of the upstream, and so may a 404: a schedule leaves these to a person.

// fewGone are so few that a schedule removes them, whatever share of all they are.
const fewGone = 3

// mayBeFault says whether so many are gone of all that a schedule leaves them to a person.
func (f *following) mayBeFault(gone, all int) bool {
	return !f.byHand && gone > fewGone && 2*gone > all
}

// Repositories implements Source. Behind the last of them it deals with what is here and was not among them.
func (s followed) Repositories(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		has := map[string]bool{}
		for repo, err := range s.remote.Repositories(ctx) {
			if err == nil && s.f.wants(repo) {
				has[repo] = true
			}
			if !yield(repo, err) || err != nil {
				return
			}
		}
		if err := s.f.leaveBehind(ctx, has); err != nil {
			yield("", err)
		}
	}
}

// leaveBehind deals with the repositories here that the run does not follow: has are those that it does, by their names upstream.
func (f *following) leaveBehind(ctx context.Context, has map[string]bool) error {
	if err := f.forgetOthers(ctx, has); err != nil || f.rule.Deleted == KeepDeleted || f.from.names != nil {
		return err // what a rule does not name any more is not gone upstream
	}
	var gone []string
	all := 0
	err := f.m.eachBelow(ctx, f.rule, func(repo string) error {
		name := strings.TrimPrefix(repo, f.Into+"/")
		if !f.wants(name) {
			return nil
		}
		if all++; !has[name] {
			gone = append(gone, repo)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.mayBeFault(len(gone), all) {
		f.remark(&f.report.Left, f.Into, fmt.Sprintf("%d of its %d repositories are gone upstream, which may be a fault there: `hallmark mirror run %s` removes their tags", len(gone), all, f.rule.Name))
		return nil
	}
	for _, repo := range gone {
		if err := f.removeGone(ctx, repo, nil); err != nil {
			return err
		}
	}
	return nil
}

// eachBelow calls fn for the repositories that are below the prefix of a rule.
func (m *Mirrors) eachBelow(ctx context.Context, r *Rule, fn func(repo string) error) error {
	for last := r.Into + "/"; ; {
		names, next, err := m.c.Registry.Repositories(ctx, access.Operator, last, 1000)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !r.covers(name) {
				return nil
			}
			if err := fn(name); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		last = next
	}
}

// absent deals with a repository whose tags the upstream answers with 404, and says whether it is left as it is. Where nothing of it is here, that is why
// it is refused: its name may be wrong.
func (f *following) absent(ctx context.Context, repo string, why error) (left bool, err error) {
	into, tags := path.Join(f.Into, repo), 0
	err = f.m.eachTag(ctx, into, func(some []registry.TagEntry) error { tags += len(some); return nil })
	switch {
	case err != nil:
		return false, err
	case tags == 0 || f.rule.Deleted == KeepDeleted:
		return false, why
	case f.byHand:
		return false, nil
	}
	f.remark(&f.report.Left, into, fmt.Sprintf("upstream it is gone, with the tags that are here (%d): `hallmark mirror run %s` does with them what the rule says", tags, f.rule.Name))
	return true, nil
}

// removeGone does with the tags here that the upstream does not have any more what the rule says.
func (f *following) removeGone(ctx context.Context, into string, has map[string]bool) error {
	if f.rule.Deleted == KeepDeleted {
		return nil
	}
	var gone []registry.TagEntry
	all := 0
	err := f.m.eachTag(ctx, into, func(tags []registry.TagEntry) error {
		all += len(tags)
		for _, t := range tags {
			if !has[t.Name] {
				gone = append(gone, t)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.mayBeFault(len(gone), all) {
		f.remark(&f.report.Left, into, fmt.Sprintf("%d of its %d tags are gone upstream, which may be a fault there: `hallmark mirror run %s` removes them", len(gone), all, f.rule.Name))
		return nil
	}
	for _, t := range gone {
		if err := f.remove(ctx, into, t); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a tag, or says why it stays.
func (f *following) remove(ctx context.Context, into string, t registry.TagEntry) (err error) {
	if !f.DryRun {
		err = f.here.Unfollow(ctx, into, t, f.rule.Deleted == TrashDeleted)
	}
	var kept *registry.SkipError
	if errors.As(err, &kept) {
		f.remark(&f.report.Left, into+":"+t.Name, "it is gone upstream, and stays: "+kept.Why)
		return nil
	}
	if err == nil {
		f.mu.Lock()
		f.removed++
		f.mu.Unlock()
	}
	return err
}

// forgetOthers has nothing wait any longer in repositories that the run does not follow: nothing would let it through. Their images stay held.
func (f *following) forgetOthers(ctx context.Context, has map[string]bool) error {
	below := []byte(f.Into + "/")
	for from := below; from != nil; {
		waits := map[string][]string{} // tags by repository
		next, err := f.m.someWaiting(ctx, from, storage.PrefixEnd(below), func(repo, tag string, _ waiting) {
			if !has[strings.TrimPrefix(repo, f.Into+"/")] {
				waits[repo] = append(waits[repo], tag)
			}
		})
		if err != nil {
			return err
		}
		for repo, tags := range waits {
			if err := f.forgetIn(ctx, repo, tags); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

func (f *following) forgetIn(ctx context.Context, repo string, tags []string) error {
	for _, tag := range tags {
		f.remark(&f.report.Left, repo+":"+tag, "the rule does not follow its repository any more, so it waits no longer; what it was to mean stays held until it is deleted")
	}
	if f.DryRun {
		return nil
	}
	return f.m.seen(ctx, repo, tags...)
}
