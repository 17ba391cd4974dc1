package mirror

import (
	"errors"
	"net/netip"
	"net/url"
	"testing"
)

// TestNamedAddresses connects to this machine where it was written as the source, with its port, and nowhere else.
func TestNamedAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source, to string
		want       bool
	}{
		{"http://127.0.0.1:5000", "127.0.0.1:5000", true},
		{"http://127.0.0.1:5000", "127.0.0.1:6379", false},
		{"http://127.0.0.1:5000", "127.0.0.2:5000", false},
		{"http://127.0.0.1", "127.0.0.1:80", true},
		{"http://127.0.0.1", "127.0.0.1:443", false},
		{"https://127.0.0.1", "127.0.0.1:443", true},
		{"https://127.0.0.1", "127.0.0.1:6379", false},
		{"https://[::1]:5000", "[::1]:5000", true},
		{"https://localhost:5000", "localhost:5000", true},
		{"https://old.localhost:5000", "old.localhost:5000", true},
		{"https://localhost:5000", "127.0.0.1:5000", false},
		{"https://registry.example:5000", "registry.example:5000", false},
	} {
		source, err := url.Parse(c.source)
		if err != nil {
			t.Fatal(err)
		}
		if got := (dialer{named: source}).isNamed(c.to); got != c.want {
			t.Errorf("%s names %s: %t", c.source, c.to, got)
		}
	}
}

// TestOwnAddresses refuses addresses of this machine and its link, in each spelling, but those that were allowed.
func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	d := dialer{named: &url.URL{Host: "registry.example"}, allowed: []netip.Addr{netip.MustParseAddr("127.0.0.5")}}
	for address, own := range map[string]bool{
		"127.0.0.1:80": true, "127.1.2.3:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true, "169.254.169.254:80": true, "[fe80::1%lo]:80": true,
		"0.0.0.0:80": true, "[::]:80": true, "224.0.0.1:80": true, "127.0.0.5:80": false, "192.0.2.1:80": false, "[2001:db8::1]:80": false,
	} {
		if err := d.mayDial(address); errors.Is(err, errOwnAddress) != own {
			t.Errorf("%s: %v", address, err)
		}
	}
}
