package provenance

import (
	"net/url"
	"regexp"
	"strings"
)

// Of a query only what names what is meant is kept, and only where its value looks like that: a token may stand under any name.

// parameters are those that name what is meant, in URLs of git, of Nix, of build types and of packages, with what their values look
// like. All others may be, or prove, a right to read it.
var parameters = map[string]func(value string) bool{
	"ref": isRefName, "branch": isRefName, "tag": isRefName, "h": isRefName, "hb": isRefName, "rev": isRefName, "commit": isRefName,
	"id": isHash, "digest": isHash, "checksum": isHash, "narHash": isHash,
	"p": isPlainName, "dir": isPlainName, "subdir": isPlainName, "repository_url": isPlainName, "registry_url": isPlainName,
	"platform": isShortWord, "os": isShortWord, "arch": isShortWord, "distro": isShortWord, "type": isShortWord, "classifier": isShortWord,
	"submodules": isShortWord, "depth": isShortWord, "draft": isShortWord, "version": isVersion,
}

// harmless returns the parameters of a query that may be kept, in their order.
func harmless(query string) string {
	var kept []string
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		plain, err := url.QueryUnescape(value)
		looksRight := parameters[name]
		if looksRight != nil && err == nil && !strings.ContainsAny(plain, "@?&=%") && len(plain) <= 255 && looksRight(plain) {
			kept = append(kept, parameter)
		}
	}
	return strings.Join(kept, "&")
}

var (
	// The lengths that belong to these are counted in code: a pattern that has them is tens of KB of memory.
	hexHash     = regexp.MustCompile(`^(?:[a-z0-9]{2,10}:)?([0-9a-fA-F]+)$`)
	plainHash   = regexp.MustCompile(`^sha(?:256|384|512)-([A-Za-z0-9+/_-]+)$`)
	shortForm   = regexp.MustCompile(`^[A-Za-z0-9._/-]*$`)
	versionForm = regexp.MustCompile(`^v?[0-9]([A-Za-z0-9._+~:-]*)$`)
	// azureCommit is how Azure DevOps has a commit as the version of what is shown.
	azureCommit = regexp.MustCompile(`^GC([0-9a-f]+|[0-9A-F]+)$`)
	// tokenForm is how issuers begin their tokens.
	tokenForm = regexp.MustCompile(`(?:^|[^A-Za-z0-9])(?:gh[oprsu]_|github_pat_|gl(?:pat|dt|rt|rtr|cbt|soat|ft|ptt|imt|oas|agent)-|xox[a-z]-|xapp-|sk-[A-Za-z0-9_-]{20}|SG\.|do[opr]_v1_|shp(?:at|ca|pa|ss)_|ATATT3|ATBB|[sr]k_live_|AIza|AKIA|ASIA|npm_[A-Za-z0-9]{30}|pypi-AgE|dckr_[po]at_|hf_[A-Za-z0-9]{30}|hvs\.|eyJ)`)
	// uuidForm is how other issuers write theirs. No branch has such a name by itself.
	uuidForm  = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	oneRun    = regexp.MustCompile(`[A-Za-z0-9]{16,}`)
	joinedRun = regexp.MustCompile(`[A-Za-z0-9_-]{20,}`)
	hexForm   = regexp.MustCompile(`^(?:[0-9a-f]+|[0-9A-F]+)$`)
)

func isHash(value string) bool {
	return hasForm(hexHash, value, 1, 128) || hasForm(plainHash, value, 43, 88)
}

func isShortWord(value string) bool {
	return len(value) <= 32 && shortForm.MatchString(value) && isPlainName(value)
}

func isVersion(value string) bool {
	return hasForm(versionForm, value, 0, 63) && isPlainName(value) || hasForm(azureCommit, value, 40, 40)
}

// hasForm says whether a value has a form, whose first group has so many bytes.
func hasForm(form *regexp.Regexp, value string, least, most int) bool {
	m := form.FindStringSubmatch(value)
	return m != nil && least <= len(m[1]) && len(m[1]) <= most
}

// isRefName says whether a value looks like a branch, a tag or a commit.
func isRefName(value string) bool { return isHash(value) || isPlainName(value) }

// isPlainName says whether a value looks like words that people put together, and not like a token.
func isPlainName(value string) bool {
	if tokenForm.MatchString(value) || uuidForm.MatchString(value) {
		return false
	}
	for _, run := range joinedRun.FindAllString(value, -1) {
		if isMixed(run) {
			return false
		}
	}
	for _, run := range oneRun.FindAllString(value, -1) {
		if isRandom(run) || isMixed(run) {
			return false
		}
	}
	return true
}

// isRandom says whether letters and digits alternate as they do in no word: more than three times, or in digits of base 16 alone.
func isRandom(run string) bool {
	if hexForm.MatchString(run) && strings.Trim(run, "0123456789") != "" {
		return true
	}
	turns := 0
	for i := 1; i < len(run); i++ {
		if isDigits(run[i-1:i]) != isDigits(run[i:i+1]) {
			turns++
		}
	}
	return turns > 3
}

// isMixed says whether capitals, small letters and digits change more often than in words that are written together, as AddThings:
// there a word of one capital and small letters has four of them or more, on average.
func isMixed(run string) bool {
	kindOf := func(c byte) int {
		switch {
		case isDigits(string(c)):
			return 0
		case 'a' <= c && c <= 'z':
			return 1
		}
		return 2
	}
	run = strings.NewReplacer("-", "", "_", "").Replace(run)
	turns := 0
	for i := 1; i < len(run); i++ {
		before, now := kindOf(run[i-1]), kindOf(run[i])
		beginsWord := before == 2 && now == 1 && (i == 1 || kindOf(run[i-2]) != 2)
		if before != now && !beginsWord {
			turns++
		}
	}
	return turns*7 > len(run)*2 // a letter more than 3 on average
}
