package image

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// A Secret is one that was found: which rule found it, and where. It never holds the secret itself.
type Secret struct {
	Rule  string `json:"rule"`
	What  string `json:"what"`
	Place string `json:"place"`
	// Length is that of the secret, in characters.
	Length int `json:"length"`
	// Sure says that its form leaves no doubt. Otherwise a name and much randomness speak for it.
	Sure bool `json:"sure"`
}

// secretRule finds secrets by the form that their issuer gives them. The first group of the pattern, or
// all of it, is the secret; it has to be as random as such secrets are, in bits a character.
type secretRule struct {
	id, what string
	pattern  *regexp.Regexp
	entropy  float64
	doubtful bool     // its form is not proof: it has to mix letters and digits, too
	words    []string // of which one is in everything that the pattern finds
}

// secretRules are few, and chosen for forms that nothing else has.
var secretRules = []secretRule{
	{"private-key", "a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----`), 0, false, []string{"PRIVATE KEY"}},
	{"aws-access-key", "the id of an AWS access key", regexp.MustCompile(`\b((?:AKIA|ASIA)[A-Z2-7]{16})\b`), 3, false, []string{"AKIA", "ASIA"}},
	{"github-token", "a GitHub token", regexp.MustCompile(`\b((?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b`), 3.5, false, []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}},
	{"gitlab-token", "a GitLab token", regexp.MustCompile(`\b((?:glpat|gldt|glrt|glcbt)-[A-Za-z0-9_-]{20,})`), 3.2, false, []string{"glpat-", "gldt-", "glrt-", "glcbt-"}},
	{"slack-token", "a Slack token", regexp.MustCompile(`\b(xox[abprs]-[0-9]{8,}-[A-Za-z0-9-]{16,})`), 3, false, []string{"xox"}},
	{"stripe-key", "a Stripe key", regexp.MustCompile(`\b((?:sk|rk)_live_[A-Za-z0-9]{24,})\b`), 3.5, false, []string{"_live_"}},
	{"google-api-key", "a Google API key", regexp.MustCompile(`\b(AIza[A-Za-z0-9_-]{35})\b`), 3.5, false, []string{"AIza"}},
	{"npm-token", "an npm token", regexp.MustCompile(`\b(npm_[A-Za-z0-9]{36})\b`), 3.5, false, []string{"npm_"}},
	{"pypi-token", "a PyPI token", regexp.MustCompile(`\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})`), 3.5, false, []string{"pypi-"}},
	{"docker-token", "a Docker Hub token", regexp.MustCompile(`\b(dckr_[po]at_[A-Za-z0-9_-]{27,})`), 3.5, false, []string{"dckr_"}},
	{"huggingface-token", "a Hugging Face token", regexp.MustCompile(`\b(hf_[A-Za-z0-9]{34})\b`), 3.5, false, []string{"hf_"}},
	{"url-password", "a password in a URL", regexp.MustCompile(`\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@"']{1,64}:([^\s/@"'$%{}<>*]{8,128})@[A-Za-z0-9]`), 2.5, true, []string{"://"}},
}

// secretName is how a variable is called that holds a secret.
var secretName = regexp.MustCompile(`(?i)(?:^|[_.-])(?:pass(?:word|wd|phrase)?|secret|token|api_?key|private_?key|access_?key|credentials?)$`)

// assignment is how a build step sets a variable: ENV NAME=value, ARG NAME=value, |1 NAME=value.
var assignment = regexp.MustCompile(`\b([A-Za-z_][A-Za-z0-9_]{2,63})=("[^"]{8,}"|'[^']{8,}'|[^\s"';&|]{8,})`)

// ordinary is what stands for a secret and is none: a path, a reference, a word to be replaced.
var ordinary = regexp.MustCompile(`(?i)^(?:/|\./|file:|https?://[^@]*$|\$|%|\{|<|\*+$|x+$)|example|changeme|change_me|placeholder|dummy|redacted|your[_-]|/run/secrets|\$\{`)

// What is looked through for secrets, in bytes of text. Patterns take about a second for 10 MB that somebody made for
// them, and images that are meant well say less than a tenth of this.
const (
	maxSecretTexts  = 256 << 10 // of one platform
	allSecretTexts  = 1 << 20   // of all platforms of a report
	maxSecretsFound = 20        // of one platform
)

// secretSearch is a search through what a platform says.
type secretSearch struct {
	left  int // bytes that may still be looked through
	cut   bool
	found []Secret
}

// secrets looks through what a platform's manifest and config say, as far as left goes, which it lowers. It says
// whether that was all of it.
func (p *platform) secrets(left *int) (found []Secret, whole bool) {
	begin := min(*left, maxSecretTexts)
	s := &secretSearch{left: begin}
	c := p.config.Config
	for _, v := range c.Env {
		name, value, _ := strings.Cut(v, "=")
		s.look("environment variable "+name, name, value)
	}
	for _, labels := range []map[string]string{c.Labels, p.manifest.Annotations} {
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			s.look("label "+name, name, labels[name])
		}
	}
	s.look("config", "", p.text)
	s.look("command", "", strings.Join(append(c.Entrypoint, c.Cmd...), " "))
	for n, h := range p.config.History {
		place := fmt.Sprintf("history, step %d", n+1)
		text := s.look(place, "", h.CreatedBy)
		s.look(place, "", h.Comment)
		for _, m := range assignment.FindAllStringSubmatch(text, 20) {
			s.add(namedSecret(place+", variable "+m[1], m[1], strings.Trim(m[2], `"'`)))
		}
	}
	*left -= begin - s.left
	return slices.Compact(s.found), !s.cut
}

// look looks at one text, which may be the value of something with a name, and returns what of it was looked at.
func (s *secretSearch) look(place, name, text string) string {
	if s.cut = s.cut || len(text) > s.left || len(s.found) >= maxSecretsFound; s.cut {
		text = text[:min(len(text), s.left)]
	}
	s.left -= len(text)
	s.add(secretsIn(place, name, text))
	return text
}

func (s *secretSearch) add(found []Secret) { s.found = append(s.found, found...) }

// secretsIn looks at one text, which may be the value of something with a name.
func secretsIn(place, name, text string) (found []Secret) {
	for _, r := range secretRules {
		if !r.mayBeIn(text) {
			continue
		}
		m := r.pattern.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		secret := m[len(m)-1]
		if entropy(secret) < r.entropy || ordinary.MatchString(secret) || r.doubtful && !mixed(secret) {
			continue
		}
		found = append(found, Secret{Rule: r.id, What: r.what, Place: place, Length: len(secret), Sure: !r.doubtful})
	}
	if len(found) == 0 && name != "" {
		return namedSecret(place, name, text)
	}
	return found
}

// mayBeIn says whether one of the words is in a text that all which the pattern finds has: a text of ordinary words is
// not looked through again for each pattern.
func (r *secretRule) mayBeIn(text string) bool {
	return slices.ContainsFunc(r.words, func(word string) bool { return strings.Contains(text, word) })
}

// namedSecret judges a value by its name and how random it is: neither alone would do.
func namedSecret(place, name, value string) []Secret {
	if !secretName.MatchString(name) || len(value) < 12 || len(value) > 512 || strings.ContainsAny(value, " \t\n") ||
		ordinary.MatchString(value) || entropy(value) < 3.2 || !mixed(value) {
		return nil
	}
	return []Secret{{Rule: "named-secret", What: "what looks like a secret, by its name and its randomness", Place: place, Length: len(value)}}
}

// mixed says whether letters and digits alternate as they do in no name or word.
func mixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ContainsFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
}

// entropy is Shannon's, in bits a character.
func entropy(s string) (bits float64) {
	count := map[rune]float64{}
	for _, r := range s {
		count[r]++
	}
	n := float64(len([]rune(s)))
	for _, c := range count {
		bits -= c / n * math.Log2(c/n)
	}
	return bits
}
