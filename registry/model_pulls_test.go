package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/registry"
)

// What the model says of pulls, and of tags that are immutable: docs/design/pulls.md, docs/access.md.

// pulled is what counts pulls: a repository, or a tag or manifest of one.
type pulled struct{ repo, thing string }

// noted are pulls of a manifest by a tag, or by its digest where tag is "".
type noted struct{ repo, manifest, tag string }

// sums are the pulls of a thing itself, and of what it lists.
type sums struct{ direct, listed int }

func (m *model) addPulls(repo, thing string, direct, listed int) {
	s := m.pulls[pulled{repo, thing}]
	m.pulls[pulled{repo, thing}] = sums{s.direct + direct, s.listed + listed}
}

// pull is a GET of a manifest by somebody whose pulls count.
func (m *model) pull(repo, ref string) int {
	r, tag := m.repos[repo], ""
	if slices.Contains(m.world.tags, ref) {
		tag, ref = ref, r.tags[ref].manifest
	}
	if !r.manifests[ref] {
		return http.StatusNotFound
	}
	m.noted[noted{repo, ref, tag}]++
	return http.StatusOK
}

// flush writes the pulls in memory, for the tags and indexes that there are by now.
func (m *model) flush() int {
	if len(m.noted) == 0 {
		return http.StatusOK
	}
	for n, times := range m.noted {
		m.count(n, times)
	}
	m.noted = map[noted]int{}
	m.mark()
	return http.StatusOK
}

func (m *model) count(n noted, times int) {
	r := m.repos[n.repo]
	m.addPulls(n.repo, n.manifest, times, 0)
	if n.tag != "" {
		m.addPulls(n.repo, n.tag, times, 0)
	}
	for tag, t := range r.tags {
		if t.manifest == n.manifest && n.tag == "" {
			m.addPulls(n.repo, tag, times, 0)
		}
	}
	indexes := m.indexesOf(r, n.manifest)
	for _, index := range indexes {
		m.addPulls(n.repo, index, 0, times)
		for tag, t := range r.tags {
			if t.manifest == index {
				m.addPulls(n.repo, tag, 0, times)
			}
		}
	}
	if len(indexes) > 0 {
		m.addPulls(n.repo, "", 0, times)
	} else {
		m.addPulls(n.repo, "", times, 0)
	}
}

// indexesOf are those of a repository that list a manifest, and those that list these.
func (m *model) indexesOf(r *modelRepo, name string) (all []string) {
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		for other := range r.manifests {
			if other != name && !slices.Contains(all, other) && slices.Contains(m.world.by[other].needs, queue[0]) {
				all, queue = append(all, other), append(queue, other)
			}
		}
	}
	return all
}

// forget forgets the pulls of a repository, or all where it is "".
func (m *model) forget(repo string) int {
	for p := range m.pulls {
		if repo == "" || p.repo == repo {
			delete(m.pulls, p)
		}
	}
	for n := range m.noted {
		if repo == "" || n.repo == repo {
			delete(m.noted, n)
		}
	}
	m.mark()
	return http.StatusOK
}

func (m *model) pullLines(add func(format string, args ...any)) {
	for p, s := range m.pulls {
		add("%s %s: pulled %d times, and %d times what it lists", p.repo, p.thing, s.direct, s.listed)
	}
}

// fixedRule is a rule for tags that stay as they are.
type fixedRule struct {
	repositories string
	tags         string // what their names begin with
}

func (m *model) fixedLines(add func(format string, args ...any)) {
	for f := range m.fixed {
		add("tags %s* of %s are immutable", f.tags, f.repositories)
	}
}

// fixed adds the rules for tags.
func (o *observer) fixed() {
	for _, f := range o.gate.Fixes(access.Operator) {
		o.add("tags %s of %s are immutable", f.Tags, f.Repositories)
	}
}

func (m *model) isFixed(repo, tag string) bool {
	for f := range m.fixed {
		if matches(f.repositories, repo) && strings.HasPrefix(tag, f.tags) {
			return true
		}
	}
	return false
}

// mayMean says whether tags may be set to a manifest: those that are immutable mean it already, or nothing.
func (m *model) mayMean(repo, name string, tags []string) bool {
	for _, tag := range tags {
		if t, means := m.repos[repo].tags[tag]; means && t.manifest != name && m.isFixed(repo, tag) {
			return false
		}
	}
	return true
}

func (m *model) fix(f fixedRule) int {
	m.fixed[f] = true
	m.record++
	m.mark()
	return http.StatusOK
}

func (m *model) unfix(f fixedRule) int {
	if !m.fixed[f] {
		return http.StatusNotFound
	}
	delete(m.fixed, f)
	m.record++
	m.mark()
	return http.StatusOK
}

func (w *world) pull(repo, ref string) int {
	return w.do("alice", "GET", "/v2/"+repo+"/manifests/"+w.ref(ref), "").Code
}

// since is since when the pulls of a repository are counted.
func (w *world) since(repo string) time.Time {
	found, err := w.registry.PullsOf(background, []registry.PullRef{{Repository: repo}})
	must(w.t, err)
	return found[0].Since
}

// stopInOrder stops the registry as a server does, and starts another: no pull is lost, and counting goes on.
func (w *world) stopInOrder() {
	before := w.since(repoNames[0])
	must(w.t, w.registry.StopPulls(background))
	w.m.flush()
	w.restart()
	if now := w.since(repoNames[0]); !now.Equal(before) {
		w.t.Errorf("pulls are counted since %s after a stop in order, and were since %s", now, before)
	}
}

// countsAnew wants counting to have begun anew: pulls were lost at a moment.
func (w *world) countsAnew(lost time.Time) {
	for _, repo := range repoNames {
		if since := w.since(repo); since.Before(lost.Truncate(time.Microsecond)) {
			w.t.Errorf("%s: pulls are counted since %s, and were lost at %s", repo, since, lost)
		}
	}
}

// longPulls tells retention of pulls as if they had been counted for ever.
type longPulls struct{ registry *registry.Registry }

func (p longPulls) Flush(ctx context.Context) error { return p.registry.FlushPulls(ctx) }

func (p longPulls) NoneAfter(ctx context.Context, repo string, refs []string) (times []time.Time, err error) {
	asked := make([]registry.PullRef, len(refs))
	for i, ref := range refs {
		asked[i] = registry.PullRef{Repository: repo, Ref: ref}
	}
	found, err := p.registry.PullsOf(ctx, asked)
	for _, f := range found {
		times = append(times, f.Last)
	}
	return times, err
}

func (w *world) rule(f fixedRule) (rule access.FixedTags) {
	must(w.t, errors.Join(rule.Repositories.UnmarshalText([]byte(f.repositories)), rule.Tags.UnmarshalText([]byte(f.tags+"*"))))
	return rule
}

func (w *world) fix(f fixedRule) int {
	_, err := w.gate.Fix(background, access.Operator, w.rule(f))
	return w.status(err)
}

func (w *world) unfix(f fixedRule) int {
	return w.status(w.gate.Unfix(background, access.Operator, w.rule(f)))
}

// pulls adds what is counted.
func (o *observer) pulls() {
	var refs []registry.PullRef
	var names []string
	for _, repo := range repoNames {
		refs, names = append(refs, registry.PullRef{Repository: repo}), append(names, repo+" ")
		for _, thing := range slices.Concat(o.things.tags, o.manifests) {
			refs, names = append(refs, registry.PullRef{Repository: repo, Ref: o.ref(thing)}), append(names, repo+" "+thing)
		}
	}
	sums, err := o.registry.PullSums(background, refs)
	must(o.t, err)
	for i, s := range sums {
		if s[0]+s[1] > 0 {
			o.add("%s: pulled %d times, and %d times what it lists", names[i], s[0], s[1])
		}
	}
}

func (c *chooser) pull() op {
	repo := c.repo()
	ref := c.thing(c.m.world.manifests, func(name string) bool { return c.m.repos[repo].manifests[name] })
	if c.IntN(2) == 0 {
		ref = c.thing(c.m.world.tags, func(tag string) bool { return has(c.m.repos[repo].tags, tag) })
	}
	return op{
		text:  "pull " + ref + " from " + repo,
		act:   act{Do: "pull", Repo: repo, Name: ref},
		model: func(m *model, _ *world) int { return m.pull(repo, ref) },
	}
}

func (c *chooser) flush() op {
	return op{
		text:  "write which images were pulled",
		act:   act{Do: "flush"},
		model: func(m *model, _ *world) int { return m.flush() },
	}
}

func (c *chooser) forget() op {
	repo := one(c.Rand, append([]string{""}, repoNames...))
	return op{
		text:  fmt.Sprintf("forget the pulls of %q", repo),
		act:   act{Do: "forget", Repo: repo},
		model: func(m *model, _ *world) int { return m.forget(repo) },
	}
}

// fix makes tags immutable, or more often takes such a rule away: else nothing could be deleted after some time.
func (c *chooser) fix() op {
	f := fixedRule{one(c.Rand, patterns), one(c.Rand, []string{"t0", "t1", "k"})}
	if len(c.m.fixed) > 0 && c.IntN(3) > 0 {
		f = one(c.Rand, c.m.fixedRules())
		return op{
			text:  fmt.Sprintf("tags %s* of %s may change again", f.tags, f.repositories),
			act:   act{Do: "unfix", Name: f.repositories, More: f.tags},
			model: func(m *model, _ *world) int { return m.unfix(f) },
		}
	}
	return op{
		text:  fmt.Sprintf("tags %s* of %s are immutable", f.tags, f.repositories),
		act:   act{Do: "fix", Name: f.repositories, More: f.tags},
		model: func(m *model, _ *world) int { return m.fix(f) },
	}
}

// fixedRules are in order: which one is chosen follows from the seed.
func (m *model) fixedRules() (all []fixedRule) {
	for f := range m.fixed {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b fixedRule) int { return strings.Compare(a.repositories+" "+a.tags, b.repositories+" "+b.tags) })
	return all
}
