package registry_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// op is one step: what is asked of the registry, and what the model makes of it.
type op struct {
	text   string
	killed int  // the registry dies before this commit of it, counted from 1; 0: it lives
	victim bool // what dies is a process, of SIGKILL: model_victim_test.go
	act    act  // none where nothing is asked
	model  func(m *model, w *world) (status int)
}

// chooser makes up steps.
type chooser struct {
	*rand.Rand
	m       *model
	victims int  // of so many steps the process that does it is killed in one; 0: of none
	next    []op // blobs of a manifest that is being pushed, and then that
}

func one[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func (c *chooser) repo() string { return one(c.Rand, repoNames) }

// thing is mostly one of those that are there.
func (c *chooser) thing(all []string, there func(name string) bool) string {
	var some []string
	for _, name := range all {
		if there(name) {
			some = append(some, name)
		}
	}
	if len(some) == 0 || c.IntN(8) == 0 {
		some = all
	}
	return one(c.Rand, some)
}

// choose returns the next step.
func (c *chooser) choose() op {
	if len(c.next) > 0 && c.IntN(10) > 0 {
		o := c.next[0]
		c.next = c.next[1:]
		return o
	}
	kinds := []struct {
		weight int
		make   func() op
	}{
		{22, c.pushImage},
		{4, c.pushBlob},
		{6, c.mount},
		{8, c.tag},
		{3, c.headBlob},
		{10, c.pull},
		{3, c.flush},
		{1, c.forget},
		{3, c.fix},
		{5, c.deleteTag},
		{14, c.deleteManifest},
		{4, c.deleteBlob},
		{12, c.undelete},
		{3, c.empty},
		{4, c.hold},
		{5, c.quota},
		{3, c.retain},
		{14, c.wait},
		{12, c.collect},
		{1, c.restart},
	}
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	n := c.IntN(sum)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			o := k.make()
			if c.IntN(25) == 0 && o.act.Do != "" {
				o.killed = 1 + c.IntN(4)
			}
			if c.victims > 0 && o.act.Do != "" && c.IntN(c.victims) == 0 {
				o.killed, o.victim = c.IntN(6), true
			}
			return o
		}
	}
	panic("unreachable")
}

func (c *chooser) pushBlob() op { return c.pushOf(c.repo(), one(c.Rand, c.m.world.blobs)) }

func (c *chooser) pushOf(repo, blob string) op {
	return op{
		text:  "push blob " + blob + " to " + repo,
		act:   act{Do: "push blob", Repo: repo, Name: blob},
		model: func(m *model, _ *world) int { return m.pushBlob(repo, blob) },
	}
}

// pushImage pushes what a manifest needs, and then the manifest.
func (c *chooser) pushImage() op {
	repo, name := c.repo(), one(c.Rand, c.m.world.manifests)
	c.next = nil
	c.queue(repo, name)
	o := c.next[0]
	c.next = c.next[1:]
	return o
}

func (c *chooser) queue(repo, name string) {
	t := c.m.world.by[name]
	for _, listed := range append(slices.Clone(t.needs), t.subject) {
		if other := c.m.world.by[listed]; other != nil && !other.isBlob() && listed != name && c.IntN(4) > 0 {
			c.queue(repo, listed)
		}
	}
	for _, blob := range t.blobs {
		if c.IntN(40) > 0 {
			c.next = append(c.next, c.pushOf(repo, blob))
		}
	}
	c.next = append(c.next, c.manifest(repo, name))
}

// tags are none, one or two.
func (c *chooser) tags() (tags []string) {
	for range max(c.IntN(4), 1) - 1 {
		tags = append(tags, one(c.Rand, c.m.world.tags))
	}
	if len(tags) == 0 && c.IntN(2) == 0 {
		tags = append(tags, one(c.Rand, c.m.world.tags))
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func (c *chooser) manifest(repo, name string) op {
	tags := c.tags()
	return op{
		text: fmt.Sprintf("push %s to %s as %v", name, repo, tags),
		act:  act{Do: "push", Repo: repo, Name: name, Tags: tags},
		model: func(m *model, w *world) int {
			status := m.push(repo, name, tags)
			if status == http.StatusCreated && !w.store.dead && w.warned != m.isSoft(repo) {
				w.t.Errorf("warned of a soft limit: %t, want %t", w.warned, !w.warned)
			}
			return status
		},
	}
}

// tag pushes a manifest again that is there.
func (c *chooser) tag() op {
	repo := c.repo()
	return c.manifest(repo, c.thing(c.m.world.manifests, func(name string) bool { return c.m.repos[repo].manifests[name] }))
}

func (c *chooser) mount() op {
	repo, from := c.repo(), one(c.Rand, append([]string{""}, repoNames...))
	blob := c.thing(c.m.world.blobs, func(blob string) bool {
		return c.m.repos[c.repo()].hidden[blob] || from != "" && has(c.m.repos[from].links, blob)
	})
	return op{
		text:  fmt.Sprintf("mount %s from %q in %s", blob, from, repo),
		act:   act{Do: "mount", Repo: repo, Name: blob, More: from},
		model: func(m *model, _ *world) int { return m.mount(repo, blob, from) },
	}
}

func has[K comparable, V any](m map[K]V, key K) bool {
	_, there := m[key]
	return there
}

func (c *chooser) linked() (repo, blob string) {
	repo = c.repo()
	return repo, c.thing(c.m.world.blobs, func(blob string) bool { return has(c.m.repos[repo].links, blob) })
}

func (c *chooser) headBlob() op {
	repo, blob := c.linked()
	return op{
		text:  "ask for blob " + blob + " in " + repo,
		act:   act{Do: "HEAD", Repo: repo, Name: blob},
		model: func(m *model, _ *world) int { return m.headBlob(repo, blob) },
	}
}

func (c *chooser) deleteBlob() op {
	repo, blob := c.linked()
	return op{
		text:  "delete blob " + blob + " in " + repo,
		act:   act{Do: "DELETE", Repo: repo, Name: blob},
		model: func(m *model, _ *world) int { return m.deleteBlob(repo, blob) },
	}
}

func (c *chooser) deleteTag() op {
	repo := c.repo()
	tag := c.thing(c.m.world.tags, func(tag string) bool { return has(c.m.repos[repo].tags, tag) })
	return op{
		text:  "delete tag " + repo + ":" + tag,
		act:   act{Do: "delete", Repo: repo, Name: tag},
		model: func(m *model, _ *world) int { return m.deleteTag(repo, tag) },
	}
}

func (c *chooser) deleteManifest() op {
	repo := c.repo()
	name := c.thing(c.m.world.manifests, func(name string) bool { return c.m.repos[repo].manifests[name] })
	return op{
		text:  "delete " + name + " in " + repo,
		act:   act{Do: "delete", Repo: repo, Name: name},
		model: func(m *model, _ *world) int { return m.deleteManifest(repo, name) },
	}
}

// trashed is something in the trash, by its digest or a tag that it may have had.
func (c *chooser) trashed() (repo, ref string) {
	if all := c.m.inTrash(""); len(all) > 0 {
		repo = one(c.Rand, all).repo
	} else {
		repo = c.repo()
	}
	if c.IntN(4) == 0 {
		return repo, c.thing(c.m.world.tags, func(tag string) bool { return c.m.repos[repo].meant[tag] != "" && !has(c.m.repos[repo].tags, tag) })
	}
	return repo, c.thing(c.m.world.manifests, func(name string) bool { return has(c.m.repos[repo].trash, name) })
}

func (c *chooser) undelete() op {
	repo, ref := c.trashed()
	return op{
		text:  "undelete " + ref + " in " + repo,
		act:   act{Do: "undelete", Repo: repo, Name: ref},
		model: func(m *model, _ *world) int { return m.undelete(repo, ref) },
	}
}

func (c *chooser) empty() op {
	repo, ref := c.trashed()
	switch c.IntN(6) {
	case 0:
		repo, ref = "", ""
	case 1:
		ref = ""
	}
	return op{
		text:  fmt.Sprintf("empty the trash of %q: %q", repo, ref),
		act:   act{Do: "empty", Repo: repo, Name: ref},
		model: func(m *model, _ *world) int { return m.empty(repo, ref) },
	}
}

func (c *chooser) hold() op {
	repo := c.repo()
	if c.IntN(2) == 0 {
		name := c.thing(c.m.world.manifests, func(name string) bool { return c.m.repos[repo].held[name] })
		return op{
			text:  "release " + name + " in " + repo,
			act:   act{Do: "release", Repo: repo, Name: name},
			model: func(m *model, _ *world) int { return m.unhold(repo, name) },
		}
	}
	name := c.thing(c.m.world.manifests, func(name string) bool { return c.m.repos[repo].manifests[name] })
	return op{
		text:  "hold " + name + " in " + repo,
		act:   act{Do: "hold", Repo: repo, Name: name},
		model: func(m *model, _ *world) int { return m.hold(repo, name) },
	}
}

var patterns = []string{"**", "team/**", "app"}

// quota sets or removes one. Some are lowered under what is used.
func (c *chooser) quota() op {
	pattern := one(c.Rand, patterns)
	if c.IntN(3) == 0 {
		return op{
			text:  "remove the quota of " + pattern,
			act:   act{Do: "remove quota", Name: pattern},
			model: func(m *model, _ *world) int { return m.removeQuota(pattern) },
		}
	}
	used, _ := c.m.used(pattern)
	q := quota{bytes: 1 + c.IntN(2*used+5000), tags: c.IntN(8)}
	if c.IntN(2) == 0 {
		q.soft = c.IntN(q.bytes)
	}
	return op{
		text:  fmt.Sprintf("set the quota of %s to %+v", pattern, q),
		act:   act{Do: "set quota", Name: pattern, Numbers: [3]int{q.bytes, q.soft, q.tags}},
		model: func(m *model, _ *world) int { return m.setQuota(pattern, q) },
	}
}

func (c *chooser) retain() op {
	s := rules{untagged: c.IntN(2) == 0}
	for range 1 + c.IntN(2) {
		s.rules = append(s.rules, rule{one(c.Rand, patterns), one(c.Rand, []string{"", "t", "k"}), c.IntN(3), one(c.Rand, []string{"", "keep", "t1"}), c.IntN(4) == 0})
	}
	return op{
		text:  "apply rules " + strings.ReplaceAll(s.file(), "\n", "; "),
		act:   act{Do: "retain", More: s.file()},
		model: func(m *model, w *world) int { return m.retain(s, w.plan, w) },
	}
}

func (c *chooser) wait() op {
	units := one(c.Rand, []int{1, 1, 2, 3, 5, 15, 40})
	return op{
		text:  fmt.Sprintf("wait for %d units", units),
		model: func(m *model, _ *world) int { m.now += units; return 0 },
	}
}

func (c *chooser) collect() op {
	return op{
		text:  "collect",
		act:   act{Do: "collect"},
		model: func(m *model, _ *world) int { return m.collect() },
	}
}

// restart starts a registry that keeps what is deleted from now on for another time.
func (c *chooser) restart() op {
	keep, most := c.bounds()
	return op{
		text: fmt.Sprintf("restart, trash.keep %d ms, trash.max %d", keep, most),
		model: func(m *model, w *world) int {
			m.keep, m.max = keep, most
			w.stopInOrder()
			return 0
		},
	}
}

func (c *chooser) bounds() (keep, most int) {
	return one(c.Rand, []int{0, 2000, 10000, 10000, 10000}), one(c.Rand, []int{0, 0, 0, 0, 1})
}
