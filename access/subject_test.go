package access

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

const github = "https://token.actions.githubusercontent.com"

func mustSubject(t testing.TB, s string) Subject {
	t.Helper()
	sub, err := ParseSubject(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return sub
}

func TestSubjects(t *testing.T) {
	for text, want := range map[string]string{
		"user:alice": "", "team:core": "", "robot:ci-1": "", "everyone": "", "anonymous": "",
		"ci:" + github + ":repository_id=42,ref=refs/heads/*":             "ci:" + github + ":ref=refs/heads/*,repository_id=42",
		"ci:https://git.example:8443/x:project_id=7":                      "",
		"ci:https://oidc.example/circle:oidc.circleci.com/project-id=c-1": "",
		"ci:https://k8s.example:6443:kubernetes.io/serviceaccount/uid=a":  "",
		"ci:https://api.bitbucket.example:repositoryUuid={b-1}":           "",
		"ci:" + github + ":repository_owner_id=9,job_workflow_ref=a:b@c":  "ci:" + github + ":job_workflow_ref=a:b@c,repository_owner_id=9",
	} {
		if want == "" {
			want = text
		}
		if got := mustSubject(t, text).String(); got != want {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	for text, want := range map[string]error{
		"":                        ErrSubject,
		"alice":                   ErrSubject,
		"user:":                   ErrSubject,
		"user:Alice":              ErrSubject,
		"user:a:b":                ErrSubject,
		"group:x":                 ErrSubject,
		"everyone:x":              ErrSubject,
		"anonymous:":              ErrSubject,
		"ci:" + github:            ErrSubject,
		"ci:nowhere:sub=x":        ErrSubject,
		"ci::sub=x":               ErrSubject,
		"ci:" + github + ":":      ErrSubject,
		"ci:" + github + ":X ":    ErrSubject,
		"ci:" + github + ":X=":    ErrGlob,
		"ci:" + github + ":a+b=1": ErrSubject,
		"ci:" + github + ":" + strings.Repeat("x", 129) + "=1":        ErrSubject,
		"ci:" + github + ":sub=":                                      ErrGlob,
		"ci:" + github + ":sub=a b":                                   ErrGlob,
		"ci:" + github + ":repository_id=42,repository_id=43":         ErrSubject,
		"ci:" + github + ":sub=" + strings.Repeat("a", 1024):          ErrSubject,
		"ci:" + github + ":repository_id=42" + strings.Repeat(",", 3): ErrSubject,
	} {
		if _, err := ParseSubject(text); !errors.Is(err, want) {
			t.Errorf("subject %q: %v", text, err)
		}
	}
}

// cutIn is an identity from whose claim something was cut that records never have.
func cutIn(who provenance.Identity, name string) provenance.Identity {
	who.Login.Cut = []string{name}
	return who
}

// TestClaimsOneByOne gives a job's own choice the form of another claim.
func TestClaimsOneByOne(t *testing.T) {
	sub := mustSubject(t, "ci:"+github+":ref=refs/heads/*,repository_id=42")
	job := map[string]string{"repository_id": "42", "ref": "refs/heads/main", "sha": "abc"}
	with := func(issuer, name, value string) provenance.Identity {
		claims := maps.Clone(job)
		if claims[name] = value; value == "" {
			delete(claims, name)
		}
		return provenance.Identity{Actor: provenance.Actor{Kind: provenance.CI}, Login: &provenance.Login{Issuer: issuer, Claims: claims}}
	}
	if !sub.isCI(with(github, "sha", "def")) {
		t.Error("the right job is refused")
	}
	for name, who := range map[string]provenance.Identity{
		"another issuer":     with("https://gitlab.example", "sha", "x"),
		"issuer as a prefix": with(github+".evil.example", "sha", "x"),
		"another repository": with(github, "repository_id", "43"),
		"no repository":      with(github, "repository_id", ""),
		"id within a ref":    with(github, "ref", "refs/tags/x,repository_id=42"),
		"deeper ref":         with(github, "ref", "refs/heads/a/b"),
		"a ref that was cut": cutIn(with(github, "sha", "x"), "ref"),
		"nobody":             {Actor: provenance.Actor{Kind: provenance.CI}},
	} {
		if sub.isCI(who) {
			t.Errorf("%s is let in", name)
		}
	}
}

// FuzzSubject wants what is read to be shown as something that reads the same.
func FuzzSubject(f *testing.F) {
	f.Add("user:alice")
	f.Add("ci:" + github + ":repository_id=42,ref=refs/heads/*")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSubject(text)
		if err != nil {
			return
		}
		again, err := ParseSubject(s.String())
		if err != nil || again.String() != s.String() || len(s.String()) > maxSubject {
			t.Errorf("%q is shown as %q, which is read as %q, %v", text, s, again, err)
		}
	})
}

func TestSecret(t *testing.T) {
	s, other := newSecret(), newSecret()
	if !isSecret(s) || s == other || len(s) != 38 {
		t.Errorf("secret %q, then %q", s, other)
	}
	if secretHash(s) == secretHash(other) {
		t.Error("two secrets have one hash")
	}
	typo := []byte(s)
	typo[10] ^= 1
	for _, bad := range []string{"", s[1:], s + "a", strings.ToUpper(s), string(typo), "hmrk_" + strings.Repeat("a", 33)} {
		if isSecret(bad) {
			t.Errorf("%q is taken for a secret", bad)
		}
	}
}
