package browser

import (
	"net/url"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Texts that would do something on a page that is careless.
const (
	script  = `<script>window.ran=1;alert(1)</script><img src=x onerror="window.ran=1">`
	attr    = `" onmouseover="window.ran=1" autofocus onfocus="window.ran=1" x="`
	address = `javascript:window.ran=1//https://git.example/a`
	turned  = "safe\u202egnp.exe\u2066\u200b"
)

// TestHostileRegistry fills a registry with images of which every field is hostile, and looks at every page: nothing runs, nothing
// is asked from elsewhere, no text changes the direction of others, and nothing is wider than the window.
func TestHostileRegistry(t *testing.T) {
	s := start(t)
	long := strings.Repeat("w", 10_000)
	notes := map[string]string{
		"org.opencontainers.image.source": address, "org.opencontainers.image.revision": script, "org.opencontainers.image.title": script,
		"org.opencontainers.image.base.name": attr, "org.opencontainers.image.url": address, "org.opencontainers.image.authors": turned,
		"org.opencontainers.image.version": long, script: script, attr: long, turned: turned,
	}
	d := s.push("evil/app", "x", image{labels: notes, annotations: notes, env: []string{script + "=" + attr, turned + "=" + long}, content: "evil", step: script + turned + long})
	s.push("evil/app", "x", image{labels: notes, content: "evil too", step: address})
	s.manifest("evil/app", "", "application/vnd.oci.image.manifest.v1+json", map[string]any{
		"artifactType": `application/x"><script>window.ran=1</script>`, "config": s.blob("evil/app", `text/html`, []byte("{}")),
		"layers":      []any{s.blob("evil/app", `text/html;<script>`, []byte(script))},
		"subject":     map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": d, "size": 1},
		"annotations": notes,
	})
	html := s.manifest("evil/html", "page", "text/html", map[string]any{
		"config": s.blob("evil/html", "text/html", []byte(script)), "layers": []any{}, "annotations": map[string]string{"x": script},
	})
	b := open(t)
	asked := false
	chromedp.ListenTarget(b.ctx, func(event any) {
		if _, ok := event.(*cdppage.EventJavascriptDialogOpening); ok {
			asked = true
			go func() { _ = chromedp.Run(b.ctx, cdppage.HandleJavaScriptDialog(true)) }()
		}
	})
	b.signIn(s, "admin", adminPassword)
	for _, narrow := range []bool{false, true} {
		b.narrow(narrow)
		for _, path := range []string{
			"/", "/r/evil/app", "/r/evil/app:x", "/r/evil/app:x?reveal=1", "/r/evil/app@" + d, "/r/evil/app/-/delete?image=" + d,
			"/r/evil/app?prefix=" + url.QueryEscape(attr) + "&by=" + url.QueryEscape(script), "/?prefix=" + url.QueryEscape(attr), "/r/evil/app/-/history/x", "/r/evil/html:page", "/r/evil/html@" + html,
			"/-/records", "/-/record/0", "/-/record/1", "/search?q=" + url.QueryEscape(script), "/search?q=" + url.QueryEscape(attr+turned),
			"/search?q=evil", "/r/" + url.PathEscape(script), "/-/records?repo=" + url.QueryEscape(script), "/-/sign-in?next=" + url.QueryEscape(address),
		} {
			var ran, foreign bool
			var wide, window int
			var text string
			b.run(chromedp.Navigate(s.url+path),
				chromedp.Evaluate(`window.ran === 1`, &ran),
				chromedp.Evaluate(`[...document.querySelectorAll('[href], [src], [action]')].some(e => !/^https?:/.test(e.href ?? e.src ?? e.action))`, &foreign),
				chromedp.Evaluate(`document.documentElement.scrollWidth`, &wide), chromedp.Evaluate(`window.innerWidth`, &window),
				chromedp.Evaluate(`document.body.innerText + document.title`, &text))
			switch {
			case ran, foreign:
				t.Errorf("%s runs, or links to, what a client wrote", path)
			case wide > window:
				t.Errorf("%s is %d pixels wide in a window of %d", path, wide, window)
			case strings.ContainsAny(text, "\u202e\u2066\u200b"):
				t.Errorf("%s shows what changes the direction of text, or is invisible", path)
			}
		}
	}
	if asked {
		t.Error("a script asked something")
	}
	b.fine(refused)
}
