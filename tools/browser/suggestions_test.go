package browser

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// suggested is what the search field says of its suggestions.
type suggested struct {
	Role, Expanded, Active, Status, Selected, Where string
	Options                                         []string
}

func (b *tab) suggested() (s suggested) {
	b.t.Helper()
	b.run(chromedp.Evaluate(`(() => {
		const q = document.getElementById("q"), list = document.getElementById("suggestions");
		const chosen = list && list.querySelector("[aria-selected=true]");
		return {
			Role: q.getAttribute("role") || "", Expanded: q.getAttribute("aria-expanded") || "", Active: q.getAttribute("aria-activedescendant") || "",
			Status: (document.querySelector(".search [role=status]") || {}).textContent || "", Selected: chosen ? chosen.id : "", Where: location.pathname,
			Options: list && !list.hidden ? [...list.children].map((o) => o.textContent) : [],
		};
	})()`, &s))
	return s
}

// awaitOption waits until a text is suggested.
func (b *tab) awaitOption(typed, want string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.WaitVisible(`//li[@role="option"][contains(., "`+want+`")]`, chromedp.BySearch)); err != nil {
		b.t.Fatalf("%s suggests %q, want %q: %v", typed, b.suggested().Options, want, err)
	}
}

// TestSuggestions types into the search field, chooses by the keyboard and with the mouse, and does without scripts.
func TestSuggestions(t *testing.T) {
	s := start(t)
	last := fill(s)
	b := open(t)
	b.signIn(s, "admin", adminPassword)
	const option = "#suggestions [role=option]"
	typed := func(text, want string) suggested {
		t.Helper()
		b.run(chromedp.Navigate(s.url+"/"), chromedp.SendKeys("#q", text))
		b.awaitOption(text, want)
		return b.suggested()
	}
	for text, want := range map[string]string{
		"alp": "base/alpine repository", "lat": "team/app:latest tag", strings.TrimPrefix(last, "sha256:")[:8]: "team/app@" + last[:19] + " image, by digest, observed",
		commit[:7]: "image, by revision, claimed", "admin": "admin user", "3.22": "base/alpine:3.22 tag",
	} {
		got := typed(text, want)
		if got.Role != "combobox" || got.Expanded != "true" || got.Active != "" || !strings.Contains(got.Status, "suggestion") {
			t.Errorf("%s: the field says %+v", text, got)
		}
	}
	typed("alp", "base/alpine repository")
	b.run(chromedp.SendKeys("#q", kb.ArrowDown))
	if got := b.suggested(); got.Active != "suggestion-0" || got.Selected != "suggestion-0" {
		t.Errorf("arrow down chooses %+v", got)
	}
	b.run(chromedp.SendKeys("#q", kb.ArrowUp))
	if got := b.suggested(); got.Active != "" || got.Selected != "" {
		t.Errorf("and up again chooses %+v", got)
	}
	b.run(chromedp.SendKeys("#q", kb.ArrowDown+kb.Enter), chromedp.WaitVisible("h1"), chromedp.WaitNotPresent(option))
	if got := b.suggested(); got.Where != "/r/base/alpine" {
		t.Errorf("Enter opens %+v", got)
	}
	typed("alp", "base/alpine repository")
	b.run(chromedp.SendKeys("#q", kb.Escape))
	if got := b.suggested(); got.Expanded != "false" || len(got.Options) > 0 {
		t.Errorf("Escape leaves %+v", got)
	}
	typed("3.22", "base/alpine:3.22 tag")
	b.run(chromedp.Click(option), chromedp.WaitNotPresent(option))
	if got := b.suggested(); got.Where != "/r/base/alpine:3.22" {
		t.Errorf("a click opens %+v", got)
	}
	typed("alp", "base/alpine repository")
	b.run(chromedp.SendKeys("#q", kb.Enter), chromedp.WaitVisible("#found"))
	if got := b.suggested(); got.Where != "/search" {
		t.Errorf("Enter without a choice opens %+v", got)
	}
	typed("alp", "base/alpine repository")
	b.run(chromedp.SendKeys("#q", kb.ArrowDown+"i"+kb.Enter), chromedp.WaitVisible("#found"))
	if got := b.suggested(); got.Where != "/search" {
		t.Errorf("Enter after more was typed opens %+v", got)
	}
	for _, failed := range []string{`{ ok: false }`, `Promise.reject(new TypeError("no connection"))`} {
		typed("alp", "base/alpine repository")
		b.run(chromedp.Evaluate(`window.fetch = async () => `+failed+`; 0`, nil), chromedp.SendKeys("#q", "i"), chromedp.WaitNotPresent(option))
		b.run(chromedp.SendKeys("#q", kb.Enter), chromedp.WaitVisible("#found"))
	}
	typed("alp", "base/alpine repository")
	b.run(chromedp.Evaluate(`document.querySelector("#suggestions [role=option]").dataset.address = "#stopped"; 0`, nil), chromedp.SendKeys("#q", kb.ArrowDown+kb.Enter))
	b.run(chromedp.SendKeys("#q", kb.Enter), chromedp.WaitVisible("#found")) // as the page is still there
	b.scripts(false)
	b.run(chromedp.Navigate(s.url+"/"), chromedp.SendKeys("#q", "alp"+kb.Enter), chromedp.WaitVisible("#found"))
	b.fine()
}
