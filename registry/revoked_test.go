package registry

import (
	"context"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// meanwhile is a store in which something happens once, after a request was let in and before the
// transaction that it ends in.
type meanwhile struct {
	storage.Store
	happens func()
}

func (m *meanwhile) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if happens := m.happens; happens != nil {
		m.happens = nil
		happens()
	}
	return m.Store.Update(ctx, fn)
}

// revocation ends what bob may do in team/app. refused is the answer that he gets.
type revocation struct {
	revoke  func(*server, *access.Access) error
	status  int
	refused string
}

var revocations = map[string]revocation{
	"role": {func(s *server, a *access.Access) error {
		return a.Revoke(background, access.Operator, s.grantOf("team/** delete"))
	}, 404, "NAME_UNKNOWN"},
	"all but pull": {func(s *server, a *access.Access) error {
		s.only("team/** pull")
		return a.Revoke(background, access.Operator, s.grantOf("team/** delete"))
	}, 403, "DENIED"},
	"password": {func(_ *server, a *access.Access) error {
		return a.SetPassword(background, access.Operator, "bob", "another password")
	}, 401, "UNAUTHORIZED"},
	"account": {func(_ *server, a *access.Access) error {
		return a.RemoveUser(background, access.Operator, "bob")
	}, 401, "UNAUTHORIZED"},
}

// TestRevokedMeanwhile takes a right or a login away from requests that were let in and have not committed:
// they change nothing.
func TestRevokedMeanwhile(t *testing.T) {
	for name, r := range revocations {
		t.Run(name, func(t *testing.T) { testRevoked(t, r) })
	}
}

func testRevoked(t *testing.T, r revocation) {
	loose, fresh, elsewhere := digest.FromString("loose"), digest.FromString("fresh"), digest.FromString("layer two")
	var image image
	for name, request := range map[string]func(*server) answer{
		"push a manifest": func(s *server) answer { return s.putManifest("team/app", "2.0", image.body, as("bob")) },
		"remove a tag":    func(s *server) answer { return s.do("DELETE", "/v2/team/app/manifests/1.0", nil, as("bob")) },
		"remove an image": func(s *server) answer {
			return s.do("DELETE", "/v2/team/app/manifests/"+image.digest.String(), nil, as("bob"))
		},
		"remove a blob": func(s *server) answer { return s.do("DELETE", "/v2/team/app/blobs/"+loose.String(), nil, as("bob")) },
		"push a blob": func(s *server) answer {
			return s.do("POST", "/v2/team/app/blobs/uploads/?digest="+fresh.String(), strings.NewReader("fresh"), as("bob"))
		},
		"push a blob that is elsewhere": func(s *server) answer {
			return s.do("POST", "/v2/team/app/blobs/uploads/?digest="+elsewhere.String(), strings.NewReader("layer two"), as("bob"))
		},
		"mount a blob": func(s *server) answer {
			return s.do("POST", "/v2/team/app/blobs/uploads/?from=other/app&mount="+elsewhere.String(), nil, as("bob"))
		},
	} {
		s := startServer(t, t.TempDir(), Config{})
		image = s.pushImage("team/app", "1.0", "one")
		s.pushImage("other/app", "1.0", "two")
		s.pushBlob("team/app", "loose")
		s.only("team/** delete", "other/** pull")
		s.want(s.do("GET", "/v2/team/app/tags/list", nil, as("bob")), 200, "") // his login is known
		records := s.records()
		revoked := false
		s.store = &meanwhile{s.store, func() {
			if err := r.revoke(s, s.gate.(*access.Access)); err != nil {
				t.Fatal(err)
			}
			revoked = true
		}}
		got := request(s)
		if got.status != r.status || got.code() != r.refused || !revoked {
			t.Errorf("%s: %d %s, want %d %s; revoked %v", name, got.status, got.body, r.status, r.refused, revoked)
		}
		if s.records() != records || !s.hasBlob("team/app", "loose") || s.hasBlob("team/app", "fresh") || s.hasBlob("team/app", "layer two") {
			t.Errorf("%s: something changed all the same", name)
		}
		s.want(s.do("GET", "/v2/team/app/tags/list", nil), 200, "")
		if tags := s.do("GET", "/v2/team/app/tags/list", nil); !strings.Contains(tags.body, `["1.0"]`) {
			t.Errorf("%s: tags %s", name, tags.body)
		}
		s.wantClean()
	}
}

// TestMountRevokedMeanwhile takes away the right to pull from where a blob is mounted: it is as if the mount had
// not been asked.
func TestMountRevokedMeanwhile(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("other/app", "1.0", "two")
	s.only("team/** push", "other/** pull")
	s.store = &meanwhile{s.store, func() {
		if err := s.gate.(*access.Access).Revoke(background, access.Operator, s.grantOf("other/** pull")); err != nil {
			t.Fatal(err)
		}
	}}
	d := digest.FromString("layer two").String()
	s.want(s.do("POST", "/v2/team/app/blobs/uploads/?from=other/app&mount="+d, nil, as("bob")), 202, "")
	if s.hasBlob("team/app", "layer two") {
		t.Error("it was mounted")
	}
}
