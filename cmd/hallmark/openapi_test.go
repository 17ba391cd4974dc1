package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/api/apitest"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// asked is a request, and what the description has to say of its answer.
type asked struct {
	method, path, route string
	login, body         string
	header              []string
	status              int
}

// trialRules does not let anything in: by a rule that says so, by one that warns, and by one that fails.
const trialRules = `rules:
  - {name: never, repositories: "**", at: [push, pull], require: 'false', owner: alice}
  - {name: hardly, repositories: "**", at: tag, effect: warn, require: 'report.grade == "A"', owner: alice}
  - {name: broken, repositories: "**", at: tag, require: 'who.claims["x"] == "y"', owner: alice}
`

// planOf is a plan of retention that removes nothing, made by a file of rules.
func planOf(rules string) string {
	lines := `{"plan":{"version":1,"rules":"` + digest.FromString(rules).String() + `","time":"2027-01-01T00:00:00.000000Z"}}` + "\n"
	return lines + `{"digest":"` + digest.FromString(lines).String() + `"}` + "\n"
}

func quote(s string) string { return string(mustMarshal(s)) }

// TestOpenAPI holds the description against real answers of a real server: every operation and every
// status that it names is asked for, and every answer has the shape that it says.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	cosigner := newCosigner(t)
	s := startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", cosigner.config)
	one := s.push("team/app", "1.0", "one", map[string]string{"org.opencontainers.image.source": "https://git.example/team/app"})
	s.push("team/app", "1.0", "two", nil)
	s.push("team/app", "2.0", "two", nil)
	s.push("team/on", "1.0", "three", map[string]string{"org.opencontainers.image.base.digest": one})
	s.push("team/web", "1.0", "one", nil)
	s.push("team/web", "commit", "four", map[string]string{"org.opencontainers.image.revision": "0123456789abcdef0123456789abcdef01234567"})
	s.want(202, "DELETE", "/v2/team/app/manifests/2.0")
	gone := s.push("lib/gone", "1.0", "gone", nil)
	s.want(202, "DELETE", "/v2/lib/gone/manifests/"+gone)
	s.push("lib/gone", "1.0", "another", nil)
	for range 105 {
		s.push("team/app", "again", "one", nil)
	}
	const json, user = "application/json", `{"name":"alice","password":"wonderland-1"}`
	const rule = `{"repositories":"never/**","tags":"v*","except":["*-dev"]}`
	hold := `{"repository":"team/app","ref":"` + one + `","until":"2100-01-01T00:00:00Z","reason":"an audit"}`
	js := []string{"Content-Type", json}
	veryLarge := `{"teams":{"` + strings.Repeat("x", 5<<20) + `":[]}}`
	large := `{"name":"` + strings.Repeat("x", 100<<10) + `"}`
	requests := []asked{
		{method: "GET", path: "/api/v1/records", status: 200},
		{method: "GET", path: "/api/v1/records?limit=1&order=asc", status: 200},
		{method: "GET", path: "/api/v1/records?repo=team/app&tag=1.0&digest=" + one + "&identity=admin&source=git.example/team/app&action=push&class=claimed&since=2001-01-01&until=2100-01-01T00:00:00Z&after=100000", status: 200},
		{method: "GET", path: "/api/v1/records?action=untag", status: 200},
		{method: "GET", path: "/api/v1/records?nonsense=1", status: 400},
		{method: "GET", path: "/api/v1/records", login: "none", status: 401},
		{method: "GET", path: "/api/v1/records/statements?limit=1", status: 200},
		{method: "GET", path: "/api/v1/records/statements?from=1&limit=1000", status: 200},
		{method: "GET", path: "/api/v1/records/statements?from=x", status: 400},
		{method: "GET", path: "/api/v1/records/statements", login: "none", status: 401},
		{method: "GET", path: "/api/v1/records/export?limit=2&order=asc&receipts=true", status: 200},
		{method: "GET", path: "/api/v1/records/export?repo=team/app&tag=1.0", status: 200},
		{method: "GET", path: "/api/v1/records/export?receipts=maybe", status: 400},
		{method: "GET", path: "/api/v1/records/export", login: "none", status: 401},
		{method: "GET", path: "/api/v1/records/0", route: "/api/v1/records/{index}", status: 200},
		{method: "GET", path: "/api/v1/records/x", route: "/api/v1/records/{index}", status: 400},
		{method: "GET", path: "/api/v1/records/99999", route: "/api/v1/records/{index}", status: 404},
		{method: "GET", path: "/api/v1/records/0", route: "/api/v1/records/{index}", login: "none", status: 401},
		{method: "GET", path: "/api/v1/repositories?limit=1", status: 200},
		{method: "GET", path: "/api/v1/repositories?order=newest&prefix=team/", status: 200},
		{method: "GET", path: "/api/v1/repositories?limit=0", status: 400},
		{method: "GET", path: "/api/v1/repositories", login: "none", status: 401},
		{method: "GET", path: "/api/v1/tags?repo=team/app", status: 200},
		{method: "GET", path: "/api/v1/tags?repo=team/app&order=newest&images=true&identity=user:admin&prefix=1&expiry=true", status: 200},
		{method: "GET", path: "/api/v1/tags", status: 400},
		{method: "GET", path: "/api/v1/tags?repo=nowhere", status: 404},
		{method: "GET", path: "/api/v1/tags?repo=x", login: "none", status: 401},
		{method: "GET", path: "/api/v1/deletable?repo=team/app&digest=" + one, status: 200},
		{method: "GET", path: "/api/v1/deletable?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/deletable?repo=nowhere&digest=" + one, status: 404},
		{method: "GET", path: "/api/v1/deletable?repo=x&digest=" + one, login: "none", status: 401},
		{method: "POST", path: "/api/v1/holds", body: hold, header: js, status: 201},
		{method: "POST", path: "/api/v1/holds", body: `{"repository":"team/app"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/holds", body: hold, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/holds", body: strings.Replace(hold, one, "none", 1), header: js, status: 404},
		{method: "POST", path: "/api/v1/holds", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/holds", body: hold, status: 415},
		{method: "POST", path: "/api/v1/holds", body: strings.Replace(hold, "2100", "2001", 1), header: js, status: 422},
		{method: "GET", path: "/api/v1/holds?repo=team/app&limit=1", status: 200},
		{method: "GET", path: "/api/v1/holds", status: 200},
		{method: "GET", path: "/api/v1/holds?after=x", status: 400},
		{method: "GET", path: "/api/v1/holds", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/holds?repo=team/app", route: "/api/v1/holds", status: 400},
		{method: "DELETE", path: "/api/v1/holds?repo=team/app&digest=" + one, route: "/api/v1/holds", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/holds?repo=team/app&digest=" + one, route: "/api/v1/holds", status: 204},
		{method: "DELETE", path: "/api/v1/holds?repo=team/app&digest=" + one, route: "/api/v1/holds", status: 404},
		{method: "GET", path: "/api/v1/retention/rules", status: 200},
		{method: "GET", path: "/api/v1/retention/rules?x=1", status: 400},
		{method: "GET", path: "/api/v1/retention/rules?repo=team/app", status: 200},
		{method: "GET", path: "/api/v1/retention/rules", login: "none", status: 401},
		{method: "GET", path: "/api/v1/retention/plan", status: 200},
		{method: "GET", path: "/api/v1/retention/plan?x=1", status: 400},
		{method: "GET", path: "/api/v1/retention/plan", login: "none", status: 401},
		{method: "POST", path: "/api/v1/retention/apply", body: planOf(""), header: js, status: 200},
		{method: "POST", path: "/api/v1/retention/apply", body: planOf(""), header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/retention/apply", body: planOf("others"), header: js, status: 409},
		{method: "POST", path: "/api/v1/retention/apply", body: planOf(""), status: 415},
		{method: "POST", path: "/api/v1/retention/apply", body: "{}", header: js, status: 400},
		{method: "POST", path: "/api/v1/retention/apply", body: veryLarge, header: js, status: 413},
		{method: "GET", path: "/api/v1/digests?repo=team/app&prefix=" + one[:12], status: 200},
		{method: "GET", path: "/api/v1/digests?repo=team/app&prefix=sha256:x", status: 400},
		{method: "GET", path: "/api/v1/digests?repo=nowhere&prefix=sha256:1", status: 404},
		{method: "GET", path: "/api/v1/digests?repo=x&prefix=sha256:1", login: "none", status: 401},
		{method: "GET", path: "/api/v1/digests?prefix=" + one[:12], status: 200},
		{method: "GET", path: "/api/v1/digests?prefix=sha256:1", status: 400},
		{method: "GET", path: "/api/v1/digests?prefix=sha256:0000000000", status: 200},
		{method: "GET", path: "/api/v1/digests?prefix=sha256:1234", login: "none", status: 401},
		{method: "GET", path: "/api/v1/commits?prefix=xyz", status: 400},
		{method: "GET", path: "/api/v1/commits?prefix=0123456", status: 200},
		{method: "GET", path: "/api/v1/commits?prefix=1234", login: "none", status: 401},
		{method: "GET", path: "/api/v1/history?repo=team/app&tag=1.0&limit=1", status: 200},
		{method: "GET", path: "/api/v1/history?repo=team/app&tag=2.0", status: 200},
		{method: "GET", path: "/api/v1/history?repo=team/app&tag=1.0&at=2100-01-01", status: 200},
		{method: "GET", path: "/api/v1/history?repo=team/app&tag=1.0&at=2001-01-01", status: 404},
		{method: "GET", path: "/api/v1/history?repo=team/app&tag=1.0&at=yesterday", status: 400},
		{method: "GET", path: "/api/v1/history?repo=x&tag=y", login: "none", status: 401},
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=" + one, status: 200},
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=none", status: 404},
		{method: "GET", path: "/api/v1/image?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/image?repo=x&ref=y", login: "none", status: 401},
		{method: "GET", path: "/api/v1/report?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/report?repo=team/app&ref=none", status: 404},
		{method: "GET", path: "/api/v1/report?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/report?repo=x&ref=y", login: "none", status: 401},
		{method: "GET", path: "/api/v1/contents?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/contents?repo=team/app&ref=none", status: 404},
		{method: "GET", path: "/api/v1/contents?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/contents?repo=x&ref=y", login: "none", status: 401},
		{method: "GET", path: "/api/v1/search?q=app", status: 200},
		{method: "GET", path: "/api/v1/search?q=0", status: 200},
		{method: "GET", path: "/api/v1/search?q=team/app:1.0", status: 200},
		{method: "GET", path: "/api/v1/search?q=" + one, status: 200},
		{method: "GET", path: "/api/v1/search?q=admin", status: 200},
		{method: "GET", path: "/api/v1/search", status: 400},
		{method: "GET", path: "/api/v1/search?q=app", login: "none", status: 401},
		{method: "GET", path: "/api/v1/evidence?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/evidence?repo=team/app&layers=true&documents=false&ref=" + one, status: 200},
		{method: "GET", path: "/api/v1/evidence?repo=team/app&ref=none", status: 404},
		{method: "GET", path: "/api/v1/evidence?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/evidence?repo=x&ref=y", login: "none", status: 401},
		{method: "GET", path: "/api/v1/documents/policy", route: "/api/v1/documents/{kind}", status: 200},
		{method: "PUT", path: "/api/v1/documents/policy?dryRun=true", route: "/api/v1/documents/{kind}", body: `{"version":0,"text":` + quote(trialRules) + `}`, header: js, status: 200},
		{method: "PUT", path: "/api/v1/documents/issuers", route: "/api/v1/documents/{kind}", body: `{"version":0,"text":"oidc: []"}`, header: js, status: 200},
		{method: "PUT", path: "/api/v1/documents/issuers", route: "/api/v1/documents/{kind}", body: `{"version":0,"text":"{}"}`, header: js, status: 409},
		{method: "PUT", path: "/api/v1/documents/policy", route: "/api/v1/documents/{kind}", body: `{"text":"rules: [{}]"}`, header: js, status: 422},
		{method: "PUT", path: "/api/v1/documents/policy?x=1", route: "/api/v1/documents/{kind}", body: `{"text":""}`, header: js, status: 400},
		{method: "PUT", path: "/api/v1/documents/none", route: "/api/v1/documents/{kind}", body: `{"text":""}`, header: js, status: 404},
		{method: "PUT", path: "/api/v1/documents/policy", route: "/api/v1/documents/{kind}", body: veryLarge, header: js, status: 413},
		{method: "PUT", path: "/api/v1/documents/policy", route: "/api/v1/documents/{kind}", body: `{}`, status: 415},
		{method: "PUT", path: "/api/v1/documents/policy", route: "/api/v1/documents/{kind}", body: `{}`, header: js, login: "none", status: 401},
		{method: "GET", path: "/api/v1/documents/issuers", route: "/api/v1/documents/{kind}", status: 200},
		{method: "GET", path: "/api/v1/documents/issuers?version=9", route: "/api/v1/documents/{kind}", status: 404},
		{method: "GET", path: "/api/v1/documents/issuers?x=1", route: "/api/v1/documents/{kind}", status: 400},
		{method: "GET", path: "/api/v1/documents/issuers", route: "/api/v1/documents/{kind}", login: "none", status: 401},
		{method: "GET", path: "/api/v1/documents/issuers/history", route: "/api/v1/documents/{kind}/history", status: 200},
		{method: "GET", path: "/api/v1/documents/issuers/history?x=1", route: "/api/v1/documents/{kind}/history", status: 400},
		{method: "GET", path: "/api/v1/documents/none/history", route: "/api/v1/documents/{kind}/history", status: 404},
		{method: "GET", path: "/api/v1/documents/issuers/history", route: "/api/v1/documents/{kind}/history", login: "none", status: 401},
		{method: "GET", path: "/api/v1/policy", status: 200},
		{method: "GET", path: "/api/v1/policy?x=1", status: 400},
		{method: "GET", path: "/api/v1/policy", login: "none", status: 401},
		{method: "POST", path: "/api/v1/policy/test", body: `{"images":[{"repository":"team/app","tag":"1.0"},{"repository":"team/app","tag":"none"}],"file":` + quote(trialRules) + `}`, header: js, status: 200},
		{method: "POST", path: "/api/v1/policy/test", body: `{"images":[]}`, header: js, status: 200},
		{method: "POST", path: "/api/v1/policy/test", body: `{"images":[],"file":"rules: [{}]"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/policy/test", body: `{"image":[]}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/policy/test", body: veryLarge, header: js, status: 413},
		{method: "POST", path: "/api/v1/policy/test", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/policy/test", body: `{}`, header: js, login: "none", status: 401},
		{method: "GET", path: "/api/v1/sources?source=git.example/team/app&limit=1", status: 200},
		{method: "GET", path: "/api/v1/sources?revision=c1&repo=team/app", status: 200},
		{method: "GET", path: "/api/v1/sources?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/sources?revision=x&after=nonsense", status: 400},
		{method: "GET", path: "/api/v1/sources?revision=x", login: "none", status: 401},
		{method: "GET", path: "/api/v1/descendants?base=" + one, status: 200},
		{method: "GET", path: "/api/v1/descendants?repo=team/app&ref=1.0&limit=1", status: 200},
		{method: "GET", path: "/api/v1/descendants?derived=true&base=" + one, status: 200},
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=1.0&derived=true", status: 200},
		{method: "GET", path: "/api/v1/descendants?repo=team/app&ref=none", status: 404},
		{method: "GET", path: "/api/v1/descendants?repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/descendants?base=" + one, login: "none", status: 401},
		{method: "POST", path: "/api/v1/users", body: user, header: js, status: 201},
		{method: "POST", path: "/api/v1/users", body: user, header: js, status: 409},
		{method: "POST", path: "/api/v1/users", body: `{"name":"bob","password":"short"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/users", body: `{"nam":"bob"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/users", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/users", body: user, status: 415},
		{method: "POST", path: "/api/v1/users", body: user, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/users", body: user, header: js, login: "none", status: 401},
		{method: "GET", path: "/api/v1/users?limit=1", status: 200},
		{method: "GET", path: "/api/v1/users?x=1", status: 400},
		{method: "GET", path: "/api/v1/users", login: "none", status: 401},
		{method: "GET", path: "/api/v1/users", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/check", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/scrub", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/pulls?all=true", route: "/api/v1/pulls", login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/scrub", body: "{}", header: js, login: "alice:wonderland-1", status: 403},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"a","bytes":5}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/quota?repo=no/where", login: "alice:wonderland-1", status: 404},
		{method: "GET", path: "/api/v1/quota", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/quota?pattern=never/**", route: "/api/v1/quota", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/usage", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/policy", login: "alice:wonderland-1", status: 403},
		{method: "PUT", path: "/api/v1/documents/policy", route: "/api/v1/documents/{kind}", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/documents/issuers", route: "/api/v1/documents/{kind}", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/documents/issuers/history", route: "/api/v1/documents/{kind}/history", login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/policy/test", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "PUT", path: "/api/v1/users/alice/password", route: "/api/v1/users/{name}/password", body: `{"password":"wonderland-2"}`, header: js, status: 204},
		{method: "PUT", path: "/api/v1/users/nobody/password", route: "/api/v1/users/{name}/password", body: `{"password":"wonderland-2"}`, header: js, status: 404},
		{method: "PUT", path: "/api/v1/users/alice/password", route: "/api/v1/users/{name}/password", body: `{"password":"x"}`, header: js, status: 422},
		{method: "PUT", path: "/api/v1/users/alice/password", route: "/api/v1/users/{name}/password", body: `[]`, header: js, status: 400},
		{method: "PUT", path: "/api/v1/users/alice/password", route: "/api/v1/users/{name}/password", body: large, header: js, status: 413},
		{method: "PUT", path: "/api/v1/users/alice/password", route: "/api/v1/users/{name}/password", body: `{}`, status: 415},
		{method: "PUT", path: "/api/v1/users/alice/password", route: "/api/v1/users/{name}/password", body: `{}`, header: js, login: "none", status: 401},
		{method: "PUT", path: "/api/v1/users/admin/password", route: "/api/v1/users/{name}/password", body: `{}`, header: js, login: "alice:wonderland-2", status: 403},
		{method: "DELETE", path: "/api/v1/users/admin", route: "/api/v1/users/{name}", login: "alice:wonderland-2", status: 403},
		{method: "DELETE", path: "/api/v1/users/alice", route: "/api/v1/users/{name}", status: 204},
		{method: "DELETE", path: "/api/v1/users/alice", route: "/api/v1/users/{name}", status: 404},
		{method: "DELETE", path: "/api/v1/users/alice", route: "/api/v1/users/{name}", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/users/admin", route: "/api/v1/users/{name}", status: 409},
		{method: "POST", path: "/api/v1/users", body: user, header: js, status: 201},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"team/**","role":"push"}`, header: js, status: 201},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"team/**","role":"push"}`, header: js, status: 200},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"team/**"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/access/grants", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"**","role":"admin"}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"user:nobody","pattern":"**","role":"pull"}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/access/grants", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/access/grants", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"anonymous","pattern":"**","role":"push"}`, header: js, status: 422},
		{method: "GET", path: "/api/v1/access/grants?limit=1", status: 200},
		{method: "GET", path: "/api/v1/access/grants?repo=team/app&subject=user:alice", login: "alice:wonderland-1", status: 200},
		{method: "GET", path: "/api/v1/deletable?repo=team/app&digest=" + one, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"lib/**","role":"pull"}`, header: js, status: 201},
		{method: "GET", path: "/api/v1/trash?repo=lib/gone", status: 200},
		{method: "GET", path: "/api/v1/trash?after=x", status: 400},
		{method: "GET", path: "/api/v1/trash", login: "none", status: 401},
		{method: "GET", path: "/api/v1/trash?repo=lib/gone", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/trash?repo=no/where", login: "alice:wonderland-1", status: 404},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{"repository":"lib/gone","reference":"1.0"}`, header: js, status: 409},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{"repository":"lib/gone"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{"repository":"lib/gone","reference":"` + gone + `"}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{"repository":"lib/gone","reference":"` + gone + `"}`, header: js, status: 200},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{"repository":"lib/gone","reference":"` + gone + `"}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/trash/undelete", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/trash/undelete", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/import", body: `{"registry":"unknown.invalid","repositories":["team/app"]}`, header: js, status: 200},
		{method: "POST", path: "/api/v1/import", body: `{}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/import", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/import", body: `{"registry":"unknown.invalid"}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/import", body: `{"registry":"no/registry"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/import", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/import", body: `{}`, status: 415},
		{method: "GET", path: "/api/v1/mirrors", status: 200},
		{method: "GET", path: "/api/v1/mirrors?x=1", status: 400},
		{method: "GET", path: "/api/v1/mirrors", login: "none", status: 401},
		{method: "GET", path: "/api/v1/mirrors", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/mirrors/hub", route: "/api/v1/mirrors/{name}", status: 404},
		{method: "GET", path: "/api/v1/mirrors/hub?x=1", route: "/api/v1/mirrors/{name}", status: 400},
		{method: "GET", path: "/api/v1/mirrors/hub", route: "/api/v1/mirrors/{name}", login: "none", status: 401},
		{method: "GET", path: "/api/v1/mirrors/hub", route: "/api/v1/mirrors/{name}", login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/mirrors/hub/run", route: "/api/v1/mirrors/{name}/run", body: `{}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/mirrors/hub/run", route: "/api/v1/mirrors/{name}/run", body: `{"x":1}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/mirrors/hub/run", route: "/api/v1/mirrors/{name}/run", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/mirrors/hub/run", route: "/api/v1/mirrors/{name}/run", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/mirrors/hub/run", route: "/api/v1/mirrors/{name}/run", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/mirrors/hub/run", route: "/api/v1/mirrors/{name}/run", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/mirrors/approve", body: `{"repository":"team/app","reference":"1.0"}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/mirrors/approve", body: `{}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/mirrors/approve", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/mirrors/approve", body: `{"repository":"team/app","reference":"1.0"}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/mirrors/approve", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/mirrors/approve", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/trash/empty", body: `{"repository":"lib/gone"}`, header: js, status: 200},
		{method: "POST", path: "/api/v1/trash/empty", body: `{"reference":"1.0"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/trash/empty", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/trash/empty", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/trash/empty", body: `{"repository":"lib/gone","reference":"` + gone + `"}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/trash/empty", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/trash/empty", body: `{}`, status: 415},
		{method: "GET", path: "/api/v1/holds", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/retention/rules", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/retention/rules?repo=nowhere", login: "alice:wonderland-1", status: 404},
		{method: "GET", path: "/api/v1/retention/plan", login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/retention/apply", body: planOf(""), header: js, login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/holds?repo=other/none", login: "alice:wonderland-1", status: 404},
		{method: "POST", path: "/api/v1/holds", body: hold, header: js, login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/holds?repo=team/app&digest=" + one, route: "/api/v1/holds", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/access/grants?x=1", status: 400},
		{method: "GET", path: "/api/v1/access/may?subject=user:admin&role=push&repo=team/app", status: 200},
		{method: "GET", path: "/api/v1/access/may?subject=user:admin&role=push&repo=team/app", login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/access/may?subject=user:admin&role=push&repo=team/app", login: "none", status: 401},
		{method: "GET", path: "/api/v1/access/may?subject=user:nobody&role=push&repo=team/app", status: 404},
		{method: "GET", path: "/api/v1/access/may?subject=admin&role=push&repo=team/app", status: 400},
		{method: "GET", path: "/api/v1/access/grants", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/access/grants?subject=user:alice&pattern=team/**", route: "/api/v1/access/grants", status: 400},
		{method: "DELETE", path: "/api/v1/access/grants?subject=user:alice&pattern=team/**&role=push", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/access/grants?subject=user:alice&pattern=team/**&role=push", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/grants?subject=user:alice&pattern=team/**&role=push", status: 204},
		{method: "DELETE", path: "/api/v1/access/grants?subject=user:alice&pattern=team/**&role=push", status: 404},
		{method: "DELETE", path: "/api/v1/access/grants?subject=user:admin&pattern=**&role=admin", status: 409},
		{method: "POST", path: "/api/v1/access/teams", body: `{"name":"core"}`, header: js, status: 201},
		{method: "POST", path: "/api/v1/access/teams", body: `{"name":"core"}`, header: js, status: 409},
		{method: "POST", path: "/api/v1/access/teams", body: `{"name":"Core"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/access/teams", body: `{"nam":"x"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/access/teams", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/access/teams", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/access/teams", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/teams", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/access/teams/core/members", route: "/api/v1/access/teams/{name}/members", body: `{"users":["alice"]}`, header: js, status: 204},
		{method: "POST", path: "/api/v1/access/teams/none/members", route: "/api/v1/access/teams/{name}/members", body: `{"users":["alice"]}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/access/teams/core/members", route: "/api/v1/access/teams/{name}/members", body: `[]`, header: js, status: 400},
		{method: "POST", path: "/api/v1/access/teams/core/members", route: "/api/v1/access/teams/{name}/members", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/access/teams/core/members", route: "/api/v1/access/teams/{name}/members", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/access/teams/core/members", route: "/api/v1/access/teams/{name}/members", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/teams/core/members", route: "/api/v1/access/teams/{name}/members", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/access/teams?limit=1", status: 200},
		{method: "GET", path: "/api/v1/access/teams?x=1", status: 400},
		{method: "GET", path: "/api/v1/access/teams", login: "none", status: 401},
		{method: "GET", path: "/api/v1/access/teams", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/teams/core/members/alice", route: "/api/v1/access/teams/{name}/members/{user}", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/access/teams/core/members/alice", route: "/api/v1/access/teams/{name}/members/{user}", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/teams/core/members/alice", route: "/api/v1/access/teams/{name}/members/{user}", status: 204},
		{method: "DELETE", path: "/api/v1/access/teams/core/members/alice", route: "/api/v1/access/teams/{name}/members/{user}", status: 404},
		{method: "DELETE", path: "/api/v1/access/teams/core", route: "/api/v1/access/teams/{name}", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/access/teams/core", route: "/api/v1/access/teams/{name}", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/teams/core", route: "/api/v1/access/teams/{name}", status: 204},
		{method: "DELETE", path: "/api/v1/access/teams/core", route: "/api/v1/access/teams/{name}", status: 404},
		{method: "POST", path: "/api/v1/access/robots", body: `{"name":"builder","expires":"2100-01-01T00:00:00Z"}`, header: js, status: 201},
		{method: "POST", path: "/api/v1/access/robots", body: `{"name":"builder"}`, header: js, status: 409},
		{method: "POST", path: "/api/v1/access/robots", body: `{"name":"late","expires":"2001-01-01T00:00:00Z"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/access/robots", body: `{"nam":"x"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/access/robots", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/access/robots", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/access/robots", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/robots", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/access/robots?limit=1", status: 200},
		{method: "GET", path: "/api/v1/access/robots?x=1", status: 400},
		{method: "GET", path: "/api/v1/access/robots", login: "none", status: 401},
		{method: "GET", path: "/api/v1/access/robots", login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: `{}`, header: js, status: 201},
		{method: "POST", path: "/api/v1/access/robots/none/secret", route: "/api/v1/access/robots/{name}/secret", body: `{}`, header: js, status: 404},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: `{"expires":"2001-01-01T00:00:00Z"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: `[]`, header: js, status: 400},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: `{}`, status: 415},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: `{}`, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/robots/builder/secret", route: "/api/v1/access/robots/{name}/secret", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/robots/builder", route: "/api/v1/access/robots/{name}", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/access/robots/builder", route: "/api/v1/access/robots/{name}", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/robots/builder", route: "/api/v1/access/robots/{name}", status: 204},
		{method: "DELETE", path: "/api/v1/access/robots/builder", route: "/api/v1/access/robots/{name}", status: 404},
		{method: "GET", path: "/api/v1/access/immutable", status: 200},
		{method: "GET", path: "/api/v1/access/immutable?x=1", status: 400},
		{method: "GET", path: "/api/v1/access/immutable", login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/immutable", body: rule, header: js, status: 201},
		{method: "POST", path: "/api/v1/access/immutable", body: rule, header: js, status: 200},
		{method: "POST", path: "/api/v1/access/immutable", body: `{"tags":"v*"}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/access/immutable", body: rule, header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/access/immutable", body: rule, header: js, login: "alice:wonderland-1", status: 403},
		{method: "POST", path: "/api/v1/access/immutable", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/access/immutable", body: rule, status: 415},
		{method: "POST", path: "/api/v1/access/immutable", body: `{"repositories":"never/**","tags":"v*","except":["a"` + strings.Repeat(`,"a"`, 16) + `]}`, header: js, status: 422},
		{method: "GET", path: "/api/v1/access/immutable", status: 200},
		{method: "DELETE", path: "/api/v1/access/immutable?repositories=never/**", route: "/api/v1/access/immutable", status: 400},
		{method: "DELETE", path: "/api/v1/access/immutable?repositories=never/**&tags=w*", route: "/api/v1/access/immutable", status: 404},
		{method: "DELETE", path: "/api/v1/access/immutable?repositories=never/**&tags=v*", route: "/api/v1/access/immutable", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/access/immutable?repositories=never/**&tags=v*", route: "/api/v1/access/immutable", login: "alice:wonderland-1", status: 403},
		{method: "DELETE", path: "/api/v1/access/immutable?repositories=never/**&tags=v*", route: "/api/v1/access/immutable", status: 204},
		{method: "PUT", path: "/api/v1/access/document?dryRun=true", body: `{"teams":{},"grants":[{"subject":"user:admin","pattern":"**","role":"admin"}],"immutable":[{"repositories":"never/**","tags":"v*","except":["*-dev"]}]}`, header: js, status: 200},
		{method: "PUT", path: "/api/v1/access/document", body: `{"teams":{},"grants":[{"subject":"user:admin","pattern":"**","role":"admin"}],"immutable":[{"repositories":"never/**","tags":"v*","except":["*-dev"]}]}`, header: js, status: 200},
		{method: "PUT", path: "/api/v1/access/document?x=1", body: `{"teams":{},"grants":[{"subject":"user:admin","pattern":"**","role":"admin"}],"immutable":[{"repositories":"never/**","tags":"v*","except":["*-dev"]}]}`, header: js, status: 400},
		{method: "PUT", path: "/api/v1/access/document", body: `{"version":1,"teams":{},"grants":[],"immutable":[]}`, header: js, status: 409},
		{method: "PUT", path: "/api/v1/access/document", body: `{"teams":{"x":["nobody"]},"grants":[],"immutable":[]}`, header: js, status: 422},
		{method: "PUT", path: "/api/v1/access/document", body: veryLarge, header: js, status: 413},
		{method: "PUT", path: "/api/v1/access/document", body: `{}`, status: 415},
		{method: "PUT", path: "/api/v1/access/document", body: `{}`, header: js, login: "none", status: 401},
		{method: "PUT", path: "/api/v1/access/document", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "GET", path: "/api/v1/access/document", status: 200},
		{method: "GET", path: "/api/v1/access/document?x=1", status: 400},
		{method: "GET", path: "/api/v1/access/document", login: "none", status: 401},
		{method: "GET", path: "/api/v1/access/document", login: "alice:wonderland-1", status: 403},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{}`, header: js, login: "none", status: 401},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{}`, header: js, login: "alice:wonderland-1", status: 403},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{"name":"admin"}`, header: js, status: 409},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{"name":"Admin"}`, header: js, status: 422},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `[]`, header: js, status: 400},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: large, header: js, status: 413},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{}`, status: 415},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{"name":"alicia"}`, header: js, status: 200},
		{method: "PUT", path: "/api/v1/users/alice/name", route: "/api/v1/users/{name}/name", body: `{"name":"alicia"}`, header: js, status: 404},
		{method: "GET", path: "/api/v1/certificate", status: 200},
		{method: "GET", path: "/api/v1/certificate?x=1", status: 400},
		{method: "GET", path: "/api/v1/certificate", login: "none", status: 401},
		{method: "POST", path: "/api/v1/certificate", body: "{}", header: js, status: 200},
		{method: "POST", path: "/api/v1/certificate", body: "{", header: js, status: 400},
		{method: "POST", path: "/api/v1/certificate", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/certificate", body: "{}", status: 415},
		{method: "POST", path: "/api/v1/certificate", body: "{}", header: append(js, "Origin", "https://evil.example"), status: 403},
		{method: "POST", path: "/api/v1/certificate", body: "{}", header: js, login: "none", status: 401},
		{method: "GET", path: "/api/v1/check?deep=true", status: 200},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"never/**","bytes":1000,"soft":500,"tags":9}`, header: js, status: 201},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"never/**","bytes":1000,"soft":500,"tags":9}`, header: js, status: 200},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"/"}`, header: js, status: 400},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"a","bytes":5}`, header: js, login: "none", status: 401},
		{method: "PUT", path: "/api/v1/quota", body: large, header: js, status: 413},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"a","bytes":5}`, status: 415},
		{method: "PUT", path: "/api/v1/quota", body: `{"pattern":"a"}`, header: js, status: 422},
		{method: "GET", path: "/api/v1/quota", status: 200},
		{method: "GET", path: "/api/v1/quota?repo=team/app", status: 200},
		{method: "GET", path: "/api/v1/quota?x=1", status: 400},
		{method: "GET", path: "/api/v1/quota", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/quota", status: 400},
		{method: "DELETE", path: "/api/v1/quota?pattern=never/**", route: "/api/v1/quota", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/quota?pattern=nowhere", route: "/api/v1/quota", status: 404},
		{method: "DELETE", path: "/api/v1/quota?pattern=never/**", route: "/api/v1/quota", status: 204},
		{method: "GET", path: "/api/v1/usage", status: 200},
		{method: "GET", path: "/api/v1/usage?limit=1", status: 200},
		{method: "GET", path: "/api/v1/usage?after=x", status: 400},
		{method: "GET", path: "/api/v1/usage", login: "none", status: 401},
		{method: "DELETE", path: "/api/v1/pulls?repo=never/pulled", route: "/api/v1/pulls", status: 204},
		{method: "DELETE", path: "/api/v1/pulls", status: 400},
		{method: "DELETE", path: "/api/v1/pulls?repo=NOBODY", route: "/api/v1/pulls", status: 404},
		{method: "DELETE", path: "/api/v1/pulls?all=true", route: "/api/v1/pulls", login: "none", status: 401},
		{method: "GET", path: "/api/v1/scrub", status: 200},
		{method: "GET", path: "/api/v1/scrub?x=1", status: 400},
		{method: "GET", path: "/api/v1/scrub", login: "none", status: 401},
		{method: "POST", path: "/api/v1/scrub", body: "{}", header: js, status: 200},
		{method: "POST", path: "/api/v1/scrub", body: `{"x":1}`, header: js, status: 400},
		{method: "POST", path: "/api/v1/scrub", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/scrub", body: "{}", status: 415},
		{method: "POST", path: "/api/v1/scrub", body: "{}", header: js, login: "none", status: 401},
		{method: "GET", path: "/api/v1/check?deep=maybe", status: 400},
		{method: "GET", path: "/api/v1/check", login: "none", status: 401},
		{method: "GET", path: "/api/v1/records/0/receipt", route: "/api/v1/records/{index}/receipt", status: 200},
		{method: "GET", path: "/api/v1/records/0/receipt?at=1", route: "/api/v1/records/{index}/receipt", status: 200},
		{method: "GET", path: "/api/v1/records/0/receipt?at=100000", route: "/api/v1/records/{index}/receipt", status: 404},
		{method: "GET", path: "/api/v1/records/0/receipt?at=x", route: "/api/v1/records/{index}/receipt", status: 400},
		{method: "GET", path: "/api/v1/records/0/receipt", route: "/api/v1/records/{index}/receipt", login: "none", status: 401},
		{method: "GET", path: "/api/v1/records/0/tlog-proof", route: "/api/v1/records/{index}/tlog-proof", status: 200},
		{method: "GET", path: "/api/v1/records/0/tlog-proof?at=1", route: "/api/v1/records/{index}/tlog-proof", status: 200},
		{method: "GET", path: "/api/v1/records/0/tlog-proof?at=100000", route: "/api/v1/records/{index}/tlog-proof", status: 404},
		{method: "GET", path: "/api/v1/records/0/tlog-proof?at=x", route: "/api/v1/records/{index}/tlog-proof", status: 400},
		{method: "GET", path: "/api/v1/records/0/tlog-proof", route: "/api/v1/records/{index}/tlog-proof", login: "none", status: 401},
		{method: "GET", path: "/log/checkpoint", route: "/log/{path}", login: "none", status: 200},
		{method: "GET", path: "/log/checkpoint?x=1", route: "/log/{path}", login: "none", status: 400},
		{method: "GET", path: "/log/checkpoint.cosigned", route: "/log/{path}", login: "none", status: 404},
		{method: "GET", path: "/log/tile/0/000.p/100", route: "/log/{path}", login: "none", status: 200},
		{method: "GET", path: "/log/tile/entries/000.p/100", route: "/log/{path}", login: "none", status: 200},
		{method: "GET", path: "/log/tile/0/001", route: "/log/{path}", login: "none", status: 404},
		{method: "GET", path: "/log/none.example/checkpoint", route: "/log/{path}", login: "none", status: 404},
		{method: "GET", path: "/keys/receipts.json", login: "none", status: 200},
		{method: "GET", path: "/keys/receipts.json?x=1", login: "none", status: 400},
		{method: "GET", path: "/keys/receipts.pem", login: "none", status: 200},
		{method: "GET", path: "/keys/receipts.pem?x=1", login: "none", status: 400},
		{method: "GET", path: "/keys/receipts/none.pem", route: "/keys/receipts/{file}", login: "none", status: 404},
		{method: "GET", path: "/keys/receipts/none.pem?x=1", route: "/keys/receipts/{file}", login: "none", status: 400},
		{method: "GET", path: "/keys/logs.json", login: "none", status: 200},
		{method: "GET", path: "/keys/logs.json?x=1", login: "none", status: 400},
		{method: "GET", path: "/keys/log.vkey", login: "none", status: 200},
		{method: "GET", path: "/keys/log.vkey?x=1", login: "none", status: 400},
		{method: "GET", path: "/trusted_root.json", login: "none", status: 200},
		{method: "GET", path: "/trusted_root.json?x=1", login: "none", status: 400},
		{method: "POST", path: "/api/v1/keys", body: `{"reason":"whim"}`, header: js, status: 422},
		{method: "POST", path: "/api/v1/keys", body: `{`, header: js, status: 400},
		{method: "POST", path: "/api/v1/keys", body: large, header: js, status: 413},
		{method: "POST", path: "/api/v1/keys", body: "{}", status: 415},
		{method: "POST", path: "/api/v1/keys", body: "{}", header: append(js, "Origin", "https://evil.example"), status: 403},
		{method: "POST", path: "/api/v1/keys", body: "{}", header: js, login: "none", status: 401},
		{method: "POST", path: "/api/v1/keys", body: `{"reason":"rotated"}`, header: js, status: 201},
		{method: "POST", path: "/api/v1/keys", body: `{"reason":"stolen"}`, header: js, status: 201},
		{method: "GET", path: "/keys/logs.json", login: "none", status: 200},
		{method: "GET", path: "/keys/receipts.json", login: "none", status: 200},
		{method: "GET", path: "/api/v1/records?action=key", status: 200},
		{method: "GET", path: "/ca.pem", login: "none", status: 200},
		{method: "GET", path: "/healthz", login: "none", status: 200},
		{method: "GET", path: "/readyz", login: "none", status: 200},
		{method: "GET", path: "/openapi.json", login: "none", status: 200},
	}
	requests = append(requests, keyFileOf(t, s))
	requests = append(requests, tokenRequests(t, s, large)...)
	closing := slices.IndexFunc(requests, func(a asked) bool { return a.path == "/api/v1/keys" })
	requests = slices.Insert(requests, closing, cosigner.requests(s, js)...)
	seen := checkAnswers(t, s, requests)
	seen[slowedDown(t, s)] = true
	wantAllSeen(t, readDescription(t, s), seen)
}

// cosigner is a witness that cosigns whatever it likes.
type cosigner struct {
	t      *testing.T
	key    note.Signer
	config string // of a registry that knows it
	vkey   string
}

func newCosigner(t *testing.T) *cosigner {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := torchwood.NewCosignatureSigner("witness.example", key)
	if err != nil {
		t.Fatal(err)
	}
	c := &cosigner{t, w, filepath.Join(t.TempDir(), "hallmark.yaml"), w.Verifier().String()}
	if err := os.WriteFile(c.config, fmt.Appendf(nil, "witnesses: [%s]\n", w.Verifier()), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// cosign is the body of a request with a cosigned text.
func (c *cosigner) cosign(text string) string {
	c.t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(mustMarshal(map[string]string{"checkpoint": string(signed)}))
}

// requests are all that a witness can do right and wrong.
func (c *cosigner) requests(s *testServer, js []string) []asked {
	signed := s.want(200, "GET", "/log/checkpoint")
	text, _, _ := strings.Cut(signed, "\n\n")
	origin, _, _ := strings.Cut(signed, "\n")
	hash := tlog.Hash{}.String()
	post := func(status int, body string, header ...string) asked {
		return asked{method: "POST", path: "/log/cosignature", login: "none", body: body, header: header, status: status}
	}
	return []asked{
		post(200, c.cosign(text+"\n"), js...),
		post(200, c.cosign(text+"\n"), js...),
		{method: "GET", path: "/log/checkpoint.cosigned", route: "/log/{path}", login: "none", status: 200},
		post(400, "{", js...),
		post(403, string(mustMarshal(map[string]string{"checkpoint": signed})), js...),
		post(403, c.cosign(text+"\n"), append(js, "Origin", "https://evil.example")...),
		post(404, c.cosign("other.example\n1\n"+hash+"\n"), js...),
		post(404, c.cosign(origin+"\n1000000\n"+hash+"\n"), js...),
		post(409, c.cosign(origin+"\n2\n"+hash+"\n"), js...),
		post(409, c.cosign(origin+"\n0\n"+hash+"\n"), js...),
		post(413, string(mustMarshal(map[string]string{"checkpoint": strings.Repeat("x", 100<<10)})), js...),
		post(415, c.cosign(text+"\n")),
		post(422, `{"checkpoint":"hello"}`, js...),
	}
}

// keyFileOf asks for the receipt key by its name.
func keyFileOf(t *testing.T, s *testServer) asked {
	t.Helper()
	var list keyList
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/keys/receipts.json")), &list); err != nil {
		t.Fatal(err)
	}
	return asked{method: "GET", path: "/keys/receipts/" + list.Keys[0].Hint + ".pem", route: "/keys/receipts/{file}", login: "none", status: 200}
}

func readDescription(t *testing.T, s *testServer) *apitest.Description {
	t.Helper()
	d, err := apitest.Parse([]byte(s.want(200, "GET", "/openapi.json")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkAnswers makes requests, and returns which statuses of which operations it saw.
func checkAnswers(t *testing.T, s *testServer, requests []asked) map[string]bool {
	t.Helper()
	doc := readDescription(t, s)
	seen := map[string]bool{}
	for _, a := range requests {
		status, header, body := s.do(a.method, a.path, a.login, a.body, a.header...)
		name := fmt.Sprintf("%s %s: %d", a.method, a.path, status)
		if status != a.status {
			t.Errorf("%s, want %d\n%s", name, a.status, body)
			continue
		}
		route := a.route
		if route == "" {
			route, _, _ = strings.Cut(a.path, "?")
		}
		if err := doc.Check(apitest.Answer{Method: a.method, Route: route, Status: status, Header: header, Body: body}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seen[fmt.Sprintf("%s %s %d", a.method, route, status)] = true
	}
	return seen
}

// slowedDown gives wrong passwords until the server slows them down, and wants that answer to be as described: where the machine is
// slow, the next one is a usual refusal again.
func slowedDown(t *testing.T, s *testServer) string {
	t.Helper()
	const route = "/api/v1/records"
	for range 200 {
		status, header, body := s.do("GET", route, "mallory:wrong-password", "")
		if status != 429 {
			continue
		}
		if err := readDescription(t, s).Check(apitest.Answer{Method: "GET", Route: route, Status: status, Header: header, Body: body}); err != nil {
			t.Error(err)
		}
		return "GET " + route + " 429"
	}
	t.Error("200 wrong passwords were not slowed down")
	return ""
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// unseen are the statuses that this test cannot bring about on a server that is well; the table of package api has them.
var unseen = []string{
	"GET /readyz 503", "GET /ca.pem 404", "GET /api/v1/certificate 404", "POST /api/v1/certificate 404", "POST /api/v1/certificate 409",
	"POST /api/v1/keys 409", "POST /api/v1/import 409", "GET /api/v1/evidence 409", "POST /api/v1/access/tokens 409", "GET /log/{path} 401",
	"DELETE /api/v1/access/teams/{name} 409", "DELETE /api/v1/access/teams/{name}/members/{user} 409", "POST /api/v1/access/teams/{name}/members 422",
	"GET /api/v1/mirrors/{name} 200", "POST /api/v1/mirrors/approve 200", "POST /api/v1/mirrors/{name}/run 200", "POST /api/v1/mirrors/{name}/run 409", "POST /api/v1/mirrors/{name}/run 422",
	"DELETE /api/v1/access/tokens/{id} 403", "DELETE /api/v1/access/sessions/{id} 403",
}

// wantAllSeen wants every described status to have been seen, but for 429, which all operations share.
func wantAllSeen(t *testing.T, doc *apitest.Description, seen map[string]bool) {
	t.Helper()
	for _, name := range unseen {
		seen[name] = true
	}
	slowed := false
	for _, operation := range doc.Operations() {
		for _, status := range doc.Statuses(operation) {
			name := operation + " " + status
			slowed = slowed || seen[name] && status == "429"
			if status != "default" && status != "429" && !seen[name] {
				t.Errorf("%s is described, and no answer showed it", name)
			}
		}
	}
	if !slowed {
		t.Error("no answer showed 429")
	}
}
