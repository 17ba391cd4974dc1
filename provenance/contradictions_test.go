package provenance

import (
	"fmt"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
)

func TestContradictions(t *testing.T) {
	const full = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		fact, a, b string
		want       bool
	}{
		"a file's path":          {FactSource, "file:///octo/app", "https://github.com/octo/app", true},
		"a claim without a host": {FactSource, "octo/app", "https://github.com/octo/app", true},
		"another spelling":       {FactSource, "https://git.example/app.git", "git@git.example:app", false},
		"another source":         {FactSource, "https://git.example/app", "https://git.example/App", true},
		"the same commit":        {FactRevision, full, full, false},
		"in short":               {FactRevision, full[:7], full, false},
		"in capitals":            {FactRevision, full, "0123456789ABCDEF0123456789ABCDEF01234567", false},
		"too short":              {FactRevision, full[:6], full, true},
		"another commit":         {FactRevision, full, "f" + full[1:], true},
		"uncommitted changes":    {FactRevision, full, full + "-dirty", true},
		"a tag and a longer one": {FactRevision, "release-1", "release-10", true},
		"two bases":              {FactBase, string(dig("a")), string(dig("b")), true},
		"two materials":          {FactMaterial, string(dig("a")), string(dig("b")), false},
		"two builders":           {FactBuilder, "a", "b", false},
	} {
		for _, values := range [][]Said{{{Value: c.a}, {Value: c.b}}, {{Value: c.b}, {Value: c.a}}, {{Value: c.a}, {Value: c.a}, {Value: c.b}}} {
			found := Contradictions(map[string][]Said{c.fact: values}, nil)
			if (len(found) == 1) != c.want {
				t.Errorf("%s: %v", name, found)
			}
		}
	}
	for claim, want := range map[string]bool{
		"https://github.com/octo/app.git": false,
		"https://git.example/octo/App":    false,
		"https://git.example/octo/app":    true, // its host tells cases apart
		"https://github.com/octo/web":     true,
		"https://git.example/x/octo/App":  true,
		"octo/App":                        false,
		"octo/web":                        true,
	} {
		login, claimed := Said{Value: "octo/App", Class: Authenticated}, Said{Value: claim, Class: Claimed}
		for _, values := range [][]Said{{login, claimed}, {claimed, login}} {
			if found := Contradictions(map[string][]Said{FactSource: values}, nil); (len(found) == 1) != want {
				t.Errorf("a login without a host, and %s: %v", claim, found)
			}
		}
	}
	one, two := Said{Value: string(dig("a")), About: dig("amd64")}, Said{Value: string(dig("b")), About: dig("arm64")}
	if found := Contradictions(map[string][]Said{FactBase: {one, two}}, nil); len(found) != 0 {
		t.Errorf("the bases of two platforms: %v", found)
	}
	if found := Contradictions(map[string][]Said{FactBase: {one, two, {Value: one.Value, About: two.About}}}, nil); len(found) != 1 {
		t.Errorf("two bases of one of two platforms: %v", found)
	}
	index := func(a, b string) bool { return a == two.Value && b == one.Value || a == one.Value && b == two.Value }
	if found := Contradictions(map[string][]Said{FactBase: {one, {Value: two.Value, About: one.About}}}, index); len(found) != 0 {
		t.Errorf("a base, and the index that lists it: %v", found)
	}
	if found := Contradictions(map[string][]Said{FactBase: {one, {Value: string(dig("c")), About: one.About}}}, index); len(found) != 1 {
		t.Errorf("two bases, one of which an index lists: %v", found)
	}
	if found := Contradictions(nil, nil); len(found) != 0 {
		t.Errorf("nothing contradicts itself: %v", found)
	}
}

// TestManySpellings wants what agrees to agree, and one that does not to be found, among as many spellings of one source
// as the records of an image can hold. Each of them against each other takes minutes.
func TestManySpellings(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	var values []Said
	for n := range 2 * maxTestimony * MaxClaims {
		values = append(values, Said{Value: fmt.Sprintf("https://github.com/octo/app/tree/%d", n)})
	}
	if found := Contradictions(map[string][]Said{FactSource: values}, nil); len(found) != 0 {
		t.Error("spellings of one source contradict each other")
	}
	values = append(values, Said{Value: "https://github.com/octo/web"})
	if found := Contradictions(map[string][]Said{FactSource: values}, nil); len(found) != 1 || len(found[0].Said) != len(values) {
		t.Error("another source contradicts none of them")
	}
}

func TestLoginFacts(t *testing.T) {
	github := Login{Issuer: "https://token.actions.githubusercontent.com", Claims: map[string]string{"repository": "team/app", "sha": "c1", "ref": "refs/heads/main"}}
	at := func(issuer string) Login { return Login{Issuer: issuer, Claims: github.Claims} }
	gitlab := Login{Issuer: "https://gitlab.example", Claims: map[string]string{"project_path": "team/app", "sha": "c1"}}
	for _, c := range []struct {
		login  Login
		source string
	}{
		{github, "https://github.com/team/app"},
		{at("https://token.actions.githubusercontent.com/octo-inc"), "https://github.com/team/app"},
		{at("https://token.actions.octo.ghe.com"), "https://octo.ghe.com/team/app"},
		{at("https://github.octo.example/_services/token"), "https://github.octo.example/team/app"},
		{gitlab, "https://gitlab.example/team/app"},
		{at("https://jobs.example"), "team/app"},
	} {
		facts := c.login.Facts()
		if job := c.login.Job(); job.Source != c.source || job.Revision != "c1" {
			t.Errorf("its job is %+v", job)
		}
		if facts[FactSource].Value != c.source || facts[FactRevision].Value != "c1" || facts[FactRevision].Class != Authenticated || len(facts) != 2 {
			t.Errorf("%+v", facts)
		}
	}
	if facts := alice.Login.Facts(); len(facts) != 0 {
		t.Errorf("a password says %v", facts)
	}
}
