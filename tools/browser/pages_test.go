package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fill pushes what the pages are about, and returns the digest of team/app:1.1.
func fill(s *server) string {
	s.t.Helper()
	var last string
	for n := range 3 {
		last = s.push("team/app", fmt.Sprintf("1.%d", n), image{
			labels:      map[string]string{"org.opencontainers.image.source": "https://git.example/team/app", "org.opencontainers.image.revision": commit},
			annotations: map[string]string{"org.opencontainers.image.base.name": "base/alpine:3.22"},
			env:         []string{"PATH=/bin", "DB_PASSWORD=hunter2"},
			content:     fmt.Sprint("layer ", n), step: "COPY app /app",
		})
	}
	s.push("team/app", "latest", image{content: "layer 0"})
	s.push("team/app", "latest", image{content: "layer 1"})
	s.push("base/alpine", "3.22", image{content: "base"})
	s.manifest("team/app", "", "application/vnd.oci.image.manifest.v1+json", map[string]any{
		"artifactType": "application/vnd.example.sbom", "config": s.blob("team/app", "application/vnd.oci.empty.v1+json", []byte("{}")),
		"layers":  []any{s.blob("team/app", "application/json", []byte(`{"sbom":1}`))},
		"subject": map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": last, "size": 1},
	})
	s.api("POST", "/api/v1/users", map[string]any{"name": "bob", "password": bobPassword})
	s.api("POST", "/api/v1/access/grants", map[string]any{"subject": "user:bob", "pattern": "base/**", "role": "pull"})
	return last
}

// TestPages walks the pages as a person does, with scripts and without.
func TestPages(t *testing.T) {
	s := start(t)
	last := fill(s)
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts %v", scripts), func(t *testing.T) {
			b := open(t)
			b.scripts(scripts)
			b.signIn(s, "admin", adminPassword)
			for _, p := range []struct {
				path  string
				wants []string
			}{
				{"/", []string{"team/app", "base/alpine", "What changed", "admin"}},
				{"/r/team/app", []string{"1.0", "1.1", "1.2", "latest", "History"}},
				{"/r/team/app:1.2", []string{last, "Pushed", "by admin", "built from commit 0123456789ab", "claimed", "on base/alpine:3.22", "nothing proves it", "masked", "COPY app /app", "application/vnd.example.sbom", "docker pull"}},
				{"/r/team/app@" + last, []string{"1.2"}},
				{"/r/team/app/-/history/latest", []string{"nothing", "sha256:"}},
				{"/-/record/3", []string{"Record 3", "admin"}},
				{"/-/records?repo=team/app", []string{"repo: team/app"}},
				{"/search?q=" + last, []string{"team/app"}},
				{"/search?q=" + commit, []string{"team/app"}},
				{"/search?q=alp", []string{"base/alpine"}},
				{"/search?q=admin", []string{"Records"}},
			} {
				shown := b.text(s.url + p.path)
				for _, want := range p.wants {
					if !strings.Contains(shown, want) {
						t.Errorf("%s does not show %q:\n%s", p.path, want, shown)
					}
				}
				if strings.Contains(shown, "hunter2") {
					t.Errorf("%s shows a secret that nobody asked for", p.path)
				}
			}
			b.run(chromedp.Navigate(s.url+"/"), chromedp.SendKeys("#q", "team/app:1.2\n"), chromedp.WaitVisible(`section[aria-labelledby="images"] a[href="/r/team/app@`+last+`"]`))
			name := fmt.Sprintf("gone-%v", scripts)
			s.push("team/app", name, image{content: "gone"})
			b.run(chromedp.Navigate(s.url+"/r/team/app"), chromedp.Click(`input[value^="`+name+`@"]`), chromedp.Click(`main form[action$="/-/remove"] button[type="submit"]`), chromedp.WaitVisible(`main form[method="post"]`))
			b.run(chromedp.Click(`main form[method="post"] button[type="submit"]`), chromedp.WaitVisible("#done"))
			if shown := b.text(s.url + "/r/team/app"); strings.Contains(shown, name) {
				t.Errorf("a tag that was removed is still there:\n%s", shown)
			}
			b.deletes(s, fmt.Sprintf("whole-%v", scripts))
			b.run(chromedp.Click("nav.who button"), chromedp.WaitVisible("#password"))
			b.fine()
		})
	}
}

// deletes deletes an image, and leaves one that got another tag while the page was shown.
func (b *tab) deletes(s *server, name string) {
	b.t.Helper()
	s.push("team/app", name, image{content: name})
	s.push("team/app", name+"-moved", image{content: name + " moved"})
	choose := func(tag string) chromedp.Action { return chromedp.Click(`input[value^="` + tag + `@"]`) }
	b.run(chromedp.Navigate(s.url+"/r/team/app"), choose(name), choose(name+"-moved"),
		chromedp.Click(`main form button[formaction$="/-/delete"]`), chromedp.WaitVisible(`main form[method="post"]`))
	s.push("team/app", name+"-late", image{content: name + " moved"})
	var said string
	b.run(chromedp.Click(`main form[method="post"] button[type="submit"]`), chromedp.WaitVisible("#done"), chromedp.Text("main", &said))
	if !strings.Contains(said, "Deleted.") || !strings.Contains(said, "It has other tags, or something else belongs to it, since the page was shown: it stays.") {
		b.t.Errorf("the page says:\n%s", said)
	}
	if shown := b.text(s.url + "/r/team/app"); strings.Contains(shown, name+"\n") || !strings.Contains(shown, name+"-late") {
		b.t.Errorf("after the deletion there is:\n%s", shown)
	}
}

// TestPictures looks at the pages that matter in each way in which they are shown: nothing is wider than the window.
func TestPictures(t *testing.T) {
	s := start(t)
	fill(s)
	b := open(t)
	b.signIn(s, "admin", adminPassword)
	for _, page := range [][2]string{{"image", "/r/team/app:1.2"}, {"history", "/r/team/app/-/history/latest"}, {"repository", "/r/team/app"}, {"home", "/"}} {
		name, path := page[0], page[1]
		for _, look := range []struct {
			name, medium, scheme string
			narrow               bool
		}{{"light", "screen", "light", false}, {"dark", "screen", "dark", false}, {"narrow", "screen", "light", true}, {"print", "print", "light", false}} {
			b.media(look.medium, look.scheme)
			b.narrow(look.narrow)
			var wide, window int
			b.run(chromedp.Navigate(s.url+path), chromedp.Evaluate("document.documentElement.scrollWidth", &wide), chromedp.Evaluate("window.innerWidth", &window))
			if wide > window {
				t.Errorf("%s, %s: %d pixels wide in a window of %d", path, look.name, wide, window)
			}
			if b.askew() && !look.narrow { // narrow, each row is a list of its own
				t.Errorf("%s, %s: the cells of a table do not stand under their heads", path, look.name)
			}
			b.picture(name + "-" + look.name)
		}
	}
	b.fine()
}

// askew says that a row of a table has more or fewer cells to be seen than its head.
func (b *tab) askew() (is bool) {
	b.t.Helper()
	b.run(chromedp.Evaluate(`(() => {
		const seen = row => [...row.cells].filter(c => getComputedStyle(c).display !== 'none').reduce((n, c) => n + c.colSpan, 0);
		return [...document.querySelectorAll('table')].some(t => t.tHead && [...t.tBodies].some(b => [...b.rows].some(r => seen(r) !== seen(t.tHead.rows[0]))));
	})()`, &is))
	return is
}
