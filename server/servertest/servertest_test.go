package servertest_test

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// TestStart pushes to a server, pulls, and starts another on the same directory.
func TestStart(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	if w := s.Welcome(); w == nil || w.URL != s.URL() || w.User != "admin" || w.CA == nil || w.Password != "" || w.PasswordFile != "" {
		t.Errorf("the first start says %+v", w)
	}
	want := s.Push("team/app", "1.0", "a layer")
	s.Stop()
	s = servertest.StartOn(t, s.Dir, servertest.Options())
	if w := s.Welcome(); w != nil {
		t.Errorf("the second start says %+v", w)
	}
	status, body, err := s.Do("GET", "/v2/team/app/manifests/1.0", servertest.Login, nil)
	if err != nil || status != http.StatusOK || digest.FromString(body) != want {
		t.Errorf("%d, %v: %s", status, err, body)
	}
	if status, _, err := s.Do("GET", "/v2/team/app/manifests/1.0", "", nil); err != nil || status != http.StatusUnauthorized {
		t.Errorf("a stranger: %d, %v", status, err)
	}
	resp, err := s.Operator.Get("http://localhost/api/v1/users")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the operator: %s", resp.Status)
	}
}

// TestInUse starts a second server beside the first.
func TestInUse(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	if other, err := servertest.TryOn(s.Dir, servertest.Options()); err == nil {
		other.Stop()
		t.Error("two servers run on one directory")
	}
}
