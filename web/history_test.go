package web

import (
	"strings"
	"testing"
)

// TestHistoryTellsNoDisputedCommit wants a history to read claims as lists of tags do: a commit that two claims dispute is not told, and one
// that belongs to no source is not paired with another claim's.
func TestHistoryTellsNoDisputedCommit(t *testing.T) {
	d := "sha256:" + strings.Repeat("1", 64)
	claim := func(fact, value, from string) string {
		return `{"fact":"` + fact + `","value":"` + value + `","about":"` + d + `","from":"` + from + `"}`
	}
	const annotation, label = "annotation org.opencontainers.image.", "label org.opencontainers.image."
	for name, c := range map[string]struct {
		claims []string
		says   bool
	}{
		"one commit":  {[]string{claim("source", "https://git.example/x", annotation+"source"), claim("revision", "c0ffee1", annotation+"revision")}, true},
		"two commits": {[]string{claim("source", "https://git.example/x", annotation+"source"), claim("revision", "c0ffee1", annotation+"revision"), claim("revision", "c0ffee2", label+"revision")}, false},
		"no source":   {[]string{claim("revision", "c0ffee1", annotation+"revision")}, false},
	} {
		b := newBrowser(t, fixedAPI{"/api/v1/history": `{"moves":[{"to":"` + d + `","record":{"index":1,"action":"push","digest":"` + d + `","claimed":[` + strings.Join(c.claims, ",") + `]}}]}`})
		b.cookies["__Host-hallmark-session-443"] = "cookie"
		body := b.send("GET", "/r/team/app/-/history/1.0", "", nil).Body.String()
		if !strings.Contains(body, "Moves of 1.0") || strings.Contains(body, "c0ffee1") != c.says {
			t.Errorf("%s: it tells the commit: %v", name, !c.says)
		}
	}
}
