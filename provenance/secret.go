package provenance

import (
	"net/url"
	"strings"
)

// CutSecrets removes from the URLs in a text what may be a credential: user names and passwords, and of a query all
// but the few parameters that are known to be none. Credentials have leaked into image labels and provenance that way,
// as tokens and as signed URLs, and a record is for ever. The "git@" of "git@host:path" names no person and stays.
func CutSecrets(text string) string {
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
		text = cutQuery(after[end:], &out)
	}
	if out.Len() == 0 {
		return cutSchemeless(text)
	}
	return out.String() + text
}

// endsURL are the characters that end a URL in a text.
const endsURL = " \t\r\n\"'<>`"

// cutQuery writes the rest of a URL, which begins with its path, without what may be a credential, and returns the
// text behind it.
func cutQuery(rest string, out *strings.Builder) (behind string) {
	end := strings.IndexAny(rest, endsURL)
	if end < 0 {
		end = len(rest)
	}
	// A URL within the URL, as behind a proxy, comes next.
	if next := strings.Index(rest[:end], "://"); next >= 0 && !strings.ContainsAny(rest[:next], "?#") {
		return rest
	}
	out.WriteString(withoutSecrets(rest[:end]))
	return rest[end:]
}

// withoutSecrets returns a path with the harmless part of its query and its fragment.
func withoutSecrets(rest string) string {
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	path, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery {
		path += joined("?", harmless(query))
	}
	switch {
	case strings.Contains(fragment, "="): // a query, by another name
		path += joined("#", harmless(fragment))
	case hasFragment && !strings.ContainsAny(fragment, "@?"):
		path += "#" + fragment
	}
	return path
}

func joined(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// parameters are those that name what is meant, in URLs of git, of Nix, of build types and of packages. All others may
// be, or prove, a right to read it.
var parameters = map[string]bool{
	"p": true, "h": true, "hb": true, "id": true, "ref": true, "rev": true, "branch": true, "tag": true, "commit": true,
	"dir": true, "subdir": true, "submodules": true, "depth": true, "version": true, "draft": true, "checksum": true, "narHash": true,
	"platform": true, "os": true, "arch": true, "distro": true, "digest": true, "type": true, "classifier": true,
	"repository_url": true, "registry_url": true,
}

// harmless returns the parameters of a query that may be kept, in their order.
func harmless(query string) string {
	var kept []string
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		plain, err := url.QueryUnescape(value)
		if parameters[name] && err == nil && !strings.ContainsAny(plain, "@?&=%") && len(plain) <= 255 {
			kept = append(kept, parameter)
		}
	}
	return strings.Join(kept, "&")
}

// cutSchemeless cuts "user:secret@host/path?token=secret", which is a URL to those who write it.
func cutSchemeless(text string) string {
	if !strings.ContainsAny(text, endsURL) && strings.ContainsAny(text, "/:") {
		text = withoutSecrets(text)
	}
	authority, _, _ := strings.Cut(text, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 || text[:at] == "git" {
		return text
	}
	return text[at+1:]
}
