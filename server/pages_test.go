package server_test

import (
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/servertest"
)

// TestPagesForStrangers grants strangers a part, and wants pages to show them that, and nothing of the rest.
func TestPagesForStrangers(t *testing.T) {
	s := servertest.Start(t)
	s.Push("open/app", "1.0", "open")
	s.Push("secret/app", "1.0", "secret")
	page := func(path string) (int, string) {
		status, body, err := s.Do("GET", path, "", nil, "Accept", "text/html")
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	if status, body := page("/"); !strings.Contains(body, "Sign in") || strings.Contains(body, "open/app") {
		t.Errorf("without a grant: %d\n%s", status, body)
	}
	grant := []byte(`{"subject":"anonymous","pattern":"open/**","role":"pull"}`)
	if status, body, err := s.Do("POST", "/api/v1/access/grants", servertest.Login, grant, "Content-Type", "application/json"); status >= 300 || err != nil {
		t.Fatal(status, body, err)
	}
	for path, wants := range map[string]string{
		"/": "open/app", "/r/open/app": "1.0", "/r/open/app:1.0": "Pushed", "/r/open/app/-/history/1.0": "History", "/-/records": "open/app",
		"/search?q=app": "open/app", "/r/secret/app": "Sign in", "/r/secret/app:1.0": "Sign in", "/r/none": "Sign in",
	} {
		status, body := page(path)
		if status != 200 || !strings.Contains(body, wants) || strings.Contains(body, "secret/app</a>") {
			t.Errorf("%s: %d, without %q\n%s", path, status, wants, body)
		}
	}
}
