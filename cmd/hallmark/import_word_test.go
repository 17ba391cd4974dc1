package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestImportedWord imports images from another Hallmark whose word is trusted: what its records say arrives with them, verified as if it
// was pushed. What was changed on the way is not that registry's word.
func TestImportedWord(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := startServer(t, filepath.Join(t.TempDir(), "data"))
	a.push("team/app", "1.0", "app", nil)
	a.push("team/forged", "1.0", "forged", nil)
	b := (&acting{testServer: a}).mirror()
	out := b.hallmark("import", "--into", "mirror", forgingReferrer(t, a, "team/forged"), "team/app", "team/forged")
	if !strings.Contains(out, " 2 came, 0 were here, 0 left alone, 0 refused") {
		t.Fatal(out)
	}
	word := "by registry a: pushed by admin"
	if shown := b.hallmark("show", "mirror/team/app:1.0"); !strings.Contains(shown, word) || !strings.Contains(shown, "verified before") {
		t.Errorf("what came as it was made:\n%s", shown)
	}
	if shown := b.hallmark("show", "mirror/team/forged:1.0"); strings.Contains(shown, word) || !strings.Contains(shown, "does not count") {
		t.Errorf("what was changed:\n%s", shown)
	}
	b.readWords("mirror/team/app", `"class":"attested"`)
	b.readWords("mirror/team/forged", `"class":"claimed"`)
	if records := b.hallmark("records", "--action", "attest"); !strings.Contains(records, "mirror/team/app") {
		t.Errorf("what was verified:\n%s", records)
	}
	if said := b.hallmark("fsck"); !strings.Contains(said, ": 0 problems") {
		t.Error(said)
	}
}

// readWords wants of what other registries say of an image.
func (s *testServer) readWords(repo, want string) {
	s.t.Helper()
	var image struct{ Words json.RawMessage }
	s.readJSON("/api/v1/image?ref=1.0&repo="+repo, &image)
	if !strings.Contains(string(image.Words), want) {
		s.t.Errorf("%s: other registries say %s, want %s", repo, image.Words, want)
	}
}

// forgingReferrer starts a registry that has what s has, but for the record beside an image of one repository: somebody has changed
// that, and all digests that follow from it.
func forgingReferrer(t *testing.T, s *testServer, repo string) (url string) {
	t.Helper()
	image := digest.FromString(s.want(200, "GET", "/v2/"+repo+"/manifests/1.0"))
	list := s.want(200, "GET", "/v2/"+repo+"/referrers/"+image.String())
	var index ocispec.Index
	if err := json.Unmarshal([]byte(list), &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%v: %s", err, list)
	}
	was := index.Manifests[0].Digest.String()
	manifest := s.want(200, "GET", "/v2/"+repo+"/manifests/"+was)
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		t.Fatal(err)
	}
	forged := map[string]string{}
	for _, l := range m.Layers {
		content := s.want(200, "GET", "/v2/"+repo+"/blobs/"+l.Digest.String())
		changed := strings.NewReplacer(`"sig":"M`, `"sig":"N`, `"sig": "M`, `"sig": "N`).Replace(content)
		forged["/v2/"+repo+"/blobs/"+digest.FromString(changed).String()] = changed
		manifest = strings.ReplaceAll(manifest, l.Digest.String(), digest.FromString(changed).String())
	}
	now := digest.FromString(manifest).String()
	if now == was {
		t.Fatal("nothing was changed")
	}
	forged["/v2/"+repo+"/manifests/"+now] = manifest
	forged["/v2/"+repo+"/referrers/"+image.String()] = strings.ReplaceAll(list, was, now)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, header, body := s.do(r.Method, r.URL.RequestURI(), "admin:"+adminPassword, "", "Accept", "*/*")
		if changed, ok := forged[r.URL.Path]; ok {
			status, body = http.StatusOK, changed
			header = http.Header{"Content-Type": {ocispec.MediaTypeImageManifest}}
		}
		if kind := header.Get("Content-Type"); kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(upstream.Close)
	return upstream.URL
}
