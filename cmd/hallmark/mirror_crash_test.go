package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// manyUpstream is a registry with many images of one layer each. It does not change.
type manyUpstream struct {
	tags map[string]digest.Digest
	heap map[string][]byte
}

func newManyUpstream(t *testing.T, many int) *manyUpstream {
	t.Helper()
	u := &manyUpstream{map[string]digest.Digest{}, map[string][]byte{}}
	put := func(mediaType string, content []byte) ocispec.Descriptor {
		d := digest.FromBytes(content)
		u.heap[d.String()] = content
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
	}
	config := put(ocispec.MediaTypeImageConfig, []byte("{}"))
	for i := range many {
		m := ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: config, Layers: []ocispec.Descriptor{put(ocispec.MediaTypeImageLayer, fmt.Append(nil, "layer ", i))},
		}
		u.tags[fmt.Sprintf("t%03d", i)] = put(m.MediaType, mustMarshal(m)).Digest
	}
	return u
}

// ServeHTTP implements http.Handler.
func (u *manyUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ref := path.Base(r.URL.Path)
	if d, ok := u.tags[ref]; ok {
		ref = d.String()
	}
	content, ok := u.heap[ref]
	switch {
	case strings.HasSuffix(r.URL.Path, "/tags/list"):
		var list struct {
			Tags []string `json:"tags"`
		}
		for tag := range u.tags {
			list.Tags = append(list.Tags, tag)
		}
		_ = json.NewEncoder(w).Encode(list)
	case strings.Contains(r.URL.Path, "/referrers/"):
		fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
	case ok:
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", ref)
		}
		_, _ = w.Write(content)
	default:
		http.NotFound(w, r)
	}
}

// TestKilledWhileMirroring kills a server again and again while two mirrors are brought up to date, one of which holds everything. In the
// end everything is there, each tag with one record; and at no moment does somebody pull what is held.
func TestKilledWhileMirroring(t *testing.T) {
	t.Parallel()
	const many, kills = 300, 8
	upstream := newManyUpstream(t, many)
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "mirrors.yaml")
	rules := "mirrors:\n"
	for name, more := range map[string]string{"free": "", "held": ", hold: {until: approved}"} {
		rules += fmt.Sprintf("- {name: %s, upstream: %q, repositories: [app], into: %s, every: 1h, rate: 150%s}\n", name, server.URL, name, more)
	}
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	v := newVictim(t, "HALLMARK_MIRRORS_FILE="+file)
	v.verb("grant", "everyone", "held/**", "pull")
	bob := v.mirrorPuller()
	for range kills {
		ctx, end := context.WithCancel(t.Context())
		var asked sync.WaitGroup
		for _, name := range []string{"free", "held"} { // where the schedule does not do it already
			asked.Go(func() { _, _ = v.mirrorRun(ctx, name) })
		}
		time.Sleep(time.Duration(100+rand.IntN(600)) * time.Millisecond)
		v.kill()
		end()
		asked.Wait()
		v.start()
		v.wantHeld(bob, upstream, 20)
	}
	for _, name := range []string{"free", "held"} {
		said, err := v.mirrorRun(t.Context(), name)
		for n := 0; err != nil && strings.Contains(said, "is being brought up to date") && n < 600; n++ {
			time.Sleep(100 * time.Millisecond)
			said, err = v.mirrorRun(t.Context(), name)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		t.Logf("%s, after %d kills: %s", name, kills, said)
	}
	v.wantHeld(bob, upstream, many)
	for repo, name := range map[string]string{"free/app": "t", "held/app": ""} {
		tags := map[string]int{}
		for _, r := range v.recordsOf(t.Context(), repo, "&action=import") {
			tags[fmt.Sprint(tagNames(r.Tags), " ", r.Digest)]++
		}
		if len(tags) != many {
			t.Errorf("%s: %d images are on record, want %d", repo, len(tags), many)
		}
		for what, n := range tags {
			if n != 1 || !strings.HasPrefix(what, name) {
				t.Errorf("%s: %s has %d records", repo, what, n)
			}
		}
	}
	waitForClean(t, v.program, v.dir)
}

// verb runs a verb against the server.
func (v *victim) verb(args ...string) string {
	v.t.Helper()
	out, err := exec.Command(v.program, append(args, "--data", v.dir)...).CombinedOutput()
	if err != nil {
		v.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

func (v *victim) mirrorRun(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, v.program, "mirror", "run", name, "--data", v.dir).CombinedOutput()
	return string(out), err
}

// mirrorPuller is the login of an account that may pull what is held, were it not held.
func (v *victim) mirrorPuller() string {
	v.t.Helper()
	cmd := exec.Command(v.program, "user", "add", "bob", "--password-stdin", "--data", v.dir)
	cmd.Stdin = strings.NewReader("wonderland-1\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		v.t.Fatalf("%v: %s", err, out)
	}
	return "bob:wonderland-1"
}

// wantHeld wants nobody to pull some of what is held: 403 where it has come, else 404.
func (v *victim) wantHeld(login string, u *manyUpstream, some int) {
	v.t.Helper()
	client, err := httpClient(v.dir)
	if err != nil {
		v.t.Fatal(err)
	}
	name, password, _ := strings.Cut(login, ":")
	for tag, d := range u.tags {
		if some--; some < 0 {
			return
		}
		for _, ref := range []string{tag, d.String()} {
			r, err := http.NewRequest(http.MethodGet, "https://"+v.address+"/v2/held/app/manifests/"+ref, nil)
			if err != nil {
				v.t.Fatal(err)
			}
			r.SetBasicAuth(name, password)
			resp, err := client.Do(r)
			if err != nil {
				v.t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusNotFound {
				v.t.Errorf("%s: %d", ref, resp.StatusCode)
			}
		}
	}
}
