package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// pagesOf are pages of every kind, over what fill pushed.
func pagesOf(last string) []string {
	return []string{
		"/", "/?order=name&prefix=team", "/?prefix=none", "/r/team/app", "/r/team/app?by=admin", "/r/team/app?prefix=none", "/r/team/app:1.2", "/r/team/app:1.2?reveal=1",
		"/r/team/app:latest", "/r/team/app@" + last, "/r/team/app/-/history/latest", "/r/team/app/-/history/latest?at=2020-01-01",
		"/r/team/app/-/remove?tag=1.0@" + last, "/r/team/app/-/delete?tag=1.2@" + last + "&tag=1.1@" + last,
		"/-/record/3", "/-/records?repo=team/app", "/search?q=" + commit, "/search?q=nothing+like+it", "/r/none", "/-/none",
	}
}

// TestTidy has Debian's tidy read every page, with its forms: it finds no error.
func TestTidy(t *testing.T) {
	s := start(t)
	last := fill(s)
	s.api("POST", "/api/v1/users", map[string]any{"name": "nobody", "password": bobPassword})
	b := open(t)
	sent := func(path string) (body string) {
		b.run(chromedp.Evaluate("fetch("+strconv.Quote(path)+", {headers: {Accept: 'text/html'}}).then(r => r.text())", &body, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		return body
	}
	bodies := map[string]string{}
	b.run(chromedp.Navigate(s.url + "/-/sign-in"))
	bodies["/-/sign-in"] = sent("/-/sign-in")
	b.signIn(s, "admin", adminPassword)
	for _, path := range pagesOf(last) {
		bodies[path] = sent(path)
	}
	b.run(chromedp.Click("nav.who button"), chromedp.WaitVisible("#password"))
	b.signIn(s, "nobody", bobPassword)
	if bodies["the first visit"] = sent("/"); !strings.Contains(bodies["the first visit"], "Nothing here yet") {
		t.Errorf("who may see nothing is shown\n%s", bodies["the first visit"])
	}
	for path, body := range bodies {
		if wrong := tidy(t, body); wrong != "" {
			t.Errorf("%s: %s", path, wrong)
		}
		if tidy(t, strings.Replace(body, "<h1>", "<h1><nothing>", 1)) == "" {
			t.Errorf("%s: tidy notices nothing", path)
		}
	}
}

// tidy returns what tidy says of a page with an error, or "".
func tidy(t *testing.T, page string) string {
	t.Helper()
	cmd := exec.Command("tidy", "-e", "-q", "-utf8")
	cmd.Stdin = strings.NewReader(page)
	said, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() == 1 { // it has warnings
		return ""
	}
	return fmt.Sprintf("%v\n%s", err, said)
}

// wantsName are the roles of what somebody uses, and has to know by a name.
var wantsName = []string{"link", "button", "textbox", "searchbox", "checkbox", "radio", "combobox", "listbox", "img", "navigation"}

// nodes is the accessibility tree of the page, as a screen reader has it.
func (b *tab) nodes() (all []*accessibility.Node) {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		all, err = accessibility.GetFullAXTree().Do(ctx)
		return err
	}))
	return slices.DeleteFunc(all, func(n *accessibility.Node) bool { return n.Ignored })
}

// said is what a value of the tree says.
func said(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var text string
	if json.Unmarshal(v.Value, &text) != nil {
		return string(v.Value)
	}
	return text
}

// TestAccessible reads every page as a screen reader does: what can be used has a name, headings go down one level at a time
// from the only first one, and there is one main part. The first key leads past what every page begins with.
func TestAccessible(t *testing.T) {
	s := start(t)
	last := fill(s)
	b := open(t)
	b.signIn(s, "admin", adminPassword)
	for _, path := range pagesOf(last) {
		b.run(chromedp.Navigate(s.url + path))
		level, firsts, mains := 0, 0, 0
		for _, n := range b.nodes() {
			role, name := said(n.Role), strings.TrimSpace(said(n.Name))
			if slices.Contains(wantsName, role) && name == "" {
				t.Errorf("%s: a %s has no name", path, role)
			}
			switch role {
			case "main":
				mains++
			case "heading":
				now := levelOf(n)
				if now > level+1 {
					t.Errorf("%s: the heading %q of level %d follows one of level %d", path, name, now, level)
				}
				if level = now; now == 1 {
					firsts++
				}
			}
		}
		if firsts != 1 || mains != 1 {
			t.Errorf("%s has %d first headings and %d main parts", path, firsts, mains)
		}
		b.keys(path)
	}
	b.run(chromedp.Navigate(s.url+"/"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	var at string
	if b.run(chromedp.Location(&at)); !strings.HasSuffix(at, "#main") {
		t.Errorf("the first key leads to %s", at)
	}
	b.fine(refused)
}

func levelOf(n *accessibility.Node) (level int) {
	for _, p := range n.Properties {
		if p.Name == accessibility.PropertyNameLevel {
			_ = json.Unmarshal(p.Value.Value, &level)
		}
	}
	return level
}

// keys wants the keyboard to come to everything that can be used, in the order in which it is read.
func (b *tab) keys(path string) {
	b.t.Helper()
	var usable int
	const mark = `(() => { let n = 0; for (const e of document.querySelectorAll('a[href], button, input:not([type=hidden]), summary, select, textarea, [tabindex]')) {
		if (e.checkVisibility() && e.tabIndex >= 0) e.dataset.order = n++; } return n })()`
	b.run(chromedp.Evaluate(mark, &usable), chromedp.Evaluate(`document.activeElement.blur(); window.getSelection().removeAllRanges()`, nil))
	for want := range min(usable, 40) {
		var at string
		b.run(chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.dataset.order ?? document.activeElement.outerHTML.slice(0, 80)`, &at))
		if at != fmt.Sprint(want) {
			b.t.Errorf("%s: key %d leads to %s", path, want+1, at)
			return
		}
	}
}

// contrasts measures every text of a page against what is behind it (WCAG 2.2, 1.4.3), and returns those under 4.5, or under 3
// where it is large.
const contrasts = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	canvas.canvas.width = canvas.canvas.height = 1;
	const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255] };
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
	const ground = e => { const layers = []; for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((under, c) => over(c, under), rgba('Canvas')) };
	const poor = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let measured = 0;
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.checkVisibility() || /SCRIPT|STYLE/.test(e.tagName)) continue;
		const style = getComputedStyle(e), behind = ground(e), a = light(over(rgba(style.color), behind)), b = light(behind);
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05), size = parseFloat(style.fontSize);
		measured++;
		if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5)) poor.push(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.className + ' ' + walk.currentNode.data.trim().slice(0, 30));
	}
	for (const e of document.querySelectorAll('input[placeholder]')) {
		const behind = ground(e), a = light(over(rgba(getComputedStyle(e, '::placeholder').color), behind)), b = light(behind);
		if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5) poor.push('placeholder ' + e.placeholder);
	}
	return measured < 10 ? ['only ' + measured + ' texts'] : poor;
})()`

// TestContrast measures the colours that a browser computes, in both schemes.
func TestContrast(t *testing.T) {
	s := start(t)
	last := fill(s)
	b := open(t)
	b.signIn(s, "admin", adminPassword)
	for _, scheme := range []string{"light", "dark"} {
		b.media("screen", scheme)
		for _, path := range pagesOf(last) {
			var poor []string
			b.run(chromedp.Navigate(s.url+path), chromedp.Evaluate(contrasts, &poor))
			for _, p := range poor {
				t.Errorf("%s, %s: too little contrast: %s", path, scheme, p)
			}
		}
	}
	var caught []string
	b.run(chromedp.Evaluate(`document.querySelector('h1').style.color = '#777'; document.body.style.background = '#888'`, nil), chromedp.Evaluate(contrasts, &caught))
	if len(caught) == 0 {
		t.Error("grey on grey was not noticed")
	}
}
