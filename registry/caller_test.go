package registry

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
)

// tokenOf makes a bearer token for a user.
func (s *server) tokenOf(user string) option {
	s.t.Helper()
	r := httptest.NewRequest("GET", "/token", nil)
	r.SetBasicAuth(user, password)
	caller, err := s.gate.Begin(r)
	if err != nil {
		s.t.Fatal(err)
	}
	tokens, err := s.gate.(*access.Access).Issue(background, caller.Who, access.TokenAsk{Scopes: []string{"repository:team/app:pull,push,delete"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return header("Authorization", "Bearer "+tokens.Token)
}

// TestEndedTokenIsToldNothing ends a login whose token was good in a request before. Whether it still is, is looked at in the View that the
// request begins with, and whatever that request would be told, it is told that its login has ended.
func TestEndedTokenIsToldNothing(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	image := s.pushImage("team/app", "1.0", "one")
	token := s.tokenOf("bob")
	unknown, layer := digest.FromString("unknown").String(), digest.FromString("layer one").String()
	requests := map[string]int{
		"GET /v2/":                        200,
		"GET /v2/_catalog":                401, // and for no catalog
		"GET /v2/team/app/manifests/1.0":  200,
		"HEAD /v2/team/app/manifests/1.0": 200,

		"GET /v2/team/app/manifests/" + image.digest.String():       200,
		"GET /v2/team/app/manifests/2.0":                            404,
		"GET /v2/team/app/manifests/" + unknown:                     404,
		"GET /v2/team/app/manifests/.":                              404,
		"GET /v2/team/app/manifests/sha256:0":                       400,
		"GET /v2/team/app/blobs/" + layer:                           200,
		"HEAD /v2/team/app/blobs/" + layer:                          200,
		"GET /v2/team/app/blobs/" + unknown:                         404,
		"GET /v2/team/app/tags/list":                                200,
		"GET /v2/team/app/tags/list?n=-1":                           400,
		"GET /v2/team/none/tags/list":                               401, // the token is for another repository
		"GET /v2/team/app/referrers/" + image.digest.String():       200,
		"GET /v2/team/app/referrers/" + unknown:                     200,
		"GET /v2/team/app/referrers/" + unknown + "?n=-1":           400,
		"POST /v2/team/app/blobs/uploads/":                          202,
		"DELETE /v2/team/app/manifests/none":                        404,
		"GET /v2/team/app/nothing":                                  404,
		"PUT /v2/team/app/manifests/1.0":                            400,
		"DELETE /v2/team/app/blobs/" + unknown:                      404,
		"GET /v2/team/app/blobs/uploads/none":                       404,
		"POST /v2/team/app/blobs/uploads/?mount=x&from=team/secret": 401,
	}
	ask := func(when string, want func(int) int) {
		for request, status := range requests {
			method, path, _ := strings.Cut(request, " ")
			got := s.do(method, path, nil, token)
			if got.status != want(status) {
				t.Errorf("%s, %s: %d, want %d: %s", when, request, got.status, want(status), got.body)
			}
			if when == "after" && method != "HEAD" && got.code() != "UNAUTHORIZED" {
				t.Errorf("%s, %s: %s", when, request, got.body)
			}
		}
	}
	ask("before", func(status int) int { return status })
	if err := s.gate.(*access.Access).SetPassword(background, access.Operator, "bob", "another password"); err != nil {
		t.Fatal(err)
	}
	ask("after", func(int) int { return 401 })
}

// TestRefusedRequestsNameTheirUser refuses requests before they look into the store: their log lines say who made them.
func TestRefusedRequestsNameTheirUser(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("team/app", "1.0", "one")
	token := s.tokenOf("bob")
	s.do("GET", "/v2/team/app/tags/list", nil, token) // it is good from now on
	s.only("team/app pull")
	if err := s.gate.(*access.Access).Revoke(background, access.Operator, s.grantOf("team/** delete")); err != nil && !errors.Is(err, access.ErrUnknownGrant) {
		t.Fatal(err)
	}
	var log bytes.Buffer
	watched := obs.Watch(s.Registry, slog.New(slog.NewTextHandler(&log, nil)), obs.NewMetrics())
	for request, status := range map[string]int{
		"GET /v2/team/app/manifests/1.0":   200,
		"GET /v2/team/other/manifests/1.0": 401,
		"GET /v2/team/app/manifests/.":     404,
		"PUT /v2/team/app/manifests/2.0":   403,
		"POST /v2/team/app/blobs/uploads/": 403,
		"GET /v2/team/app/nothing":         404,
	} {
		log.Reset()
		method, path, _ := strings.Cut(request, " ")
		r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
		token(r)
		watched.ServeHTTP(w, r)
		if w.Code != status || !strings.Contains(log.String(), "user=bob ") {
			t.Errorf("%s: %d, want %d: %s%s", request, w.Code, status, w.Body, log.String())
		}
	}
}
