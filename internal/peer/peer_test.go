package peer

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// headers are pairs of names and values, which may repeat.
type headers []string

// seen is what a handler behind Believe finds.
func seen(t *testing.T, proxies []string, remote string, h headers) (address, host string, secure bool) {
	t.Helper()
	p, err := ParseProxies(proxies)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "http://asked.example/", nil)
	r.RemoteAddr = remote
	for i := 0; i < len(h); i += 2 {
		r.Header.Add(h[i], h[i+1])
	}
	p.Believe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		address, host, secure = Address(r), Host(r), Secure(r)
	})).ServeHTTP(httptest.NewRecorder(), r)
	return address, host, secure
}

func TestAddress(t *testing.T) {
	const proxy, xff, forwarded = "10.0.0.1:443", "X-Forwarded-For", "Forwarded"
	trusted := []string{"10.0.0.0/8", "2001:db8:1::/48", "192.0.2.200"}
	for name, c := range map[string]struct {
		remote string
		h      headers
		want   string
	}{
		"no header":                   {proxy, nil, "10.0.0.1"},
		"one hop":                     {proxy, headers{xff, "192.0.2.1"}, "192.0.2.1"},
		"from a stranger":             {"192.0.2.9:1", headers{xff, "192.0.2.1", forwarded, "for=192.0.2.1"}, "192.0.2.9"},
		"from the socket":             {"@", headers{xff, "192.0.2.1"}, "@"},
		"made up by the client":       {proxy, headers{xff, "203.0.113.5, 192.0.2.1"}, "192.0.2.1"},
		"made up, in another line":    {proxy, headers{xff, "203.0.113.5", xff, "192.0.2.1"}, "192.0.2.1"},
		"made up as a proxy's":        {proxy, headers{xff, "10.9.9.9, 192.0.2.1"}, "192.0.2.1"},
		"two proxies":                 {proxy, headers{xff, "192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		"a single address as a proxy": {"192.0.2.200:1", headers{xff, "192.0.2.1"}, "192.0.2.1"},
		"nobody but proxies":          {proxy, headers{xff, "10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		"with a port":                 {proxy, headers{xff, "192.0.2.1:5000"}, "192.0.2.1"},
		"IPv6":                        {"[2001:db8:1::1]:443", headers{xff, "2001:db8:2::1"}, "2001:db8:2::1"},
		"IPv6 in brackets":            {proxy, headers{xff, "[2001:db8:2::1]"}, "2001:db8:2::1"},
		"IPv6 with a port":            {proxy, headers{xff, "[2001:db8:2::1]:80"}, "2001:db8:2::1"},
		"IPv4 in IPv6":                {"[::ffff:10.0.0.1]:443", headers{xff, "::ffff:192.0.2.1"}, "192.0.2.1"},
		"a proxy as IPv4 in IPv6":     {proxy, headers{xff, "192.0.2.1, ::ffff:10.0.0.2"}, "192.0.2.1"},
		"a zone":                      {proxy, headers{xff, "fe80::1%eth0"}, "10.0.0.1"},
		"unknown":                     {proxy, headers{xff, "unknown"}, "10.0.0.1"},
		"empty":                       {proxy, headers{xff, ""}, "10.0.0.1"},
		"empty entries":               {proxy, headers{xff, "192.0.2.1,,"}, "10.0.0.1"},
		"leading zeros":               {proxy, headers{xff, "192.000.002.001"}, "10.0.0.1"},
		"a script":                    {proxy, headers{xff, "<script>"}, "10.0.0.1"},
		"too long":                    {proxy, headers{xff, strings.Repeat("192.0.2.1,", 1000) + "192.0.2.1"}, "10.0.0.1"},
		"rubbish behind a proxy":      {proxy, headers{xff, "192.0.2.1, _hidden, 10.0.0.2"}, "10.0.0.2"},

		"Forwarded":                       {proxy, headers{forwarded, "for=192.0.2.1"}, "192.0.2.1"},
		"Forwarded, all of it":            {proxy, headers{forwarded, `For="192.0.2.1:4711" ; proto=https;by=10.0.0.1`}, "192.0.2.1"},
		"Forwarded, IPv6":                 {proxy, headers{forwarded, `for="[2001:db8:2::1]:4711"`}, "2001:db8:2::1"},
		"Forwarded, made up":              {proxy, headers{forwarded, "for=203.0.113.5, for=192.0.2.1"}, "192.0.2.1"},
		"Forwarded, a comma in quotes":    {proxy, headers{forwarded, `for=203.0.113.5;x="a,for=203.0.113.6", for=192.0.2.1`}, "192.0.2.1"},
		"Forwarded, a quote without end":  {proxy, headers{forwarded, `for="192.0.2.1`}, "10.0.0.1"},
		"Forwarded, an escaped quote":     {proxy, headers{forwarded, `x="\",for=203.0.113.5";for=192.0.2.1`}, "192.0.2.1"},
		"Forwarded, hidden":               {proxy, headers{forwarded, "for=_secret"}, "10.0.0.1"},
		"Forwarded, without for":          {proxy, headers{forwarded, "proto=https"}, "10.0.0.1"},
		"both, the same":                  {proxy, headers{forwarded, "for=192.0.2.1", xff, "192.0.2.1"}, "192.0.2.1"},
		"both, one let through unchecked": {proxy, headers{forwarded, "for=203.0.113.5", xff, "192.0.2.1"}, "10.0.0.1"},
	} {
		if got, _, _ := seen(t, trusted, c.remote, c.h); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got, _, _ := seen(t, nil, proxy, headers{xff, "192.0.2.1"}); got != "10.0.0.1" {
		t.Errorf("without any trusted proxy: %s", got)
	}
}

func TestHostAndScheme(t *testing.T) {
	const proxy = "10.0.0.1:443"
	for name, c := range map[string]struct {
		remote string
		h      headers
		host   string
		secure bool
	}{
		"none":       {proxy, nil, "asked.example", false},
		"X":          {proxy, headers{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "public.example"}, "public.example", true},
		"a list":     {proxy, headers{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Host", "evil.example, public.example"}, "public.example", false},
		"a stranger": {"192.0.2.1:1", headers{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"}, "asked.example", false},
		"Forwarded":  {proxy, headers{"Forwarded", "for=192.0.2.1;host=public.example;proto=HTTPS, for=10.0.0.2;host=inner;proto=http"}, "public.example", true},
		"made up":    {proxy, headers{"Forwarded", "for=1.1.1.1;host=evil.example;proto=https, for=192.0.2.1;host=public.example"}, "public.example", false},
	} {
		if _, host, secure := seen(t, []string{"10.0.0.0/8"}, c.remote, c.h); host != c.host || secure != c.secure {
			t.Errorf("%s: %s, %v", name, host, secure)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for _, s := range []string{"", "proxy.example", "10.0.0.0/33", "10.0.0.1:80", "0.0.0.0/0", "::/0", "fe80::1%eth0", "::ffff:10.0.0.0/104"} {
		if p, err := ParseProxies([]string{s}); err == nil {
			t.Errorf("%q is taken as %v", s, p)
		}
	}
}

// TestNetwork wants the addresses of one customer to be one.
func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64", "2001:db8::ffff:1": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64", "@": "@",
	} {
		if got := Network(in); got != want {
			t.Errorf("%s is %s", in, got)
		}
	}
}

// FuzzAddress wants an address, and not a trusted proxy's word where the client wrote it.
func FuzzAddress(f *testing.F) {
	f.Add("for=192.0.2.1", "192.0.2.1")
	f.Add(`for="[::1]:1";x="`, "a, b")
	p, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, forwarded, xff string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["Forwarded"] = []string{forwarded, "for=192.0.2.1"} // as a proxy adds to what it got
		r.Header["X-Forwarded-For"] = []string{xff, "192.0.2.1"}
		s, ok := p.source(r)
		if ok && s.address != "192.0.2.1" {
			t.Errorf("%q and %q make %s", forwarded, xff, s.address)
		}
	})
}
