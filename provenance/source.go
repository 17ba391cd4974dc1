package provenance

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// NormalSource returns the one spelling by which sources are compared: host and path, without scheme, user, default
// port, ".git", query, fragment, a version behind @, and what a web page of it adds, as "/tree/main". "git@host:path"
// is host and path too, and so are package URLs of forges and references of Nix. The host is in lower case, and the path
// is where its host takes either. What is no location of any kind is returned as it is, without space around it.
func NormalSource(source string) string {
	name, _ := readSource(source)
	return name
}

// readSource returns the normal form of a source, and the commit that its spelling names, or "".
func readSource(source string) (name, commit string) { return splitSource(served(unified(source))) }

// indexedSources returns the spellings under which a source is indexed: the normal form, and what it was before [served] and before
// [unified], as older versions look for it. A change of any of these needs a new number of [spellings].
func indexedSources(source string) (names []string) {
	once := unified(source)
	for _, as := range []string{served(once), once, source} {
		if name, _ := splitSource(as); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// splitSource returns the indexed form of a source, and the commit that its spelling names, or "".
func splitSource(source string) (name, commit string) {
	rest := strings.TrimSpace(source)
	if forge, is := ofForge(rest); is {
		rest = forge
	}
	for _, tool := range []string{"git::", "scm:git:"} { // as Terraform's tools and Maven write it
		rest = strings.TrimPrefix(rest, tool)
	}
	scheme, afterScheme, hasScheme := strings.Cut(rest, "://")
	if hasScheme {
		rest = afterScheme
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	host, way, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndexByte(host, '@')+1:]
	if name, port, ok := strings.Cut(host, ":"); ok {
		switch {
		case port == "" || port == "22" || port == "443" || port == "80" || isDigits(port) && strings.HasSuffix(scheme, "ssh"):
			host = name // how to get in by ssh is no part of what it is
		case !isDigits(port) && !strings.HasPrefix(host, "["): // host:path, as ssh writes it
			host, way = name, port+"/"+way
		}
	}
	host = strings.ToLower(host)
	way, version := cutVersion(way)
	way, page := cutPage(way)
	host, way = onHost(host, way)
	_, behind, _ := strings.Cut(fragment, "#") // kaniko has the commit behind the branch
	if commit = firstCommit(version, page, commitOnPage(page), strings.Split(fragment, ":")[0], behind, queryCommit(query)); way == "" {
		return host, commit
	}
	return host + "/" + way, commit
}

// forges are what package URLs and references of Nix call the hosts that everybody knows.
var forges = map[string]string{
	"pkg:github/": "github.com", "pkg:gitlab/": "gitlab.com", "pkg:bitbucket/": "bitbucket.org",
	"github:": "github.com", "gitlab:": "gitlab.com", "sourcehut:": "git.sr.ht",
}

// ofForge turns a package URL and a reference of Nix into a URL.
func ofForge(source string) (as string, is bool) {
	if rest, ok := strings.CutPrefix(source, "pkg:"); ok {
		_, query, _ := strings.Cut(rest, "?")
		values, err := url.ParseQuery(strings.Split(query, "#")[0])
		if vcs := values.Get("vcs_url"); err == nil && vcs != "" && !strings.HasPrefix(vcs, "pkg:") {
			return vcs, true
		}
	}
	for begin, host := range forges {
		rest, ok := cutPrefixFold(source, begin)
		if !ok || strings.HasPrefix(rest, "//") || !strings.Contains(rest, "/") {
			continue
		}
		if !strings.HasPrefix(begin, "pkg:") { // a third part is a branch, a tag or a commit
			if parts := strings.SplitN(rest, "/", 3); len(parts) == 3 {
				rest = parts[0] + "/" + parts[1] + "@" + parts[2]
			}
		}
		return "https://" + host + "/" + rest, true
	}
	return "", false
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// cutVersion cuts what stands behind the first @ within a part of a path: a version, a branch or a commit. A part may
// begin with one.
func cutVersion(way string) (before, version string) {
	for at := 1; at < len(way); at++ {
		if way[at] == '@' && way[at-1] != '/' {
			return way[:at], way[at+1:]
		}
	}
	return way, ""
}

// isPage says whether two parts of a path begin what a web page of a repository has behind the repository's own. On
// hosts that are not known, a group of repositories may have nearly any name.
func isPage(part, next string) bool {
	switch part {
	case "tree", "blob", "raw", "blame", "commits":
		return next != ""
	case "commit":
		return len(next) >= shortCommit && strings.Trim(strings.ToLower(next), "0123456789abcdef") == ""
	case "src":
		return next == "branch" || next == "commit" || next == "tag"
	case "pull", "pulls", "issues":
		return next != "" && isDigits(next)
	case "releases":
		return next == "tag" || next == "download"
	case "actions":
		return next == "runs" || next == "workflows"
	case "archive":
		return next == "refs" || strings.HasSuffix(next, ".tar.gz") || strings.HasSuffix(next, ".zip")
	}
	return false
}

// isShallow says whether a repository on a host is always an owner and a name.
func isShallow(host string) bool {
	switch host {
	case "github.com", "bitbucket.org", "codeberg.org":
		return true
	}
	return strings.HasSuffix(host, ".ghe.com")
}

// cutPage cuts what a web page of a repository adds to its path, and what follows ".git/" and "//", which name a
// directory in it.
func cutPage(way string) (before, page string) {
	way = strings.Trim(way, "/")
	way, _, _ = strings.Cut(way, ".git/")
	way, page, _ = strings.Cut(way, "/-/") // as GitLab begins all of them
	way, _, _ = strings.Cut(way, "//")
	parts := strings.Split(way, "/")
	for i, part := range parts {
		if i >= 2 && i < len(parts)-1 && isPage(part, parts[i+1]) {
			return strings.Join(parts[:i], "/"), strings.Join(parts[i:], "/")
		}
	}
	return strings.TrimSuffix(way, ".git"), page
}

// sameHosts are other names of hosts that everybody knows.
var sameHosts = map[string]string{
	"www.github.com": "github.com", "ssh.github.com": "github.com", "www.gitlab.com": "gitlab.com", "altssh.gitlab.com": "gitlab.com",
	"altssh.bitbucket.org": "bitbucket.org", "ssh.dev.azure.com": "dev.azure.com",
}

// onHost returns the names of a host and of a repository on it that all their spellings have in common.
func onHost(host, way string) (normalHost, normalWay string) {
	if known := sameHosts[host]; known != "" {
		host = known
	}
	if rest, ok := strings.CutPrefix(way, "v3/"); ok && host == "dev.azure.com" { // org/project/repository, by ssh
		if parts := strings.Split(rest, "/"); len(parts) == 3 {
			way = parts[0] + "/" + parts[1] + "/_git/" + parts[2]
		}
	}
	if parts := strings.Split(way, "/"); isShallow(host) && len(parts) > 2 {
		way = parts[0] + "/" + strings.TrimSuffix(parts[1], ".git")
	}
	if isShallow(host) || host == "gitlab.com" || host == "dev.azure.com" {
		way = strings.ToLower(way)
	}
	return host, way
}

// queryCommit is the commit that a query of a reference of Nix, or of a page of cgit, names.
func queryCommit(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	if rev := values.Get("rev"); rev != "" {
		return rev
	}
	return values.Get("id") // as cgit has it
}

// firstCommit returns the first of these that ends with a whole commit, or "".
func firstCommit(named ...string) string {
	for _, name := range named {
		if last := strings.ToLower(path.Base(name)); isCommit(last) {
			return last
		}
	}
	return ""
}

// commitOnPage returns the commit whose page it is, as in tree/COMMIT/file and archive/COMMIT.tar.gz, or "".
func commitOnPage(page string) string {
	kind, rest, _ := strings.Cut(page, "/")
	behind, _, _ := strings.Cut(rest, "/")
	for _, archive := range []string{".zip", ".tar.gz", ".tgz"} {
		behind = strings.TrimSuffix(behind, archive)
	}
	return firstCommit(kind, behind)
}

// isCommit says whether a text is a whole commit of git, by SHA-1 or SHA-256.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// dirty ends what BuildKit calls the revision of a working copy with changes that were never committed.
const dirty = "-dirty"

// NormalRevision returns the one spelling under which a revision is indexed: a commit in lower case.
func NormalRevision(revision string) string {
	revision = strings.TrimSpace(revision)
	if lower := strings.ToLower(revision); strings.Trim(strings.TrimSuffix(lower, dirty), "0123456789abcdef") == "" {
		return lower
	}
	return revision
}

// revisionsFor returns what a claimed revision is found by: itself, and the commit that uncommitted changes
// were made to.
func revisionsFor(claimed string) []string {
	normal := NormalRevision(claimed)
	if commit, isDirty := strings.CutSuffix(normal, dirty); isDirty && commit != "" {
		return []string{normal, commit}
	}
	return []string{normal}
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
