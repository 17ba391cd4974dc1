package provenance

import (
	"regexp"
	"strings"
)

// unified spells a source as most people do, where its spelling is one of those that few use: with escapes that are not needed, a dot
// behind the host, ".git" in capitals, parameters behind ";" as BitBake has them, a page of Gitiles, or another host of a forge that
// everybody knows, as api.github.com.
func unified(source string) string {
	source = strings.TrimSpace(source)
	// Few have any of these, and an expression takes longer to say so: lists of images compare sources by the hundred.
	if strings.Contains(source, "%") {
		source = needless.ReplaceAllStringFunc(source, unescaped)
	}
	if strings.HasPrefix(source, "pkg:") {
		source = packageSlashes.ReplaceAllString(source, "pkg:")
	}
	if strings.HasPrefix(source, "codecommit:") {
		source = codeCommit.ReplaceAllString(source, "https://git-codecommit.$1.amazonaws.com/v1/repos/$2")
	}
	at := hostAndPath.FindStringSubmatchIndex(source)
	if at == nil {
		return source
	}
	host, way := strings.TrimSuffix(strings.ToLower(source[at[2]:at[3]]), "."), source[at[6]:at[7]]
	if strings.ContainsAny(way, "GIT") {
		way = capitalGit.ReplaceAllString(way, ".git$1")
	}
	way = ofGitiles(host, withoutOptions(way))
	if known, knownWay, is := onOwnHost(host, way); is {
		return "https://" + known + "/" + knownWay + source[at[7]:]
	}
	return source[:at[2]] + host + source[at[3]:at[6]] + way + source[at[7]:]
}

var (
	// needless are escapes of characters that need none (RFC 3986, section 2.3).
	needless = regexp.MustCompile(`(?i)%(?:2d|2e|5f|7e|3[0-9]|4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])`)
	// hostAndPath matches the host, what separates it from the path, and the path: of a URL, or as ssh has them.
	hostAndPath = regexp.MustCompile(`^(?:[A-Za-z0-9+.:-]*://)?(?:[^@/?#]*@)?([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\.?)(:[0-9]*/|[:/])([^?#]*)`)
	// capitalGit is at the end of a name, or of a name with a version: app.Git-tools is one of its own.
	capitalGit = regexp.MustCompile(`(?i)\.git([/@;]|$)`)
	// packageSlashes begin a package URL, and mean nothing there.
	packageSlashes = regexp.MustCompile(`^pkg:/+`)
	// codeCommit is a repository of AWS as its helper for git writes it, perhaps with the profile that signs in.
	codeCommit = regexp.MustCompile(`^codecommit::([a-z0-9-]+)://(?:[^@/]*@)?([A-Za-z0-9._-]+)$`)
)

// withoutOptions cuts what is behind ";" in a path. A commit there becomes the version.
func withoutOptions(way string) string {
	way, options, _ := strings.Cut(way, ";")
	for option := range strings.SplitSeq(options, ";") {
		name, value, _ := strings.Cut(option, "=")
		if commit := NormalRevision(value); (name == "rev" || name == "srcrev") && isCommit(commit) && !strings.Contains(way, "@") {
			return way + "@" + commit
		}
	}
	return way
}

// ofGitiles is the path of a repository that Gitiles shows, whose pages begin behind "/+/". Who signs in with a password reads it below
// "/a/" at Google's hosts.
func ofGitiles(host, way string) string {
	if strings.HasSuffix(host, ".googlesource.com") {
		way = strings.TrimPrefix(way, "a/")
	}
	before, page, is := strings.Cut(way, "/+/")
	if first, _, _ := strings.Cut(page, "/"); is && (first == "refs" || isCommit(strings.ToLower(first))) {
		return before + "/-/" + page
	}
	return way
}

func unescaped(escape string) string {
	digit := func(c byte) byte {
		if c >= 'A' {
			return c | 0x20 - 'a' + 10
		}
		return c - '0'
	}
	return string([]byte{digit(escape[1])<<4 | digit(escape[2])})
}

// onOwnHost returns the host at which people see a repository, and its path there, where a forge has other hosts for some uses.
func onOwnHost(host, way string) (known, knownWay string, is bool) {
	parts := strings.Split(strings.Trim(way, "/"), "/")
	org, isAzure := strings.CutSuffix(host, ".visualstudio.com")
	switch {
	case host == "api.github.com" && len(parts) > 2 && parts[0] == "repos":
		return "github.com", page(parts[1:]), true
	case host == "github.com" && len(parts) > 3 && (parts[2] == "tarball" || parts[2] == "zipball"):
		return host, page(append(parts[:2:2], parts[3:]...)), true
	case (host == "codeload.github.com" || host == "raw.githubusercontent.com") && len(parts) > 1:
		return "github.com", page(parts), true
	case host == "vs-ssh.visualstudio.com" && len(parts) == 4 && parts[0] == "v3":
		return "dev.azure.com", parts[1] + "/" + parts[2] + "/_git/" + parts[3], true
	case isAzure && len(parts) > 1 && org != "" && !strings.Contains(org, "."):
		if strings.EqualFold(parts[0], "DefaultCollection") {
			parts = parts[1:]
		}
		return "dev.azure.com", inProject(org, parts), true
	case host == "dev.azure.com" && len(parts) > 2 && parts[1] == "_git":
		return host, inProject(parts[0], parts[1:]), true
	}
	return "", "", false
}

// page is what follows the owner and the name of a repository as the page of a tree: it may be a commit.
func page(parts []string) string {
	if len(parts) == 2 {
		return strings.Join(parts, "/")
	}
	return strings.Join(parts[:2], "/") + "/tree/" + strings.Join(parts[2:], "/")
}

// inProject is a repository of Azure, whose project has its name where none is named.
func inProject(org string, parts []string) string {
	if parts[0] == "_git" && len(parts) > 1 {
		parts = append([]string{parts[1]}, parts...)
	}
	return org + "/" + strings.Join(parts, "/")
}
