package provenance

import (
	"path"
	"slices"
	"strings"
)

// Where the source stands in a provenance is up to each builder. Some name it among the parameters from outside, and its
// commit there or in the list of what the build used; others have it in that list alone, beside tools, actions and
// definitions of pipelines that come from git too. What cannot be told apart is not said: a wrong source is worse than none.

// An origin is a source, and its revision, if it is known.
type origin struct{ uri, commit, from string }

// declared is a place at which a builder may name the source, and perhaps its commit and branch.
type declared struct{ below, from string }

// The names of what is below such a place. A source may also be its text.
var (
	uriNames    = []string{"uri", "url", "repository", "repo", "repositoryUrl", "repository_url", "repositoryURL", "repoUrl", "repo_url", "cloneUrl", "clone_url", "gitUrl", "git_url", "remote", "git"}
	commitNames = []string{"commit", "revision", "sha", "rev", "gitCommit", "commitSha", "commit_sha", "commitId"}
	refNames    = []string{"ref", "branch", "tag", "refName"}
)

// declaredIn are the places below the external parameters of version 1, the best first: what was built, then where its
// orders came from.
func declaredIn(parameters string) (all []declared) {
	for _, name := range []string{
		"sourceToBuild", "source", "sourceCode", "codeMetadata", "src", "git", "vcs", "scm", "gitSource", "sourceRepository", "configSource", "buildConfigSource", "workflow",
		"repository", "repo", "repositoryUrl", "repository_url", "gitRepository", "target", "flake", "flakeRef", "flakeref", "flakeUrl", "project", "context",
	} {
		all = append(all, declared{parameters + "/" + name, name})
	}
	return all
}

func (d declared) pointers() []string {
	all := []string{d.below}
	for _, name := range slices.Concat(uriNames, commitNames, refNames) {
		all = append(all, d.below+"/"+name)
	}
	for _, hash := range commitHashes {
		all = append(all, d.below+"/digest/"+hash)
	}
	all = append(all, d.below+"/digest/sha256")
	// Beside it, for a place that holds the source alone, as Buildkite has it.
	above := path.Dir(d.below)
	for _, name := range slices.Concat(commitNames, refNames) {
		all = append(all, above+"/"+name, above+"/build/"+name)
	}
	return all
}

// in reads what a statement declares at the place.
func (d declared) in(doc document) (o origin, ref string, ok bool) {
	o = origin{from: d.from, uri: strings.TrimSpace(doc[d.below])}
	alone := o.uri != ""
	if !alone && !doc.hasBelow(d.below) {
		return origin{}, "", false
	}
	if !alone {
		o.uri = doc.first(d.below, uriNames...)
	}
	if !isLocation(o.uri) {
		return origin{}, "", false
	}
	o.commit = commitIn(func(hash string) string { return doc[d.below+"/digest/"+hash] })
	ref = doc.first(d.below, refNames...)
	if o.commit == "" {
		o.commit = wholeCommit(doc.first(d.below, commitNames...), ref)
	}
	if above := path.Dir(d.below); alone {
		if o.commit == "" {
			o.commit = wholeCommit(doc.first(above, commitNames...), doc.first(above+"/build", commitNames...))
		}
		if ref == "" {
			ref = doc.first(above, refNames...)
		}
	}
	if o.commit == "" {
		_, o.commit = readSource(o.uri)
	}
	return o, ref, true
}

func wholeCommit(said ...string) string {
	for _, s := range said {
		if commit := NormalRevision(s); isCommit(commit) {
			return commit
		}
	}
	return ""
}

// isLocation says whether a text names a place, as a repository or an archive is, and no file, target or branch.
func isLocation(uri string) bool {
	if strings.ContainsAny(uri, " \t\n") {
		return false
	}
	host, way, _ := strings.Cut(NormalSource(uri), "/")
	_, isImage := imageOf(&descriptor{uri: uri})
	return way != "" && !isImage && (strings.Contains(uri, "://") && host != "" || strings.Contains(host, "."))
}

// origin is the source of the build. Where BuildKit says what the client's working copy was, only a place that declares
// another counts beside it, and nothing that would have to be guessed.
func (s *InToto) origin(p predicate, known bool) origin {
	used := s.used[p.used]
	if index := s.document[p.inMaterial]; p.inMaterial != "" && index != "" {
		m := used.at(index)
		if m == nil { // it is not kept, or not there: another one would be a guess against what is said
			return origin{}
		}
		if isLocation(m.uri) {
			return origin{m.uri, m.revision(), "materials"}
		}
	}
	told, ref, isTold := origin{}, "", false
	for _, place := range p.told {
		if told, ref, isTold = place.in(s.document); isTold {
			break
		}
	}
	switch {
	case s.isTekton(p): // what it names there is where the pipeline's definition is
		return used.source(s.document[p.run], NormalSource(told.uri), NormalSource(s.document[p.builder]))
	case isTold:
		if told.commit == "" {
			told.commit = used.commitOf(told.uri, ref)
		}
		return told
	case known:
		return origin{}
	}
	return used.source(s.document[p.run], NormalSource(s.document[p.builder]))
}

func (s *InToto) isTekton(p predicate) bool {
	return strings.Contains(s.document[p.kind], "tekton.dev/") || strings.Contains(s.document[p.builder], "tekton.dev/chains")
}
