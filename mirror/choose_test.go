package mirror_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// built makes an index as BuildKit does, with an attestation for each platform.
func (p *place) built(t *testing.T, archs ...string) ocispec.Descriptor {
	t.Helper()
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range archs {
		img := p.image(t, arch, nil, "built for "+arch)
		about := p.image(t, "unknown", nil, "attestation of "+arch)
		about.Platform.OS = "unknown"
		about.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": img.Digest.String()}
		index.Manifests = append(index.Manifests, img, about)
	}
	return p.putJSON(t, index.MediaType, index)
}

// TestPlatforms brings an index without some of its platforms: the same bytes, and who asks for what was left out is told that it is not
// here. Later runs bring the others.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]func(u *upstream) map[string]any{
		"registry":       func(u *upstream) map[string]any { return map[string]any{"registry": u.where()} },
		"distribution's": func(u *upstream) map[string]any { return map[string]any{"path": u.distribution(t, "team/app")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, s := newUpstream(t), servertest.Start(t)
			u.multi = u.built(t, "amd64", "arm64", "s390x")
			want := source(u)
			want["platforms"] = []string{"linux/amd64", "linux/arm64/v8"}
			r, failed := run(t, s, want)
			if failed != "" || r.Refused != 0 || r.LeftOut != 2 || len(r.Lacking) != 0 {
				t.Fatalf("%+v %s", r, failed)
			}
			if status, body := get(t, s, "/v2/team/app/manifests/latest"); status != http.StatusOK || !bytes.Equal(body, u.heap[u.multi.Digest]) {
				t.Errorf("the index answers %d with %d bytes", status, len(body))
			}
			u.wantHere(t, s, 200, 200, 200, 200, 404, 404)
			if problems := fsck(t, s); problems != "" {
				t.Errorf("fsck: %s", problems)
			}
			delete(want, "platforms")
			if r, failed = run(t, s, want); failed != "" || r.Refused != 0 || r.Manifests != 2 {
				t.Errorf("the rest: %+v %s", r, failed)
			}
			u.wantHere(t, s, 200, 200, 200, 200, 200, 200)
			want["platforms"] = []string{"windows/amd64"}
			if r, _ := run(t, s, want); r.Refused != 1 || !strings.Contains(r.Refusals[0].Why, "none of the platforms") || !strings.Contains(r.Refusals[0].Why, "linux/s390x") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// wantHere asks for each manifest that the index lists, in its order.
func (u *upstream) wantHere(t *testing.T, s *servertest.Server, statuses ...int) {
	t.Helper()
	var index ocispec.Index
	if err := json.Unmarshal(u.heap[u.multi.Digest], &index); err != nil {
		t.Fatal(err)
	}
	for i, d := range index.Manifests {
		if status, body := get(t, s, "/v2/team/app/manifests/"+d.Digest.String()); status != statuses[i] {
			t.Errorf("%d of the index answers %d, want %d: %.200s", i, status, statuses[i], body)
		}
	}
}

// TestIndexOfBlobs brings an index that lists blobs, as those of BuildKit's cache do, from where manifests and blobs lie side by
// side.
func TestIndexOfBlobs(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]func(*testing.T, *place) map[string]any{
		"directory": func(t *testing.T, p *place) map[string]any {
			return map[string]any{"path": p.distribution(t, "team/app")}
		},
		"layout": func(t *testing.T, p *place) map[string]any {
			return map[string]any{"path": p.layout(t, t.TempDir()), "into": "team/app"}
		},
		"archive": func(t *testing.T, p *place) map[string]any {
			return map[string]any{"path": archive(t, p.layout(t, t.TempDir())), "into": "team/app"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, s := newPlace(t), servertest.Start(t)
			blobs := []ocispec.Descriptor{
				p.put(ocispec.MediaTypeImageLayer, []byte("a layer of the cache")),
				p.put(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`)),
				p.put("application/vnd.buildkit.cacheconfig.v0", []byte(`{"layers":[],"records":[]}`)),
			}
			p.two = p.putJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: blobs,
			})
			r, failed := run(t, s, from(t, p))
			if failed != "" || r.Refused != 0 || len(r.Lacking) != 0 {
				t.Errorf("%+v %s", r, failed)
			}
			paths := []string{"manifests/2.0"}
			for _, b := range blobs {
				paths = append(paths, "blobs/"+b.Digest.String())
			}
			for _, path := range paths {
				if status, _ := get(t, s, "/v2/team/app/"+path); status != http.StatusOK {
					t.Errorf("%s answers %d", path, status)
				}
			}
			if problems := fsck(t, s); problems != "" {
				t.Errorf("fsck: %s", problems)
			}
		})
	}
}

// harbor writes the place as Harbor keeps it from 2.15 on, with the tags in a file of their own.
func (p *place) harbor(t *testing.T, repo string) (dir, tags string) {
	t.Helper()
	dir = p.distribution(t, repo)
	if err := os.RemoveAll(filepath.Join(dir, "docker", "registry", "v2", "repositories", repo, "_manifests", "tags")); err != nil {
		t.Fatal(err)
	}
	text := "# exported\n\n"
	for tag, d := range p.tags() {
		text += fmt.Sprintf("%s:%s\t%s\r\n", repo, tag, d.Digest)
	}
	return dir, tagFile(t, text)
}

func tagFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tags.txt")
	write(t, name, []byte(text))
	return name
}

// TestTagFile imports a directory whose tags a file has.
func TestTagFile(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	dir, tags := p.harbor(t, "library/app")
	r, failed := run(t, s, map[string]any{"path": dir, "tags": tags})
	if failed != "" || r.Refused != 0 || r.Manifests != 6 || r.Images != 9 {
		t.Errorf("%+v %s", r, failed)
	}
	p.wantAll(t, s, "library/app")
	for _, rec := range records(t, s, "repo=library/app&tag=1.0") {
		if rec.Observed.Origin["reference"] != "library/app:1.0" || rec.Claimed[0].Fact != "pushed-at" {
			t.Errorf("%+v", rec)
		}
	}
	lost := strings.Replace(p.one.Digest.String(), "sha256:", "sha512:", 1) + strings.Repeat("0", 64)
	more := tagFile(t, "library/app:3.0 "+p.two.Digest.String()+"\nlibrary/app:lost "+lost+"\nlibrary/none:1 "+p.one.Digest.String()+"\n")
	r, failed = run(t, s, map[string]any{"path": dir, "tags": more})
	if failed != "" || r.Refused != 2 || r.Came != 1 {
		t.Errorf("%+v %s", r, failed)
	}
	for _, m := range r.Refusals {
		if !strings.Contains(m.Why, "file of tags names") {
			t.Errorf("of %s it says %s", m.Reference, m.Why)
		}
	}
}

// TestBadTagFiles refuses a file of tags that is wrong, with the line where it is.
func TestBadTagFiles(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	dir := p.distribution(t, "team/app")
	good := "team/app:1 " + p.one.Digest.String() + "\n"
	for text, says := range map[string]string{
		good + "team/app:2\n": "line 2: ", good + good + "team/app:1 " + p.two.Digest.String(): "line 3: team/app:1 means sha256:", "app 1 2 3": "line 1: ",
		"team/app sha256:00": "line 1: ", ":1 " + p.one.Digest.String(): "line 1: ", "team/app: " + p.one.Digest.String(): "line 1: ", "team/app:1 sha256:00": "line 1: ",
		good + strings.Repeat("x", 5000): "line 2: ", "team/app:1 \x00\n": "line 1: ",
	} {
		status, body := ask(t, s, http.MethodPost, "/api/v1/import", map[string]any{"path": dir, "tags": tagFile(t, text)})
		if status != http.StatusUnprocessableEntity || !strings.Contains(string(body), says) {
			t.Errorf("%.100q answers %d %s, want %q", text, status, body, says)
		}
	}
	for _, c := range []struct {
		want map[string]any
		says string
	}{
		{map[string]any{"path": dir, "tags": "relative"}, "not absolute"},
		{map[string]any{"path": dir, "tags": filepath.Join(dir, "none")}, "no such file"},
		{map[string]any{"path": p.layout(t, t.TempDir()), "into": "x", "tags": tagFile(t, good)}, "has its own"},
		{map[string]any{"registry": "x.example", "tags": tagFile(t, good)}, "has its own"},
		{map[string]any{"path": dir, "platforms": []string{"amd64"}}, "no platform"},
	} {
		if status, body := ask(t, s, http.MethodPost, "/api/v1/import", c.want); status < 400 || status >= 500 || !strings.Contains(string(body), c.says) {
			t.Errorf("%v answers %d %s, want %q", c.want, status, body, c.says)
		}
	}
}

// TestCounted counts what is at the source beside the work, and no more than is wanted.
func TestCounted(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	r, _ := run(t, s, map[string]any{"path": p.distribution(t, "team/app"), "repositories": []string{"team/*"}})
	if r.Known > r.Images || r.Counted && r.Known != r.Images {
		t.Errorf("%d are known, and %d were looked at", r.Known, r.Images)
	}
}
