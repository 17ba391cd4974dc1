package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// attack is what somebody sends on a raw connection, and what it gets.
type attack struct {
	name string
	text string
	want []int // the statuses of the answers, one a request that the server sees in it
}

// TestAttacks sends what no client sends. docs/design/hostile.md says what each gets, and why.
func TestAttacks(t *testing.T) {
	s := insecure(t, "--config", writeFile(t, "stall: 2s\n"))
	repo := s.repository("team/app")
	repo.PlainHTTP = true
	if _, err := pushTo(t.Context(), repo, "1.0", "a layer", nil); err != nil {
		t.Fatal(err)
	}
	var m struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/v2/team/app/manifests/1.0")), &m); err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0].Digest
	for _, a := range append(traversals(), append(frames(), contents(layer)...)...) {
		t.Run(a.name, func(t *testing.T) {
			s.t = t
			text := strings.NewReplacer("{auth}", "Authorization: "+adminBasic, "{layer}", layer).Replace(a.text)
			conn := s.dial()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(conn, text) }() // the server may close before all of it is taken
			s.wantAnswers(a, bufio.NewReader(conn))
		})
	}
	s.t = t
	if log := s.log(); strings.Contains(log, "panic") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the server says\n%s", log)
	}
	s.want(200, "GET", "/v2/team/app/manifests/1.0")
}

func (s *testServer) wantAnswers(a attack, r *bufio.Reader) {
	s.t.Helper()
	for _, want := range a.want {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
		if err != nil {
			s.t.Fatalf("no answer: %v", err)
		}
		body, _ := io.ReadAll(resp.Body) // it may be cut
		resp.Body.Close()
		if resp.StatusCode != want {
			s.t.Errorf("status %d, want %d: %s", resp.StatusCode, want, body)
		}
		if strings.Contains(string(body), "root:") || strings.Contains(string(body), "BEGIN") {
			s.t.Errorf("it got at a file: %s", body)
		}
	}
	if more, err := http.ReadResponse(r, nil); err == nil {
		s.t.Errorf("one answer more than it should have: %s", more.Status)
	}
}

// get is a request that closes the connection behind it.
func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n{auth}\r\nConnection: close\r\n\r\n"
}

// traversals try to name a file in every part of a path.
func traversals() (attacks []attack) {
	for path, status := range map[string]int{
		"/v2/../../../etc/passwd":                                        404,
		"/v2/team/../../../etc/manifests/passwd":                         400,
		"/v2/%2e%2e/%2e%2e/etc/manifests/passwd":                         400,
		"/v2/..%2f..%2fetc/tags/list":                                    400,
		"/v2/team/app/manifests/..%2f..%2f..%2fetc%2fpasswd":             404,
		"/v2/team/app/manifests/..":                                      404,
		"/v2/team/app/manifests/sha256:..%2f..%2f..%2fetc%2fpasswd":      404,
		"/v2/team/app/blobs/../../../../etc/passwd":                      404,
		"/v2/team/app/blobs/sha256:../../hallmark.db":                    404,
		"/v2/team/app/blobs/sha256%3A%2e%2e%2fhallmark.db":               404,
		"/v2/team/app/blobs/uploads/..%2f..%2f..%2fhallmark.db":          404,
		"/v2/team/app/blobs/uploads/" + strings.Repeat("0", 64):          404,
		"/v2/team/app/referrers/..%2f..%2fetc%2fpasswd":                  404,
		"/v2/team/app/tags/list?last=../../../etc/passwd":                200,
		"/v2/_catalog?last=..%2f..%2fetc":                                200,
		"/api/v1/image?repo=../../etc&ref=passwd":                        404,
		"/api/v1/tags?repo=..%2f..%2fetc":                                404,
		"/api/v1/records/..%2f..%2fetc":                                  400,
		"/ca.pem/../hallmark-data/hallmark.db":                           404,
		"//etc/passwd":                                                   404,
		"/v2/team%00/app/manifests/1.0":                                  400,
		"/v2/team\\..\\app/manifests/1.0":                                400,
		"/v2/team/app/manifests/1.0%00.json":                             404,
		"/v2/" + strings.Repeat("a/", 200) + "app/manifests/1.0":         400,
		"/v2/team/app/manifests/" + strings.Repeat("x", 4000):            404,
		"/openapi.json/..%2fca.pem":                                      404,
		"/v2/team/app/blobs/uploads/?digest=sha256:..%2f..%2fetc/passwd": 405,
	} {
		attacks = append(attacks, attack{"traversal " + path[:min(len(path), 60)], get(path), []int{status}})
	}
	return attacks
}

// frames are requests that two servers in a row could cut apart in different places, and those without an end.
func frames() []attack {
	const smuggled = "GET /v2/_catalog HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" // without a login
	head := "PUT /v2/team/app/manifests/x HTTP/1.1\r\nHost: x\r\n{auth}\r\n"
	chunked := "Transfer-Encoding: chunked\r\n"
	return []attack{
		{"length and chunks", head + "Content-Length: 6\r\n" + chunked + "\r\n0\r\n\r\n" + smuggled, []int{400, 401}},
		{"two lengths", head + "Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + smuggled, []int{400}},
		{"a signed length", head + "Content-Length: +6\r\n\r\n" + smuggled, []int{400}},
		{"a negative length", head + "Content-Length: -1\r\n\r\n" + smuggled, []int{400}},
		{"another coding", head + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled, []int{501}},
		{"two codings", head + "Transfer-Encoding: chunked, identity\r\n\r\n" + smuggled, []int{501}},
		{"a space before the colon", head + "Transfer-Encoding : chunked\r\n\r\n" + smuggled, []int{400}},
		{"a header with a null", head + "X-Evil: a\x00b\r\n\r\n" + smuggled, []int{400}},
		{"a header without a name", head + ": x\r\n\r\n" + smuggled, []int{400}},
		{"two hosts", "GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", []int{400}},
		{"a bad chunk", head + chunked + "Connection: close\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", []int{400}},
		{"a chunk with a long extension", head + chunked + "Connection: close\r\n\r\n1;" + strings.Repeat("x", 64<<10) + "\r\na\r\n0\r\n\r\n", []int{400}},
		{"chunks without end", head + chunked + "Connection: close\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 80), []int{413}},
		{"tiny chunks without end", head + chunked + "Connection: close\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 100_000), []int{400}},
		{"many headers", "GET /v2/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 20_000) + "\r\n", []int{431}},
		{"a huge header", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", []int{431}},
		{"a huge path", "GET /v2/" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431}},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		{"HTTP of the future", "GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n", []int{505}},
		{"a tunnel", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n{auth}\r\nConnection: close\r\n\r\n", []int{404}},
		{"a request of a proxy", "GET http://evil.example/v2/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", []int{401}},
	}
}

// contents are bodies and references that mean something else than they say.
func contents(layer string) []attack {
	put := func(path, header, body string) string {
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\n{auth}\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s", path, header, len(body), body)
	}
	post := func(path, header, body string) string {
		return strings.Replace(put(path, header, body), "PUT", "POST", 1)
	}
	hash := strings.TrimPrefix(layer, "sha256:")
	return []attack{
		{"a layer by another repository", get("/v2/team/other/blobs/{layer}"), []int{404}},
		{"a digest under another algorithm", get("/v2/team/app/blobs/sha512:" + hash), []int{400}},
		{"a long digest under sha256", get("/v2/team/app/blobs/sha256:" + hash + hash), []int{400}},
		{"a digest in capitals", get("/v2/team/app/blobs/sha256:" + strings.ToUpper(hash)), []int{400}},
		{"an algorithm that is broken", get("/v2/team/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e"), []int{400}},
		{"a compressed manifest", put("/v2/team/app/manifests/x", "Content-Encoding: gzip\r\n", "\x1f\x8b\x08\x00\x00\x00\x00\x00"), []int{400}},
		{"a compressed blob", post("/v2/team/app/blobs/uploads/?digest="+layer, "Content-Encoding: gzip\r\n", "\x1f\x8b\x08\x00"), []int{400}},
		{"deep JSON", put("/v2/team/app/manifests/x", "", strings.Repeat(`{"a":`, 100_000)), []int{400}},
		{"a key twice", put("/v2/team/app/manifests/x", "", `{"schemaVersion":2,"schemaVersion":2}`), []int{400}},
		{"an index that says image", put("/v2/team/app/manifests/x", "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n",
			`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), []int{400}},
		{"a form", post("/v2/team/app/blobs/uploads/", "Content-Type: multipart/form-data; boundary=x\r\n", "--x\r\n\r\n--x--"), []int{415}},
		{"a blob that is not what it says", post("/v2/team/app/blobs/uploads/?digest="+layer, "", "other"), []int{400}},
		{"ranges without end", "GET /v2/team/app/blobs/{layer} HTTP/1.1\r\nHost: x\r\n{auth}\r\nConnection: close\r\nRange: bytes=" +
			strings.Repeat("0-,", 10_000) + "0-\r\n\r\n", []int{200}},
		{"a range of nothing", "GET /v2/team/app/blobs/{layer} HTTP/1.1\r\nHost: x\r\n{auth}\r\nConnection: close\r\nRange: bytes=9999-\r\n\r\n", []int{416}},
		{"JSON for the API from a page", post("/api/v1/users", "Content-Type: application/json\r\nSec-Fetch-Site: cross-site\r\n", `{"name":"eve","password":"eve-eve-eve"}`), []int{403}},
		{"a login that is no UTF-8", "GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic /////w==\r\nConnection: close\r\n\r\n", []int{401}},
		{"a huge login", "GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + strings.Repeat("YWFh", 10_000) + "\r\nConnection: close\r\n\r\n", []int{401}},
	}
}
