package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// only leaves bob the rights named, as PATTERN ROLE.
func (s *server) only(grants ...string) {
	s.t.Helper()
	gate := s.gate.(*access.Access)
	for _, g := range grants {
		if _, err := gate.Grant(background, access.Operator, s.grantOf(g)); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := gate.Revoke(background, access.Operator, s.grantOf("** admin")); err != nil && !errors.Is(err, access.ErrUnknownGrant) {
		s.t.Fatal(err)
	}
}

// grantOf is the grant PATTERN ROLE to bob.
func (s *server) grantOf(text string) (g access.Grant) {
	s.t.Helper()
	pattern, role, _ := strings.Cut(text, " ")
	if err := errors.Join(g.Subject.UnmarshalText([]byte("user:bob")), g.Pattern.UnmarshalText([]byte(pattern)), g.Role.UnmarshalText([]byte(role))); err != nil {
		s.t.Fatal(err)
	}
	return g
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

// TestImmutableTags wants a tag under a rule to stay, no matter who asks and however.
func TestImmutableTags(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	first := s.pushImage("team/app", "v1", "one")
	s.pushImage("team/app", "latest", "one")
	rules := `{"teams":{},"grants":[{"subject":"user:alice","pattern":"**","role":"admin"}],` +
		`"immutable":[{"repositories":"team/**","tags":"v*","except":["*-dev"]}]}`
	var file access.File
	if err := json.Unmarshal([]byte(rules), &file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.gate.(*access.Access).Apply(background, access.Operator, file, false); err != nil {
		t.Fatal(err)
	}
	s.want(s.putManifest("team/app", "v1", first.body), 201, "") // the same again moves nothing
	second := s.pushImage("team/app", "v2-dev", "two")
	s.pushImage("team/app", "v2-dev", "three")
	s.pushImage("other/app", "v1", "one")
	s.pushImage("other/app", "v1", "two")
	denied := s.want(s.putManifest("team/app", "v1", second.body), 403, "DENIED")
	if !strings.Contains(denied.body, "tags v* in team/**") {
		t.Errorf("the rule is not named: %s", denied.body)
	}
	s.want(s.putManifest("team/app", second.digest.String()+"?tag=v1&tag=x", second.body), 403, "DENIED")
	s.want(s.do("DELETE", "/v2/team/app/manifests/v1", nil), 403, "DENIED")
	s.want(s.do("DELETE", "/v2/team/app/manifests/"+first.digest.String(), nil), 403, "DENIED")
	if got := s.want(s.do("GET", "/v2/team/app/tags/list", nil), 200, ""); !strings.Contains(got.body, `["latest","v1","v2-dev"]`) {
		t.Errorf("tags %s", got.body)
	}
	s.want(s.do("DELETE", "/v2/team/app/manifests/v2-dev", nil), 202, "")
	file.Immutable = nil
	if _, _, err := s.gate.(*access.Access).Apply(background, access.Operator, file, false); err != nil {
		t.Fatal(err)
	}
	s.want(s.putManifest("team/app", "v1", second.body), 201, "")
	s.wantClean()
}

// TestCatalogOfFew looks for few repositories among many that are not to be seen.
func TestCatalogOfFew(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	const many = maxLook + 500
	err := s.store.Update(background, func(tx storage.Tx) error {
		for i := range many {
			tx.Put(repositoryTable, []byte(fmt.Sprintf("hidden/r%05d", i)), nil)
		}
		for _, name := range []string{"bob/one", "bob/two", "hidden/r99999/base", "zoo/base"} {
			tx.Put(repositoryTable, []byte(name), nil)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.only("bob/** push", "zoo/* pull")
	if got := s.want(s.do("GET", "/v2/_catalog", nil, as("bob")), 200, ""); got.header.Get("Link") != "" || got.body != `{"repositories":["bob/one","bob/two","zoo/base"]}`+"\n" {
		t.Errorf("%s, next %s", got.body, got.header.Get("Link"))
	}
	grant := access.Grant{Subject: access.Subject{Kind: access.EveryoneSubject}, Role: access.Pull}
	if grant.Pattern, err = access.ParsePattern("**/base"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.gate.(*access.Access).Grant(background, access.Operator, grant); err != nil {
		t.Fatal(err)
	}
	var names []string
	pages := 0
	for next := "/v2/_catalog?n=100"; next != ""; pages++ {
		got := s.want(s.do("GET", next, nil, as("bob")), 200, "")
		var body struct{ Repositories []string }
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Fatal(err)
		}
		names = append(names, body.Repositories...)
		if next = strings.TrimSuffix(strings.TrimPrefix(got.header.Get("Link"), "<"), `>; rel="next"`); strings.Contains(next, "hidden") {
			t.Errorf("the link names what is hidden: %s", next)
		}
	}
	if pages != 2 || strings.Join(names, " ") != "bob/one bob/two hidden/r99999/base zoo/base" {
		t.Errorf("%d pages: %q", pages, names)
	}
}
