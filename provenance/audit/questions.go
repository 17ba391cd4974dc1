package audit

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/opencontainers/go-digest"
)

// otherRepositories is in how many others each manifest is asked for.
const otherRepositories = 2

// questions are all that is asked: the repositories, and the tags of each, as the API and as the registry list them; some tags
// and manifests, as they are pulled, with what refers to them; the access document, the accounts, and the tokens of some.
func (r *run) questions(ctx context.Context) (all []*question, err error) {
	served, name, err := r.repositoriesOf(ctx)
	r.servedName = name
	if err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(r.memory.State.Repositories))
	for _, repo := range slices.Compact(slices.Sorted(slices.Values(append(names, served...)))) {
		if p := r.memory.State.Repositories[repo]; p != nil && p.Unknown != nil {
			r.notCompared("%s, from record %d on: its action is of a newer version", repo, *p.Unknown)
			continue
		}
		r.report.Repositories++
		all = append(all, r.listed(repo), r.named(repo))
	}
	tags, manifests, removed := r.sample()
	r.report.Asked = len(tags) + len(manifests) + len(removed)
	for _, p := range tags {
		all = append(all, r.pulledTag(p), r.resolvedTag(p), r.history(p))
	}
	few := manifests
	if r.Sample >= 0 { // each takes several questions more, and an audit is to take no more than three times what reading does
		few = manifests[:min(len(manifests), r.Sample/5)]
	}
	for _, p := range slices.Concat(r.others(few), manifests, removed) {
		all = append(all, r.pulledManifest(p))
	}
	subjects := r.subjects(few)
	for _, repo := range slices.Sorted(maps.Keys(subjects)) {
		all = append(all, r.referrers(repo, subjects[repo]))
	}
	people, err := r.people(ctx)
	if err != nil && !errors.Is(err, errKept) {
		return nil, err
	}
	for _, p := range people {
		all = append(all, r.tokens(p.ref))
	}
	return append(all, r.document(), r.accounts(),
		r.repositoriesIn("/api/v1/repositories", r.repositories), r.repositoriesIn("/v2/_catalog", r.catalog)), nil
}

// others are the same manifests in repositories that do not have them by the records, at random: no list shows what is
// there by its digest alone.
func (r *run) others(pulled []pull) (all []pull) {
	var names []string
	for name, p := range r.memory.State.Repositories {
		if p.Unknown == nil && len(p.Manifests) > 0 {
			names = append(names, name)
		}
	}
	for _, p := range pulled {
		at := rand.IntN(len(names)) // there is the one that has it
		for i, left := 0, otherRepositories; left > 0 && i < min(4*otherRepositories, len(names)); i++ {
			name := names[(at+i)%len(names)]
			if r.memory.State.Repositories[name].Manifests[digest.Digest(p.ref)] == nil {
				all, left = append(all, pull{name, p.ref}), left-1
			}
		}
	}
	return all
}

// subjects are the digests whose referrers are asked for, by repository: the manifests that are pulled, and what these refer to.
func (r *run) subjects(pulled []pull) map[string]map[digest.Digest]bool {
	all := make(map[string]map[digest.Digest]bool)
	for _, p := range pulled {
		if all[p.repo] == nil {
			all[p.repo] = make(map[digest.Digest]bool)
		}
		all[p.repo][digest.Digest(p.ref)] = true
		if m := r.memory.State.Repositories[p.repo].Manifests[digest.Digest(p.ref)]; m.Subject != "" {
			all[p.repo][m.Subject] = true
		}
	}
	return all
}

// sample is what is asked for under /v2/: of the tags, of the manifests, and of the manifests that were removed, which only
// who asks for them by name finds put back.
func (r *run) sample() (tags, manifests, removed []pull) {
	for repo, p := range r.memory.State.Repositories {
		if p.Unknown != nil {
			continue
		}
		for _, name := range p.Tags() {
			tags = append(tags, pull{repo, name})
		}
		for d := range p.Manifests {
			manifests = append(manifests, pull{repo, d.String()})
		}
		for d := range p.Removed {
			removed = append(removed, pull{repo, d.String()})
		}
	}
	return r.some(tags), r.some(manifests), r.some(removed)
}

func (r *run) some(all []pull) []pull {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if r.Sample >= 0 && r.Sample < len(all) {
		return all[:r.Sample]
	}
	return all
}
