package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// htmlManifest is a manifest that a browser would take for a page.
const htmlManifest = `{"schemaVersion":2,"mediaType":"text/html","config":` +
	`{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],` +
	`"annotations":{"x":"<script>document.title='it ran'</script>"}}`

// putHTML puts a manifest of the type text/html.
func (s *testServer) putHTML(repo, tag string) {
	s.t.Helper()
	s.push(repo, "other", "a layer", nil)
	if status, _, body := s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "", "{}"); status != 201 {
		s.t.Fatal(status, body)
	}
	if status, _, body := s.do("PUT", "/v2/"+repo+"/manifests/"+tag, "", htmlManifest, "Content-Type", "text/html"); status != 201 {
		s.t.Fatal(status, body)
	}
}

// TestAnswersAreInert wants nothing that is served to be run by a browser.
func TestAnswersAreInert(t *testing.T) {
	t.Parallel()
	admin := freeAddress(t)
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--admin-listen", admin)
	s.putHTML("team/app", "page")
	var m struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/v2/team/app/manifests/other")), &m); err != nil {
		t.Fatal(err)
	}
	_, page, body := s.do("GET", "/v2/team/app/manifests/page", "", "")
	if page.Get("Content-Type") != "text/html" || !strings.Contains(body, "<script>") {
		t.Fatalf("this page would not be run anyway: %v", page)
	}
	blob := "/v2/team/app/blobs/" + m.Layers[0].Digest
	for _, c := range []struct {
		method, path string
		status       int
		header       []string
	}{
		{"GET", "/v2/", 200, nil},
		{"GET", "/v2/_catalog", 200, nil},
		{"GET", "/v2/team/app/tags/list", 200, nil},
		{"GET", "/v2/team/app/manifests/page", 200, nil},
		{"HEAD", "/v2/team/app/manifests/page", 200, nil},
		{"GET", blob, 200, nil},
		{"HEAD", blob, 200, nil},
		{"GET", blob, 206, []string{"Range", "bytes=0-1"}},
		{"GET", blob, 416, []string{"Range", "bytes=99-"}},
		{"GET", blob, 304, []string{"If-None-Match", "*"}},
		{"GET", "/v2/team/app/referrers/" + m.Layers[0].Digest, 200, nil},
		{"GET", "/v2/team/app/manifests/<script>", 404, nil},
		{"GET", "/v2/<script>/tags/list", 400, nil},
		{"POST", "/v2/team/app/blobs/uploads/", 202, nil},
		{"POST", "/v2/team/app/blobs/uploads/?digest=<script>", 400, nil},
		{"PUT", "/v2/_catalog", 405, nil},
		{"GET", "/v2/", 401, []string{"Authorization", "Bearer <script>"}},
		{"GET", "/api/v1/records", 200, nil},
		{"GET", "/api/v1/image?repo=team/app&ref=page", 200, nil},
		{"GET", "/api/v1/records?x=<script>", 400, nil},
		{"GET", "/api/v1/image?repo=<script>&ref=x", 404, nil},
		{"GET", "/api/<script>", 404, nil},
		{"PUT", "/api/v1/records", 405, nil},
		{"GET", "/api/v1/records/0/receipt", 200, nil},
		{"GET", "/token?scope=<script>", 200, nil},
		{"GET", "/token?service=<script>", 400, nil},
		{"GET", "/log/checkpoint", 200, nil},
		{"GET", "/log/tile/entries/000.p/1", 200, nil},
		{"GET", "/log/<script>", 404, nil},
		{"GET", "/keys/receipts.json", 200, nil},
		{"GET", "/trusted_root.json", 200, nil},
		{"GET", "/ca.pem", 200, nil},
		{"GET", "/openapi.json", 200, nil},
		{"GET", "/healthz", 200, nil},
		{"GET", "/readyz", 200, nil},
		{"GET", "/<script>", 404, nil},
		{"OPTIONS", "/v2/", 405, nil},
	} {
		status, header, said := s.do(c.method, c.path, "", "", c.header...)
		if status != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, status, c.status, said)
		}
		wantInert(t, c.method+" "+c.path, header)
	}
	for _, path := range []string{"/metrics", "/healthz", "/<script>"} {
		resp, err := http.Get("http://" + admin + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		wantInert(t, "admin "+path, resp.Header)
	}
}

func wantInert(t *testing.T, what string, header http.Header) {
	t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"} {
		if got := header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
}

// TestRealmBehindBareHost has a proxy in front that sets Host to a name without a port, as nginx' $host is.
func TestRealmBehindBareHost(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	for _, c := range []struct{ url, given string }{
		{"https://localhost:" + port, ""},
		{"https://registry.test:8443", "https://registry.test:8443"},
	} {
		args := []string{"--listen", "127.0.0.1:" + port}
		if c.given != "" {
			args = append(args, "--url", c.given)
		}
		s := startServer(t, filepath.Join(t.TempDir(), "data"), args...)
		for host, want := range map[string]string{
			"localhost": c.url, "127.0.0.1": c.url, "registry.test": c.url, "backend": c.url, "localhost:443": c.url, "": c.url,
			"localhost:" + port: "https://localhost:" + port, "127.0.0.1:" + port: "https://127.0.0.1:" + port,
		} {
			conn, err := tls.Dial("tcp", address, s.client.Transport.(*http.Transport).TLSClientConfig.Clone())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET /v2/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			conn.Close()
			if got := resp.Header.Get("Www-Authenticate"); !strings.HasPrefix(got, `Bearer realm="`+want+`/token"`) {
				t.Errorf("--url %q, Host %q: %s, want %s", c.given, host, got, want)
			}
		}
		s.kill()
	}
}

// TestMethods wants each path to say what it takes, and to take nothing else.
func TestMethods(t *testing.T) {
	t.Parallel()
	admin := freeAddress(t)
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--admin-listen", admin)
	s.push("team/app", "1.0", "a layer", nil)
	for path, want := range map[string]string{
		"/v2/": "GET, HEAD", "/v2/_catalog": "GET, HEAD", "/v2/team/app/tags/list": "GET, HEAD", "/v2/team/app/manifests/1.0": "DELETE, GET, HEAD, PUT",
		"/v2/team/app/blobs/uploads/": "POST", "/token": "GET, POST", "/ca.pem": "GET, HEAD", "/healthz": "GET, HEAD", "/readyz": "GET, HEAD",
		"/openapi.json": "GET, HEAD", "/log/checkpoint": "GET, HEAD", "/keys/receipts.json": "GET, HEAD", "/api/v1/records": "GET, HEAD",
	} {
		for _, method := range []string{"OPTIONS", "PATCH", "FOO"} {
			status, header, body := s.do(method, path, "", "")
			if status != 405 || header.Get("Allow") != want || body == "" {
				t.Errorf("%s %s: %d, Allow %q, %s", method, path, status, header.Get("Allow"), body)
			}
		}
		if status, _, _ := s.do("HEAD", path, "", ""); strings.Contains(want, "HEAD") && status != 200 {
			t.Errorf("HEAD %s: %d", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/healthz"} {
		resp, err := http.Post("http://"+admin+path, "text/plain", strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 405 {
			t.Errorf("POST %s: %d", path, resp.StatusCode)
		}
	}
	if body := s.want(200, "GET", "/v2/team/app/tags/list?n=1000000"); !strings.Contains(body, `"1.0"`) {
		t.Errorf("more than a page has: %s", body)
	}
}
