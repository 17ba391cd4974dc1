package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/api/apitest"
	"github.com/seed-260924e6/hallmark/registry"
)

// registryRoute is a request that is about no one repository, with what each sort of caller gets.
type registryRoute struct {
	route  string // as the description, or registry.Routes, names it
	path   string
	body   string
	as     []string // header
	before func(*rightsTable)

	stranger, user, machine, admin int  // machines are robots, jobs and tokens
	asked                          bool // 401 for strangers who do not say that they have no login
}

// everybody gives all callers the same status.
func everybody(status int) func(registryRoute) registryRoute {
	return func(r registryRoute) registryRoute {
		r.stranger, r.user, r.machine, r.admin = status, status, status, status
		return r
	}
}

// declared is for everybody who says who they are, even that they are nobody: strangers see a shorter list.
func declared(r registryRoute) registryRoute {
	r = everybody(200)(r)
	r.asked = true
	return r
}

// members is for everybody but strangers.
func members(r registryRoute) registryRoute {
	r.stranger, r.user, r.machine, r.admin = 401, 200, 200, 200
	return r
}

// admins is for administrators alone, who get a status.
func admins(status int) func(registryRoute) registryRoute {
	return func(r registryRoute) registryRoute {
		r.stranger, r.user, r.machine, r.admin = 401, 403, 403, status
		return r
	}
}

// making makes what a request needs, unless it is there.
func making(path, body string) func(*rightsTable) {
	return func(s *rightsTable) { s.do("POST", path, "", body, jsonType...) }
}

const (
	casualty = `{"name":"victim","password":"wonderland-1"}`
	victims  = `{"users":["victim"]}`
	crew     = `{"name":"crew"}`
	engine   = `{"name":"engine"}`
)

func makingCrew(s *rightsTable) {
	making("/api/v1/users", casualty)(s)
	making("/api/v1/access/teams", crew)(s)
	making("/api/v1/access/teams/crew/members", victims)(s)
}

// removing removes what a request makes.
func removing(path string) func(*rightsTable) {
	return func(s *rightsTable) { s.do("DELETE", path, "", "") }
}

// registryRoutes are all routes that are about no one repository.
func registryRoutes(t *testing.T) []registryRoute {
	row := func(kind func(registryRoute) registryRoute, route, path string) registryRoute {
		return kind(registryRoute{route: route, path: path})
	}
	with := func(r registryRoute, body string, before func(*rightsTable)) registryRoute {
		r.body, r.as, r.before = body, jsonType, before
		return r
	}
	const api, users, teams, robots = "/api/v1", "/api/v1/users", "/api/v1/access/teams", "/api/v1/access/robots"
	open, ok, made, done := everybody(200), admins(200), admins(201), admins(204)
	rows := []registryRoute{
		row(members, "GET base", "/v2/"), row(members, "HEAD base", "/v2/"),
		row(declared, "GET catalog", "/v2/_catalog"), row(declared, "HEAD catalog", "/v2/_catalog"),
		row(declared, "GET /api/v1/records", api+"/records"), row(declared, "GET /api/v1/repositories", api+"/repositories"),
		row(declared, "GET /api/v1/records/statements", api+"/records/statements"),
		row(declared, "GET /api/v1/records/export", api+"/records/export?receipts=true"), row(open, "GET /api/v1/records/export", api+"/records/export?repo=open/app"),
		row(declared, "GET /api/v1/records", api+"/records?source=x"), row(open, "GET /api/v1/records", api+"/records?repo=open/app"),
		row(declared, "GET /api/v1/sources", api+"/sources?revision=x"), row(declared, "GET /api/v1/descendants", api+"/descendants?base="+tableBase),
		row(declared, "GET /api/v1/search", api+"/search?q=x"),
		row(declared, "GET /api/v1/digests", api+"/digests?prefix=sha256:0000"), row(declared, "GET /api/v1/commits", api+"/commits?prefix=0000"),
		row(open, "GET /api/v1/sources", api+"/sources?revision=x&repo=open/app"),
		row(declared, "GET /api/v1/access/grants", api+"/access/grants"), row(open, "GET /api/v1/certificate", api+"/certificate"),
		row(declared, "GET /api/v1/access/immutable", rulesPath),
		row(open, "GET /openapi.json", "/openapi.json"), row(open, "GET /ca.pem", "/ca.pem"),
		row(open, "GET /healthz", "/healthz"), row(open, "GET /readyz", "/readyz"),
		row(open, "GET /log/{path}", "/log/checkpoint"), row(open, "GET /log/{path}", "/log/tile/0/000.p/1"),
		row(open, "GET /log/{path}", "/log/tile/entries/000.p/1"),
		with(row(everybody(403), "POST /log/cosignature", "/log/cosignature"), `{"checkpoint":"x"}`, nil), // for witnesses that are configured
		row(open, "GET /keys/receipts.json", "/keys/receipts.json"), row(open, "GET /keys/receipts.pem", "/keys/receipts.pem"),
		row(open, "GET /keys/receipts/{file}", "/keys/receipts/HINT.pem"), row(open, "GET /keys/logs.json", "/keys/logs.json"),
		row(open, "GET /keys/log.vkey", "/keys/log.vkey"), row(open, "GET /trusted_root.json", "/trusted_root.json"),
		row(open, "GET /token", "/token"),
		{
			route: "POST /token", path: "/token", body: form("grant_type", "refresh_token", "refresh_token", "none", "client_id", "test"),
			as: []string{"Content-Type", "application/x-www-form-urlencoded"}, stranger: 401, user: 401, machine: 401, admin: 401,
		},
		row(ok, "GET /api/v1/users", users),
		with(row(made, "POST /api/v1/users", users), casualty, removing(users+"/victim")),
		with(row(done, "PUT /api/v1/users/{name}/password", users+"/victim/password"), `{"password":"wonderland-2"}`, making(users, casualty)),
		with(row(ok, "PUT /api/v1/users/{name}/name", users+"/victim/name"), `{"name":"survivor"}`, func(s *rightsTable) {
			removing(users + "/survivor")(s)
			making(users, casualty)(s)
		}),
		with(row(done, "DELETE /api/v1/users/{name}", users+"/victim"), "", making(users, casualty)),
		row(ok, "GET /api/v1/access/teams", teams),
		with(row(made, "POST /api/v1/access/teams", teams), crew, removing(teams+"/crew")),
		with(row(done, "POST /api/v1/access/teams/{name}/members", teams+"/crew/members"), victims, makingCrew),
		with(row(done, "DELETE /api/v1/access/teams/{name}/members/{user}", teams+"/crew/members/victim"), "", makingCrew),
		with(row(done, "DELETE /api/v1/access/teams/{name}", teams+"/crew"), "", makingCrew),
		row(ok, "GET /api/v1/access/robots", robots),
		with(row(made, "POST /api/v1/access/robots", robots), engine, removing(robots+"/engine")),
		with(row(made, "POST /api/v1/access/robots/{name}/secret", robots+"/engine/secret"), `{}`, making(robots, engine)),
		with(row(done, "DELETE /api/v1/access/robots/{name}", robots+"/engine"), "", making(robots, engine)),
		row(ok, "GET /api/v1/access/document", api+"/access/document"),
		with(row(ok, "PUT /api/v1/access/document", api+"/access/document?dryRun=true"), `{"grants":[{"subject":"user:admin","pattern":"**","role":"admin"}]}`, nil),
		row(ok, "GET /api/v1/access/tokens", api+"/access/tokens?user=admin"),
		{
			route: "POST /api/v1/access/tokens", path: api + "/access/tokens", as: jsonType, body: `{"name":"x","scopes":[{"pattern":"**","rights":["pull"]}]}`,
			stranger: 401, user: 201, machine: 403, admin: 201,
		},
		{route: "DELETE /api/v1/access/tokens/{id}", path: api + "/access/tokens/TOKEN", stranger: 401, user: 404, machine: 404, admin: 204},
		row(ok, "GET /api/v1/access/sessions", api+"/access/sessions?user=admin"),
		{route: "DELETE /api/v1/access/sessions/{id}", path: api + "/access/sessions/TOKEN", stranger: 401, user: 404, machine: 404, admin: 204},
		with(row(ok, "POST /api/v1/certificate", api+"/certificate"), "{}", nil),
		with(row(made, "POST /api/v1/keys", api+"/keys"), `{"reason":"rotated"}`, nil),
		row(ok, "GET /api/v1/policy", api+"/policy"),
		row(ok, "GET /api/v1/documents/{kind}", api+"/documents/policy"),
		with(row(ok, "PUT /api/v1/documents/{kind}", api+"/documents/policy?dryRun=true"), `{"text":"rules: []"}`, nil),
		row(ok, "GET /api/v1/documents/{kind}/history", api+"/documents/policy/history"),
		with(row(ok, "POST /api/v1/policy/test", api+"/policy/test"), `{"images":[]}`, nil),
		row(ok, "GET /api/v1/check", api+"/check"),
		row(ok, "GET /api/v1/retention/rules", api+"/retention/rules"),
		row(ok, "GET /api/v1/retention/plan", api+"/retention/plan"),
		with(row(admins(400), "POST /api/v1/retention/apply", api+"/retention/apply"), "{}", nil),
		row(done, "DELETE /api/v1/pulls", api+"/pulls?repo=never/pulled"),
		with(row(ok, "POST /api/v1/import", api+"/import"), `{"registry":"unknown.invalid","repositories":["team/app"]}`, nil),
		row(ok, "GET /api/v1/mirrors", api+"/mirrors"),
		row(admins(404), "GET /api/v1/mirrors/{name}", api+"/mirrors/hub"),
		with(row(admins(404), "POST /api/v1/mirrors/{name}/run", api+"/mirrors/hub/run"), "{}", nil),
		row(declared, "GET /api/v1/trash", api+"/trash"),
		with(row(ok, "POST /api/v1/trash/empty", api+"/trash/empty"), `{"repository":"never/there"}`, nil),
		row(ok, "GET /api/v1/scrub", api+"/scrub"),
		row(ok, "GET /api/v1/quota", api+"/quota"),
		with(row(made, "PUT /api/v1/quota", api+"/quota"), `{"pattern":"never","tags":5}`, removing(api+"/quota?pattern=never")),
		with(row(done, "DELETE /api/v1/quota", api+"/quota?pattern=never"), "", func(s *rightsTable) {
			s.do("PUT", api+"/quota", "", `{"pattern":"never","tags":5}`, jsonType...)
		}),
		row(ok, "GET /api/v1/usage", api+"/usage"),
		with(row(ok, "POST /api/v1/scrub", api+"/scrub"), `{}`, nil),
	}
	return rows
}

// want is the status that somebody gets.
func (r registryRoute) want(who identity) int {
	switch {
	case r.asked && who.login == "none":
		return 401
	case who.isStranger():
		return r.stranger
	case who.name == "admin":
		return r.admin
	case strings.HasPrefix(who.subject, "user:") && who.name != "token":
		return r.user
	default:
		return r.machine
	}
}

// TestRightsOverTheRegistry asks for what belongs to no repository.
func TestRightsOverTheRegistry(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s, identities := startTable(t, "")
	for _, who := range identities {
		for _, r := range registryRoutes(t) {
			s.wantStatus(r, who, r.want(who))
		}
	}
	var page struct {
		Records []struct{ Grant map[string]any }
	}
	if err := json.Unmarshal([]byte(s.asOwner("/api/v1/records?action=grant&limit=1000")), &page); err != nil || len(page.Records) == 0 {
		t.Fatalf("%v, %d records", err, len(page.Records))
	}
	for _, r := range page.Records {
		if pattern, _ := r.Grant["pattern"].(string); !strings.HasPrefix(pattern, "team/") {
			t.Errorf("who administrates team/** reads of %v", r.Grant)
		}
	}
}

// TestPrivateLog wants the log to be for those who signed in, and the keys for everybody, where that is configured.
func TestPrivateLog(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s, identities := startTable(t, "log:\n  public: false\n")
	for _, who := range identities {
		for _, r := range registryRoutes(t) {
			want := r.want(who)
			switch {
			case r.route == "GET /log/{path}" && who.isStranger():
				want = 401
			case !strings.Contains(r.route, "/log/") && !strings.Contains(r.route, "/keys/") && r.path != "/trusted_root.json":
				continue
			}
			s.wantStatus(r, who, want)
		}
	}
}

// wantStatus makes a request as somebody.
func (s *rightsTable) wantStatus(r registryRoute, who identity, want int) {
	s.t.Helper()
	if r.before != nil {
		r.before(s)
	}
	path := r.path
	switch {
	case strings.Contains(path, "HINT"):
		path = strings.Replace(path, "HINT", s.hint(), 1)
	case strings.Contains(path, "TOKEN"):
		path = strings.Replace(path, "TOKEN", s.adminsToken(), 1)
	}
	method := strings.Fields(r.route)[0]
	status, answer, body := s.do(method, path, who.login, r.body, r.as...)
	if status != want {
		s.t.Errorf("%s, %s %s: %d, want %d\n%s", who.name, method, path, status, want, body)
	}
	s.wantNoLeak(who, r.route, path+r.body, answer, body)
}

// hint is that of a key for receipts.
func (s *rightsTable) hint() string {
	var list struct{ Keys []struct{ Hint string } }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/keys/receipts.json")), &list); err != nil || len(list.Keys) == 0 {
		s.t.Fatal(err, list)
	}
	return list.Keys[0].Hint
}

// adminsToken is the id of a new token of the administrator.
func (s *rightsTable) adminsToken() string {
	var made struct{ ID string }
	body := s.change("POST", "/api/v1/access/tokens", map[string]any{"name": "y", "scopes": []any{map[string]any{"pattern": "**", "rights": []string{"pull"}}}})
	if err := json.Unmarshal([]byte(body), &made); err != nil {
		s.t.Fatal(err)
	}
	return made.ID
}

func (s *rightsTable) asOwner(path string) string {
	s.t.Helper()
	_, _, body := s.do("GET", path, "owner:"+tablePassword, "")
	return body
}

// everyRoute are the routes of the registry and of the description, as METHOD and path or kind of path.
func everyRoute(t *testing.T) []string {
	t.Helper()
	doc, err := apitest.Parse([]byte(readDescribed(t)))
	if err != nil {
		t.Fatal(err)
	}
	return append(registry.Routes(), doc.Operations()...)
}
