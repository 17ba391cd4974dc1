package provenance

import (
	"strings"
)

// NormalSource returns the one spelling under which a source is indexed: host and path, without scheme,
// user, default port, ".git", query, fragment or "@refs/…". "git@host:path" is host and path too. The host is in
// lower case. What is no location of any kind is returned as it is, without space around it.
func NormalSource(source string) string {
	rest := strings.TrimSpace(source)
	_, afterScheme, hasScheme := strings.Cut(rest, "://")
	if hasScheme {
		rest = afterScheme
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndexByte(host, '@')+1:]
	if name, port, ok := strings.Cut(host, ":"); ok {
		switch {
		case port == "" || port == "22" || port == "443" || port == "80":
			host = name
		case !hasScheme && !isDigits(port): // host:path, as ssh writes it
			host, path = name, strings.TrimSuffix(port+"/"+path, "/")
		}
	}
	path, _, _ = strings.Cut(path, "@refs/") // as SLSA writes a git reference
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	return strings.TrimSuffix(strings.ToLower(host)+"/"+path, "/")
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

// CutUserinfo removes user names and passwords from the URLs in a text: credentials have leaked into
// image labels that way. The "git@" of "git@host:path" names no person and stays.
func CutUserinfo(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "://")
		if !found {
			break
		}
		out.WriteString(before + "://")
		end := strings.IndexAny(after, "/?# \t\n\"'<>")
		if end < 0 {
			end = len(after)
		}
		authority := after[:end]
		out.WriteString(authority[strings.LastIndexByte(authority, '@')+1:])
		text = after[end:]
	}
	if out.Len() == 0 {
		return cutSchemeless(text)
	}
	return out.String() + text
}

// cutSchemeless cuts "user:secret@host/path", which is a URL to those who write it.
func cutSchemeless(text string) string {
	authority, _, _ := strings.Cut(text, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 || text[:at] == "git" {
		return text
	}
	return text[at+1:]
}
