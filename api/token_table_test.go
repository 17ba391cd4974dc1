package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api/apitest"
)

// TestTokenTable asks /token, which is no route of the mux and has answers of its own shape.
func TestTokenTable(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t)
	doc := description(t)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	get := func(login, query string) request {
		return request{method: "GET", target: "/token?" + query, login: login}
	}
	post := func(pairs ...string) request {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return request{method: "POST", target: "/token", body: v.Encode(), header: form}
	}
	with := func(q request, name, value string) request {
		q.header = http.Header{"Content-Type": q.header["Content-Type"], name: {value}}
		return q
	}
	const idToken = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUifQ.c2ln"
	for _, test := range []struct {
		request
		err    error
		status int
		code   string
	}{
		{get("alice", "service=registry.example"), nil, 200, ""},
		{get("alice", "service=registry.example&scope=repository:team/app:pull&offline_token=true"), nil, 200, ""},
		{get("", "service=registry.example"), nil, 401, "invalid_grant"},
		{get("mallory", "service=registry.example"), nil, 401, "invalid_grant"},
		{get("alice", "service=%zz"), nil, 400, "invalid_request"},
		{request{method: "GET", target: "/token", header: http.Header{"Authorization": {"Bearer x"}}}, nil, 400, "invalid_request"},
		{post("grant_type", "password", "username", "alice", "password", "x"), nil, 200, ""},
		{post("grant_type", "refresh_token", "refresh_token", "x"), nil, 200, ""},
		{post("grant_type", exchangeGrant, "subject_token", idToken, "subject_token_type", idTokenType), nil, 200, ""},
		{post("grant_type", exchangeGrant, "subject_token", "x", "subject_token_type", idTokenType), nil, 400, "invalid_request"},
		{post("grant_type", exchangeGrant, "subject_token", idToken), nil, 400, "invalid_request"},
		{post("grant_type", "magic"), nil, 400, "invalid_request"},
		{request{method: "POST", target: "/token", body: "grant_type=%zz", header: form}, nil, 400, "invalid_request"},
		{request{method: "POST", target: "/token", body: "{}", header: jsonType}, nil, 415, "invalid_request"},
		{request{method: "POST", target: "/token", body: "x=" + strings.Repeat("x", maxForm), header: form}, nil, 413, "invalid_request"},
		{with(post("grant_type", "password"), "Origin", "https://evil.example"), nil, 403, "access_denied"},
		{post("grant_type", "password"), access.ErrBadLogin, 401, "invalid_grant"},
		{post("grant_type", "password"), access.ErrBusy, 429, "slow_down"},
		{post("grant_type", "password"), access.ErrService, 400, "invalid_request"},
		{post("grant_type", "password"), access.ErrScopes, 400, "invalid_request"},
		{post("grant_type", "password"), errDisk, 500, "server_error"},
	} {
		w.fail(0, nil)
		if test.err != nil {
			w.fail(1, test.err)
		}
		answer := test.do(a)
		var said tokenError
		err := json.Unmarshal(answer.Body.Bytes(), &said)
		if err != nil || answer.Code != test.status || said.Error != test.code || strings.Contains(answer.Body.String(), errDisk.Error()) {
			t.Errorf("%s %s %.80s: %v\n%d %s, want %d with %q", test.method, test.target, test.body, err, answer.Code, answer.Body, test.status, test.code)
		}
		if answer.Header().Get("Cache-Control") != "no-store" || test.code == "slow_down" && answer.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s %.80s: %v", test.method, test.target, test.body, answer.Header())
		}
		if err := doc.Check(apitest.Answer{Method: test.method, Route: "/token", Status: answer.Code, Header: answer.Header(), Body: answer.Body.String()}); err != nil {
			t.Errorf("%s %s %.80s: %d %v", test.method, test.target, test.body, answer.Code, err)
		}
	}
	if answer := (request{method: "PUT", target: "/token"}).do(a); answer.Code != 405 || answer.Header().Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d %v", answer.Code, answer.Header())
	}
}
