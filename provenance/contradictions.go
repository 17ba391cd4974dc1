package provenance

import (
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A Said is a fact as somebody stated it: by a claim, or by the login that pushed.
type Said struct {
	Value   string        `json:"value"`
	Class   Class         `json:"class"`
	From    string        `json:"from"`
	About   digest.Digest `json:"about"`
	Records []uint64      `json:"records"`
}

// A Contradiction is a fact that is stated in ways that cannot all be true. Nothing here decides which is.
type Contradiction struct {
	Fact string `json:"fact"`
	Said []Said `json:"values"`
}

// A comparison is how the values of a fact are compared of which an image has one.
type comparison struct {
	fact   string
	normal func(value string) string // the one spelling of a value
	same   func(a, b string) bool    // whether two of those mean the same
}

var comparable = []comparison{
	{FactSource, NormalSource, equal},
	{FactRevision, NormalRevision, sameNormalRevision},
	{FactBase, func(value string) string { return value }, equal},
}

func equal(a, b string) bool { return a == b }

// Contradictions returns the facts that do not agree among all that is said of one image, whatever it is
// said by. Another spelling of the same is none: a URL with or without .git, a commit in short or in full. Neither are the
// bases of two platforms, nor two digests of which oneBase says that they name one base.
func Contradictions(said map[string][]Said, oneBase func(a, b string) bool) (found []Contradiction) {
	for _, c := range comparable {
		if c.fact == FactBase && oneBase != nil {
			c.same = func(a, b string) bool { return a == b || oneBase(a, b) }
		}
		if values := said[c.fact]; c.disagree(values) {
			found = append(found, Contradiction{c.fact, values})
		}
	}
	return found
}

// told is a value as it is compared: in its normal form, and about a part of the image where each has its own.
type told struct {
	value string
	about digest.Digest
	bare  bool // a login states it, of whose host nothing is known
}

// disagree says whether two of some values cannot both be true. Anyone who pushes may state thousands, each spelled in
// another way: one that is spelled like another is compared no more, and few spellings can differ and agree.
func (c *comparison) disagree(values []Said) bool {
	known := map[told]bool{}
	for _, s := range values {
		is := c.told(s)
		if known[is] {
			continue
		}
		for other := range known {
			if is.about == other.about && !c.agree(is, other) {
				return true
			}
		}
		known[is] = true
	}
	return false
}

func (c *comparison) told(s Said) told {
	switch {
	case c.fact == FactBase:
		return told{value: c.normal(s.Value), about: s.About}
	case c.fact == FactSource && s.Class == Authenticated && !namesHost(s.Value):
		return told{value: s.Value, bare: true}
	}
	return told{value: c.normal(s.Value)}
}

func (c *comparison) agree(a, b told) bool {
	switch {
	case a.bare:
		return sameOnAnyHost(a.value, b.value)
	case b.bare:
		return sameOnAnyHost(b.value, a.value)
	}
	return c.same(a.value, b.value)
}

// Same says whether two values of a fact mean the same, in whatever spelling.
func Same(fact, a, b string) bool {
	if a == b {
		return true // as nearly always, and to normalize a source takes 10 µs
	}
	for _, c := range comparable {
		if c.fact == fact {
			return c.same(c.normal(a), c.normal(b))
		}
	}
	return false
}

func sameSource(a, b string) bool { return NormalSource(a) == NormalSource(b) }

// namesHost says whether a source that a login states names its host. One of an issuer of whose host nothing is known does not, as
// octo/app.
func namesHost(source string) bool { return strings.Contains(source, "://") }

// sameOnAnyHost says whether a source without a host is another one, on the host of that: in its case where the host tells cases apart.
func sameOnAnyHost(bare, source string) bool {
	other := NormalSource(source)
	host, _, _ := strings.Cut(other, "/")
	return NormalSource(bare) == other || NormalSource("https://"+host+"/"+bare) == other
}

// shortCommit is the least length at which git itself abbreviates a commit.
const shortCommit = 7

// sameRevision says whether two revisions are one, of which either may be a commit cut short. A commit with
// uncommitted changes is another than the commit.
func sameRevision(a, b string) bool { return sameNormalRevision(NormalRevision(a), NormalRevision(b)) }

// sameNormalRevision is sameRevision for those that are spelled as NormalRevision does.
func sameNormalRevision(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if a == b {
		return true
	}
	return len(a) >= shortCommit && strings.HasPrefix(b, a) && strings.Trim(b, "0123456789abcdef") == ""
}

// Facts returns what a login of a CI job says of where the job ran: facts by name, and from which of its
// claims. It says nothing of what the bytes were built from.
func (l *Login) Facts() map[string]Said {
	facts := map[string]Said{}
	add := func(fact, claim, prefix string) {
		if value := l.Claims[claim]; value != "" {
			facts[fact] = Said{Value: prefix + value, Class: Authenticated, From: "login claim " + claim}
		}
	}
	add(FactRevision, "sha", "")
	if host := GitHubOf(l.Issuer); host != "" {
		add(FactSource, "repository", host+"/")
	} else if l.Claims["project_path"] != "" {
		add(FactSource, "project_path", strings.TrimSuffix(l.Issuer, "/")+"/") // as GitLab names it
	} else {
		add(FactSource, "repository", "") // of whose host nothing is known
	}
	return facts
}

// GitHubOf returns the URL of the GitHub whose jobs an issuer vouches for, or "": github.com's own and that of one of its
// enterprises, which has its name behind it; one with data residency, as octo.ghe.com; or a GitHub Enterprise Server.
func GitHubOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	host, isActions := strings.CutPrefix(strings.ToLower(u.Host), "token.actions.")
	switch {
	case isActions && host == "githubusercontent.com":
		return "https://github.com"
	case isActions && strings.HasSuffix(host, ".ghe.com"):
		return "https://" + host
	case strings.TrimSuffix(u.Path, "/") == "/_services/token":
		return "https://" + u.Host
	}
	return ""
}
