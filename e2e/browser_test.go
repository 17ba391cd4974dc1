//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// page is a manifest that a browser takes for a page, with a script in it that says so.
const page = `{"schemaVersion":2,"mediaType":"text/html","config":{"mediaType":"application/vnd.oci.empty.v1+json",` +
	`"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],` +
	`"annotations":{"x":"<script>document.documentElement.setAttribute('class', 'it-' + 'ran')</script>"}}`

// TestBrowser opens a manifest of the type text/html in a browser. The script in it does not run, though it does when
// another server sends the same bytes under the same type.
func TestBrowser(t *testing.T) {
	s := start(t)
	mustRun(t, s.hallmark("grant", "anonymous", "team/**", "pull"))
	s.send("POST", "/v2/team/page/blobs/uploads/?digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "application/octet-stream", "{}")
	s.send("PUT", "/v2/team/page/manifests/1.0", "text/html", page)
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(page)) // who went away needs no answer
	}))
	defer other.Close()
	if shown := browse(t, other.URL); !strings.Contains(shown, "it-ran") {
		t.Fatalf("this browser runs no script at all:\n%s", shown)
	}
	shown := browse(t, s.url+"/v2/team/page/manifests/1.0")
	if strings.Contains(shown, "it-ran") || !strings.Contains(shown, "schemaVersion") {
		t.Errorf("a script in a manifest ran, or it was not shown:\n%s", shown)
	}
}

// send sends a body as the administrator.
func (s *server) send(method, path, kind, body string) {
	s.t.Helper()
	mustRun(s.t, command(body, "curl", "-sSf", "-X", method, "--cacert", filepath.Join(s.dir, "certs/ca.pem"), "-u", "admin:"+adminPassword,
		"-H", "Content-Type: "+kind, "--data-binary", "@-", s.url+path))
}

// browse returns the document that a browser has made of a page, after its scripts.
func browse(t *testing.T, address string) string {
	t.Helper()
	out, err := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--no-proxy-server",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=5000", "--dump-dom", address).Output()
	if err != nil {
		t.Fatalf("chromium %s: %v", address, err)
	}
	return string(out)
}
