package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/retention"
)

// A row is a route with what is right and wrong of its own. What is wrong with every route, or with all of a sort, is asked of
// each: table_run_test.go.
type row struct {
	route string // its pattern
	good  []good // the first is also how the route is asked in what is asked of all
	bad   []bad
	says  []says
	// strangers are answered where something is granted to them; hidden is what bob gets, who may not know of the repository.
	strangers, hidden int
	breaksOff         bool // where it fails when its answer has begun
}

// good is a request of admin's that is answered, and a text in the answer.
type good struct {
	target, body string
	status       int
	has          string
	header       http.Header // that the answer has
}

// bad is a request of somebody that is refused, with a text in the refusal.
type bad struct {
	login, target, body string
	status              int
	has                 string
}

// says is an error of a room whose words are the answer, and the status of that.
type says struct {
	err    error
	status int
}

func link(to string) http.Header { return http.Header{"Link": {"<" + to + `>; rel="next"`}} }

// grantErrors are what a change of rights may say.
var grantErrors = []says{
	{access.ErrNotAdmin, 403},
	{access.ErrUnknownUser, 404},
	{access.ErrUnknownTeam, 404},
	{access.ErrUnknownRobot, 404},
	{access.ErrTooHigh, 422},
	{access.ErrTooMuch, 422},
	{access.ErrManyChanges, 422},
	{oidc.ErrNeverMatches, 422},
}

// proofErrors are what the proof of a record may say.
var proofErrors = []says{{provenance.ErrNoRecord, 404}, {provenance.ErrUnproved, 404}, {provenance.ErrNotSigned, 404}, {log.ErrSize, 404}}

const badDigest = "sha256:xyz"

var table = []row{
	{route: "GET /api/v1/records", good: []good{
		{target: "/api/v1/records", has: `"handle":"alice"`},
		{target: "/api/v1/records?limit=1&repo=team/app", header: link("/api/v1/records?limit=1&repo=team/app&after=0")},
	}, bad: []bad{
		{target: "/api/v1/records?digest=" + badDigest, status: 400, has: "digest is"},
		{target: "/api/v1/records?base=x", status: 400, has: "base is"},
		{target: "/api/v1/records?after=x", status: 400, has: "after is"},
		{target: "/api/v1/records?after=-1", status: 400, has: "after is"},
		{target: "/api/v1/records?action=destroy", status: 400, has: "one of push"},
		{target: "/api/v1/records?class=true", status: 400, has: "one of observed"},
		{target: "/api/v1/records?since=yesterday", status: 400, has: "since is"},
		{target: "/api/v1/records?until=2026-13-01", status: 400, has: "until is"},
		{target: "/api/v1/records?order=up", status: 400, has: "asc, desc"},
		{target: "/api/v1/records?tag=1.0", status: 400, has: "tag needs repo"},
		{target: "/api/v1/records?repo=%zz", status: 400, has: "malformed"},
	}},
	{route: "GET /api/v1/records/statements", good: []good{
		{target: "/api/v1/records/statements", has: `"to":4`},
		{target: "/api/v1/records/statements?from=0&limit=1", has: `"next"`, header: link("/api/v1/records/statements?limit=1&from=1")},
	}, bad: []bad{{target: "/api/v1/records/statements?from=x", status: 400, has: "from is"}}},
	{route: "GET /api/v1/records/export", good: []good{
		{target: "/api/v1/records/export", has: `{"record":{`},
		{target: "/api/v1/records/export?receipts=true&limit=1", header: link("/api/v1/records/export?receipts=true&limit=1&after=0")},
	}, bad: []bad{{target: "/api/v1/records/export?receipts=maybe", status: 400, has: "true, false"}, {target: "/api/v1/records/export?digest=x", status: 400, has: "digest is"}}},
	{
		route: "GET /api/v1/records/{index}", good: []good{{target: "/api/v1/records/0", has: `"index":0`}, {target: "/api/v1/records/3", has: `"reason":"rotated"`}},
		hidden: 404, bad: []bad{
			{target: "/api/v1/records/x", status: 400, has: "not the index"},
			{target: "/api/v1/records/-1", status: 400, has: "not the index"},
			{target: "/api/v1/records/99999999999999999999", status: 400, has: "not the index"},
			{target: "/api/v1/records/77", status: 404},
			{login: "alice", target: "/api/v1/records/1", status: 404},
			{login: "alice", target: "/api/v1/records/2", status: 404},
		},
	},
	{
		route: "GET /api/v1/records/{index}/receipt", good: []good{{target: "/api/v1/records/0/receipt", has: "dsseEnvelope"}, {target: "/api/v1/records/0/receipt?at=1"}},
		hidden: 404, says: proofErrors, bad: []bad{
			{target: "/api/v1/records/x/receipt", status: 400, has: "not the index"},
			{target: "/api/v1/records/0/receipt?at=x", status: 400, has: "at is"},
			{target: "/api/v1/records/77/receipt", status: 404},
		},
	},
	{
		route: "GET /api/v1/records/{index}/tlog-proof", good: []good{{target: "/api/v1/records/0/tlog-proof", has: "tlog-proof"}, {target: "/api/v1/records/0/tlog-proof?at=1"}},
		hidden: 404, says: proofErrors, bad: []bad{
			{target: "/api/v1/records/x/tlog-proof", status: 400, has: "not the index"},
			{target: "/api/v1/records/0/tlog-proof?at=x", status: 400, has: "at is"},
			{target: "/api/v1/records/77/tlog-proof", status: 404},
		},
	},
	{route: "GET /api/v1/repositories", good: []good{
		{target: "/api/v1/repositories", has: `{"name":"team/web","size":1100,"tags":1,"pulls":{"since":"`},
		{target: "/api/v1/repositories?limit=1", has: `"record":0`, header: link("/api/v1/repositories?limit=1&after=team%2Fapp")},
		{target: "/api/v1/repositories?order=newest&prefix=team", has: `"imageSize":7`},
		{target: "/api/v1/repositories?order=newest&limit=1", has: `"grade":"B"`, header: link("/api/v1/repositories?order=newest&limit=1&after=0%2Fteam%2Fapp")},
		{target: "/api/v1/repositories?order=newest&prefix=many", has: `"artifactType":"application/x"`},
	}, bad: []bad{
		{target: "/api/v1/repositories?order=size", status: 400, has: "name, newest"},
		{target: "/api/v1/repositories?order=newest&after=team/app", status: 400, has: "after is"},
	}},
	{route: "GET /api/v1/tags", good: []good{
		{target: "/api/v1/tags?repo=team/app", has: `"imageSize":7`},
		{target: "/api/v1/tags?repo=team/app&limit=1", header: link("/api/v1/tags?repo=team/app&limit=1&after=1.0")},
		{target: "/api/v1/tags?repo=team/app&order=newest&images=true&prefix=1", has: `"grade":"B"`},
		{target: "/api/v1/tags?repo=team/app&order=newest&identity=user:alice", has: `"tag":"sha256-x.sig"`},
		{target: "/api/v1/tags?repo=team/app&order=newest&limit=1&after=7/0.9", has: `"name":"1.0"`},
		{target: "/api/v1/tags?repo=team/app&expiry=true", has: `"expiry":{"state":"until","at":"2027-01-01T12:00:00.000000Z","rule":"old","why":"younger than 30d"}`},
		{target: "/api/v1/tags?repo=team/app&expiry=true", has: `"heldUntil":"`},
	}, hidden: 404, says: []says{{registry.ErrUnknown, 404}}, bad: []bad{
		{target: "/api/v1/tags", status: 400, has: "repo is missing"},
		{target: "/api/v1/tags?repo=none", status: 404},
		{target: "/api/v1/tags?repo=team/app&order=size", status: 400, has: "name, newest"},
		{target: "/api/v1/tags?repo=team/app&order=newest&after=x", status: 400, has: "after is"},
		{target: "/api/v1/tags?repo=team/app&identity=alice", status: 400, has: "order=newest"},
		{target: "/api/v1/tags?repo=team/app&images=1", status: 400, has: "true, false"},
		{target: "/api/v1/tags?repo=team/app&expiry=soon", status: 400, has: "expiry is"},
	}},
	{route: "GET /api/v1/retention/rules", good: []good{
		{target: "/api/v1/retention/rules?repo=team/app", has: `"repositories":["team/**"]`},
		{target: "/api/v1/retention/rules", has: `"keep":["newest: 3"]`},
		{target: "/api/v1/retention/rules", has: `"stopped":["team/app"]`},
		{target: "/api/v1/retention/rules?repo=team/app", has: `"stopped":true`},
		{target: "/api/v1/retention/rules?repo=team/web", has: `"mayBeStopped":true`},
	}, hidden: 404, bad: []bad{
		{target: "/api/v1/retention/rules?x=1", status: 400},
		{login: "alice", target: "/api/v1/retention/rules", status: 403, has: "name a repository that you may push to"},
	}},
	{route: "GET /api/v1/retention/plan", good: []good{{target: "/api/v1/retention/plan", has: `"version":1`}}},
	{
		route: "POST /api/v1/retention/apply", good: []good{{target: "/api/v1/retention/apply", body: worldPlan, has: `"applied"`}},
		says: []says{{retention.ErrOtherRules, 409}, {retention.ErrApplying, 409}},
		bad:  []bad{{target: "/api/v1/retention/apply", body: strings.Replace(worldPlan, "2027", "2028", 1), status: 400, has: "it was changed"}, {target: "/api/v1/retention/apply", body: "{}", status: 400}},
	},
	{route: "GET /api/v1/holds", good: []good{
		{target: "/api/v1/holds?repo=team/app", has: `"reason":"an audit"`},
		{target: "/api/v1/holds"},
		{target: "/api/v1/holds?repo=team/app&limit=1", header: link("/api/v1/holds?repo=team/app&limit=1&after=team%2Fapp%40" + url.QueryEscape(app.digest.String()))},
		{target: "/api/v1/holds?repo=team/app&limit=1&after=team/app@" + app.digest.String()},
	}, hidden: 404, bad: []bad{
		{target: "/api/v1/holds?after=x", status: 400, has: "where the former page ended"},
		{target: "/api/v1/holds?limit=0", status: 400},
		{login: "alice", target: "/api/v1/holds", status: 403, has: "name one with repo"},
		{target: "/api/v1/holds?repo=none", status: 200},
	}},
	{route: "POST /api/v1/holds", good: []good{
		{target: "/api/v1/holds", body: `{"repository":"team/app","ref":"1.0","until":"2030-01-01T00:00:00Z","reason":"an audit"}`, status: 201, has: `"record":4`},
	}, hidden: 404, says: []says{{registry.ErrMayNotHold, 403}, {registry.ErrHold, 422}}, bad: []bad{
		{target: "/api/v1/holds", body: `{"repository":"team/app","ref":"1.0","reason":"an audit"}`, status: 400, has: "repository, ref, until and reason"},
		{target: "/api/v1/holds", body: `{"repository":"team/app","ref":"none","until":"2030-01-01T00:00:00Z","reason":"x"}`, status: 404},
		{target: "/api/v1/holds", body: `{"repository":"team/app","ref":"1.0","until":"soon","reason":"x"}`, status: 400},
	}},
	{
		route: "DELETE /api/v1/holds", good: []good{{target: "/api/v1/holds?repo=team/app&digest=" + app.digest.String(), status: 204}}, hidden: 404,
		says: []says{{registry.ErrMayNotHold, 403}, {registry.ErrNotHeld, 404}}, bad: []bad{
			{target: "/api/v1/holds?repo=team/app", status: 400, has: "digest is missing"},
		},
	},
	{route: "GET /api/v1/deletable", good: []good{
		{target: "/api/v1/deletable?repo=team/app&digest=" + app.digest.String(), has: `"alongID":"sha256:`},
		{target: "/api/v1/deletable?repo=team/app&tag=1.0", has: `"tags":["1.0"],"refused":"no"`},
	}, hidden: 404, bad: []bad{
		{target: "/api/v1/deletable?repo=team/app", status: 400, has: "digest is missing, or tag"},
		{target: "/api/v1/deletable?repo=team/app&tag=1.0&digest=" + app.digest.String(), status: 400, has: "one of them"},
		{target: "/api/v1/deletable?repo=team/app&tag=none", status: 404},
		{target: "/api/v1/deletable?digest=" + app.digest.String(), status: 400, has: "repo is missing"},
		{target: "/api/v1/deletable?repo=team/app&digest=1.0", status: 400, has: "digest is"},
		{target: "/api/v1/deletable?repo=team/app&digest=" + other.digest.String(), status: 404},
	}},
	{route: "GET /api/v1/digests", good: []good{
		{target: "/api/v1/digests?repo=team/app&prefix=" + app.digest.String()[:14], has: app.digest.String()},
		{target: "/api/v1/digests?prefix=" + app.digest.String()[:14], has: `{"digests":["` + app.digest.String()},
		{target: "/api/v1/digests?prefix=sha256:ff0000", has: `{"digests":[],"more":true,"partial":true}`},
	}, hidden: 404, bad: []bad{
		{target: "/api/v1/digests?repo=team/app", status: 400, has: "prefix is missing"},
		{target: "/api/v1/digests?prefix=sha256:123", status: 400, has: "at least 4 digits"},
		{target: "/api/v1/digests?repo=team/app&prefix=" + badDigest, status: 400, has: "beginning of a digest"},
		{target: "/api/v1/digests?repo=team/app&prefix=sha256:0000000", status: 404, has: "begins with"},
	}},
	{route: "GET /api/v1/commits", good: []good{
		{target: "/api/v1/commits?prefix=" + worldCommit[:7], has: `{"commits":["` + worldCommit},
		{target: "/api/v1/commits?prefix=ABCDEF0000", has: `{"commits":[],"more":true,"partial":true}`},
		{target: "/api/v1/commits?prefix=ffff", has: `{"commits":[]}`},
	}, bad: []bad{
		{target: "/api/v1/commits", status: 400, has: "prefix is missing"},
		{target: "/api/v1/commits?prefix=012", status: 400, has: "4 to 64"},
		{target: "/api/v1/commits?prefix=v1.2.3", status: 400, has: "4 to 64"},
	}},
	{route: "GET /api/v1/history", good: []good{
		{target: "/api/v1/history?repo=team/app&tag=1.0", has: `"moves":[{`},
		{target: "/api/v1/history?repo=team/app&tag=1.0&limit=1", header: link("/api/v1/history?repo=team/app&tag=1.0&limit=1&after=0")},
		{target: "/api/v1/history?repo=team/app&tag=1.0&at=2026-11-24", has: `"move":{`},
		{target: "/api/v1/history?repo=team/app&tag=2.0&after=7", has: `"moves":[]`},
	}, hidden: 404, bad: []bad{
		{target: "/api/v1/history?repo=team/app", status: 400, has: "tag is missing"},
		{target: "/api/v1/history?tag=1.0", status: 400, has: "repo is missing"},
		{target: "/api/v1/history?repo=team/app&tag=1.0&at=noon", status: 400, has: "at is"},
		{target: "/api/v1/history?repo=team/app&tag=1.0&after=x", status: 400, has: "after is"},
		{target: "/api/v1/history?repo=team/app&tag=2.0", status: 404, has: "nothing is recorded"},
		{target: "/api/v1/history?repo=team/app&tag=2.0&at=2026-11-24", status: 404, has: "meant nothing"},
	}},
	{route: "GET /api/v1/image", good: []good{
		{target: "/api/v1/image?repo=team/app&ref=1.0", has: `"handle":"alice"`}, {target: "/api/v1/image?repo=team/app&ref=1.0&derived=true", has: "longest layer prefix"}, {target: "/api/v1/image?repo=team/app&ref=1.0", has: `"witnessed":{"record":0,"by":["witness.example+`},
	}, hidden: 404, bad: append(ofImage("/api/v1/image"), bad{target: "/api/v1/image?repo=team/app&ref=1.0&derived=perhaps", status: 400, has: "true, false"})},
	{route: "GET /api/v1/report", good: []good{{target: "/api/v1/report?repo=team/app&ref=1.0", has: `"checks":[`}}, hidden: 404, bad: ofImage("/api/v1/report")},
	{route: "GET /api/v1/contents", good: []good{{target: "/api/v1/contents?repo=team/app&ref=1.0", has: `"architecture":"amd64"`}}, hidden: 404, bad: ofImage("/api/v1/contents")},
	{route: "GET /api/v1/evidence", breaksOff: true, good: []good{
		{target: "/api/v1/evidence?repo=team/app&ref=1.0", has: "oci-layout", header: http.Header{"Content-Disposition": {`attachment; filename="app.evidence.tar"`}, "Cache-Control": {"no-store"}}},
		{target: "/api/v1/evidence?repo=team/app&ref=1.0&layers=true&documents=false", has: "layer of app"},
	}, hidden: 404, bad: append(ofImage("/api/v1/evidence"), bad{target: "/api/v1/evidence?repo=team/app&ref=1.0&layers=some", status: 400, has: "true, false"},
		bad{target: "/api/v1/evidence?repo=team/app&ref=1.0&documents=some", status: 400, has: "true, false"})},
	{route: "GET /api/v1/policy", good: []good{{target: "/api/v1/policy", has: `"name":"never"`}, {target: "/api/v1/policy", has: `"refused":{"never":2}`}}},
	{route: "POST /api/v1/policy/test", good: []good{
		{target: "/api/v1/policy/test", body: `{"images":[{"repository":"team/app","tag":"1.0"},{"repository":"team/app","tag":"none"}]}`, has: `"images":1`},
		{target: "/api/v1/policy/test", body: `{"images":[],"file":"rules: []"}`, has: `"rules":0`},
	}, bad: []bad{
		{target: "/api/v1/policy/test", body: `{"images":[],"file":"rules: [{}]"}`, status: 422},
		{target: "/api/v1/policy/test", body: `{"images":[` + strings.Repeat("{},", maxTried) + `{}]}`, status: 422, has: "at most 100"},
	}},
	{
		route: "GET /api/v1/documents/{kind}", good: []good{
			{target: "/api/v1/documents/policy", has: `"text":"rules: []\n"`, header: http.Header{"Etag": {`"` + digest.FromString(worldDocument).String() + `"`}}},
			{target: "/api/v1/documents/policy?version=1", has: `"version":1`},
			{target: "/api/v1/documents/trust", has: `{"kind":"trust","version":0}`},
		}, bad: []bad{
			{target: "/api/v1/documents/access", status: 404, has: "policy, trust and issuers"},
			{target: "/api/v1/documents/policy?version=3", status: 404, has: "no such version"},
			{target: "/api/v1/documents/policy?version=x", status: 400, has: "version is"},
		},
	},
	{
		route: "PUT /api/v1/documents/{kind}", good: []good{
			{target: "/api/v1/documents/policy", body: `{"text":"rules: []"}`, has: `"version":3,`},
			{target: "/api/v1/documents/policy?dryRun=true", body: `{"version":2,"text":"rules: []"}`, has: `"applied":false`},
			{target: "/api/v1/documents/trust?dryRun=true", body: `{"version":0,"text":"rules: []"}`, has: `"version":0,`},
		}, says: []says{{provenance.ErrRulesChanged, 409}}, bad: []bad{
			{target: "/api/v1/documents/policy?dryRun=x", body: `{}`, status: 400, has: "true, false"},
			{target: "/api/v1/documents/policy", body: `{"text":"x"}`, status: 422, has: "policy:1: these"},
			{target: "/api/v1/documents/policy?dryRun=true", body: `{"version":1,"text":"rules: []"}`, status: 409, has: "meanwhile"},
			{target: "/api/v1/documents/x", body: `{}`, status: 404, has: "policy, trust"},
		},
	},
	{
		route: "GET /api/v1/documents/{kind}/history", good: []good{
			{target: "/api/v1/documents/policy/history", has: `{"versions":[{"kind":"policy","version":2,`},
			{target: "/api/v1/documents/policy/history?limit=1", has: `"next":"/api/v1/documents/policy/history?limit=1&after=2"`},
			{target: "/api/v1/documents/policy/history?after=2", has: `{"versions":[{"kind":"policy","version":1,`},
		}, bad: []bad{{target: "/api/v1/documents/policy/history?after=x", status: 400, has: "after is"}, {target: "/api/v1/documents/x/history", status: 404, has: "policy, trust"}},
	},
	{route: "GET /api/v1/search", good: []good{
		{target: "/api/v1/search?q=app", has: `"repositories":["team/app"],"tags":[{"repository":"team/app","tag":"1.0"`},
		{target: "/api/v1/search?q=app&limit=1", has: `"repositories":"/api/v1/search?q=app&limit=1&after=`},
		{target: "/api/v1/search?q=app&limit=1&kind=tags", has: `"partial":true`},
		{target: "/api/v1/search?q=app&kind=tags", has: `{"query":"app","tags":[`},
		{target: "/api/v1/search?q=0", has: `"index":0`},
		{target: "/api/v1/search?q=alice&kind=people", has: `"people":[{"name":"alice","kind":"user"}]`},
		{target: "/api/v1/search?q=user:alice&kind=records&limit=1", has: `"next":"/api/v1/search?q=user:alice&limit=1&after=`},
		{target: "/api/v1/search?q=team:core", has: `"people":[{"name":"team:core","kind":"team","members":["alice"]}]`},
		{target: "/api/v1/search?q=team:none", has: `{"query":"team:none"`},
		{target: "/api/v1/search?q=team/app:1.0", has: `"by":"reference"`},
		{target: "/api/v1/search?q=" + app.digest.String(), has: `"by":"digest"`},
		{target: "/api/v1/search?q=" + app.digest.Encoded()[:8], has: `"by":"digest"`},
		{target: "/api/v1/search?q=git.example/team/app", has: `"by":"source","value":"https://git.example/team/app","class":"claimed"`},
		{target: "/api/v1/search?q=git.example/team/app&limit=1", has: `"images":"/api/v1/search?q=git.example/team/app&limit=1&after=`},
		{target: "/api/v1/search?q=" + worldCommit[:8], has: `"by":"revision"`},
	}, bad: []bad{
		{target: "/api/v1/search", status: 400, has: "q is missing"},
		{target: "/api/v1/search?q=" + strings.Repeat("x", 513), status: 400, has: "513 bytes"},
		{target: "/api/v1/search?q=x&kind=all", status: 400, has: "should be one of"},
		{target: "/api/v1/search?q=x&kind=tags&after=x", status: 400, has: "no page that is known"},
	}},
	{
		route: "GET /api/v1/sources", good: []good{
			{target: "/api/v1/sources?source=git.example/team/app", has: `"present":true`}, {target: "/api/v1/sources?revision=c1&limit=1", has: `"next":"/api/v1/sources?`},
		}, bad: []bad{{target: "/api/v1/sources", status: 400, has: "name a source"}, {target: "/api/v1/sources?revision=c1&after=x", status: 400, has: "no page that is known"}},
		says: []says{{provenance.ErrNoPage, 400}},
	},
	{route: "GET /api/v1/descendants", good: []good{
		{target: "/api/v1/descendants?base=" + app.digest.String(), has: `"present":true`},
		{target: "/api/v1/descendants?repo=team/app&ref=1.0&derived=true", has: `"compared":"diffIDs"`},
		{target: "/api/v1/descendants?base=" + app.digest.String() + "&limit=1", has: `"next":"/api/v1/descendants?`},
	}, bad: []bad{
		{target: "/api/v1/descendants", status: 400, has: "name the base"},
		{target: "/api/v1/descendants?base=x", status: 400, has: "base is"},
		{target: "/api/v1/descendants?base=" + app.digest.String() + "&repo=team/app&ref=1.0", status: 400, has: "name the base"},
		{target: "/api/v1/descendants?repo=team/app&ref=none", status: 404},
		{login: "bob", target: "/api/v1/descendants?repo=team/app&ref=1.0", status: 404},
		{target: "/api/v1/descendants?repo=team/app&ref=1.0&derived=x", status: 400, has: "true, false"},
		{target: "/api/v1/descendants?repo=team/app&ref=1.0&after=x", status: 400, has: "no page"},
	}},
	{route: "GET /api/v1/users", good: []good{{target: "/api/v1/users", has: `"account":"account-alice"`}, {target: "/api/v1/users?limit=1", header: link("/api/v1/users?limit=1&after=admin")}}},
	{
		route: "POST /api/v1/users", good: []good{{target: "/api/v1/users", body: `{"name":"carol","password":"wonderland"}`, status: 201, has: `"name":"carol"`}},
		says: []says{{access.ErrUserExists, 409}, {access.ErrUserName, 422}, {access.ErrPassword, 422}},
	},
	{
		route: "PUT /api/v1/users/{name}/password", good: []good{{target: "/api/v1/users/alice/password", body: `{"password":"wonderland"}`, status: 204}},
		hidden: 403, says: []says{{access.ErrUnknownUser, 404}, {access.ErrPassword, 422}, {access.ErrNotOwn, 403}},
	},
	{route: "DELETE /api/v1/users/{name}", good: []good{{target: "/api/v1/users/alice", status: 204}}, says: []says{{access.ErrUnknownUser, 404}, {access.ErrLastAdmin, 409}}},
	{
		route: "PUT /api/v1/users/{name}/name", good: []good{{target: "/api/v1/users/alice/name", body: `{"name":"alicia"}`, has: `"name":"alicia"`}},
		says: []says{{access.ErrUnknownUser, 404}, {access.ErrUserExists, 409}, {access.ErrUserName, 422}},
	},
	{route: "GET /api/v1/access/grants", good: []good{
		{target: "/api/v1/access/grants", has: `"subject":"user:bob"`},
		{target: "/api/v1/access/grants?limit=1", header: link("/api/v1/access/grants?limit=1&after=user%3Aalice+team%2F%2A%2A+pull")},
		{target: "/api/v1/access/grants?after=user:alice+team/**+pull", has: `{"grants":[{"subject":"user:bob"`},
	}},
	{route: "POST /api/v1/access/grants", good: []good{
		{target: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"team/**","role":"push"}`, status: 201}, {target: "/api/v1/access/grants", body: `{"subject":"everyone","pattern":"team/**","role":"pull"}`},
	}, says: grantErrors, bad: []bad{
		{target: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"team/**"}`, status: 400, has: "a subject, a pattern and a role"},
		{target: "/api/v1/access/grants", body: `{"subject":"alice","pattern":"team/**","role":"push"}`, status: 400},
		{target: "/api/v1/access/grants", body: `{"subject":"user:alice","pattern":"Team","role":"push"}`, status: 400},
	}},
	{
		route: "DELETE /api/v1/access/grants", good: []good{{target: "/api/v1/access/grants?subject=user:alice&pattern=team/**&role=pull", status: 204}},
		says: append([]says{{access.ErrUnknownGrant, 404}, {access.ErrLastAdmin, 409}}, grantErrors[0]), bad: []bad{
			{target: "/api/v1/access/grants", status: 400, has: "subject is missing"},
			{target: "/api/v1/access/grants?subject=user:alice&pattern=team/**&role=emperor", status: 400, has: "role:"},
			{target: "/api/v1/access/grants?subject=alice&pattern=team/**&role=pull", status: 400, has: "subject:"},
			{target: "/api/v1/access/grants?subject=user:alice&pattern=/&role=pull", status: 400, has: "pattern:"},
		},
	},
	{
		route: "GET /api/v1/access/may", good: []good{{target: "/api/v1/access/may?subject=user:alice&role=pull&repo=team/app", has: `"record":2`}}, hidden: 403,
		says: []says{{access.ErrUnknownUser, 404}}, bad: []bad{
			{target: "/api/v1/access/may?role=pull&repo=team/app", status: 400, has: "subject is missing"},
			{target: "/api/v1/access/may?subject=user:alice&role=pull", status: 400, has: "repo is missing"},
			{target: "/api/v1/access/may?subject=user:alice&role=x&repo=team/app", status: 400, has: "role:"},
		},
	},
	{route: "GET /api/v1/access/teams", good: []good{{target: "/api/v1/access/teams", has: `"members":[]`}, {target: "/api/v1/access/teams?limit=1", header: link("/api/v1/access/teams?limit=1&after=core")}}},
	{
		route: "POST /api/v1/access/teams", good: []good{{target: "/api/v1/access/teams", body: `{"name":"core"}`, status: 201, has: `"members":[]`}},
		says: []says{{access.ErrTeamExists, 409}, {access.ErrUserName, 422}, {access.ErrTooMuch, 422}},
	},
	{route: "DELETE /api/v1/access/teams/{name}", good: []good{{target: "/api/v1/access/teams/core", status: 204}}, says: []says{{access.ErrUnknownTeam, 404}, {access.ErrLastAdmin, 409}}},
	{
		route: "POST /api/v1/access/teams/{name}/members", good: []good{{target: "/api/v1/access/teams/core/members", body: `{"users":["bob"]}`, status: 204}},
		says: []says{{access.ErrUnknownTeam, 404}, {access.ErrUnknownUser, 404}, {access.ErrTooMuch, 422}},
	},
	{
		route: "DELETE /api/v1/access/teams/{name}/members/{user}", good: []good{{target: "/api/v1/access/teams/core/members/alice", status: 204}},
		says: []says{{access.ErrUnknownTeam, 404}, {access.ErrNotMember, 404}, {access.ErrLastAdmin, 409}},
	},
	{route: "GET /api/v1/access/robots", good: []good{{target: "/api/v1/access/robots", has: `"name":"scanner"`}, {target: "/api/v1/access/robots?limit=1", header: link("/api/v1/access/robots?limit=1&after=builder")}}},
	{
		route: "POST /api/v1/access/robots", good: []good{{target: "/api/v1/access/robots", body: `{"name":"builder"}`, status: 201, has: `"secret":"hmrk_`}},
		says: []says{{access.ErrRobotExists, 409}, {access.ErrUserName, 422}, {access.ErrPast, 422}}, bad: []bad{{target: "/api/v1/access/robots", body: `{"name":"b","expires":"soon"}`, status: 400}},
	},
	{
		route: "POST /api/v1/access/robots/{name}/secret", good: []good{{target: "/api/v1/access/robots/builder/secret", body: `{}`, status: 201, has: `"secret":"hmrk_`}},
		says: []says{{access.ErrUnknownRobot, 404}, {access.ErrPast, 422}},
	},
	{route: "DELETE /api/v1/access/robots/{name}", good: []good{{target: "/api/v1/access/robots/builder", status: 204}}, says: []says{{access.ErrUnknownRobot, 404}}},
	{route: "GET /api/v1/access/immutable", good: []good{{target: "/api/v1/access/immutable", has: `"tags":"v*"`}}},
	{route: "POST /api/v1/access/immutable", good: []good{
		{target: "/api/v1/access/immutable", body: `{"repositories":"team/**","tags":"v*"}`, status: 201}, {target: "/api/v1/access/immutable", body: `{"repositories":"team/**","tags":"w*","except":["*-dev"]}`},
	}, says: []says{{access.ErrNotAdmin, 403}, {access.ErrTooMuch, 422}}, bad: []bad{
		{target: "/api/v1/access/immutable", body: `{"repositories":"team/**"}`, status: 400, has: "repositories and tags"}, {target: "/api/v1/access/immutable", body: `{"repositories":"/","tags":"v*"}`, status: 400},
	}},
	{
		route: "DELETE /api/v1/access/immutable", good: []good{{target: "/api/v1/access/immutable?repositories=team/**&tags=v*", status: 204}},
		says: []says{{access.ErrNotAdmin, 403}, {access.ErrUnknownRule, 404}}, bad: []bad{{target: "/api/v1/access/immutable?tags=v*", status: 400, has: "repositories is missing"}},
	},
	{route: "GET /api/v1/access/document", good: []good{{target: "/api/v1/access/document", has: `"version":7`}}},
	{
		route: "PUT /api/v1/access/document", good: []good{
			{target: "/api/v1/access/document", body: `{"teams":{},"grants":[]}`, has: `"applied":true`}, {target: "/api/v1/access/document?dryRun=true", body: `{}`, has: `"applied":false`},
		}, says: []says{{access.ErrChanged, 409}, {access.ErrLastAdmin, 409}, {&access.EntryError{At: "grants[0]", Err: access.ErrUnknownUser}, 422}},
		bad: []bad{{target: "/api/v1/access/document?dryRun=x", body: `{}`, status: 400, has: "true, false"}},
	},
	{route: "GET /api/v1/access/tokens", good: sessionsGood("tokens"), hidden: 403, bad: sessionsBad("tokens"), says: []says{{access.ErrUnknownUser, 404}}},
	{route: "GET /api/v1/access/sessions", good: sessionsGood("sessions"), hidden: 403, bad: sessionsBad("sessions"), says: []says{{access.ErrUnknownUser, 404}}},
	{
		route: "POST /api/v1/access/tokens", good: []good{{target: "/api/v1/access/tokens", body: `{"name":"laptop","scopes":[]}`, status: 201, has: `"secret":"hmrk_`}},
		says: []says{{access.ErrNotOwn, 403}, {access.ErrTooManyTokens, 409}, {access.ErrNoScope, 422}, {access.ErrSessionName, 422}, {access.ErrSessionLasts, 422}},
	},
	{route: "DELETE /api/v1/access/tokens/{id}", good: []good{{target: "/api/v1/access/tokens/s1", status: 204}}, says: []says{{access.ErrUnknownSession, 404}}},
	{route: "DELETE /api/v1/access/sessions/{id}", good: []good{{target: "/api/v1/access/sessions/s1", status: 204}, {target: "/api/v1/access/sessions/current", status: 204}}, says: []says{{access.ErrUnknownSession, 404}}},
	{route: "GET /api/v1/certificate", good: []good{{target: "/api/v1/certificate", has: "BEGIN CERTIFICATE"}}, strangers: 200},
	{route: "POST /api/v1/certificate", good: []good{{target: "/api/v1/certificate", body: `{"ca":true}`, has: "BEGIN CERTIFICATE"}}, says: []says{{certs.ErrNotRenewed, 409}, {certs.ErrName, 409}}},
	{
		route: "POST /api/v1/keys", good: []good{{target: "/api/v1/keys", body: `{"reason":"rotated"}`, status: 201, has: `"reason":"rotated"`}},
		says: []says{{ErrNoNextKey, 409}, {provenance.ErrUsedKey, 409}}, bad: []bad{{target: "/api/v1/keys", body: `{"reason":"whim"}`, status: 422, has: "rotated, stolen or lost"}, {target: "/api/v1/keys", body: `{}`, status: 422}},
	},
	{route: "GET /api/v1/check", good: []good{{target: "/api/v1/check", has: `"problems":1`}, {target: "/api/v1/check?deep=true", has: `"problem":"a page is lost"`}}, bad: []bad{{target: "/api/v1/check?deep=x", status: 400, has: "true, false"}}},
	{route: "GET /api/v1/quota", good: []good{{target: "/api/v1/quota", has: `"usedBytes":1100`}}},
	{route: "PUT /api/v1/quota", good: []good{
		{target: "/api/v1/quota", body: `{"pattern":"team/**","bytes":1000}`, status: 201}, {target: "/api/v1/quota", body: `{"pattern":"lib/**","tags":5}`, has: `"tags":5`},
	}, says: []says{{registry.ErrQuota, 422}, {registry.ErrTooManyQuotas, 422}}, bad: []bad{
		{target: "/api/v1/quota", body: `{"pattern":"/","bytes":1}`, status: 400}, {target: "/api/v1/quota", body: `{"pattern":"a","bytes":"1"}`, status: 400},
	}},
	{
		route: "DELETE /api/v1/quota", good: []good{{target: "/api/v1/quota?pattern=team/**", status: 204}},
		says: []says{{registry.ErrUnknownQuota, 404}}, bad: []bad{{target: "/api/v1/quota", status: 400, has: "pattern is missing"}},
	},
	{route: "GET /api/v1/usage", good: []good{
		{target: "/api/v1/usage?pattern=team/**", has: `"unique":800`}, {target: "/api/v1/usage?limit=1", has: `"next":"`},
	}, bad: []bad{{target: "/api/v1/usage?pattern=/", status: 400}, {target: "/api/v1/usage?after=x", status: 400, has: "begin at the first page"}}},
	{
		route: "DELETE /api/v1/pulls", good: []good{{target: "/api/v1/pulls?repo=team/app", status: 204}, {target: "/api/v1/pulls?all=true", status: 204}},
		bad: []bad{
			{target: "/api/v1/pulls", status: 400, has: "name a repository"},
			{target: "/api/v1/pulls?repo=team/app&all=true", status: 400, has: "name a repository"},
			{target: "/api/v1/pulls?all=false", status: 400, has: "name a repository"},
		},
		says: []says{{registry.ErrUnknown, 404}},
	},
	{
		route: "POST /api/v1/import", good: []good{
			{target: "/api/v1/import", body: `{"registry":"registry.example","repositories":["team/**"]}`, has: `{"progress":{"repositories":1`},
			{target: "/api/v1/import", body: `{"registry":"registry.example","dryRun":true}`, has: `"refusals":[{"reference":"team/app:1.0"`},
		},
		bad: []bad{
			{target: "/api/v1/import", body: `{}`, status: 400, has: "either path"},
			{target: "/api/v1/import", body: `{"path":"/srv","registry":"registry.example"}`, status: 400, has: "either path"},
			{target: "/api/v1/import", body: `{"path":"/srv"}`, status: 403, has: "for its operator alone"},
			{target: "/api/v1/import", body: `{"registry":"registry.example","rate":-1}`, status: 400, has: "rate"},
			{target: "/api/v1/import", body: `{"registry":"registry.example","repositories":["***"]}`, status: 400, has: "pattern"},
		},
		says: []says{{mirror.ErrSource, 422}, {mirror.ErrImporting, 409}},
	},
	{route: "GET /api/v1/mirrors", good: []good{{target: "/api/v1/mirrors", has: `"into":"mirror/hub"`}}, bad: []bad{{target: "/api/v1/mirrors?name=hub", status: 400}}},
	{
		route: "GET /api/v1/mirrors/{name}", good: []good{{target: "/api/v1/mirrors/hub", has: `"failures":2`}},
		bad: []bad{{target: "/api/v1/mirrors/hub?x=1", status: 400}}, says: []says{{mirror.ErrNoMirror, 404}},
	},
	{
		route: "POST /api/v1/mirrors/{name}/run", good: []good{{target: "/api/v1/mirrors/hub/run", body: `{}`, has: `{"progress":{"repositories":1`}, {target: "/api/v1/mirrors/hub/run", body: `{"dryRun":true}`, has: `"dryRun":true`}},
		bad:  []bad{{target: "/api/v1/mirrors/hub/run", body: `{"name":"hub"}`, status: 400}},
		says: []says{{mirror.ErrNoMirror, 404}, {mirror.ErrRunning, 409}, {mirror.ErrTaken, 409}, {mirror.ErrSource, 422}},
	},
	{
		route: "POST /api/v1/mirrors/approve", good: []good{{target: "/api/v1/mirrors/approve", body: `{"repository":"team/app","reference":"1.0"}`, has: `"record":7`}},
		bad:  []bad{{target: "/api/v1/mirrors/approve", body: `{"repository":"team/app"}`, status: 400, has: "say what is let through"}},
		says: []says{{mirror.ErrNotWaiting, 404}, {registry.ErrUnknown, 404}},
	},
	{
		route: "GET /api/v1/trash", good: []good{
			{target: "/api/v1/trash", has: `"tags":["old"]`},
			{target: "/api/v1/trash?repo=team/app", has: `"repository":"team/app"`},
			{target: "/api/v1/trash?limit=1", has: `"next":"/api/v1/trash?limit=1&after=`},
		},
		bad: []bad{{target: "/api/v1/trash?after=x", status: 400, has: "begin at the first page"}},
	},
	{route: "POST /api/v1/trash/undelete", good: []good{
		{target: "/api/v1/trash/undelete", body: `{"repository":"team/app","reference":"` + other.digest.String() + `"}`, has: `"left":["new"]`},
	}, bad: []bad{{target: "/api/v1/trash/undelete", body: `{"repository":"team/app"}`, status: 400, has: "reference"}}},
	{
		route: "POST /api/v1/trash/empty", good: []good{{target: "/api/v1/trash/empty", body: `{"all":true}`, has: `"manifests":1`}},
		bad: []bad{
			{target: "/api/v1/trash/empty", body: `{"reference":"1"}`, status: 400, has: "repository"},
			{target: "/api/v1/trash/empty", body: `{}`, status: 400, has: "name a repository"},
			{target: "/api/v1/trash/empty", body: `{"repository":"team/app","all":true}`, status: 400, has: "name a repository"},
		},
	},
	{route: "GET /api/v1/scrub", good: []good{{target: "/api/v1/scrub", has: `"every":"168h"`}}},
	{route: "POST /api/v1/scrub", good: []good{{target: "/api/v1/scrub", body: `{}`, has: `"every":"168h"`}}},

	{route: "GET /log/{path...}", good: []good{
		{target: "/log/checkpoint", has: "log.example"},
		{target: "/log/checkpoint.cosigned?witness=witness.example"},
		{target: "/log/log.example/checkpoint"},
		{target: "/log/tile/0/000", header: http.Header{"Cache-Control": {cacheForever}}},
		{target: "/log/tile/0/000.p/4", header: http.Header{"Cache-Control": {cacheMoment}}},
	}, says: []says{{log.ErrNoLog, 404}}, bad: []bad{{target: "/log/tile/0/001", status: 404}, {target: "/log/none.example/checkpoint", status: 404}, {target: "/log/tile/x", status: 404, has: "checkpoint.cosigned"}, {target: "/log/", status: 404}}},
	{
		route: "POST /log/cosignature", good: []good{{target: "/log/cosignature", body: `{"checkpoint":"log.example\n4\n"}`, has: `"size":4`}},
		says: []says{{provenance.ErrNotCosigned, 403}, {log.ErrNoLog, 404}, {log.ErrSize, 404}, {provenance.ErrOtherCheckpoint, 409}, {provenance.ErrFuture, 409}, {checkpoint.ErrInvalid, 422}},
	},
	{route: "GET /keys/receipts.json", good: []good{{target: "/keys/receipts.json", has: "BEGIN PUBLIC KEY"}}},
	{route: "GET /keys/receipts.pem", good: []good{{target: "/keys/receipts.pem", has: "BEGIN PUBLIC KEY", header: http.Header{"Cache-Control": {cacheNever}}}}},
	{route: "GET /keys/receipts/{file}", good: []good{{target: "/keys/receipts/HINT.pem", has: "BEGIN PUBLIC KEY", header: http.Header{"Cache-Control": {cacheForever}}}}, bad: []bad{{target: "/keys/receipts/none.pem", status: 404, has: "lists them all"}}},
	{route: "GET /keys/logs.json", good: []good{{target: "/keys/logs.json", has: "log.example"}}},
	{route: "GET /keys/log.vkey", good: []good{{target: "/keys/log.vkey", has: "log.example+"}}},
	{route: "GET /trusted_root.json", good: []good{{target: "/trusted_root.json", has: `"tlogs"`}}},
	{route: selfPattern, good: []good{{target: "/openapi.json", has: `"openapi": "3.1.1"`}}},
}

// ofImage are the faults of a question about one image.
func ofImage(path string) []bad {
	return []bad{
		{target: path, status: 400, has: "repo is missing"},
		{target: path + "?repo=team/app", status: 400, has: "ref is missing"},
		{target: path + "?repo=team/app&ref=none", status: 404},
		{target: path + "?repo=none&ref=1.0", status: 404},
		{target: path + "?repo=team/app&ref=" + badDigest, status: 404},
		{target: path + "?repo=team/app&ref=" + other.digest.String(), status: 404},
		{target: path + "?repo=team/app&ref=gone", status: 404, has: "removed it"},
	}
}

func sessionsGood(what string) []good {
	path := "/api/v1/access/" + what
	return []good{{target: path + "?user=alice", has: `"id":"s2"`}, {target: path + "?account=x&limit=1", header: link(path + "?account=x&limit=1&after=s1")}, {target: path, has: `"id":"s1"`}}
}

func sessionsBad(what string) []bad {
	path := "/api/v1/access/" + what
	return []bad{{target: path + "?user=alice&account=x", status: 400, has: "not both"}, {target: path + "?user=nobody", status: 404}}
}
