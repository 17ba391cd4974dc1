package access

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
)

func TestLimits(t *testing.T) {
	a, clock := testAccess(t)
	a.limits = newLimiter(Limits{Identity: 1, Address: 0.5})
	alice := func(address string) error {
		_, err := a.Identify(request("alice", "correct horse", address))
		return err
	}
	nobody := func(address string) error {
		r := request("", "", address)
		r.Header.Del("Authorization")
		_, err := a.Identify(r)
		return err
	}
	for range 10 {
		if err := alice("192.0.2.1:1"); err != nil {
			t.Fatal(err)
		}
	}
	var slow *SlowDownError
	for range 3 { // the impatient wait no longer than others
		if err := alice("192.0.2.2:1"); !errors.As(err, &slow) || slow.Wait != time.Second {
			t.Fatalf("the 11th request at once: %v", err)
		}
	}
	*clock = clock.Add(time.Second)
	if err := errors.Join(alice("192.0.2.1:1")); err != nil {
		t.Errorf("after a second: %v", err)
	}
	for range 5 {
		if err := nobody("192.0.2.1:1"); !errors.Is(err, ErrNoLogin) {
			t.Fatal(err)
		}
	}
	if err := nobody("192.0.2.1:2"); !errors.As(err, &slow) || slow.Wait != 2*time.Second {
		t.Errorf("the 6th request without a login: %v", err)
	}
	if err := nobody("192.0.2.3:1"); !errors.Is(err, ErrNoLogin) {
		t.Errorf("from another address: %v", err)
	}
	operator := request("", "", "@")
	operator = operator.WithContext(WithOperator(background))
	for range 50 {
		if _, err := a.Identify(operator); err != nil {
			t.Fatalf("the operator: %v", err)
		}
	}
}

// TestSlowDownBehindProxy wants one client of a proxy not to slow down another.
func TestSlowDownBehindProxy(t *testing.T) {
	a, _ := testAccess(t)
	proxies, err := peer.ParseProxies([]string{"10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	try := func(password, client string) (err error) {
		r := request("alice", password, "10.0.0.1:443")
		r.Header.Set("X-Forwarded-For", "198.51.100.7, "+client)
		proxies.Believe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, err = a.Identify(r) })).ServeHTTP(nil, r)
		return err
	}
	for range freeTries {
		if err := try("wrong", "192.0.2.1"); !errors.Is(err, ErrBadLogin) {
			t.Fatal(err)
		}
	}
	var slow *SlowDownError
	if err := try("wrong", "192.0.2.1"); !errors.As(err, &slow) {
		t.Errorf("from the same client: %v", err)
	}
	if err := try("correct horse", "192.0.2.2"); err != nil {
		t.Errorf("from another: %v", err)
	}
}
