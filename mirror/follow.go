package mirror

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Followed is what came of a run of a mirror.
type Followed struct {
	Report
	Removed int64 `json:"removed"` // tags that the upstream does not have any more, by a rule that says so
	Held    int64 `json:"held"`    // tags that wait to mean what they mean upstream

	took bool
}

// following is one run of a rule. It is an import whose tags are looked at before they are asked for: what has not changed costs a HEAD,
// which registries do not count as a pull.
type following struct {
	*Job
	m       *Mirrors
	rule    *Rule
	from    *remote
	said    *heard
	here    *registry.Importer
	byHand  bool
	anew    bool     // what has not moved is looked at, too: the rule is for other platforms than what is here
	lists   sync.Map // repository of the upstream → map[string]bool: its tags
	beside  sync.Map // INTO tag → nil: tags of signing tools that were looked at
	mu      sync.Mutex
	removed int64 // guarded by mu

	heldBack atomic.Int64 // tags that wait
}

// follow brings the prefix of a rule to what the upstream has. An error ends it, and what came whole stays.
func (m *Mirrors) follow(ctx context.Context, run *running, here *registry.Importer, before state, tell func(Counts)) (report Followed, err error) {
	if report.took = before.Took; !before.Took {
		if err := m.take(ctx, run.rule, here); err != nil {
			return report, err
		}
		report.took = true
	}
	said := new(heard)
	from, err := run.rule.open(ctx, &patience{cancel: run.cancel, heard: said})
	if err != nil {
		return report, err
	}
	defer from.Close() //nolint:errcheck // it was only read
	f := &following{m: m, rule: run.rule, from: from, said: said, here: here, byHand: run.by != ""}
	f.anew = before.Took && before.Platforms != run.rule.platforms()
	f.Job = &Job{
		From: followed{from, f}, Here: here, Repositories: run.rule.Repositories, Platforms: run.rule.Platforms, Into: run.rule.Into, DryRun: run.dry, bring: f.bring,
	}
	m.mu.Lock()
	run.job = f.Job
	m.mu.Unlock()
	stop := telling(f.Job, tell)
	defer stop()
	report.Report, err = f.Run(ctx)
	report.Removed, report.Held = f.removed, f.heldBack.Load()
	return report, err
}

// platforms are those that a rule is for, in words; "" is all.
func (r *Rule) platforms() string { return strings.Join(texts(r.Platforms), " ") }

// take looks below a prefix that no run of this mirror has looked at: what people have pushed there would be served as if it were
// the upstream's. What an import brought may stay.
func (m *Mirrors) take(ctx context.Context, r *Rule, here *registry.Importer) error {
	return m.eachBelow(ctx, r, func(repo string) error { return m.takeRepository(ctx, repo, here) })
}

func (m *Mirrors) takeRepository(ctx context.Context, repo string, here *registry.Importer) error {
	return m.eachTag(ctx, repo, func(tags []registry.TagEntry) error {
		names := make([]string, len(tags))
		for i, t := range tags {
			names[i] = t.Name
		}
		meanings, err := here.Meanings(ctx, repo, names)
		if err != nil {
			return err
		}
		for i, means := range meanings {
			if means.Digest != "" && !means.Imported {
				return fmt.Errorf("%w: record %d set %s:%s; choose another prefix, or take the rule out, move what they have pushed, and put it back", ErrTaken, tags[i].Record, repo, names[i])
			}
		}
		return nil
	})
}

// eachTag calls fn with some tags of a repository at a time, each page in a View of its own. One that is not there has none.
func (m *Mirrors) eachTag(ctx context.Context, repo string, fn func([]registry.TagEntry) error) error {
	for last := ""; ; {
		tags, next, err := m.c.Registry.Tags(ctx, repo, registry.TagQuery{After: last, Limit: 500})
		if errors.Is(err, registry.ErrUnknown) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(tags); err != nil || next == "" {
			return err
		}
		last = next
	}
}

// open prepares to ask the upstream of a rule.
func (r *Rule) open(ctx context.Context, p *patience) (*remote, error) {
	roots, err := r.roots()
	if err != nil {
		return nil, fmt.Errorf("%w: ca: %w", ErrSource, err)
	}
	login, err := r.login(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: login: %w", ErrSource, err)
	}
	from, err := OpenRemote(Remote{
		Where: r.Upstream, Repositories: r.Repositories, Login: login, Roots: roots, Addresses: r.Addresses, Rate: r.Rate,
		Between: func(next http.RoundTripper) http.RoundTripper { p.next = next; return p },
	})
	if err != nil {
		return nil, err
	}
	return from.(*remote), nil //nolint:forcetypeassert // it always is one
}

// login reads the login to the upstream.
func (r *Rule) login(ctx context.Context) (auth.Credential, error) {
	switch {
	case r.Login.Docker != "":
		store, err := credentials.NewStore(r.Login.Docker, credentials.StoreOptions{})
		if err != nil {
			return auth.EmptyCredential, err
		}
		login, err := store.Get(ctx, credentials.ServerAddressFromHostname(r.host))
		if err == nil && login == auth.EmptyCredential {
			err = fmt.Errorf("%s has no login to %s", r.Login.Docker, r.Host())
		}
		return login, err
	case r.Login.PasswordFile != "":
		password, err := r.Login.password()
		return auth.Credential{Username: r.Login.Username, Password: password}, err
	}
	return auth.EmptyCredential, nil
}

// followed is an upstream whose tags are listed whole before any of them is asked for.
type followed struct {
	*remote
	f *following
}

// Images implements Source: the tags that the rule follows. Those of signing tools come with their images.
func (s followed) Images(ctx context.Context, repo string) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		has, err := s.all(ctx, repo)
		switch {
		case err == nil:
			err = s.f.m.comesFrom(ctx, path.Join(s.f.Into, repo), s.f.said.of(repo), s.f.DryRun)
		case errors.Is(err, ErrAbsent):
			var left bool
			if left, err = s.f.absent(ctx, repo, err); left {
				return
			}
		}
		if err != nil {
			yield(Image{}, err)
			return
		}
		s.f.lists.Store(repo, has)
		tags := slices.DeleteFunc(slices.Sorted(maps.Keys(has)), func(tag string) bool { return registry.IsBeside(tag) || !s.f.rule.wantsTag(tag) })
		s.f.counts.known.Add(int64(len(tags)))
		for _, tag := range tags {
			if !yield(Image{Tag: tag}, nil) {
				return
			}
		}
		err = errors.Join(s.f.forget(ctx, repo, has), s.f.removeGone(ctx, path.Join(s.f.Into, repo), has))
		if err != nil {
			yield(Image{}, err)
		}
	}
}

// maxTags bounds the tags of one repository.
const maxTags = 1_000_000

func (s followed) all(ctx context.Context, repo string) (map[string]bool, error) {
	has := map[string]bool{}
	for image, err := range s.remote.Images(ctx, repo) {
		if err != nil {
			return nil, err
		}
		if has[image.Tag] = true; len(has) > maxTags {
			return nil, fmt.Errorf("it has more than %d tags", maxTags)
		}
	}
	return has, nil
}

// means returns what a tag means at the upstream, or "" where it does not say so to a HEAD. Error: ErrAbsent.
func (r *remote) means(ctx context.Context, repo, tag string) (digest.Digest, error) {
	resp, err := r.ask(ctx, http.MethodHead, repo, "/v2/"+repo+"/manifests/"+url.PathEscape(tag), http.Header{"Accept": {accepted}})
	if lacksRoute(err) && !errors.Is(err, ErrAbsent) {
		return "", nil // it takes no HEAD
	}
	if err != nil {
		return "", err
	}
	d := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if d.Validate() != nil {
		d = ""
	}
	return d, resp.Body.Close()
}

// bring brings a tag, where it means something else upstream than here, and what is beside its image.
func (f *following) bring(ctx context.Context, w *work, i Image) error {
	if err := f.bringTag(ctx, w, i.Tag); err != nil {
		return err
	}
	return f.bringBeside(ctx, w)
}

// bringTag brings a tag with its image. Who moved it upstream, and when, nobody knows here: the record has both digests, and says where
// the new one was taken from.
func (f *following) bringTag(ctx context.Context, w *work, tag string) error {
	meanings, err := w.Here.Meanings(ctx, w.into, []string{tag})
	if err != nil {
		return err
	}
	here := meanings[0]
	if here.Digest != "" && !here.Imported {
		w.left = true
		w.counts.left.Add(1)
		w.remark(&w.report.Left, referenceTo(w.repo, tag), "somebody set it here to "+here.Digest.String())
		return nil
	}
	if here.Digest != "" || f.rule.Hold != (Hold{}) {
		there, err := f.from.means(ctx, w.repo, tag)
		if err != nil {
			return err
		}
		if there != "" && there == here.Digest && !f.anew {
			w.seen[there] = true
			return errors.Join(w.attached(ctx, there), f.settle(ctx, w.into, tag, there))
		}
		if waits, err := f.waits(ctx, w, there); err != nil || waits {
			if err != nil {
				return err
			}
			return f.bringHeld(ctx, w, tag, there, nil)
		}
	}
	m, err := w.From.Manifest(ctx, w.repo, tag)
	if err != nil {
		return err
	}
	if err := wrongSchema(m.Body); err != nil {
		return err
	}
	held, err := f.holds(ctx, w, tag, m.Origin.Digest)
	if err != nil {
		return err
	}
	if held {
		return f.bringHeld(ctx, w, tag, m.Origin.Digest, &m)
	}
	if err := w.take(ctx, m, []string{tag}); err != nil {
		return err
	}
	return f.settle(ctx, w.into, tag, m.Origin.Digest)
}

// bringBeside brings what signing tools have put under tags made from the digests of an image and what belongs to it, whichever tags
// the rule follows.
func (f *following) bringBeside(ctx context.Context, w *work) error {
	list, _ := f.lists.Load(w.repo)
	has, _ := list.(map[string]bool)
	for _, d := range slices.Sorted(maps.Keys(w.seen)) {
		for _, tag := range registry.TagsBeside(d) {
			if !has[tag] {
				continue
			}
			if _, looked := f.beside.LoadOrStore(w.into+" "+tag, nil); looked {
				continue
			}
			if err := f.bringTag(ctx, w, tag); err != nil {
				return fmt.Errorf("%s, which is about it: %w", tag, err)
			}
		}
	}
	return nil
}
