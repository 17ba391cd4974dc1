package registry_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The model is what a registry promises about what it keeps, in maps: which blobs and manifests can be read where, what the
// trash has, what counts. It follows from docs/design/trash.md, quotas.md, collecting.md and docs/retention.md, knows no store and no
// request, and its clock stands still between steps. Each method is what one request does: it returns the status that the request is
// answered with, and calls mark where the registry commits, so that a registry that was stopped can be found among the marks.

// unit is how long one step of the model's clock lasts, in milliseconds. No sum of units is as long as anything that ends, so it does not
// matter at which moment of its step a thing began.
const unit = 300

// leaseUnits is after how many units a lease of a second has ended, and halfLease after how many it is half over.
const (
	leaseUnits = 1000/unit + 1
	halfLease  = 500/unit + 1
)

// model is the state of a registry.
type model struct {
	world  *things
	now    int // in units
	record int // the newest
	keep   int // what is deleted stays for more than so many milliseconds in the trash
	max    int // 0, or 1: the trash may have a byte, which is less than any manifest has
	repos  map[string]*modelRepo
	quotas map[string]quota
	fixed  map[fixedRule]bool // tags that are immutable
	pulls  map[pulled]sums    // that are written
	noted  map[noted]int      // pulls in the memory of the process

	trail []*model // what it was after each commit of the step under way; nil where nobody asks
}

type modelRepo struct {
	manifests map[string]bool
	back      map[string]int // those of them that were brought back, with the records of that
	tags      map[string]tagged
	meant     map[string]string // what a tag meant that means nothing now
	links     map[string]int    // blobs, with when their leases began
	hidden    map[string]bool   // blobs that the trash alone has here
	trash     map[string]trashed
	leaving   map[string]bool // manifests that have left the trash, and whose holds end when the collector comes by
	held      map[string]bool // by rules of retention
}

type tagged struct {
	manifest string
	record   int
}

type trashed struct {
	end    int // in milliseconds
	record int
	tags   []string
}

type quota struct{ bytes, soft, tags int }

var repoNames = []string{"app", "team/x", "team/y"}

func newModel(w *things, keep, most int) *model {
	m := &model{world: w, keep: keep, max: most, repos: map[string]*modelRepo{}, quotas: map[string]quota{}}
	m.fixed, m.pulls, m.noted = map[fixedRule]bool{}, map[pulled]sums{}, map[noted]int{}
	for _, name := range repoNames {
		m.repos[name] = &modelRepo{
			manifests: map[string]bool{}, back: map[string]int{}, tags: map[string]tagged{}, meant: map[string]string{}, links: map[string]int{}, hidden: map[string]bool{},
			trash: map[string]trashed{}, leaving: map[string]bool{}, held: map[string]bool{},
		}
	}
	return m
}

func (m *model) clone() *model {
	c := *m
	c.trail, c.repos, c.quotas = nil, map[string]*modelRepo{}, maps.Clone(m.quotas)
	c.fixed, c.pulls, c.noted = maps.Clone(m.fixed), maps.Clone(m.pulls), maps.Clone(m.noted)
	for name, r := range m.repos {
		c.repos[name] = &modelRepo{
			manifests: maps.Clone(r.manifests), back: maps.Clone(r.back), tags: maps.Clone(r.tags), meant: maps.Clone(r.meant), links: maps.Clone(r.links),
			hidden: maps.Clone(r.hidden), trash: maps.Clone(r.trash), leaving: maps.Clone(r.leaving), held: maps.Clone(r.held),
		}
	}
	return &c
}

// mark says that the registry has committed.
func (m *model) mark() {
	if m.trail != nil {
		m.trail = append(m.trail, m.clone())
	}
}

// usage is what counts towards quotas.
type usage struct{ blobs, blobBytes, manifests, manifestBytes, tags int }

func (u usage) bytes() int { return u.blobBytes + u.manifestBytes }

func (m *model) usage(repo string) (u usage) {
	r := m.repos[repo]
	for blob := range r.links {
		u.blobs++
		u.blobBytes += m.world.size(blob)
	}
	for name := range r.manifests {
		u.manifests++
		u.manifestBytes += m.world.inline(name)
	}
	u.tags = len(r.tags)
	return u
}

func matches(pattern, repo string) bool {
	prefix, all := strings.CutSuffix(pattern, "**")
	return pattern == repo || all && strings.HasPrefix(repo, prefix)
}

// used is what the repositories of a pattern use.
func (m *model) used(pattern string) (bytes, tags int) {
	for _, repo := range repoNames {
		if matches(pattern, repo) {
			u := m.usage(repo)
			bytes, tags = bytes+u.bytes(), tags+u.tags
		}
	}
	return bytes, tags
}

// room says whether every quota has room for more. What adds nothing has room.
func (m *model) room(repo string, bytes, tags int) bool {
	for pattern, q := range m.quotas {
		if !matches(pattern, repo) {
			continue
		}
		usedBytes, usedTags := m.used(pattern)
		if q.bytes > 0 && bytes > 0 && usedBytes+bytes > q.bytes || q.tags > 0 && tags > 0 && usedTags+tags > q.tags {
			return false
		}
	}
	return true
}

// link is what a push or a mount of a blob does.
func (m *model) link(repo, blob string) bool {
	r := m.repos[repo]
	if _, there := r.links[blob]; !there && !m.room(repo, m.world.size(blob), 0) {
		return false
	}
	r.links[blob] = m.now
	delete(r.hidden, blob)
	return true
}

func (m *model) pushBlob(repo, blob string) int {
	if !m.link(repo, blob) {
		return http.StatusForbidden
	}
	m.mark()
	return http.StatusCreated
}

// mount links a blob of a repository, or of any where from is "".
func (m *model) mount(repo, blob, from string) int {
	for _, other := range repoNames {
		if _, there := m.repos[other].links[blob]; there && (from == "" || from == other) {
			return m.pushBlob(repo, blob)
		}
	}
	return http.StatusAccepted
}

// headBlob is the question of somebody who may push.
func (m *model) headBlob(repo, blob string) int {
	r := m.repos[repo]
	begun, there := r.links[blob]
	if !there {
		return http.StatusNotFound
	}
	if m.now-begun >= halfLease && !m.needed(r, blob) {
		r.links[blob] = m.now
		m.mark()
	}
	return http.StatusOK
}

func (m *model) deleteBlob(repo, blob string) int {
	r := m.repos[repo]
	if _, there := r.links[blob]; !there {
		return http.StatusNotFound
	}
	if m.needed(r, blob) {
		return http.StatusForbidden
	}
	m.takeAway(r, blob)
	m.mark()
	return http.StatusAccepted
}

// needed says whether a manifest of the repository needs a blob.
func (m *model) needed(r *modelRepo, blob string) bool {
	for name := range r.manifests {
		if t := m.world.by[name]; t.subject == blob || slices.Contains(t.needs, blob) {
			return true
		}
	}
	return false
}

// holds says whether the trash holds something.
func (m *model) holds(r *modelRepo, named string) bool {
	holds := func(name string) bool {
		t := m.world.by[name]
		return t.subject == named || slices.Contains(t.needs, named)
	}
	for name := range r.trash {
		if holds(name) {
			return true
		}
	}
	for name := range r.leaving {
		if holds(name) {
			return true
		}
	}
	return false
}

// takeAway ends the link of a blob: it is hidden where the trash holds it.
func (m *model) takeAway(r *modelRepo, blob string) {
	delete(r.links, blob)
	if m.holds(r, blob) {
		r.hidden[blob] = true
	}
}

// push pushes a manifest under tags, which may be none.
func (m *model) push(repo, name string, tags []string) int {
	r, t := m.repos[repo], m.world.by[name]
	for _, blob := range t.blobs {
		if _, there := r.links[blob]; !there {
			return http.StatusBadRequest
		}
	}
	if t.isLarge() {
		if status := m.pushBlob(repo, name); status != http.StatusCreated {
			return status
		}
	}
	return m.commit(repo, name, tags, http.StatusCreated)
}

// commit is the transaction of a push, or of what is brought back, which is answered with another status.
func (m *model) commit(repo, name string, tags []string, status int) int {
	r := m.repos[repo]
	bytes, added := m.world.inline(name), 0
	if r.manifests[name] {
		bytes = 0
	}
	for _, tag := range tags {
		if _, there := r.tags[tag]; !there {
			added++
		}
	}
	if !m.room(repo, bytes, 0) || !m.room(repo, 0, added) || !m.mayMean(repo, name, tags) {
		return http.StatusForbidden
	}
	m.record++
	if !r.manifests[name] && status == http.StatusOK {
		r.back[name] = m.record
	}
	r.manifests[name] = true
	if _, there := r.trash[name]; there {
		delete(r.trash, name)
		r.leaving[name] = true
	}
	for _, tag := range tags {
		r.tags[tag] = tagged{name, m.record}
	}
	m.mark()
	return status
}

func (m *model) deleteTag(repo, tag string) int {
	r := m.repos[repo]
	t, there := r.tags[tag]
	if !there {
		return http.StatusNotFound
	}
	if m.isFixed(repo, tag) {
		return http.StatusForbidden
	}
	m.record++
	r.meant[tag] = t.manifest
	delete(r.tags, tag)
	m.mark()
	return http.StatusAccepted
}

func (m *model) deleteManifest(repo, name string) int {
	r := m.repos[repo]
	if !r.manifests[name] {
		return http.StatusNotFound
	}
	for other := range r.manifests {
		if slices.Contains(m.world.by[other].needs, name) && other != name {
			return http.StatusForbidden
		}
	}
	for tag, t := range r.tags {
		if t.manifest == name && m.isFixed(repo, tag) {
			return http.StatusForbidden
		}
	}
	m.record++
	var tags []string
	for _, tag := range m.world.tags {
		if r.tags[tag].manifest == name {
			tags = append(tags, tag)
			r.meant[tag] = name
			delete(r.tags, tag)
		}
	}
	delete(r.manifests, name)
	delete(r.back, name)
	m.release(r, name)
	if m.keep > 0 {
		r.trash[name] = trashed{m.now*unit + m.keep, m.record, tags}
	}
	m.mark()
	return http.StatusAccepted
}

// release begins the leases of what a manifest needed that went.
func (m *model) release(r *modelRepo, name string) {
	t := m.world.by[name]
	for _, blob := range append([]string{t.subject}, t.needs...) {
		if _, there := r.links[blob]; there && !m.needed(r, blob) {
			r.links[blob] = m.now
		}
	}
}

// family is what is brought back with a manifest: what it lists, it, and then what is attached to it.
func (m *model) family(r *modelRepo, name string) []string {
	f := &family{model: m, r: r, seen: map[string]bool{}}
	f.visit(name, false)
	return f.all
}

type family struct {
	*model
	r    *modelRepo
	seen map[string]bool
	all  []string
}

// visit adds a manifest with its family. What is attached to something attached comes before that.
func (f *family) visit(name string, attached bool) {
	if f.seen[name] {
		return
	}
	f.seen[name] = true
	t := f.world.by[name]
	for _, child := range f.world.manifests {
		if slices.Contains(t.needs, child) && f.known(name) && f.known(child) {
			f.visit(child, attached)
		}
	}
	if attached {
		f.visitAttached(name)
	}
	if has(f.r.trash, name) {
		f.all = append(f.all, name)
	}
	if !attached {
		f.visitAttached(name)
	}
}

func (f *family) known(name string) bool { return f.r.manifests[name] || has(f.r.trash, name) }

// visitAttached adds what is attached to a manifest, by its subject or by a tag that it had. With one that is there comes what was in
// the trash before it was brought back.
func (f *family) visitAttached(name string) {
	before, back := f.r.back[name]
	belongs := func(other string) bool {
		t, there := f.r.trash[other]
		return there && (has(f.r.trash, name) || back && t.record < before)
	}
	var all []string
	for _, other := range f.world.manifests {
		if f.world.by[other].subject == name && belongs(other) {
			all = append(all, other)
		}
	}
	for _, tag := range f.world.tags {
		if other := f.r.meant[tag]; besideOf(tag) == name && !has(f.r.tags, tag) && belongs(other) {
			all = append(all, other)
		}
	}
	for _, other := range all {
		f.visit(other, true)
	}
}

// undelete brings back what is named by a manifest, or by a tag: what that meant last.
func (m *model) undelete(repo, ref string) int {
	r := m.repos[repo]
	name, isTag := ref, slices.Contains(m.world.tags, ref)
	if isTag {
		if _, means := r.tags[ref]; means {
			return http.StatusConflict
		}
		if name = r.meant[ref]; name == "" {
			return http.StatusNotFound
		}
	}
	all := m.family(r, name)
	for _, one := range all {
		if status := m.bringBack(repo, one); status != http.StatusOK {
			return status
		}
	}
	_, means := r.tags[ref]
	switch {
	case isTag && !means && !r.manifests[name]:
		return http.StatusNotFound
	case isTag && !means:
		return m.pushBack(repo, name, []string{ref})
	case len(all) == 0:
		return http.StatusNotFound
	}
	return http.StatusOK
}

// bringBack brings back one manifest.
func (m *model) bringBack(repo, name string) int {
	r, t := m.repos[repo], m.world.by[name]
	bytes := m.world.inline(name)
	var hidden, tags []string
	for _, named := range append([]string{t.subject}, t.needs...) {
		if r.hidden[named] {
			hidden = append(hidden, named)
			bytes += m.world.size(named)
		}
	}
	for _, tag := range r.trash[name].tags {
		if !has(r.tags, tag) {
			tags = append(tags, tag)
		}
	}
	if !m.room(repo, bytes, len(tags)) {
		return http.StatusForbidden
	}
	for _, blob := range hidden {
		m.link(repo, blob)
	}
	m.mark()
	return m.pushBack(repo, name, tags)
}

func (m *model) pushBack(repo, name string, tags []string) int {
	if m.world.by[name].isLarge() {
		m.pushBlob(repo, name)
	}
	return m.commit(repo, name, tags, http.StatusOK)
}

// inTrash are the manifests in the trash of some repositories, in their order there.
func (m *model) inTrash(repo string) (all []place) {
	for _, name := range repoNames {
		for _, manifest := range m.world.manifests {
			if _, there := m.repos[name].trash[manifest]; there && (repo == "" || repo == name) {
				all = append(all, place{name, manifest})
			}
		}
	}
	return all
}

type place struct{ repo, manifest string }

// empty purges what is in the trash: one manifest, by it or by a tag, those of a repository, or all.
func (m *model) empty(repo, ref string) int {
	all := m.inTrash(repo)
	if ref != "" {
		r := m.repos[repo]
		if slices.Contains(m.world.tags, ref) {
			if _, means := r.tags[ref]; means {
				return http.StatusConflict
			}
			ref = r.meant[ref]
		}
		if _, there := r.trash[ref]; !there {
			return http.StatusNotFound
		}
		all = []place{{repo, ref}}
	}
	for i, p := range all {
		m.leave(p)
		if i%20 == 19 {
			m.mark()
		}
	}
	m.mark()
	return http.StatusOK
}

func (m *model) leave(p place) {
	r := m.repos[p.repo]
	delete(r.trash, p.manifest)
	r.leaving[p.manifest] = true
}

// collect is one round of the collector.
func (m *model) collect() int {
	for _, r := range m.repos {
		for blob, begun := range r.links {
			if m.now-begun >= leaseUnits && !m.needed(r, blob) {
				m.takeAway(r, blob)
			}
		}
	}
	m.mark()
	for _, p := range m.inTrash("") {
		if m.repos[p.repo].trash[p.manifest].end < m.now*unit {
			m.leave(p)
		}
	}
	m.mark()
	m.endLeaving()
	for m.max > 0 && len(m.inTrash("")) > 0 {
		first := slices.MinFunc(m.inTrash(""), func(a, b place) int {
			s, t := m.repos[a.repo].trash[a.manifest], m.repos[b.repo].trash[b.manifest]
			return cmp.Or(cmp.Compare(s.end, t.end), cmp.Compare(s.record, t.record))
		})
		m.record++
		m.leave(first)
		m.mark()
		m.endLeaving()
	}
	return http.StatusOK
}

// endLeaving ends what manifests hold that have left the trash.
func (m *model) endLeaving() {
	for _, repo := range repoNames {
		r := m.repos[repo]
		for _, name := range m.world.manifests {
			if !r.leaving[name] {
				continue
			}
			delete(r.leaving, name)
			for blob := range r.hidden {
				if !m.holds(r, blob) {
					delete(r.hidden, blob)
				}
			}
			m.mark()
		}
	}
}

// trashBytes are those of blobs that only the trash has.
func (m *model) trashBytes() (bytes int) {
	for _, blob := range m.world.blobs {
		linked, hidden := 0, 0
		for _, r := range m.repos {
			if _, there := r.links[blob]; there {
				linked++
			}
			if r.hidden[blob] {
				hidden++
			}
		}
		if linked == 0 && hidden > 0 {
			bytes += m.world.size(blob)
		}
	}
	return bytes
}

func (m *model) hold(repo, name string) int {
	if !m.repos[repo].manifests[name] {
		return http.StatusNotFound
	}
	m.record++
	m.repos[repo].held[name] = true
	m.mark()
	return http.StatusOK
}

func (m *model) unhold(repo, name string) int {
	if !m.repos[repo].held[name] {
		return http.StatusNotFound
	}
	m.record++
	delete(m.repos[repo].held, name)
	m.mark()
	return http.StatusOK
}

func (m *model) setQuota(pattern string, q quota) int {
	m.quotas[pattern] = q
	m.mark()
	return http.StatusOK
}

func (m *model) removeQuota(pattern string) int {
	if _, there := m.quotas[pattern]; !there {
		return http.StatusNotFound
	}
	delete(m.quotas, pattern)
	m.mark()
	return http.StatusOK
}

// isSoft says whether a push into a repository is answered with a warning.
func (m *model) isSoft(repo string) bool {
	for pattern, q := range m.quotas {
		if bytes, _ := m.used(pattern); matches(pattern, repo) && q.soft > 0 && bytes > q.soft {
			return true
		}
	}
	return false
}

// lines are what anybody can see of it.
func (m *model) lines() (all []string) {
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, repo := range repoNames {
		r := m.repos[repo]
		if len(r.manifests) > 0 {
			add("catalog %s", repo)
		}
		for tag, t := range r.tags {
			add("%s:%s is %s", repo, tag, t.manifest)
		}
		for name := range r.manifests {
			add("%s has manifest %s", repo, name)
		}
		for blob := range r.links {
			add("%s has blob %s", repo, blob)
		}
		for name, t := range r.trash {
			add("trash of %s has %s with tags %v", repo, name, slices.Sorted(slices.Values(t.tags)))
		}
		for name := range r.held {
			add("%s is held in %s, gone %t", name, repo, !r.manifests[name])
		}
		if u := m.usage(repo); u != (usage{}) {
			unique, shared, freed := m.roomOf(repo)
			add("%s uses %v: unique %d, shared %d, freed %d", repo, u, unique, shared, freed)
		}
	}
	m.pullLines(add)
	m.fixedLines(add)
	add("trash has %d manifests, %d bytes", len(m.inTrash("")), m.trashBytes())
	for pattern, q := range m.quotas {
		bytes, tags := m.used(pattern)
		add("quota %s %v: %d bytes, %d tags", pattern, q, bytes, tags)
	}
	slices.Sort(all)
	return all
}

// roomOf is what du says of a repository, where all are asked for.
func (m *model) roomOf(repo string) (unique, shared, freed int) {
	unique = m.usage(repo).manifestBytes
	freed = unique
	for blob := range m.repos[repo].links {
		size, first, alone := m.world.size(blob), true, true
		for _, other := range repoNames {
			if _, there := m.repos[other].links[blob]; there && other != repo {
				alone = false
				first = first && other > repo
			}
		}
		if alone {
			unique += size
		} else {
			shared += size
		}
		if first {
			freed += size
		}
	}
	return unique, shared, freed
}
