package provenance

import (
	"regexp"
	"slices"
	"strings"
)

// servers are parts of the spellings that [served] changes: nearly no source has one, and this costs less than to take it apart.
var servers = []string{
	"/_git/", "/_apis/git/", "bitbucket", "stash", ".sr.ht", "gerrit", "raw.github.com", ".console.aws.amazon.com", "git-codecommit-fips.", "-review.googlesource.com",
}

// served spells a source that some forge serves in several ways as it is most often cloned. Only what a host is sure to mean is
// changed: on a host of which nothing is known, a group of repositories may be called scm or a, and be somebody else's.
func served(source string) string {
	if small := strings.ToLower(source); !slices.ContainsFunc(servers, func(part string) bool { return strings.Contains(small, part) }) {
		return source
	}
	at := hostAndPath.FindStringSubmatchIndex(source)
	if at == nil {
		return source
	}
	host, way, rest := strings.ToLower(source[at[2]:at[3]]), source[at[6]:at[7]], source[at[7]:]
	parts := strings.Split(strings.Trim(way, "/"), "/")
	if known, knownWay, is := onOtherHost(host, parts); is {
		return "https://" + known + "/" + knownWay + rest
	}
	label, _, _ := strings.Cut(host, ".")
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(label, name) })
	}
	switch {
	case strings.Contains(way, "/_git/"), strings.Contains(way, "/_apis/git/repositories/"):
		way, rest = onAzure(way, rest)
	case host != "bitbucket.org" && has("bitbucket", "stash"):
		way = strings.ToLower(onBitbucketServer(parts))
	case host == "git.sr.ht" || host == "hg.sr.ht":
		way = onSourceHut(parts)
	case has("gerrit"):
		way = onGerrit(way)
	default:
		return source
	}
	return source[:at[2]] + host + source[at[3]:at[6]] + way + rest
}

// codeCommitConsole is the host of a page of AWS that shows repositories.
var codeCommitConsole = regexp.MustCompile(`^([a-z0-9-]+)\.console\.aws\.amazon\.com$`)

// onOtherHost returns the host from which people clone a repository, and its path there, where it has a name on another host.
func onOtherHost(host string, parts []string) (known, way string, is bool) {
	region := codeCommitConsole.FindStringSubmatch(host)
	fips, isFIPS := strings.CutPrefix(host, "git-codecommit-fips.")
	review, isReview := strings.CutSuffix(host, "-review.googlesource.com")
	switch {
	case host == "api.bitbucket.org" && len(parts) > 3 && parts[1] == "repositories":
		return "bitbucket.org", page(parts[2:]), true
	case host == "raw.github.com" && len(parts) > 1:
		return "github.com", page(parts), true
	case region != nil && len(parts) > 3 && parts[1] == "codecommit" && parts[2] == "repositories":
		return "git-codecommit." + region[1] + ".amazonaws.com", "v1/repos/" + parts[3], true
	case isFIPS && strings.HasSuffix(fips, ".amazonaws.com"):
		return "git-codecommit." + fips, strings.Join(parts, "/"), true
	case isReview:
		return review + ".googlesource.com", onGerrit(strings.Join(parts, "/")), true
	}
	return "", "", false
}

// onAzure is the path of a repository of Azure DevOps, at its own host or another, and what follows it. Its names have spaces, and it
// takes either case. A commit in the query becomes the version.
func onAzure(way, rest string) (normal, normalRest string) {
	way = strings.ToLower(strings.ReplaceAll(strings.Replace(way, "/_apis/git/repositories/", "/_git/", 1), " ", "%20"))
	if _, behind, is := strings.Cut(rest, "version=GC"); is && len(behind) >= 40 && isCommit(strings.ToLower(behind[:40])) {
		return way + "@" + strings.ToLower(behind[:40]), ""
	}
	return way, rest
}

// onBitbucketServer is the path of a repository of Bitbucket's own server: PROJECT/NAME, or ~USER/NAME, as it is cloned by ssh. By https it
// is below scm, and its pages and its API have other forms.
func onBitbucketServer(parts []string) string {
	if len(parts) > 5 && parts[0] == "rest" && parts[1] == "api" {
		parts = parts[3:]
	}
	switch {
	case len(parts) > 2 && parts[0] == "scm":
		parts = parts[1:]
	case len(parts) > 3 && (parts[0] == "projects" || parts[0] == "users") && parts[2] == "repos":
		owner := map[string]string{"projects": "", "users": "~"}[parts[0]] + parts[1]
		page := parts[4:]
		parts = []string{owner, parts[3]}
		if len(page) > 1 && page[0] == "commits" {
			parts = append(parts, page[:2]...)
		}
	}
	return strings.Join(parts, "/")
}

// onSourceHut cuts the pages of SourceHut that no other forge has. A repository is an owner and a name there.
func onSourceHut(parts []string) string {
	if len(parts) > 2 && slices.Contains([]string{"log", "refs", "item", "archive", "summary", "settings"}, parts[2]) {
		return page(append(parts[:2:2], parts[3:]...))
	}
	return strings.Join(parts, "/")
}

// onGerrit is the path of a repository of Gerrit, which has others for those who sign in with a password, for its pages and for reviews.
func onGerrit(way string) string {
	way = strings.Trim(way, "/")
	for _, begin := range []string{"a/", "plugins/gitiles/", "admin/repos/"} {
		way = strings.TrimPrefix(way, begin)
	}
	if change, is := strings.CutPrefix(way, "c/"); is {
		way, _, _ = strings.Cut(change, "/+/")
	}
	return way
}
