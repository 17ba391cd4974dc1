package web

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
)

// words are what templates may say.
var words = template.FuncMap{
	"ago": ago, "bytes": units.Bytes, "plain": plain, "short": short, "link": link, "class": classPiece, "digest": digestPiece, "moment": momentPiece, "imagelink": imageLink, "recordlink": recordLink, "changerows": changeRows, "pulled": pulledPiece, "when": when, "by": by, "knownBy": knownBy,
	"imageURL": imageURL, "repoURL": repoURL, "historyURL": historyURL, "removeURL": removeURL, "deleteURL": deleteURL, "recordURL": recordURL, "plural": plural, "sentence": sentence,
	"dict": dict, "recordsURL": recordsURL, "commit": commit, "searchURL": searchURL, "trashURL": trashURL, "bare": bare, "growth": growth, "day": day,
}

// when is a moment for machines: RFC 3339, whole.
func when(t provenance.Time) string { return t.String() }

// day is the day of a moment, in UTC.
func day(t provenance.Time) string { return t.UTC().Format(time.DateOnly) }

// ago is how long ago a moment was, as people say it.
func ago(t provenance.Time, now time.Time) string {
	d := now.Sub(t.Time)
	switch {
	case d < 0:
		return "in the future"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	case d < 60*24*time.Hour:
		return plural(int(d/(24*time.Hour)), "day") + " ago"
	case d < 730*24*time.Hour:
		return plural(int(d/(30*24*time.Hour)), "month") + " ago"
	}
	return plural(int(d/(365*24*time.Hour)), "year") + " ago"
}

func plural(n int, of string) string {
	switch {
	case n == 1:
		return "1 " + of
	case strings.HasSuffix(of, "s"):
		of += "e"
	}
	return strconv.Itoa(n) + " " + of + "s"
}

// growth is how many bytes something has more than before.
func growth(n int64) string {
	switch {
	case n > 0:
		return "+" + units.Bytes(n)
	case n < 0:
		return "−" + units.Bytes(-n)
	}
	return "same size"
}

// plain makes text of others safe to look at: characters that nobody sees, or that turn the direction of what stands
// around them, become their code points. Escaping for HTML is the template's.
func plain(s string) string {
	if isPlainASCII(s) || strings.IndexFunc(s, hidden) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if hidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isPlainASCII says that a text, as nearly all are, is of characters that everybody sees.
func isPlainASCII(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' || s[i] > '~') && s[i] != '\n' {
			return false
		}
	}
	return true
}

func hidden(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) || r == '\u2028' || r == '\u2029')
}

// short is a digest as people compare it. What is copied is always the whole one.
func short(d any) string {
	s := text(d)
	if algorithm, hex, ok := strings.Cut(s, ":"); ok && len(hex) > 12 {
		return algorithm + ":" + hex[:12]
	}
	return s
}

// commit is a revision as people compare it.
func commit(s string) string {
	if len(s) >= 40 && strings.Trim(s, "0123456789abcdef") == "" {
		return s[:12]
	}
	return s
}

// bare is a URL as people say it: without what all of them begin with.
func bare(s string) string {
	for _, scheme := range []string{"https://", "http://"} {
		s = strings.TrimPrefix(s, scheme)
	}
	return s
}

// link is a URL that may be followed, or "": http and https alone, without a login in it.
func link(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.IndexFunc(s, hidden) >= 0 {
		return ""
	}
	return u.String()
}

// A class is a class of evidence, as pages show it: by an icon, a word and a colour.
type class struct{ Name, Icon, Word, Means string }

// derivedClass is of what stands in no record.
const derivedClass provenance.Class = "derived"

var classes = map[provenance.Class]class{
	provenance.Observed:      {"observed", "◉", "seen", "The registry saw this itself."},
	provenance.Authenticated: {"authenticated", "◆", "login", "The login proves who did this, and nothing about the bytes."},
	provenance.Attested:      {"attested", "✔", "signed", "A signature over this was verified."},
	derivedClass:             {"derived", "◇", "derived", "This follows from other images; nobody says it."},
	provenance.Claimed:       {"claimed", "○", "claimed", "The image or the client says so; nothing proves it."},
}

// dict makes one value of several, for a part of a page.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

// by is who did something, with the account where the name does not tell who it was.
func by(names provenance.Namesakes, a provenance.Actor) string {
	switch a.Kind {
	case provenance.User:
		return a.Handle + names.Account(a)
	case provenance.CI:
		return "CI of " + a.Handle
	case provenance.Anonymous:
		return "somebody who did not sign in"
	case provenance.System:
		return "the operator"
	}
	return string(a.Kind) + " " + a.Handle + names.Account(a)
}

// knownBy is how it is known who did something: a login proves it, or there was none and the registry saw it.
func knownBy(a provenance.Actor) provenance.Class {
	if a.Kind == provenance.Anonymous || a.Kind == provenance.System {
		return provenance.Observed
	}
	return provenance.Authenticated
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?`") {
		s += "."
	}
	return s
}
