package web

import (
	"strings"
	"testing"
)

// TestRetentionOfRepository shows by which rules tags go, and which images are held, on the page of a repository; nothing of it where the API tells nothing.
func TestRetentionOfRepository(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	answers := fixedAPI{
		"/api/v1/tags": `{"tags":[{"name":"1.0","digest":"` + one + `"},{"name":"2.0","digest":"` + two + `"}]}`,
	}
	b := newBrowser(t, answers)
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	shown := func() string { return b.send("GET", "/r/team/app", "", nil).Body.String() }
	if page := shown(); strings.Contains(page, "retention") || strings.Contains(page, "held until") {
		t.Errorf("who is told nothing sees\n%s", page)
	}
	answers["/api/v1/retention/rules"] = `{"approved":false,"untagged":"30d","rules":[{"name":"nightly","tags":["nightly-*"],"keep":["newest: 10","<b>"]},{"name":"all","keep":["younger: 90d"]}]}`
	answers["/api/v1/tags"] = `{"tags":[{"name":"1.0","digest":"` + one + `","heldUntil":"2027-06-30T00:00:00.000000Z","expiry":{"state":"until","at":"2027-06-30T00:00:00.000000Z","rule":"all","why":"held until <b>"}},` +
		`{"name":"2.0","digest":"` + two + `","expiry":{"state":"goes","rule":"nightly"}},{"name":"3.0","digest":"` + two + `","expiry":{"state":"open","why":"only a plan tells"}}]}`
	page := shown()
	for _, want := range []string{
		"once an administrator has applied them", "tags <code>nightly-*</code> go unless one of these keeps them: <code>newest: 10</code>, <code>&lt;b&gt;</code>; all tags go",
		`stays until <time datetime="2027-06-30T00:00:00.000000Z">2027-06-30</time> <span class="quiet">held until &lt;b&gt;</span>`,
		`<strong>goes</strong> <span class="quiet">with the next plan that somebody applies, by rule nightly</span>`, `<span class="quiet">only a plan tells</span>`,
		"What has no tag stays for 30d", `>1.0</a> <span class="quiet">held until <time datetime="2027-06-30T00:00:00.000000Z">2027-06-30</time>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not say %q:\n%s", want, page)
		}
	}
	if strings.Count(page, "held until <time") != 1 {
		t.Errorf("another image is held:\n%s", page)
	}
	answers["/api/v1/retention/rules"] = `{"approved":true,"every":"24h","rules":[{"name":"all","keep":["newest: 1"]}]}`
	if page := shown(); strings.Contains(page, "once an administrator") || !strings.Contains(page, "stays for ever") || !strings.Contains(page, "with the next run, by rule") {
		t.Errorf("once they were applied:\n%s", page)
	}
	answers["/api/v1/retention/rules"] = `{"approved":true,"every":"24h","stopped":true,"rules":[{"name":"all","keep":["newest: 1"]}]}`
	if page := shown(); !strings.Contains(page, "left this repository alone") || strings.Contains(page, "with the next run, by rule") {
		t.Errorf("left alone:\n%s", page)
	}
	answers["/api/v1/retention/rules"] = `{"approved":true,"every":"24h","mayBeStopped":true,"rules":[{"name":"all","keep":["newest: 1"]}]}`
	if page := shown(); !strings.Contains(page, "with the next run, unless it leaves this repository alone, by rule") || strings.Contains(page, "The last run left") {
		t.Errorf("perhaps left alone:\n%s", page)
	}
}
