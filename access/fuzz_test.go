package access

import (
	"errors"
	"net/http/httptest"
	"testing"
)

// FuzzIdentify signs in with any header. Only the right password of a user that exists is let in.
func FuzzIdentify(f *testing.F) {
	a, _ := testAccess(f)
	f.Add("Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==")
	f.Add("Basic YWxpY2U6d3Jvbmc=")
	f.Add("basic Og==")
	f.Add("Bearer x")
	f.Add("Basic ====")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/v2/", nil)
		r.Header["Authorization"] = []string{header}
		who, err := a.Identify(r)
		var slow *SlowDownError
		name, password, ok := r.BasicAuth()
		switch {
		case err == nil:
			if !ok || name != "alice" || password != "correct horse" || who.Actor.Handle != "alice" {
				t.Errorf("%q is let in as %+v", header, who.Actor)
			}
		case !errors.Is(err, ErrNoLogin) && !errors.Is(err, ErrBadLogin) && !errors.As(err, &slow):
			t.Errorf("%q: %v", header, err)
		case name == "alice" && password == "correct horse" && ok && !errors.As(err, &slow):
			t.Errorf("%q is refused: %v", header, err)
		}
	})
}
