package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api/apitest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

var jsonType = http.Header{"Content-Type": {"application/json"}}

// tableTest asks the routes of the table, and holds each answer against the description.
type tableTest struct {
	*testing.T
	w    *world
	a    *API
	doc  *apitest.Description
	rows map[string]route
}

func newTableTest(t *testing.T) *tableTest {
	w, a := newWorld(t)
	rows := map[string]route{}
	for _, r := range append(a.routes(), a.publicRoutes()...) {
		rows[r.pattern] = r
	}
	return &tableTest{t, w, a, description(t), rows}
}

// asked is how a row is asked.
func (t *tableTest) asked(r row, target, login, body string) request {
	method, _, _ := strings.Cut(r.route, " ")
	q := request{method: method, target: strings.Replace(target, "HINT", t.w.key.Hint(), 1), login: login, body: body}
	if method == "POST" || method == "PUT" {
		q.header = jsonType
	}
	return q
}

// good is the first good request of a row.
func (t *tableTest) good(r row) request { return t.asked(r, r.good[0].target, "admin", r.good[0].body) }

// want asks, and wants a status, and a text in the body.
func (t *tableTest) want(r row, q request, status int, has string) *httptest.ResponseRecorder {
	t.Helper()
	answer := q.do(t.a)
	if answer.Code == brokenOff && r.breaksOff && status >= 500 {
		return answer // the client sees that it has half of it
	}
	name := fmt.Sprintf("%s as %q: %s %s %.100s", r.route, q.login, q.method, q.target, q.body)
	if answer.Code != status || !strings.Contains(answer.Body.String(), has) {
		t.Errorf("%s\n%d, want %d with %q\n%.600s", name, answer.Code, status, has, answer.Body)
	}
	if strings.Contains(answer.Body.String(), errDisk.Error()) {
		t.Errorf("%s tells what is for the log: %s", name, answer.Body)
	}
	if answer.Code >= 400 {
		t.wantProblem(name, answer)
	}
	if answer.Code == http.StatusMethodNotAllowed {
		return answer // which belongs to no operation
	}
	method, path, _ := strings.Cut(strings.ReplaceAll(r.route, "...", ""), " ")
	err := t.doc.Check(apitest.Answer{Method: method, Route: path, Status: answer.Code, Header: answer.Header(), Body: answer.Body.String()})
	if err != nil {
		t.Errorf("%s\n%d: %v", name, answer.Code, err)
	}
	return answer
}

// wantProblem wants an error to be a problem with a sentence, which no cache keeps.
func (t *tableTest) wantProblem(name string, answer *httptest.ResponseRecorder) {
	t.Helper()
	var p problem
	err := json.Unmarshal(answer.Body.Bytes(), &p)
	if err != nil || p.Detail == "" || p.Status != answer.Code || answer.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s\n%d is no problem: %v %v %.300s", name, answer.Code, err, answer.Header(), answer.Body)
	}
}

func (t *tableTest) isPublic(r row) bool { return !strings.Contains(r.route, "/api/v1/") }

func (t *tableTest) takesBody(r row) bool {
	return strings.HasPrefix(r.route, "POST") || strings.HasPrefix(r.route, "PUT")
}

// TestEveryRouteIsInTheTable wants a row for each route of the mux, and no other.
func TestEveryRouteIsInTheTable(t *testing.T) {
	var rows []string
	for _, r := range table {
		rows = append(rows, r.route)
		if len(r.good) == 0 {
			t.Errorf("%s has no good answer", r.route)
		}
	}
	routes := patterns()
	slices.Sort(rows)
	slices.Sort(routes)
	if !slices.Equal(rows, routes) {
		t.Errorf("the rows of the table are\n%q, and the routes\n%q", rows, routes)
	}
}

// TestGoodAnswers has each row's good requests.
func TestGoodAnswers(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for _, r := range table {
		for _, g := range r.good {
			status := g.status
			if status == 0 {
				status = http.StatusOK
			}
			answer := tt.want(r, tt.asked(r, g.target, "admin", g.body), status, g.has)
			for name := range g.header {
				if got := answer.Header().Get(name); got != g.header.Get(name) {
					t.Errorf("%s: %s is %q, want %q", g.target, name, got, g.header.Get(name))
				}
			}
			if strings.Contains(r.route, "/api/v1/") && answer.Code != http.StatusNoContent && !strings.Contains(answer.Header().Get("Content-Type"), "ndjson") && answer.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s may be kept by caches: %v", g.target, answer.Header())
			}
		}
	}
}

// TestBadRequests has each row's own bad requests.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for _, r := range table {
		for _, b := range r.bad {
			login := b.login
			if login == "" {
				login = "admin"
			}
			tt.want(r, tt.asked(r, b.target, login, b.body), b.status, b.has)
		}
	}
}

// TestBadParameters has parameters that no route knows, that are given twice, and pages of no size. What a route says that it
// knows is what is described.
func TestBadParameters(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	known := regexp.MustCompile(`there is no parameter "nonsense" here; there are (.*)"`)
	for _, r := range table {
		path := strings.ReplaceAll(r.route, "...", "")
		described := tt.doc.Parameters(path)
		if !strings.HasPrefix(r.route, "GET") && len(described) == 0 || r.route == selfPattern {
			continue
		}
		q := tt.good(r)
		with := func(more string) request {
			separator := "?"
			if strings.Contains(q.target, "?") {
				separator = "&"
			}
			one := q
			one.target += separator + more
			return one
		}
		answer := tt.want(r, with("nonsense=1"), http.StatusBadRequest, "there is no parameter")
		if found := known.FindStringSubmatch(strings.ReplaceAll(answer.Body.String(), `\"`, `"`)); found != nil {
			names := strings.FieldsFunc(found[1], func(c rune) bool { return c == ',' || c == ' ' })
			slices.Sort(names)
			if !slices.Equal(names, described) && r.route != "GET /log/{path...}" { // whose parameter one path has
				t.Errorf("%s knows %q, and described are %q", r.route, names, described)
			}
		}
		if slices.Contains(described, "limit") {
			for _, limit := range []string{"0", "-1", "1001", "x", "1e3"} {
				tt.want(r, with("limit="+limit), http.StatusBadRequest, "a number from 1 to 1000")
			}
			tt.want(r, with("limit=1&limit=2"), http.StatusBadRequest, "given 2 times")
		}
		if slices.Contains(described, "repo") && !strings.Contains(q.target, "repo=") && !strings.Contains(q.target, "base=") {
			tt.want(r, with("repo=a&repo=b"), http.StatusBadRequest, "given 2 times")
		}
		tt.want(r, with("%zz=1"), http.StatusBadRequest, "malformed")
	}
}

// TestWrongMethods asks each path with a method that it does not have.
func TestWrongMethods(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for _, r := range table {
		q := tt.good(r)
		q.method, q.header = "PATCH", jsonType
		answer := tt.want(r, q, http.StatusMethodNotAllowed, "takes")
		if method, _, _ := strings.Cut(r.route, " "); !slices.Contains(strings.Split(answer.Header().Get("Allow"), ", "), method) {
			t.Errorf("%s allows %q", r.route, answer.Header().Get("Allow"))
		}
	}
}

// TestBadBodies has what can be wrong with a body, and pages of other sites.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	large := `{"nonsense":"` + strings.Repeat("x", 5<<20) + `"}`
	for _, r := range table {
		q := tt.good(r)
		if q.method != "GET" {
			foreign := q
			foreign.header = maps.Clone(jsonType)
			foreign.header["Origin"] = []string{"https://evil.example"}
			tt.want(r, foreign, http.StatusForbidden, "another site")
			foreign.header = maps.Clone(jsonType)
			foreign.header["Sec-Fetch-Site"] = []string{"cross-site"}
			tt.want(r, foreign, http.StatusForbidden, "another site")
		}
		if !tt.takesBody(r) {
			continue
		}
		for _, body := range []string{"", "{", "[]", "null", `{"nonsense":1}`, q.body + "x", q.body + q.body, `{"a":1,"a":1}`} {
			one := q
			one.body = body
			tt.want(r, one, http.StatusBadRequest, "the body is not what is wanted here")
		}
		one := q
		one.body = large
		tt.want(r, one, http.StatusRequestEntityTooLarge, "bytes")
		for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"} {
			one := q
			one.header = http.Header{"Content-Type": {kind}}
			tt.want(r, one, http.StatusUnsupportedMediaType, "application/json")
		}
		one = q
		one.header = http.Header{"Content-Type": {"Application/JSON; charset=utf-8"}}
		if answer := one.do(tt.a); answer.Code >= 400 {
			t.Errorf("%s takes no JSON with a charset: %d %s", r.route, answer.Code, answer.Body)
		}
	}
}

// TestCallers has those who may not ask: strangers, wrong logins, people without the right, and those who ask too often.
func TestCallers(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for _, r := range table {
		q := tt.good(r)
		if tt.isPublic(r) {
			q.login = ""
			tt.want(r, q, http.StatusOK, "")
			continue
		}
		for _, open := range []bool{false, true} {
			tt.w.open = open
			stranger := q
			stranger.login = ""
			status := http.StatusUnauthorized
			if open && r.strangers != 0 {
				status = r.strangers
			}
			answer := tt.want(r, stranger, status, "")
			if status == http.StatusUnauthorized && answer.Header().Get("Www-Authenticate") != `Basic realm="Hallmark", charset="UTF-8"` {
				t.Errorf("%s asks a stranger for no login: %v", r.route, answer.Header())
			}
		}
		tt.w.open = false
		wrong := q
		wrong.login = "mallory"
		tt.want(r, wrong, http.StatusUnauthorized, "")
		bob := q
		bob.login = "bob"
		switch {
		case tt.rows[r.route].admin:
			tt.want(r, bob, http.StatusForbidden, "only administrators")
		case r.hidden != 0:
			tt.want(r, bob, r.hidden, "")
		}
		for _, slow := range []error{access.ErrBusy, &access.SlowDownError{Wait: 3 * time.Second}} {
			tt.w.gateErr = slow
			if answer := tt.want(r, q, http.StatusTooManyRequests, ""); answer.Header().Get("Retry-After") == "" {
				t.Errorf("%s does not say when to try again", r.route)
			}
		}
		tt.w.gateErr = errDisk
		tt.want(r, q, http.StatusInternalServerError, "its log says more")
		tt.w.gateErr = nil
	}
}

// storeTroubles are the errors of a store as every route answers them.
var storeTroubles = []struct {
	err    error
	status int
	again  bool
}{
	{storage.ErrFull, 507, false},
	{storage.ErrUnknownOutcome, 500, false},
	{storage.ErrCorrupt, 500, false},
	{storage.ErrClosed, 503, true},
	{storage.ErrReadOnly, 503, false},
	{storage.ErrBusy, 503, true},
	{provenance.ErrNoKey, 503, false},
	{provenance.ErrDisagree, 503, false},
	{errDisk, 500, false},
	{errors.Join(provenance.ErrNoRecord, storage.ErrClosed), 503, true},
}

// TestRoomsFail has each question that a route asks fail, one after another and with every error of a store.
func TestRoomsFail(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for _, r := range table {
		for _, g := range r.good {
			q := tt.asked(r, g.target, "admin", g.body)
			tt.w.fail(0, nil)
			q.do(tt.a)
			if r.route == "GET /api/v1/check" {
				continue // whose answer has begun: TestCheckFails
			}
			for n := range tt.w.calls {
				for _, trouble := range storeTroubles {
					tt.w.fail(n+1, fmt.Errorf("reading: %w", trouble.err))
					answer := tt.want(r, q, trouble.status, "")
					if answer.Code != brokenOff && (answer.Header().Get("Retry-After") != "") != trouble.again {
						t.Errorf("%s, question %d, %v: %v", g.target, n+1, trouble.err, answer.Header())
					}
				}
			}
			tt.w.fail(0, nil)
		}
	}
}

// TestRoomsRefuse has what rooms say in words of their own: these are the answer, whole.
func TestRoomsRefuse(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for _, r := range table {
		q := tt.good(r)
		tt.w.fail(0, nil)
		q.do(tt.a)
		last := tt.w.calls
		for _, s := range r.says {
			seen := false
			for n := range last {
				tt.w.fail(n+1, s.err)
				if answer := q.do(tt.a); answer.Code == s.status {
					seen = true
					tt.w.fail(n+1, s.err)
					tt.want(r, q, s.status, "")
				}
			}
			if !seen {
				t.Errorf("%s answers no question that fails with %q by %d", r.route, s.err, s.status)
			}
		}
		tt.w.fail(0, nil)
	}
}

// TestCheckFails has each step of a check fail: the answer has begun, so its last line says so, and no answer of 200 ends as if
// all were well.
func TestCheckFails(t *testing.T) {
	t.Parallel()
	tt := newTableTest(t)
	for n := range 4 {
		for err, last := range map[error]string{errDisk: `{"failed":`, storage.ErrCorrupt: `{"done":`} {
			tt.w.fail(n+1, err)
			answer := request{method: "GET", target: "/api/v1/check", login: "admin"}.do(tt.a)
			lines := strings.Split(strings.TrimSpace(answer.Body.String()), "\n")
			if answer.Code != http.StatusOK || !strings.HasPrefix(lines[len(lines)-1], last) {
				t.Errorf("step %d, %v: %d\n%s", n+1, err, answer.Code, answer.Body)
			}
			if last == `{"done":` && !strings.Contains(lines[len(lines)-1], `"problems":2`) {
				t.Errorf("step %d, %v: %s", n+1, err, lines[len(lines)-1])
			}
		}
	}
}

// TestPrivateLog has a log for those who sign in alone.
func TestPrivateLog(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t)
	w.open = true
	c := a.Config
	c.PrivateLog = true
	a = New(c)
	for _, path := range []string{"/log/checkpoint", "/log/tile/0/000", "/api/v1/records/statements"} {
		if answer := (request{method: "GET", target: path}).do(a); answer.Code != http.StatusUnauthorized || answer.Header().Get("Www-Authenticate") == "" {
			t.Errorf("%s for a stranger: %d %v", path, answer.Code, answer.Header())
		}
		answer := request{method: "GET", target: path, login: "bob"}.do(a)
		if answer.Code != http.StatusOK || strings.Contains(answer.Header().Get("Cache-Control"), "public") {
			t.Errorf("%s for bob: %d %v", path, answer.Code, answer.Header())
		}
	}
}

// TestPlainHTTP has a server without certificates, and one without witnesses.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t)
	w.plain = true
	c := a.Config
	c.Witnesses = nil
	a = New(c)
	for _, q := range []request{
		{method: "GET", target: "/api/v1/certificate", login: "admin"}, {method: "POST", target: "/api/v1/certificate", login: "admin", body: "{}", header: jsonType},
	} {
		if answer := q.do(a); answer.Code != http.StatusNotFound || !strings.Contains(answer.Body.String(), "plain HTTP") {
			t.Errorf("%s %s: %d %s", q.method, q.target, answer.Code, answer.Body)
		}
	}
	cosigned := request{method: "POST", target: "/log/cosignature", body: `{"checkpoint":"x"}`, header: jsonType}
	if answer := cosigned.do(a); answer.Code != http.StatusForbidden || !strings.Contains(answer.Body.String(), "no witnesses") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
