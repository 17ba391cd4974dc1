package main

import (
	"encoding/json"
	"testing"
)

// TestGrantsInQueries names grants in queries as clients write them: a plus or a semicolon as it is, or
// encoded. What is revoked is what was meant, and the next page asks what the first did.
func TestGrantsInQueries(t *testing.T) {
	t.Parallel()
	s := insecure(t)
	const job = "ci:https://issuer.example:repository_id=1,environment="
	grant := func(environment, pattern string) {
		t.Helper()
		body := map[string]string{"subject": job + environment, "pattern": pattern, "role": "push"}
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, said := s.do("POST", "/api/v1/access/grants", "", string(encoded), "Content-Type", "application/json"); status != 201 {
			t.Fatalf("%s: %d %s", encoded, status, said)
		}
	}
	left := func(query string) (n int) {
		t.Helper()
		for path := "/api/v1/access/grants" + query; path != ""; {
			var page struct {
				Grants []struct{ Subject string }
				Next   string
			}
			if err := json.Unmarshal([]byte(s.want(200, "GET", path)), &page); err != nil {
				t.Fatal(err)
			}
			n, path = n+len(page.Grants), page.Next
		}
		return n
	}
	before := left("")
	for _, c := range []struct{ environment, written string }{
		{"a+b", "a+b"}, {"a+b", "a%2Bb"}, {"a;b", "a;b"}, {"a;b", "a%3Bb"},
	} {
		grant(c.environment, "team/**")
		path := "/api/v1/access/grants?pattern=team/**&role=push&subject=" + job + c.written
		if status, _, said := s.do("DELETE", path, "", ""); status >= 300 || left("") != before {
			t.Errorf("%q, written as %s, is not revoked: %d %s", c.environment, c.written, status, said)
		}
	}
	for _, pattern := range []string{"one/**", "two/**", "three/**"} {
		grant("a;b", pattern)
		grant("x+y", pattern)
	}
	for _, environment := range []string{"a;b", "x+y", "x%2By"} {
		if n := left("?limit=1&subject=ci:https://issuer.example:environment=" + environment + ",repository_id=1"); n != 3 {
			t.Errorf("pages of %s have %d grants", environment, n)
		}
	}
}
