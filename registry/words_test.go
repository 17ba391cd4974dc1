package registry

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestWordStarts splits names where people would.
func TestWordStarts(t *testing.T) {
	for name, want := range map[string]string{
		"app":                     "app",
		"team/web-app":            "team web app",
		"v1.22.3-rc2":             "v 1 22 3 rc 2",
		"release_2024-01-02":      "release 2024 01 02",
		"a--b..c__d":              "a b c d",
		"x86_64":                  "x 86 64",
		"sha-0c0ffee1dead2beef3a": "sha 0c0ffee1dead2beef3a",
		"sha256-" + strings.Repeat("0a", 32) + ".sig": "sha 256 " + strings.Repeat("0a", 32) + " sig",
		strings.Repeat("a-", 60) + "z":                strings.TrimSpace(strings.Repeat("a ", maxWords-1)) + " " + strings.Trim(strings.Repeat("a-", 60-maxWords+1)+"z", "-"),
		"1":                                           "1",
		"---":                                         "",
		"":                                            "",
	} {
		var words []string
		starts := wordStarts(name)
		for i, at := range starts {
			end := len(name)
			if i+1 < len(starts) {
				end = starts[i+1]
			}
			words = append(words, strings.Trim(name[at:end], "/.-_"))
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestWordKeys reads back what it writes.
func TestWordKeys(t *testing.T) {
	for _, n := range []NameEntry{
		{Repository: "team/web-app"}, {"team/app", TagEntry{Name: "V1.2-RC3"}}, {strings.Repeat("a/", 100) + "a", TagEntry{Name: strings.Repeat("b.", 63) + "b"}},
	} {
		for _, key := range n.wordKeys() {
			got, from, ok := cutWordKey(key)
			if !ok || got != n || !strings.Contains(n.name(), from) || len(key) > storage.MaxKey {
				t.Errorf("%q is %v, %q, %v; want %v", key, got, from, ok, n)
			}
		}
	}
	for _, bad := range []string{"", "x", "r", "rapp", "rapp\x00", "rapp\x00app\x001", "tapp\x00app", "tapp\x00app\x00"} {
		if n, _, ok := cutWordKey([]byte(bad)); ok {
			t.Errorf("%q is said to be of %v", bad, n)
		}
	}
}

// someGate lets everybody pull from repositories that begin in some ways, and says so, or that they may be anywhere.
type someGate struct {
	Gate
	begin    []string
	anywhere bool
}

func (g someGate) May(_ provenance.Identity, _ access.Right, repository string) bool {
	return slices.ContainsFunc(g.begin, func(prefix string) bool { return strings.HasPrefix(repository, prefix) })
}

func (g someGate) Prefixes(provenance.Identity) []string {
	if g.anywhere {
		return []string{""}
	}
	return g.begin
}

// named asks for all names with some words, page by page.
func (s *server) named(tags bool, text string, limit int, gate Gate) (names []string, behind uint64) {
	s.t.Helper()
	defer func(before Gate) { s.gate = before }(s.gate)
	s.gate = gate
	for q := (NameQuery{Tags: tags, Words: strings.Fields(text), Limit: limit}); ; {
		page, err := s.Named(background, q)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(page.Names) > limit {
			s.t.Errorf("a page of %d has %d", limit, len(page.Names))
		}
		for _, n := range page.Names {
			names = append(names, n.String())
			if tags != (n.Name != "") || tags != (n.Digest != "") {
				s.t.Errorf("tags %v: found %+v", tags, n)
			}
		}
		if q.After = page.Next; q.After == nil {
			return names, page.Behind
		}
	}
}

// wantNamed wants the names that have a word which begins so, each once, by their rows and by comparison.
func (s *server) wantNamed(all []NameEntry, text string, begin ...string) {
	s.t.Helper()
	words := strings.Fields(strings.ToLower(text))
	for i := range words {
		words[i] = strings.Trim(words[i], "/")
	}
	for _, tags := range []bool{false, true} {
		var want []string
		for _, n := range all {
			must, has := words[0], n.name()
			if tags {
				must = words[len(words)-1]
			}
			ok := (n.Name != "") == tags && (someGate{begin: begin}).May(provenance.Identity{}, access.Pull, n.Repository) && hasWord(has, must)
			for _, w := range words {
				ok = ok && (hasWord(has, w) || hasWord(n.Repository, w))
			}
			if ok {
				want = append(want, n.String())
			}
		}
		slices.Sort(want)
		byRows, behind := s.named(tags, text, 3, someGate{s.gate, begin, true})
		jumping, _ := s.named(tags, text, 1, someGate{s.gate, append([]string{"\x00"}, begin...), false}) // which nothing begins with
		own, _ := s.named(tags, text, 2, someGate{s.gate, begin, false})
		if !slices.Equal(byRows, own) || !slices.Equal(byRows, jumping) {
			s.t.Errorf("%q in %q: %q by rows, %q by their own, %q", text, begin, byRows, own, jumping)
		}
		if got := slices.Sorted(slices.Values(byRows)); !slices.Equal(got, want) || behind > 0 {
			s.t.Errorf("%q in %q finds %q, want %q; %d behind", text, begin, got, want, behind)
		}
	}
}

// TestNamed finds names by words, whatever part of the records has its rows, while names come, go and come back.
func TestNamed(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	random := rand.New(rand.NewPCG(5, 6))
	repos := []string{"team/web-app", "team/app", "app", "app-2", "other/apple.pie", "other/app_app", "zoo/x86_64/app-10", "team/a"}
	tags := []string{"1.0", "1.10-rc2", "V1.0-App", "app", "latest", "2024-01-02", "sha-0c0ffee1dead2beef3a", "app-app"}
	body := map[string]string{}
	for _, repo := range repos {
		body[repo] = s.pushImage(repo, "", "of "+repo).body
	}
	have := map[NameEntry]bool{}
	for round := range 60 {
		repo, tag := repos[random.IntN(len(repos))], tags[random.IntN(len(tags))]
		n := NameEntry{repo, TagEntry{Name: tag}}
		if have[n] && random.IntN(2) == 0 {
			s.want(s.do("DELETE", "/v2/"+repo+"/manifests/"+tag, nil), 202, "")
			delete(have, n)
		} else {
			s.pushManifest(repo, tag, body[repo])
			have[n] = true
		}
		if round%20 == 0 { // a repository goes
			d := digestOf([]byte(body[repo]), "")
			s.want(s.do("DELETE", "/v2/"+repo+"/manifests/"+d.String(), nil), 202, "")
			for n := range have {
				if n.Repository == repo {
					delete(have, n)
				}
			}
			if round == 20 {
				s.pushManifest(repo, "1.0", body[repo])
				have[NameEntry{repo, TagEntry{Name: "1.0"}}] = true
			}
		}
		if round%7 == 6 {
			if err := s.book.Index(background); err != nil {
				t.Fatal(err)
			}
		}
		if round%10 != 9 {
			continue
		}
		var all []NameEntry
		err := s.store.View(background, func(tx storage.Reader) error {
			for item, err := range tx.Scan(repositoryTable, nil, nil) {
				if err != nil {
					return err
				}
				all = append(all, NameEntry{Repository: string(item.Key)})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for n := range have {
			all = append(all, n)
		}
		for _, text := range []string{"a", "app", "APP", "ap 1", "1", "web app", "team app", "app/", "86", "x86_64/app", "0c0ffee1d", "0c0ffee1dead2beef3a", "ff", "app-app", "rc2", "team/web", "none"} {
			s.wantNamed(all, text, "team/", "zoo/")
			s.wantNamed(all, text, "app", "other/", "team/")
		}
		s.wantClean()
	}
}

// TestNamedOlder finds names in a store of an older version once they have their rows, and says before that it has not looked.
func TestNamedOlder(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for n := range 5 {
		s.pushImage(fmt.Sprintf("team/app-%d", n), "1.0", "one")
	}
	s.pushImage("team/app-1", "gone", "one")
	s.want(s.do("DELETE", "/v2/team/app-1/manifests/gone", nil), 202, "")
	gone := s.pushImage("team/gone", "1.0", "one")
	s.want(s.do("DELETE", "/v2/team/gone/manifests/"+gone.digest.String(), nil), 202, "")
	if err := s.book.Index(background); err != nil {
		t.Fatal(err)
	}
	err := s.store.Update(background, func(tx storage.Tx) error {
		for item, err := range tx.Scan(wordTable, nil, nil) {
			if err != nil {
				return err
			}
			tx.Delete(wordTable, bytes.Clone(item.Key))
		}
		for _, n := range []NameEntry{{Repository: "team/gone"}, {"team/app-1", TagEntry{Name: "gone"}}} { // which an older version removed
			for _, key := range n.wordKeys() {
				tx.Put(wordTable, key, nil)
			}
		}
		tx.Delete("provenance/head", []byte("filled"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := someGate{s.gate, []string{""}, true}
	s.wantClean() // until the registry has come to them
	if names, behind := s.named(true, "gone", 10, all); len(names) > 0 || behind != 9 {
		t.Fatalf("%q are found, %d records are behind", names, behind)
	}
	if names, behind := s.named(false, "app", 10, all); len(names) > 0 || behind != 9 {
		t.Fatalf("%q are found, %d records are behind", names, behind)
	}
	if err := s.book.Fill(background); err != nil {
		t.Fatal(err)
	}
	s.wantClean()
	if names, behind := s.named(true, "1", 10, all); len(names) != 5 || behind != 0 {
		t.Fatalf("%q are found, %d records are behind", names, behind)
	}
}

// TestNamedHiddenBehind wants what is hidden to be no reason for another page.
func TestNamedHiddenBehind(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("mine/app", "proj", "one")
	s.pushImage("other/app", "project-x", "one")
	for _, gate := range []someGate{{s.gate, []string{"mine/"}, false}, {s.gate, []string{"mine/"}, true}, {s.gate, []string{"mine/", "other/"}, true}} {
		before := s.gate
		s.gate = gate
		page, err := s.Named(background, NameQuery{Tags: true, Words: []string{"proj"}, Limit: 1})
		s.gate = before
		if more := len(gate.begin) == 2; err != nil || len(page.Names) != 1 || (page.Next != nil) != more {
			t.Errorf("%v: %+v, %v", gate.begin, page, err)
		}
	}
}

// TestNamedBounds looks at no more rows than it may, tells that there are others, and nothing of what is hidden where the
// caller may see little.
func TestNamedBounds(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	err := s.store.Update(background, func(tx storage.Tx) error {
		for n := range nameLooks + 100 {
			for _, repo := range []string{fmt.Sprintf("hidden/app-%05d", n), fmt.Sprintf("team/web-%05d", n)} {
				tx.Put(repositoryTable, []byte(repo), nil)
				for _, key := range (NameEntry{Repository: repo}).wordKeys() {
					tx.Put(wordTable, key, nil)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(gate someGate, text string) NamePage {
		gate.Gate = s.gate
		defer func(before Gate) { s.gate = before }(s.gate)
		s.gate = gate
		page, err := s.Named(background, NameQuery{Words: []string{text}, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	if page := ask(someGate{begin: []string{"small/"}}, "app"); page.Next != nil || len(page.Names) > 0 {
		t.Errorf("who may see nothing of it is told %+v", page)
	}
	if page := ask(someGate{begin: []string{"team/"}, anywhere: true}, "app"); page.Next == nil || len(page.Names) > 0 {
		t.Errorf("what is behind the bound is said not to be there: %+v", page)
	}
	if page := ask(someGate{begin: []string{"team/"}}, "web-02090"); page.Next != nil || len(page.Names) != 1 {
		t.Errorf("one of more than are compared is found as %+v", page)
	}
	if names, _ := s.named(false, "web", 1000, someGate{s.gate, []string{"team/"}, false}); len(names) != nameLooks+100 {
		t.Errorf("%d of all pages", len(names))
	}
}
