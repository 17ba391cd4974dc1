package audit

import (
	"context"
	_ "crypto/sha512" // digests may be of it
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// repositories lists the repositories that are served.
func (r *run) repositories(ctx context.Context) (names []string, err error) {
	names, _, err = r.repositoriesOf(ctx)
	return names, err
}

// repositoriesOf is repositories, with the public name of the registry.
func (r *run) repositoriesOf(ctx context.Context) (names []string, name string, err error) {
	asked := pages{}
	for next := "/api/v1/repositories?limit=1000"; next != ""; {
		if err := asked.once(next); err != nil {
			return nil, "", err
		}
		data, err := r.Fetch(ctx, next)
		if err != nil {
			return nil, "", err
		}
		var page struct {
			Repositories   []struct{ Name string }
			Registry, Next string
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, "", fmt.Errorf("the list of repositories: %w", err)
		}
		name = page.Registry
		for _, entry := range page.Repositories {
			names = append(names, entry.Name)
		}
		next = page.Next
	}
	return names, name, nil
}

// tagsOf are the tags of a repository by the records.
func tagsOf(s *replay.State, repo string) view {
	tags := make(view)
	if p := s.Repositories[repo]; p != nil {
		for _, name := range p.Tags() {
			t, _ := p.Tag(name)
			tags[name] = meaning{digest: t.Digest, since: t.Since}
		}
	}
	return tags
}

// listed asks for the tags of a repository with what they mean.
func (r *run) listed(repo string) *question {
	r.report.Tags += len(tagsOf(r.memory.State, repo))
	return &question{
		byRecords: func(s *replay.State) view { return tagsOf(s, repo) },
		served: func(ctx context.Context) (view, error) {
			tags := make(view)
			err := r.eachPage(ctx, "/api/v1/tags?limit=1000&repo="+url.QueryEscape(repo), func(data []byte) (string, error) {
				var page struct {
					Tags []struct {
						Name   string
						Digest digest.Digest
						Record uint64
					}
					Next string
				}
				err := json.Unmarshal(data, &page)
				for _, t := range page.Tags {
					tags[t.Name] = meaning{digest: t.Digest, since: t.Record}
				}
				return page.Next, err
			})
			return tags, err
		},
		says: func(name string, served, byRecords *meaning) string {
			return saysTag(repo+":"+name, served, byRecords)
		},
		called: tagIn(repo),
	}
}

func tagIn(repo string) func(string) string {
	return func(name string) string { return repo + ":" + name }
}

// saysTag is the sentence for a tag that means something else.
func saysTag(what string, served, byRecords *meaning) string {
	means := func(m *meaning) string {
		if m == nil {
			return "nothing"
		}
		return fmt.Sprintf("%s since record %d", m.what(), m.since)
	}
	if served == nil {
		return fmt.Sprintf("%s is not there; by the records it means %s", what, means(byRecords))
	}
	return fmt.Sprintf("%s means %s; by the records it means %s", what, means(served), means(byRecords))
}

// named asks for the names of the tags, as clients list them.
func (r *run) named(repo string) *question {
	return &question{
		byRecords: func(s *replay.State) view {
			tags := tagsOf(s, repo)
			for name := range tags {
				tags[name] = meaning{}
			}
			return tags
		},
		served: func(ctx context.Context) (view, error) {
			tags := make(view)
			err := r.eachPage(ctx, "/v2/"+repo+"/tags/list?n=1000", func(data []byte) (string, error) {
				var page struct{ Tags []string }
				if err := json.Unmarshal(data, &page); err != nil || len(page.Tags) == 0 {
					return "", err
				}
				for _, name := range page.Tags {
					tags[name] = meaning{}
				}
				return "/v2/" + repo + "/tags/list?n=1000&last=" + url.QueryEscape(page.Tags[len(page.Tags)-1]), nil
			})
			return tags, err
		},
		says: func(name string, served, _ *meaning) string {
			if served == nil {
				return fmt.Sprintf("%s:%s is not in /v2/%s/tags/list; by the records it is there", repo, name, repo)
			}
			return fmt.Sprintf("%s:%s is in /v2/%s/tags/list; by the records it is not there", repo, name, repo)
		},
		called: tagIn(repo),
	}
}

// pages are those of a list that were asked for. A server that names one of them as the next would be asked for ever.
type pages map[string]bool

// once notes that a page is asked for, and is an error where it was before.
func (p pages) once(path string) error {
	if p[path] {
		return fmt.Errorf("%s: the list has no end: a page names this one, which was read before, as the next", path)
	}
	p[path] = true
	return nil
}

// eachPage reads the pages of a list. One that is not there is empty.
func (r *run) eachPage(ctx context.Context, next string, page func(data []byte) (next string, err error)) error {
	asked := pages{}
	for next != "" {
		if err := asked.once(next); err != nil {
			return err
		}
		answer, err := r.Ask(ctx, http.MethodGet, next)
		switch {
		case err != nil:
			return err
		case answer.Status == http.StatusNotFound:
			return nil
		case answer.Status != http.StatusOK:
			return answer.error(next)
		}
		path := next
		if next, err = page(answer.Body); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// A pull is a manifest that is asked for, by a tag or by its digest.
type pull struct{ repo, ref string }

// tag is what it means by the records.
func (p pull) tag(s *replay.State) view {
	if in := s.Repositories[p.repo]; in != nil {
		if t, ok := in.Tag(p.ref); ok {
			return view{p.ref: {digest: t.Digest, since: t.Since}}
		}
	}
	return view{}
}

// history asks for the newest move of a tag in its history: those before it are named by the records themselves.
func (r *run) history(p pull) *question {
	path := "/api/v1/history?limit=1&" + url.Values{"repo": {p.repo}, "tag": {p.ref}}.Encode()
	return &question{
		byRecords: p.tag,
		served: func(ctx context.Context) (view, error) {
			newest := make(view)
			err := r.eachPage(ctx, path, func(data []byte) (string, error) {
				var page struct {
					Moves []struct {
						To     digest.Digest
						Record struct{ Index uint64 }
					}
					Next string
				}
				if err := json.Unmarshal(data, &page); err != nil || len(page.Moves) == 0 {
					return page.Next, err
				}
				if m := page.Moves[0]; m.To != "" {
					newest[p.ref] = meaning{digest: m.To, since: m.Record.Index}
				}
				return "", nil
			})
			return newest, err
		},
		says: func(name string, served, byRecords *meaning) string {
			return saysTag(p.repo+":"+name+", by its history,", served, byRecords)
		},
		called: tagIn(p.repo),
	}
}

// pulledTag asks for a tag as clients do that pull by it.
func (r *run) pulledTag(p pull) *question {
	return p.tagBy("when it is pulled", func(ctx context.Context) (view, error) { return r.pull(ctx, p, false) })
}

// resolvedTag asks for a tag as clients do that pull by the digest that they are answered with.
func (r *run) resolvedTag(p pull) *question {
	return p.tagBy("when it is resolved with HEAD", func(ctx context.Context) (view, error) { return r.resolve(ctx, p) })
}

func (p pull) tagBy(how string, served func(context.Context) (view, error)) *question {
	return &question{
		byRecords: p.tag,
		served:    served,
		says: func(name string, served, byRecords *meaning) string {
			return saysTag(p.repo+":"+name+", "+how+",", served, byRecords)
		},
		called: tagIn(p.repo),
	}
}

// pulledManifest asks for a manifest by its digest.
func (r *run) pulledManifest(p pull) *question {
	return &question{
		byRecords: func(s *replay.State) view {
			if m := p.manifest(s); m != nil {
				return view{p.ref: {digest: m.Digest, since: m.Added, as: m.Type}}
			}
			return view{}
		},
		served: func(ctx context.Context) (view, error) { return r.pull(ctx, p, r.statesType(p)) },
		says: func(name string, served, byRecords *meaning) string {
			switch {
			case served == nil:
				return fmt.Sprintf("%s@%s is not there; by the records it is, since record %d", p.repo, name, byRecords.since)
			case byRecords == nil:
				return fmt.Sprintf("%s@%s is there since record %d; %s", p.repo, name, served.since, r.notThere(p))
			}
			if served.as != byRecords.as {
				return fmt.Sprintf("%s@%s is served as %s; by the records it is %s", p.repo, name, served.as, byRecords.as)
			}
			return fmt.Sprintf("%s@%s is %s since record %d; by the records it came with record %d", p.repo, name, served.what(), served.since, byRecords.since)
		},
		called: func(ref string) string { return manifestName(p.repo, ref) },
	}
}

// notThere says why a manifest is not in its repository by the records.
func (r *run) notThere(p pull) string {
	if in := r.memory.State.Repositories[p.repo]; in != nil {
		if record, ok := in.Removed[digest.Digest(p.ref)]; ok {
			return fmt.Sprintf("record %d removed it", record)
		}
	}
	return "by the records it is not"
}

// statesType says whether the records state the media type of a manifest.
func (r *run) statesType(p pull) bool {
	m := p.manifest(r.memory.State)
	return m != nil && m.Type != ""
}

// manifest is what is pulled by its digest, by the records, or nil.
func (p pull) manifest(s *replay.State) *replay.Manifest {
	if in := s.Repositories[p.repo]; in != nil {
		return in.Manifests[digest.Digest(p.ref)]
	}
	return nil
}

// pull gets a manifest as clients do, and hashes it: what a header says of it proves nothing. typed says that its media
// type is asked, too.
func (r *run) pull(ctx context.Context, p pull, typed bool) (view, error) {
	return r.manifest(ctx, p, http.MethodGet, func(answer *Answer, m *meaning) {
		if said := m.digest; !hasDigest(answer.Body, said) {
			m.digest, m.header = digest.FromBytes(answer.Body), said
		}
		if typed {
			m.as = http.Header(answer.Header).Get("Content-Type")
		}
	})
}

// resolve asks for the digest that a tag means.
func (r *run) resolve(ctx context.Context, p pull) (view, error) {
	return r.manifest(ctx, p, http.MethodHead, func(*Answer, *meaning) {})
}

// manifest asks for a manifest under /v2/. What its headers say of it is what it means; look corrects that.
func (r *run) manifest(ctx context.Context, p pull, method string, look func(*Answer, *meaning)) (view, error) {
	path := "/v2/" + p.repo + "/manifests/" + p.ref
	answer, err := r.Ask(ctx, method, path)
	if err != nil {
		return nil, err
	}
	header := http.Header(answer.Header)
	switch answer.Status {
	case http.StatusOK:
		since, err := strconv.ParseUint(header.Get("Hallmark-Record"), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: the answer names no record", path)
		}
		m := meaning{digest: digest.Digest(header.Get("Docker-Content-Digest")), since: since}
		look(answer, &m)
		return view{p.ref: m}, nil
	case http.StatusNotFound, http.StatusInternalServerError: // damage is an answer too: what was there is gone
		return view{}, nil
	default:
		return nil, answer.error(path)
	}
}

// hasDigest says whether bytes have a digest, of whatever algorithm.
func hasDigest(data []byte, d digest.Digest) bool {
	return d.Validate() == nil && d.Algorithm().FromBytes(data) == d
}

// what is the digest of what is served, and what its header says of it where that is another.
func (m *meaning) what() string {
	switch {
	case m.digest == "": // the answer to a HEAD lacks the header
		return "no digest"
	case m.header == "":
		return m.digest.String()
	}
	return fmt.Sprintf("%s (by its header %s)", m.digest, m.header)
}

// error is that of an answer which says nothing of what was asked for.
func (a *Answer) error(path string) error {
	if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return fmt.Errorf("%s: %w", path, errKept)
	}
	return fmt.Errorf("%s: the registry answers %d", path, a.Status)
}

// document asks for the digest of the access document in force, which only administrators may see. Its version stands
// where others have a record.
func (r *run) document() *question {
	const path = "/api/v1/access/document"
	return &question{
		byRecords: func(s *replay.State) view {
			if s.Access.Digest == "" {
				return view{}
			}
			return view{documentName: {digest: s.Access.Digest, since: s.Access.Version}}
		},
		served: func(ctx context.Context) (view, error) {
			answer, err := r.Ask(ctx, http.MethodGet, path)
			if err != nil {
				return nil, err
			}
			if answer.Status != http.StatusOK {
				return nil, answer.error(path)
			}
			var file struct{ Version uint64 }
			if err := json.Unmarshal(answer.Body, &file); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			sum := strings.Trim(http.Header(answer.Header).Get("ETag"), `"`)
			if file.Version == 0 {
				return view{}, nil
			}
			return view{documentName: {digest: digest.Digest(sum), since: file.Version}}, nil
		},
		says: func(_ string, served, byRecords *meaning) string {
			is := func(m *meaning) string {
				if m == nil {
					return "there is none"
				}
				return fmt.Sprintf("version %d is in force, %s", m.since, m.digest)
			}
			return fmt.Sprintf("of the access document %s; by the records %s", is(served), is(byRecords))
		},
		called: func(name string) string { return name },
	}
}
