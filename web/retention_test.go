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
	answers["/api/v1/holds"] = `{"holds":[{"digest":"` + one + `","until":"2027-06-30T00:00:00.000000Z"}]}`
	page := shown()
	for _, want := range []string{
		"once an administrator has applied them", "tags <code>nightly-*</code> go unless one of these keeps them: <code>newest: 10</code>, <code>&lt;b&gt;</code>; all tags go",
		"What has no tag stays for 30d", `>1.0</a> <span class="quiet">held until <time datetime="2027-06-30T00:00:00.000000Z">2027-06-30</time>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not say %q:\n%s", want, page)
		}
	}
	if strings.Count(page, "held until") != 1 {
		t.Errorf("another image is held:\n%s", page)
	}
	answers["/api/v1/retention/rules"] = `{"approved":true,"rules":[{"name":"all","keep":["newest: 1"]}]}`
	if page := shown(); strings.Contains(page, "once an administrator") || !strings.Contains(page, "stays for ever") {
		t.Errorf("once they were applied:\n%s", page)
	}
}
