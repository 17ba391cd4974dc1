package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
)

// only leaves bob the rights named, as PATTERN ROLE.
func (s *server) only(grants ...string) {
	s.t.Helper()
	gate := s.gate.(*access.Access)
	bob, err := access.ParseSubject("user:bob")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range grants {
		pattern, role, _ := strings.Cut(g, " ")
		p, err := access.ParsePattern(pattern)
		if err != nil {
			s.t.Fatal(err)
		}
		r, err := access.ParseRight(role)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := gate.Grant(background, access.Operator, access.Grant{Subject: bob, Pattern: p, Role: r}); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := gate.Revoke(background, access.Operator, access.Grant{Subject: bob, Pattern: access.Everything, Role: access.Admin}); err != nil {
		s.t.Fatal(err)
	}
}

// TestUnseen wants what one may not pull to be as if it were not there, whatever way one asks for it.
func TestUnseen(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.only("open/** pull", "bob/** push")
	secret := s.pushImage("secret/app", "1.0", "one")
	s.artifact("secret/app", secret.digest, "application/sbom", "one")
	s.pushImage("open/app", "1.0", "two")
	hidden := digest.FromString("layer one").String()
	bob := as("bob")
	for _, path := range []string{
		"manifests/1.0", "manifests/" + secret.digest.String(), "blobs/" + hidden, "tags/list", "referrers/" + secret.digest.String(),
	} {
		here := s.want(s.do("GET", "/v2/secret/app/"+path, nil, bob), 404, "NAME_UNKNOWN")
		none := s.want(s.do("GET", "/v2/secret/none/"+path, nil, bob), 404, "NAME_UNKNOWN")
		if strings.ReplaceAll(here.body, "secret/app", "") != strings.ReplaceAll(none.body, "secret/none", "") {
			t.Errorf("%s tells what is there from what is not:\n%s%s", path, here.body, none.body)
		}
	}
	if got := s.want(s.do("GET", "/v2/_catalog", nil, bob), 200, ""); got.body != `{"repositories":["open/app"]}`+"\n" {
		t.Errorf("the catalog shows %s", got.body)
	}
	s.want(s.do("GET", "/v2/open/app/blobs/"+hidden, nil, bob), 404, "BLOB_UNKNOWN")
	s.want(s.do("GET", "/v2/open/app/manifests/"+secret.digest.String(), nil, bob), 404, "MANIFEST_UNKNOWN")
	for _, query := range []string{"?mount=" + hidden + "&from=secret/app", "?mount=" + hidden} {
		s.want(s.do("POST", "/v2/bob/app/blobs/uploads/"+query, nil, bob), 202, "") // as if it had not been asked
	}
	s.want(s.putManifest("bob/app", "1.0", secret.body, bob), 400, "MANIFEST_BLOB_UNKNOWN")
	s.want(s.do("POST", "/v2/open/app/blobs/uploads/", nil, bob), 403, "DENIED")
	s.want(s.do("DELETE", "/v2/open/app/manifests/1.0", nil, bob), 403, "DENIED")
	s.want(s.do("POST", "/v2/bob/app/blobs/uploads/?mount="+digest.FromString("layer two").String(), nil, bob), 201, "")
	s.wantClean()
}
