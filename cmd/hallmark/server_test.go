package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote"
)

// testServer is a server in a process of its own, over real TLS.
type testServer struct {
	*process
	t      *testing.T
	dir    string // the data directory
	url    string
	client *http.Client
}

func startServer(t *testing.T, dir string, args ...string) *testServer {
	t.Helper()
	return startServerOf(t, program(t), dir, args...)
}

// startPlain starts a server without the race detector, for tables of requests, one after another: a race shows where many
// things happen at once, and not there.
func startPlain(t *testing.T, dir string, args ...string) *testServer {
	t.Helper()
	return startServerOf(t, plainProgram(t), dir, args...)
}

func startServerOf(t *testing.T, program, dir string, args ...string) *testServer {
	t.Helper()
	s, err := tryServer(program, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(func() { s.kill() })
	return s
}

// tryServer starts a server on a data directory, with `admin` and adminPassword.
func tryServer(program, dir string, args ...string) (*testServer, error) {
	args = append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin-listen", "none"}, args...)
	cmd := exec.Command(program, args...)
	cmd.Dir = filepath.Dir(dir)
	cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword)
	log, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	p, url, err := launch(cmd)
	if err != nil {
		said, _ := os.ReadFile(dir + ".log")
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	s := &testServer{process: p, dir: dir, url: url}
	if strings.HasPrefix(url, "https") {
		s.client, err = httpClient(dir)
	} else {
		s.client = &http.Client{Timeout: longest}
	}
	return s, err
}

func (s *testServer) log() string {
	said, err := os.ReadFile(s.dir + ".log")
	if err != nil {
		s.t.Fatal(err)
	}
	return string(said)
}

// do makes a request as admin, unless login is another or "none".
func (s *testServer) do(method, path, login, body string, header ...string) (int, http.Header, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if login == "" {
		login = "admin:" + adminPassword
	}
	if user, password, ok := strings.Cut(login, ":"); ok {
		r.SetBasicAuth(user, password)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(got)
}

func (s *testServer) want(status int, method, path string) string {
	s.t.Helper()
	got, _, body := s.do(method, path, "", "")
	if got != status {
		s.t.Errorf("%s %s: status %d, want %d\n%s", method, path, got, status, body)
	}
	return body
}

func (s *testServer) repository(ref string) *remote.Repository {
	s.t.Helper()
	repo, err := repository(s.client, addressOf(s.url), "admin:"+adminPassword, ref)
	if err != nil {
		s.t.Fatal(err)
	}
	return repo
}

func (s *testServer) push(repo, tag, layer string, labels map[string]string) string {
	s.t.Helper()
	d, err := pushTo(context.Background(), s.repository(repo), tag, layer, labels)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.String()
}

// dial opens a raw connection to a server without TLS.
func (s *testServer) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", addressOf(s.url))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func insecure(t *testing.T, args ...string) *testServer {
	t.Helper()
	return startServer(t, filepath.Join(t.TempDir(), "data"), append([]string{"--insecure-http"}, args...)...)
}

const adminBasic = "Basic YWRtaW46Y29ycmVjdCBob3JzZQ==" // admin:correct horse

// closes waits until the server closes a connection, and returns what it said before.
func closes(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Error("the server keeps the connection open")
	}
	return string(said)
}

// TestStalledUpload sends half a body and then nothing. What arrived is kept, and can be gone on with.
func TestStalledUpload(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "stall: 1s\n"))
	status, header, body := s.do("POST", "/v2/app/blobs/uploads/", "", "")
	if status != 202 {
		t.Fatal(status, body)
	}
	location := header.Get("Location")
	conn := s.dial()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 100\r\n\r\nhello", location, adminBasic)
	closes(t, conn)
	_, header, _ = s.do("GET", location, "", "")
	if got := header.Get("Range"); got != "0-4" {
		t.Errorf("the upload stands at %s", got)
	}
}

// TestSlowUpload sends a body byte by byte, each in time, for longer than one may stall.
func TestSlowUpload(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "stall: 1s\n"))
	_, header, _ := s.do("POST", "/v2/app/blobs/uploads/", "", "")
	conn := s.dial()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 8\r\n\r\n", header.Get("Location"), adminBasic)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for range 8 {
		<-tick.C
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "202") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestStalledReader takes the beginning of a large blob and then nothing.
func TestStalledReader(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "stall: 1s\n"))
	repo := s.repository("app")
	repo.PlainHTTP = true
	large := strings.Repeat("x", 32<<20)
	if _, err := pushTo(context.Background(), repo, "large", large, nil); err != nil {
		t.Fatal(err)
	}
	var tags struct{ Tags []struct{ Digest string } }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/api/v1/tags?repo=app")), &tags); err != nil {
		t.Fatal(err)
	}
	var m struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/v2/app/manifests/large")), &m); err != nil {
		t.Fatal(err)
	}
	conn := s.dial()
	fmt.Fprintf(conn, "GET /v2/app/blobs/%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n", m.Layers[0].Digest, adminBasic)
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(s.log(), "path=/v2/app/blobs/"+m.Layers[0].Digest) || !strings.Contains(s.log(), "method=GET path=/v2/app/blobs/") {
		if time.Now().After(deadline) {
			t.Fatal("the request goes on, though nobody reads")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if said := closes(t, conn); len(said) >= len(large) {
		t.Errorf("all %d bytes were sent to somebody who did not read", len(said))
	}
}

// TestStalledStream reads nothing of a large blob on HTTP/2: once its window is used up, and, with a window that never
// ends, once its connection takes nothing more. Either way the request ends.
func TestStalledStream(t *testing.T) {
	for name, window := range map[string]uint32{"the stream takes nothing": 64 << 10, "the connection takes nothing": 1<<31 - 1} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, filepath.Join(t.TempDir(), "data"))
			large := strings.Repeat("x", 32<<20)
			blob := "/v2/app/blobs/" + digest.FromString(large).String()
			if status, _, said := s.do("POST", "/v2/app/blobs/uploads/?digest="+digest.FromString(large).String(), "", large, "Content-Type", "application/octet-stream"); status != 201 {
				t.Fatal(status, said)
			}
			s.kill() // a second without a byte of the upload is not what is tried here
			s = startServer(t, s.dir, "--config", writeFile(t, "stall: 1s\n"))
			askAndReadNothing(t, s, blob, window)
			var line string
			for deadline := time.Now().Add(30 * time.Second); line == ""; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the request goes on, though nobody reads")
				}
				if _, after, ok := strings.Cut(s.log(), "method=GET path="+blob); ok {
					line, _, _ = strings.Cut(after, "\n")
				}
			}
			if !strings.Contains(line, "status=200") {
				t.Error(line)
			}
		})
	}
}

// askAndReadNothing asks for a path on HTTP/2, with a window of so many bytes, and reads nothing of the connection after
// its handshake.
func askAndReadNothing(t *testing.T, s *testServer, path string, window uint32) {
	t.Helper()
	trusted := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	trusted.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", addressOf(s.url), trusted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var head []byte // fields that are spelled out (RFC 7541, 6.2.2)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", addressOf(s.url)}, {":path", path}, {"authorization", adminBasic}} {
		head = append(append(head, 0, byte(len(f[0]))), f[0]...)
		head = append(append(head, byte(len(f[1]))), f[1]...)
	}
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame := func(kind, flags byte, stream uint32, payload []byte) { // RFC 9113, 4.1
		out = append(out, 0, byte(len(payload)>>8), byte(len(payload)), kind, flags)
		out = append(binary.BigEndian.AppendUint32(out, stream), payload...)
	}
	const settings, update, headers, initialWindow, endStream, endHeaders = 4, 8, 1, 4, 1, 4
	frame(settings, 0, 0, binary.BigEndian.AppendUint32([]byte{0, initialWindow}, window))
	frame(update, 0, 0, binary.BigEndian.AppendUint32(nil, 1<<31-1<<16)) // of the connection
	frame(headers, endStream|endHeaders, 1, head)
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
}

// TestHeaderLimits sends headers that are too slow and too large.
func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	s := insecure(t)
	slow := s.dial()
	fmt.Fprintf(slow, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	large := s.dial()
	go func() { // the server may close before all of it is taken
		fmt.Fprintf(large, "GET / HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	if said := closes(t, large); !strings.Contains(said, "431") && said != "" {
		t.Errorf("a large header: %.100s", said)
	}
	closes(t, slow)
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDrains sends SIGTERM while an upload is under way: it comes to its end, new ones are not taken.
func TestDrains(t *testing.T) {
	s := insecure(t)
	_, header, _ := s.do("POST", "/v2/app/blobs/uploads/", "", "")
	conn := s.dial()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", header.Get("Location"), adminBasic)
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q, %v", line, err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addressOf(s.url))
		if err != nil {
			break // it listens no more
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("it goes on listening")
		}
	}
	if _, err := conn.Write([]byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadString('\n'); err != nil { // the empty line behind 100
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "202") {
		t.Errorf("the request under way got %q, %v", line, err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("it ended with %v", err)
	}
	s.cmd = nil
}

// TestDrainLimit has a request that does not end.
func TestDrainLimit(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "shutdown: 1s\n"))
	_, header, _ := s.do("POST", "/v2/app/blobs/uploads/", "", "")
	conn := s.dial()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 10\r\n\r\nhello", header.Get("Location"), adminBasic)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-s.done; err != nil {
		t.Errorf("it ended with %v", err)
	}
	s.cmd = nil
	again := startServer(t, s.dir, "--insecure-http", "--listen", addressOf(s.url))
	if _, header, _ := again.do("GET", header.Get("Location"), "", ""); !strings.HasPrefix(header.Get("Range"), "0-") {
		t.Errorf("the upload that was cut is gone: %v", header)
	}
}

// reload sends SIGHUP, and waits for what the log will say of it.
func (s *testServer) reload(says string) {
	s.t.Helper()
	before := strings.Count(s.log(), says)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); strings.Count(s.log(), says) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the log does not say %q:\n%s", says, s.log())
		}
	}
}

// TestReload changes the configuration under a running server.
func TestReload(t *testing.T) {
	file := writeFile(t, "log:\n  level: warn\n")
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", file)
	s.want(200, "GET", "/v2/")
	if strings.Contains(s.log(), "msg=request") {
		t.Error("requests are logged at level warn")
	}
	reload := func(content, says string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s.reload(says)
	}
	reload("log:\n  level: info\nstal: 3\n", "nothing was reloaded")
	s.want(200, "GET", "/v2/")
	if strings.Contains(s.log(), "msg=request") {
		t.Error("half of a bad configuration was taken")
	}
	reload("log:\n  level: info\nstall: 5s\n", "needRestart=[stall]")
	s.want(200, "GET", "/v2/")
	if !strings.Contains(s.log(), "msg=request") {
		t.Error("requests are not logged at level info")
	}
}

// TestAdminListener asks for metrics, here and where strangers could.
func TestAdminListener(t *testing.T) {
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	address := free()
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--admin-listen", address)
	s.push("team/app", "1.0", "one", nil)
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	for _, want := range []string{
		`hallmark_http_requests_total{method="PUT",route="manifest",status="201"} 1`, "hallmark_records_total 2", "hallmark_uploads_in_flight 0",
		`hallmark_store_commits_total{outcome="done"}`, "hallmark_http_request_seconds_bucket", "hallmark_http_received_bytes_total", "hallmark_disk_free_bytes",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the metrics hold no %s", want)
		}
	}
	s.want(404, "GET", "/metrics")

	_, port, _ := net.SplitHostPort(free())
	open := startServer(t, filepath.Join(t.TempDir(), "data"), "--admin-listen", "0.0.0.0:"+port)
	open.url = "https://127.0.0.1:" + port
	if status, _, _ := open.do("GET", "/metrics", "none", ""); status != 401 {
		t.Errorf("strangers get %d", status)
	}
	open.want(200, "GET", "/metrics")
}

// TestLongDataPath has a socket whose path is longer than the kernel takes.
func TestLongDataPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30), "data")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	startServer(t, dir)
	if out, err := verb(t, "health", "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	info, err := os.Stat(filepath.Join(dir, socketFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
}

// TestCrossOrigin sends what a page of another site could make a browser send.
func TestCrossOrigin(t *testing.T) {
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	const user = `{"name":"mallory","password":"12345678","admin":true}`
	for _, c := range []struct {
		header []string
		status int
	}{
		{[]string{"Content-Type", "text/plain"}, 415},
		{[]string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{nil, 415},
		{[]string{"Content-Type", "application/json", "Origin", "https://evil.example"}, 403},
		{[]string{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Content-Type", "application/json; charset=utf-8"}, 201},
	} {
		if status, _, body := s.do("POST", "/api/v1/users", "", user, c.header...); status != c.status {
			t.Errorf("%v: %d %s", c.header, status, body)
		}
	}
	if status, _, _ := s.do("DELETE", "/api/v1/users/mallory", "", "", "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("delete from another site: %d", status)
	}
}

// TestHSTS wants browsers to be told to use HTTPS for the registry's name, and not for localhost.
func TestHSTS(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--url", "https://registry.test", "--listen", address)
	s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	for url, want := range map[string]string{"https://registry.test/v2/": "max-age=31536000", "https://localhost/v2/": "", "https://127.0.0.1/v2/": ""} {
		resp, err := s.client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q", url, got)
		}
	}
}
