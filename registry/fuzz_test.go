package registry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FuzzRequest sends anything to a registry that holds an image: names, references, digests, ranges, logins.
// Whatever comes, it neither panics nor says that the fault is its own.
func FuzzRequest(f *testing.F) {
	s := startServer(f, f.TempDir(), Config{})
	pushed := s.pushImage("team/app", "1.0", "one")
	layer := digest.FromString("layer one").String()
	for _, path := range []string{
		"/v2/", "/v2/_catalog?n=1&last=team", "/v2/team/app/tags/list?n=-1", "/v2/team/app/manifests/1.0", "/v2/team/app/manifests/" + pushed.digest.String(),
		"/v2/team/app/blobs/" + layer, "/v2/team/app/blobs/uploads/", "/v2/team/app/blobs/uploads/?mount=" + layer + "&from=team/app",
		"/v2/team/app/blobs/uploads/?digest=" + layer, "/v2/team/app/blobs/uploads/00?_state=x", "/v2/team/app/referrers/" + layer + "?artifactType=a/b&n=1",
		"/v2/%2e%2e/%2e%2e/etc/passwd", "/v2/team//app/manifests/%00", "/v2/team/app/manifests/sha256:" + strings.Repeat("0", 64) + "?tag=x&tag=y",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"} {
			f.Add(method, path, "bytes=0-1,5-", "application/octet-stream", "0-3", "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==", []byte(pushed.body))
		}
	}
	f.Fuzz(func(t *testing.T, method, path, ranges, contentType, contentRange, authorization string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !regexp.MustCompile(`^[A-Z]{1,10}$`).MatchString(method) {
			return // net/http answers these itself
		}
		r := httptest.NewRequest("GET", "/", bytes.NewReader(body))
		r.Method, r.URL = method, u
		for name, value := range map[string]string{
			"Range": ranges, "If-None-Match": ranges, "Content-Type": contentType, "Content-Range": contentRange, "Authorization": authorization,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if len(authorization)%2 == 0 { // half of them signed in, to come further
			r.SetBasicAuth("alice", password)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		var e errorBody
		if w.Code >= 400 && method != http.MethodHead && w.Code != http.StatusRequestedRangeNotSatisfiable {
			if json.Unmarshal(w.Body.Bytes(), &e) != nil || len(e.Errors) == 0 || e.Errors[0].Message == "" || len(e.Errors[0].Message) >= 200 {
				t.Errorf("%s %s: %d with the body %q", method, path, w.Code, w.Body)
			}
		}
	})
}

// FuzzName wants a name that is taken to be one that the field's own library takes.
func FuzzName(f *testing.F) {
	for _, name := range []string{"team/app", "a..b", "a__b", "a___b", "a--b/c.d", "-a", "a/", strings.Repeat("a", 255)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		_, err := reference.WithName(name)
		if ours := validName(name); ours && err != nil {
			t.Errorf("%q is taken here; %v", name, err)
		} else if !ours && err == nil && len(name) <= maxName && !strings.Contains(name, ":") && !strings.ContainsAny(strings.Split(name, "/")[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ.") {
			t.Errorf("%q is refused here", name)
		}
	})
}

// FuzzManifest wants a manifest that is taken to be one that every reader understands alike.
func FuzzManifest(f *testing.F) {
	f.Add(ocispec.MediaTypeImageManifest, []byte(imageManifest(descriptorOf("{}"), descriptorOf("layer"))))
	f.Add("", []byte(artifactManifest(descriptorOf("{}"), digest.FromString("x"), "a/b", "note")))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:`+strings.Repeat("0", 64)+`","size":1,"platform":{"os":"linux","architecture":"arm"}}]}`))
	f.Add("a/b", []byte(`{"blobs":[],"Blobs":[]}`))
	f.Add("", []byte(`{"blobs":[],"mediaType":"A/B"}`))
	f.Add("", []byte(`{"blobs":[],"mediaType":"a"}`))
	f.Add("a/b", []byte(`{"config":{"digest":"sha512:`+strings.Repeat("0", 128)+`","data":"e30="}}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		m, err := parseManifest(contentType, body)
		if err != nil {
			return
		}
		var seen map[string]json.RawMessage
		if err := json.Unmarshal(body, &seen); err != nil {
			t.Fatalf("it is no object: %v", err)
		}
		for _, d := range append(m.blobs(), m.children...) {
			if _, ok := parseDigest(d.Digest.String()); !ok || d.Size < 0 {
				t.Errorf("descriptor %+v was taken", d)
			}
		}
		if (m.config != nil) != (seen["config"] != nil && string(seen["config"]) != "null") {
			t.Errorf("the config is read as %v, and is %s", m.config, seen["config"])
		}
		again, err := parseManifest(m.mediaType, body)
		if err != nil || again.mediaType != m.mediaType {
			t.Errorf("read again as what it is: %v", err)
		}
		if len(m.mediaType) > maxMediaType || len(m.referrerType()) > maxMediaType {
			t.Errorf("%q of type %q", m.mediaType, m.referrerType())
		}
	})
}

// FuzzRows wants rows of any bytes to be read or refused, and what was written to be read as it was.
func FuzzRows(f *testing.F) {
	f.Add([]byte("\x01\x02\x03abc"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if m, err := decodeManifestRow(value); err == nil {
			if again, err := decodeManifestRow(m.encode()); err != nil || again.record != m.record || again.mediaType != m.mediaType || !bytes.Equal(again.content, m.content) {
				t.Errorf("manifest %+v, again %+v, %v", m, again, err)
			}
		}
		if row, err := decodeTagRow(value); err == nil {
			if again, err := decodeTagRow(row.encode()); err != nil || again != row {
				t.Errorf("tag %+v, again %+v, %v", row, again, err)
			}
		}
		if row, err := decodeLinkRow(value); err == nil {
			if again, err := decodeLinkRow(row.encode()); err != nil || again != row {
				t.Errorf("link %+v, again %+v, %v", row, again, err)
			}
		}
		if row, err := decodeReferrerRow(value); err == nil {
			if again, err := decodeReferrerRow(row.encode()); err != nil || again.artifactType != row.artifactType || !bytes.Equal(again.descriptor, row.descriptor) {
				t.Errorf("referrer %+v, again %+v, %v", row, again, err)
			}
		}
		_, _, _, _ = cutLease(value)
		_, _, _, _ = cutPair(value)
	})
}
