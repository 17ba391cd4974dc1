package registry_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/retention"
)

// rules are a file of rules of retention.
type rules struct {
	untagged bool // manifests go at once that have no tag
	rules    []rule
}

type rule struct {
	repositories string // a pattern
	covers       string // what the names of the tags begin with that it covers
	newest       int
	keeps        string // what the names of the tags begin with that it keeps; "" is none
	pulled       bool   // it keeps tags that were pulled
}

// file is how they are written.
func (s rules) file() string {
	text := "rules:\n"
	if s.untagged {
		text = "untagged: {keep: 0s}\n" + text
	}
	for i, r := range s.rules {
		text += fmt.Sprintf("- name: r%d\n  repositories: [%q]\n  tags: [%q]\n  keep: {newest: %d", i, r.repositories, r.covers+"*", r.newest)
		if r.keeps != "" {
			text += fmt.Sprintf(", tags: [%q]", r.keeps+"*")
		}
		if r.pulled {
			text += ", pulled: 10000d"
		}
		text += "}\n"
	}
	return text
}

// goes are the tags and manifests of a repository that go.
func (m *model) goes(repo string, s rules) (all []string) {
	if !slices.ContainsFunc(s.rules, func(r rule) bool { return matches(r.repositories, repo) }) {
		return nil
	}
	r := m.repos[repo]
	keptTags := m.keptTags(repo, s)
	kept := map[string]bool{}
	for name := range r.manifests {
		if r.held[name] || !s.untagged {
			m.keepWith(r, name, kept, keptTags)
		}
	}
	for _, tag := range m.world.tags {
		if keptTags[tag] {
			m.keepWith(r, r.tags[tag].manifest, kept, keptTags)
		}
	}
	for tag := range r.tags {
		if !keptTags[tag] {
			all = append(all, repo+":"+tag)
		}
	}
	for name := range r.manifests {
		if !kept[name] {
			all = append(all, repo+"@"+name)
		}
	}
	return all
}

// isBeside says whether a tag was made from a digest, and is about something else than it means.
func (r *modelRepo) isBeside(tag string) bool {
	about := besideOf(tag)
	return about != "" && about != r.tags[tag].manifest
}

// keptTags are the tags that stay whatever becomes of images.
func (m *model) keptTags(repo string, s rules) map[string]bool {
	r, kept := m.repos[repo], map[string]bool{}
	for tag, t := range r.tags {
		about := besideOf(tag)
		orphan := r.isBeside(tag) && !r.manifests[about] && !s.untagged
		kept[tag] = r.held[t.manifest] || m.isFixed(repo, tag) || orphan || !r.isBeside(tag) && !s.covers(repo, tag)
	}
	for _, rule := range s.rules {
		if matches(rule.repositories, repo) {
			m.keepBy(rule, repo, kept)
		}
	}
	return kept
}

func (s rules) covers(repo, tag string) bool {
	return slices.ContainsFunc(s.rules, func(r rule) bool { return matches(r.repositories, repo) && strings.HasPrefix(tag, r.covers) })
}

// keepBy adds the tags that a rule keeps.
func (m *model) keepBy(s rule, repo string, kept map[string]bool) {
	r := m.repos[repo]
	for tag, t := range r.tags {
		if r.isBeside(tag) || !strings.HasPrefix(tag, s.covers) {
			continue
		}
		newer := 0
		for other, o := range r.tags {
			if strings.HasPrefix(other, s.covers) && !r.isBeside(other) && o.record > t.record {
				newer++
			}
		}
		if newer < s.newest || s.keeps != "" && strings.HasPrefix(tag, s.keeps) || s.pulled && m.pulls[pulled{repo, tag}] != (sums{}) {
			kept[tag] = true
		}
	}
}

// keepWith keeps a manifest, and with it what it lists, what refers to it, and what stands beside it.
func (m *model) keepWith(r *modelRepo, name string, kept, keptTags map[string]bool) {
	if kept[name] {
		return
	}
	kept[name] = true
	for other := range r.manifests {
		if slices.Contains(m.world.by[name].needs, other) || m.world.by[other].subject == name {
			m.keepWith(r, other, kept, keptTags)
		}
	}
	for tag, t := range r.tags {
		if besideOf(tag) == name && r.isBeside(tag) {
			keptTags[tag] = true
			m.keepWith(r, t.manifest, kept, keptTags)
		}
	}
}

// freed are the bytes that the disk gives back of what goes by rules, once the trash is empty: of blobs that leave each
// repository which has them.
func (m *model) freed(s rules) (bytes int) {
	for _, blob := range m.world.blobs {
		leaves, links := 0, 0
		for repo, r := range m.repos {
			if _, there := r.links[blob]; there {
				links++
			}
			goes := m.goes(repo, s)
			going, staying := false, false
			for name := range r.manifests {
				if slices.Contains(m.world.by[name].needs, blob) {
					if slices.Contains(goes, repo+"@"+name) {
						going = true
					} else {
						staying = true
					}
				}
			}
			if going && !staying && has(r.links, blob) {
				leaves++
			}
		}
		if leaves > 0 && links == leaves {
			bytes += m.world.size(blob)
		}
	}
	return bytes
}

// retain wants a plan to have what goes, and applies it in its order.
func (m *model) retain(s rules, p *retention.Plan, w *world) int {
	m.flush() // as the plan does first
	if p == nil {
		return http.StatusInternalServerError
	}
	var want, got []string
	for _, repo := range repoNames {
		want = append(want, m.goes(repo, s)...)
	}
	for _, i := range p.Goes {
		if i.Tag != "" {
			got = append(got, i.Repository+":"+w.short(i.Tag))
		} else {
			got = append(got, i.Repository+"@"+w.named[i.Digest])
		}
	}
	order := slices.Clone(got)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		w.t.Errorf("by the rules\n%sgoes, as the plan says\n%q\nand as the model says\n%q", s.file(), got, want)
	}
	if freed := m.freed(s); p.Summary.Bytes != int64(freed) {
		w.t.Errorf("the plan frees %d bytes, want %d", p.Summary.Bytes, freed)
	}
	for _, one := range order {
		if repo, tag, isTag := strings.Cut(one, ":"); isTag {
			m.deleteTag(repo, tag)
		} else {
			repo, name, _ := strings.Cut(one, "@")
			m.deleteManifest(repo, name)
		}
	}
	return http.StatusOK
}
