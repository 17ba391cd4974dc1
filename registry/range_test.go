package registry

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const tenBytes = "0123456789"

// TestRanges asks for parts of a blob (RFC 9110, section 14).
func TestRanges(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	path := "/v2/app/blobs/" + s.pushBlob("app", tenBytes).Digest.String()
	huge := strings.Repeat("9", 40)
	for _, c := range []struct {
		asked  string
		status int
		body   string // or the code
		part   string // Content-Range
	}{
		{"bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"bytes=4-", 206, "456789", "bytes 4-9/10"},
		{"bytes=-3", 206, "789", "bytes 7-9/10"},
		{"bytes=-99", 206, tenBytes, "bytes 0-9/10"},
		{"bytes=8-99", 206, "89", "bytes 8-9/10"},
		{"bytes=8-" + huge, 206, "89", "bytes 8-9/10"},
		{"bytes=-" + huge, 206, tenBytes, "bytes 0-9/10"},
		{"BYTES=0-0", 206, "0", "bytes 0-0/10"},
		{"bytes= 1-2 ", 206, "12", "bytes 1-2/10"},
		{"bytes=,1-2,", 206, "12", "bytes 1-2/10"},
		{"bytes=10-", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=" + huge + "-", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=-0", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=99-100,200-", 416, "RANGE_INVALID", "bytes */10"},
		{"items=0-5", 200, tenBytes, ""},
		{"bits=0-5", 200, tenBytes, ""},
		{"bytes", 200, tenBytes, ""},
		{"", 200, tenBytes, ""},
		{"bytes=5-2", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=one-two", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=0x1-0x2", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=+1-2", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=1", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=", 416, "RANGE_INVALID", "bytes */10"},
		{"bytes=" + strings.Repeat("0-0,", 100), 200, tenBytes, ""},
		{"bytes=0-,0-", 200, tenBytes, ""}, // more than there is
	} {
		got := s.do("GET", path, nil, header("Range", c.asked))
		said := got.body
		if got.status == 416 {
			said = got.code()
		}
		if got.status != c.status || said != c.body || got.header.Get("Content-Range") != c.part {
			t.Errorf("%.40q: %d %s, Content-Range %q", c.asked, got.status, got.body, got.header.Get("Content-Range"))
		}
		if got.status == 416 && (got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "") {
			t.Errorf("%.40q: %v", c.asked, got.header)
		}
		head := s.do("HEAD", path, nil, header("Range", c.asked))
		if head.status != 200 || head.header.Get("Content-Length") != "10" || head.header.Get("Content-Range") != "" {
			t.Errorf("HEAD %.40q: %d %v", c.asked, head.status, head.header)
		}
	}
	empty := "/v2/app/blobs/" + s.pushBlob("app", "").Digest.String()
	for _, asked := range []string{"bytes=0-", "bytes=-1", "bytes=5-7"} { // from who sends it with every request
		s.want(s.do("GET", empty, nil, header("Range", asked)), 200, "")
	}
}

// TestRangeConditions has what goes before a range (RFC 9110, section 13.2.2).
func TestRangeConditions(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	d := s.pushBlob("app", tenBytes).Digest
	path, tag := "/v2/app/blobs/"+d.String(), `"`+d.String()+`"`
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"If-Range", tag, 206},
		{"If-Range", `"another"`, 200},
		{"If-None-Match", tag, 304},
		{"If-None-Match", `"another"`, 206},
		{"If-Match", tag, 206},
		{"If-Match", `"another"`, 412},
	} {
		got := s.do("GET", path, nil, header("Range", "bytes=2-4"), header(c.name, c.value))
		if got.status != c.status || got.status == 412 && got.code() == "" {
			t.Errorf("%s %s: %d %s", c.name, c.value, got.status, got.body)
		}
	}
	got := s.do("GET", path, nil, header("Range", "bytes=99-"), header("If-Range", `"another"`))
	s.want(got, 200, "")
	twice := func(r *http.Request) { r.Header["Range"] = []string{"bytes=0-1", "bytes=5-6"} }
	if got := s.want(s.do("GET", path, nil, twice), 200, ""); got.body != tenBytes {
		t.Errorf("two headers: %s", got.body)
	}
	image := s.pushImage("app", "1.0", "image")
	if got := s.want(s.do("GET", "/v2/app/manifests/1.0", nil, header("Range", "bytes=0-1")), 200, ""); got.body != image.body {
		t.Errorf("a part of a manifest: %s", got.body)
	}
}

// TestSeveralRanges come as one body of parts.
func TestSeveralRanges(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	content := strings.Repeat(tenBytes, 1000)
	path := "/v2/app/blobs/" + s.pushBlob("app", content).Digest.String()
	got := s.want(s.do("GET", path, nil, header("Range", "bytes=0-3, 9990-, 50000-")), 206, "")
	_, params, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(strings.NewReader(got.body), params["boundary"])
	for _, want := range []string{"bytes 0-3/10000 0123", "bytes 9990-9999/10000 0123456789"} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(p)
		if said := p.Header.Get("Content-Range") + " " + string(text); said != want || err != nil {
			t.Errorf("%q, %v, want %q", said, err, want)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Error(err)
	}
	var many strings.Builder
	for i := range maxRanges + 1 {
		fmt.Fprintf(&many, "%d-%d,", 2*i, 2*i)
	}
	if got := s.want(s.do("GET", path, nil, header("Range", "bytes="+many.String())), 200, ""); got.body != content {
		t.Errorf("%d bytes", len(got.body))
	}
}

// singular are headers that make sense once.
var singular = []string{
	"Docker-Distribution-Api-Version", "Docker-Content-Digest", "Docker-Upload-Uuid", "Content-Type", "Content-Length", "Content-Range",
	"Location", "Range", "Etag", "Date", "Cache-Control", "Oci-Subject", "Oci-Chunk-Min-Length", "Www-Authenticate", "X-Request-Id",
	"X-Content-Type-Options", "Content-Security-Policy", "Retry-After", "Allow", "Accept-Ranges", "Hallmark-Record",
}

// TestHeadersComeOnce asks for everything that goes through distribution's App, and for some of the rest.
func TestHeadersComeOnce(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("app", "content")
	begun := func() string { return s.begin("app") }
	for name, got := range map[string]answer{
		"base":             s.do("GET", "/v2/", nil),
		"HEAD base":        s.do("HEAD", "/v2/", nil),
		"begin":            s.do("POST", "/v2/app/blobs/uploads/", nil),
		"mount":            s.do("POST", "/v2/other/blobs/uploads/?from=app&mount="+blob.Digest.String(), nil),
		"status":           s.do("GET", begun(), nil),
		"PATCH":            s.do("PATCH", begun(), strings.NewReader("x")),
		"out of order":     s.do("PATCH", begun(), strings.NewReader("x"), header("Content-Range", "5-5")),
		"PUT":              s.do("PUT", withDigest(begun(), digest.FromString("x")), strings.NewReader("x")),
		"PUT of another":   s.do("PUT", withDigest(begun(), digest.FromString("y")), strings.NewReader("x")),
		"PUT of nothing":   s.do("PUT", begun(), strings.NewReader("x")),
		"cancel":           s.do("DELETE", begun(), nil),
		"delete a blob":    s.do("DELETE", "/v2/other/blobs/"+blob.Digest.String(), nil),
		"delete none":      s.do("DELETE", "/v2/other/blobs/"+blob.Digest.String(), nil),
		"no such upload":   s.do("GET", "/v2/app/blobs/uploads/none", nil),
		"no login":         s.do("GET", "/v2/", nil, header("Authorization", "Bearer x")),
		"a bad method":     s.do("PUT", "/v2/", nil),
		"blob":             s.do("GET", "/v2/app/blobs/"+blob.Digest.String(), nil),
		"a range too far":  s.do("GET", "/v2/app/blobs/"+blob.Digest.String(), nil, header("Range", "bytes=99-")),
		"a whole blob":     s.do("POST", "/v2/app/blobs/uploads/?digest="+digest.FromString("z").String(), strings.NewReader("z")),
		"another's upload": s.do("PATCH", begun(), strings.NewReader("x"), as("bob")),
	} {
		if got := got.header.Values("Docker-Distribution-Api-Version"); len(got) != 1 || got[0] != "registry/2.0" {
			t.Errorf("%s: %q", name, got)
		}
		for _, h := range singular {
			if values := got.header.Values(h); len(values) > 1 {
				t.Errorf("%s: %s %q", name, h, values)
			}
		}
	}
}
