package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stock is a registry that knows nothing of records: it serves manifests, blobs and lists of referrers.
type stock struct {
	*httptest.Server
	content   map[string][]byte // by digest and by tag
	types     map[string]string
	referrers map[string][]ocispec.Descriptor
	ca        string // file of its certificate
}

func newStock(t *testing.T) *stock {
	t.Helper()
	s := &stock{content: map[string][]byte{}, types: map[string]string{}, referrers: map[string][]ocispec.Descriptor{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if strings.Contains(r.URL.Path, "/referrers/") {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": append([]ocispec.Descriptor{}, s.referrers[name]...)})
		return
	}
	body, ok := s.content[name]
	if !ok || !strings.HasPrefix(r.URL.Path, "/v2/mirror/app/") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
	w.Header().Set("Content-Type", s.types[name])
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

func (s *stock) put(kind, body string) digest.Digest {
	d := digest.FromString(body)
	s.content[d.String()], s.types[d.String()] = []byte(body), kind
	return d
}

// copyReferrers copies an image from a Hallmark, with what refers to it.
func (s *stock) copyReferrers(from *testServer, subject string) (referrer digest.Digest) {
	from.t.Helper()
	s.put(ocispec.MediaTypeImageManifest, from.want(200, "GET", "/v2/team/app/manifests/"+subject))
	s.content["1.0"], s.types["1.0"] = s.content[subject], ocispec.MediaTypeImageManifest
	var list ocispec.Index
	if err := json.Unmarshal([]byte(from.want(200, "GET", "/v2/team/app/referrers/"+subject)), &list); err != nil {
		from.t.Fatal(err)
	}
	s.referrers[subject] = list.Manifests
	for _, d := range list.Manifests {
		body := from.want(200, "GET", "/v2/team/app/manifests/"+d.Digest.String())
		referrer = s.put(ocispec.MediaTypeImageManifest, body)
		var m ocispec.Manifest
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			from.t.Fatal(err)
		}
		for _, l := range m.Layers {
			s.put("application/octet-stream", from.want(200, "GET", "/v2/team/app/blobs/"+l.Digest.String()))
		}
	}
	return referrer
}

// TestVerifyElsewhere checks an image in a registry that has no records, by what was copied with it.
func TestVerifyElsewhere(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := startServer(t, filepath.Join(t.TempDir(), "data"))
	image := a.push("team/app", "1.0", "one", map[string]string{"org.opencontainers.image.source": "https://git.example/team/app"})
	logs, keys := writeFile(t, a.want(200, "GET", "/keys/logs.json")), writeFile(t, a.want(200, "GET", "/keys/receipts.json"))
	s := newStock(t)
	referrer := s.copyReferrers(a, image)
	at := strings.TrimPrefix(s.URL, "https://") + "/mirror/app"
	kept := []string{"--ca", s.ca, "--trusted-root", logs, "--key", keys}
	ask := func(ref string, flags ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"verify", at + ref}, flags...), func(string) string { return "" }, nil, &out, &out)
		return out.String(), err
	}
	for _, ref := range []string{"@" + referrer.String(), ":1.0", "@" + image} {
		out, err := ask(ref, kept...)
		if err != nil || !strings.Contains(out, "verified     record 1: push of team/app:1.0@"+image) || !strings.Contains(out, a.url+" signed that admin did push") {
			t.Errorf("%s: %v\n%s", ref, err, out)
		}
	}
	for says, do := range map[string]func() (string, error){
		"has no keys to ask for": func() (string, error) { return ask(":1.0", "--ca", s.ca) },
		"2.0":                    func() (string, error) { return ask(":2.0", kept...) },
		"nothing of the type application/vnd.hallmark.provenance.v1 refers to it": func() (string, error) {
			s.referrers[image] = nil
			return ask(":1.0", kept...)
		},
		"it refers to sha256:": func() (string, error) { // the referrers of another image, listed for this one
			other := s.put(ocispec.MediaTypeImageManifest, `{"schemaVersion":2}`).String()
			s.referrers[other] = []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.hallmark.provenance.v1", Digest: referrer, Size: int64(len(s.content[referrer.String()]))}}
			return ask("@"+other, kept...)
		},
	} {
		if out, err := do(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q\n%s", err, says, out)
		}
	}
}
