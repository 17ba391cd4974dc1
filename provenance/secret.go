package provenance

import (
	"regexp"
	"strconv"
	"strings"
)

// CutSecrets removes from the URLs in a text what may be a credential: user names and passwords, parameters of a path, and
// of a query all but the few that are known to be none, and tokens that can be told by their form. Credentials have leaked into image labels and provenance that way,
// as tokens and as signed URLs, and a record is for ever. The "git@" of "git@host:path" names no person and stays.
//
// What is left may be a URL with a credential again, as when a password holds an @: it is cut until nothing is cut any more, so
// that who cuts a text twice shows what who cut it once does. A text in which there is more to cut after maxPasses was made for that, and nothing of it is shown.
func CutSecrets(text string) string {
	for range maxPasses {
		cut := cutOnce(text)
		if cut == text {
			return text
		}
		text = cut
	}
	return ""
}

const maxPasses = 16

// issued are tokens by the form that their issuers give them, wherever they stand: in a path, too.
var issued = regexp.MustCompile(`\b(?:gh[oprsu]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,}|gl(?:pat|dt|rtr?|cbt|soat|ft|ptt|imt|oas|agent)-[A-Za-z0-9_-]{20,}` +
	`|xox[abeprs]-[A-Za-z0-9-]{20,}|[rs]k_live_[A-Za-z0-9]{24,}|npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{50,}|dckr_[op]at_[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{34}` +
	`|hvs\.[A-Za-z0-9_-]{24,}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})`)

// mayHoldIssued is false of a text that holds no such token, at less cost: nearly all are such.
func mayHoldIssued(text string) bool {
	for _, part := range []string{"_", "gl", "xox", "pypi-", "hvs.", "eyJ"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func cutOnce(text string) string {
	if mayHoldIssued(text) {
		text = issued.ReplaceAllString(text, "")
	}
	alone := !strings.ContainsAny(strings.Trim(text, endsURL), endsURL)
	var out strings.Builder
	for text != "" {
		end := strings.IndexAny(text, endsURL)
		if end < 0 {
			end = len(text)
		}
		out.WriteString(cutWord(text[:end], alone))
		text = text[end:]
		behind := len(text) - len(strings.TrimLeft(text, endsURL))
		out.WriteString(text[:behind])
		text = text[behind:]
	}
	return out.String()
}

// maxURLs bounds the URLs in one word: each is looked for from its beginning to the word's end. What follows is cut.
const maxURLs = 64

// cutWord is CutSecrets for a text without anything that ends a URL, which may be alone.
func cutWord(word string, alone bool) string {
	var out strings.Builder
	for range maxURLs {
		at := beginOfURL(word)
		first := out.Len() == 0
		switch {
		case first && at != nil && alone && isEncodedParameter(word[:at[0]], word[at[0]:at[1]]):
			return cutUserOf(withoutSecrets(word, true), true)
		case first && at == nil:
			return cutSchemeless(word, alone)
		case at == nil:
			return out.String() + word
		case first:
			out.WriteString(cutBefore(word[:at[0]]) + word[at[0]:at[1]])
		default:
			out.WriteString(word[:at[1]])
		}
		isSSH := strings.HasSuffix(word[:at[1]], "ssh://")
		word = cutQuery(cutUser(word[at[1]:], isSSH), alone, &out)
	}
	return out.String()
}

// isEncodedParameter says whether a URL that begins so is the value of a parameter, which is judged as a whole.
func isEncodedParameter(before, begin string) bool {
	return strings.Contains(before, "?") && strings.Contains(begin, "%")
}

// cutBefore returns what stands before a URL that is the value of a parameter without what may be a credential.
func cutBefore(text string) string {
	before, query, isQuery := strings.Cut(text, "?")
	if !isQuery {
		return text
	}
	last := query[strings.LastIndexByte(query, '&')+1:]
	if kept := harmless(strings.TrimSuffix(query[:len(query)-len(last)], "&")); kept != "" {
		last = kept + "&" + last
	}
	return before + "?" + last
}

// CutSecretsIn returns annotations or labels as they may be shown: without what CutSecrets removes. The map stays as it is.
func CutSecretsIn(texts map[string]string) map[string]string {
	if texts == nil {
		return nil
	}
	shown := make(map[string]string, len(texts))
	for name, text := range texts {
		shown[name] = CutSecrets(text)
	}
	return shown
}

// beginsURL matches what stands before the authority of a URL: also where a scheme that is known has lost a slash, as when
// somebody cleaned it like a path, where the scheme is left out, and where it was encoded, once or more often.
var beginsURL = regexp.MustCompile(`(?i)(?:\b(?:https?|ftps?|oci|docker|git|ssh)(?::|%(?:25)*3a)(?:/|%(?:25)*2f){1,2}|(?::|%(?:25)*3a)(?:/|%(?:25)*2f){2}|(?:^|[(=,])//)`)

// beginOfURL is where beginsURL matches, or nil. It is asked of every word, and most can be answered without it.
func beginOfURL(word string) []int {
	switch {
	case strings.HasPrefix(word, "https://"):
		return []int{0, len("https://")}
	case !strings.Contains(word, "%") && !strings.Contains(word, ":/") && !strings.Contains(word, "//"):
		return nil
	}
	return beginsURL.FindStringIndex(word)
}

// endsURL are the characters that end a URL in a text.
const endsURL = " \t\r\n\"'<>`"

// encodedAt is an @ that was encoded once too often.
var encodedAt = regexp.MustCompile(`(?i)%(?:25)*40`)

// cutUser returns a URL, which begins with its authority, without the user and the password. A password in which "/", "?" or
// "#" were not encoded makes an authority with no port behind its colon: it goes on to the @. In URLs of ssh that may be a path.
func cutUser(rest string, isSSH bool) string {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if strings.Contains(authority, "%") && !strings.Contains(authority, "@") {
		if at := encodedAt.FindAllStringIndex(authority, -1); at != nil {
			user := at[len(at)-1][1]
			rest, authority = rest[user:], authority[user:]
		}
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		return rest[at+1:]
	}
	name, port, hasPort := strings.Cut(authority, ":")
	behind := rest[strings.IndexByte(rest, '@')+1:]
	if !hasPort || isSSH || strings.HasPrefix(authority, "[") || isDigits(port) && !isPassword(name, port, behind) {
		return rest
	}
	return behind
}

// isPassword says that digits behind a colon begin a password and are no port: no server has such a port (of those under 80, FTP has 20
// and 21, and SSH 22), or what is before them
// is no name of the internet, and what is behind the @ is one. It is not so where that may be a version or a digest.
func isPassword(name, digits, behind string) bool {
	port, err := strconv.ParseUint(digits, 10, 16)
	if digits == "" || err == nil && port == 0 {
		return false
	}
	return err != nil || port < 80 && (port < 20 || port > 22) || !strings.Contains(name, ".") && name != "localhost" && beginsHost.MatchString(behind)
}

// beginsHost matches a name with a domain of the internet.
var beginsHost = regexp.MustCompile(`(?i)^(?:[a-z0-9_-]+\.)+(?:[a-z]{2,}|xn--[a-z0-9-]+)(?::\d+)?(?:[/?#]|$)`)

// isAddress matches an IPv4 address, which may have a port. What a package has for its version has fewer parts.
var isAddress = regexp.MustCompile(`^\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?$`)

// cutQuery writes the rest of a URL, which begins with its authority, without what may be a credential, and returns the
// word behind it.
func cutQuery(rest string, alone bool, out *strings.Builder) (behind string) {
	// A URL within the URL, as behind a proxy, comes next.
	if next := beginOfURL(rest); next != nil && !strings.ContainsAny(rest[:next[0]], "?#") {
		out.WriteString(withoutParameters(rest[:next[0]], alone))
		return rest[next[0]:]
	}
	out.WriteString(withoutSecrets(rest, alone))
	return ""
}

// withoutSecrets returns a path with the harmless part of its query and its fragment.
func withoutSecrets(rest string, alone bool) string {
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	path, query, hasQuery := strings.Cut(rest, "?")
	path = withoutParameters(path, alone)
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

// parametersOf match what follows ";" in a part of a path, as session ids do, and a query whose marks were encoded, or that lacks its
// first one. In a line of a shell ";" ends a command, which stays: there only what has a name is a parameter.
var (
	parametersOfURL  = regexp.MustCompile(`(?i);[^/]*|` + queryInPath)
	parametersInText = regexp.MustCompile(`(?i);[^/;=]+=[^/;]*|` + queryInPath)
)

const queryInPath = `(?:&|%(?:25)*(?:3f|26|3b))[^/]*?(?:=|%(?:25)*3d).*`

func withoutParameters(path string, alone bool) string {
	if !strings.ContainsAny(path, ";&%") {
		return path
	}
	if alone {
		return parametersOfURL.ReplaceAllString(path, "")
	}
	return parametersInText.ReplaceAllString(path, "")
}

func joined(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// namedParameter matches where a query begins in what looks like no URL, as in a version that was cut out of one.
var namedParameter = regexp.MustCompile(`\?[A-Za-z0-9_.-]+=`)

// cutSchemeless cuts "user:secret@host/path?token=secret", which is a URL to those who write it. In a text of many words only what has
// a password, or a host's name and a path, is one: there are addresses of people, packages with versions, and names with digests.
func cutSchemeless(word string, alone bool) string {
	if alone && (strings.ContainsAny(word, "/:") || strings.Contains(word, "?") && namedParameter.MatchString(word)) {
		word = withoutSecrets(word, true)
	}
	return cutUserOf(word, alone)
}

// cutUserOf is cutSchemeless for a word whose path and query were cut.
func cutUserOf(word string, alone bool) string {
	authority, _, hasPath := strings.Cut(word, "/")
	at := strings.LastIndexByte(authority, '@')
	if at <= 0 || word[:at] == "git" || isDigest.MatchString(word[at+1:]) {
		return word
	}
	host := authority[at+1:]
	if strings.Contains(word[:at], ":") || hasPath && (beginsHost.MatchString(host) || isAddress.MatchString(host)) || alone && (hasPath || strings.Contains(host, ":")) {
		return word[at+1:]
	}
	return word
}

// isDigest matches a digest, which stands behind an @, too.
var isDigest = regexp.MustCompile(`^[a-z0-9]+:[0-9a-f]{32,}$`)
