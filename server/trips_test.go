package server_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

var (
	updateTrips = flag.Bool("update-trips", false, "write what was counted into testdata/trips.txt")
	traceTrips  = flag.Bool("trace-trips", false, "say of each trip what is asked for, and by whom")
)

// tripsFile has a line for each kind of request: how many trips it makes now, how many it may make in the end, and its name.
const tripsFile = "testdata/trips.txt"

// a budget is a line of tripsFile.
type budget struct{ now, aim string }

// parts are the trips in Views and in transactions that a line allows.
func (b budget) parts(t *testing.T) (views, updates int) {
	t.Helper()
	if _, err := fmt.Sscanf(b.now+" + 0", "%d + %d", &views, &updates); err != nil {
		t.Errorf("%q: %v", b.now, err)
	}
	return views, updates
}

// TestTrips counts the trips that requests make to the store, and wants none of them to make more than its line says. Who makes one
// make fewer writes that into its line with -update-trips.
func TestTrips(t *testing.T) {
	t.Parallel()
	w := newTripWorld(t)
	budgets := readBudgets(t)
	table := "# trips now | in the end | request\n"
	for _, r := range w.requests() {
		if err := w.Index(t.Context()); err != nil { // else a question reads the newest records one by one
			t.Fatal(err)
		}
		w.trips.Take()
		w.asked.Store(&r.name)
		r.ask()
		w.asked.Store(nil)
		views, updates := w.trips.Take()
		now := storagetest.Text(views, updates)
		table += fmt.Sprintf("%-9s | %-9s | %s\n", now, budgets[r.name].aim, r.name)
		name := r.name
		if allowed, commits := budgets[name].parts(t); (views > allowed || updates > commits) && !*updateTrips {
			t.Errorf("%s: %s trips, and its line allows %d + %d", name, now, allowed, commits)
		}
	}
	t.Logf("trips to the store, in Views + in transactions:\n%s", table)
	if *updateTrips {
		if err := os.WriteFile(tripsFile, []byte(table), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func readBudgets(t *testing.T) map[string]budget {
	t.Helper()
	text, err := os.ReadFile(tripsFile)
	if err != nil {
		t.Fatal(err)
	}
	budgets := map[string]budget{}
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), "|", 3); len(f) == 3 {
			budgets[strings.TrimSpace(f[2])] = budget{strings.TrimSpace(f[0]), strings.TrimSpace(f[1])}
		}
	}
	return budgets
}

// tripWorld is a registry whose trips are counted.
type tripWorld struct {
	*servertest.Server
	t     *testing.T
	trips *storagetest.Trips
	token string
	asked atomic.Pointer[string] // the request whose trips are told, with -trace-trips
}

type tripRequest struct {
	name string
	ask  func()
}

func newTripWorld(t *testing.T) *tripWorld {
	t.Helper()
	w := &tripWorld{t: t, trips: &storagetest.Trips{Counts: func(ctx context.Context) bool { return obs.RequestID(ctx) != "" }}}
	if *traceTrips {
		w.trips.Say = func(trip string) {
			if asked := w.asked.Load(); asked != nil {
				t.Log(*asked+":", trip)
			}
		}
	}
	o := servertest.Options()
	o.Wrap = w.trips.Over
	w.Server = servertest.StartOn(t, t.TempDir(), o)
	for i := range 60 {
		w.Push("team/app", fmt.Sprintf("t%02d", i), fmt.Sprintf("layer %d", i))
	}
	var got struct{ Token string }
	if err := json.Unmarshal([]byte(w.ask("GET", "/token?service="+w.URL()[len("https://"):]+"&scope=repository:team/app:pull,push,delete", 200, nil)), &got); err != nil || got.Token == "" {
		t.Fatal(err)
	}
	w.token = got.Token
	return w
}

// ask makes a request, with the token where there is one.
func (w *tripWorld) ask(method, path string, status int, body []byte, header ...string) string {
	w.t.Helper()
	login := servertest.Login
	if w.token != "" && strings.HasPrefix(path, "/v2/") {
		login, header = "", append(header, "Authorization", "Bearer "+w.token)
	}
	got, answer, err := w.Do(method, path, login, body, header...)
	if err != nil || got != status {
		w.t.Fatalf("%s %s: %d, %v: %s", method, path, got, err, answer)
	}
	return answer
}

func (w *tripWorld) get(name, path string) tripRequest {
	return tripRequest{name, func() { w.ask("GET", path, http.StatusOK, nil) }}
}

func (w *tripWorld) blob(content string) ocispec.Descriptor {
	w.t.Helper()
	d := digest.FromString(content)
	w.ask("POST", "/v2/team/app/blobs/uploads/?digest="+d.String(), 201, []byte(content), "Content-Type", "application/octet-stream")
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
}

func (w *tripWorld) manifest(ref string, m any, mediaType string) {
	w.t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ask("PUT", "/v2/team/app/manifests/"+ref, 201, data, "Content-Type", mediaType)
}

// requests are those whose trips are counted, in their order.
func (w *tripWorld) requests() []tripRequest {
	one := w.Push("team/app", "one", "one")
	two := w.Push("team/app", "two", "two")
	layer, large := digest.FromString("one"), strings.Repeat("a large layer", 2000)
	w.blob(large)
	image := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: w.blob(`{"architecture":"arm64","os":"linux"}`), Layers: []ocispec.Descriptor{w.blob("1"), w.blob("2"), w.blob("3")},
	}
	image.Config.MediaType = ocispec.MediaTypeImageConfig
	size := func(d digest.Digest) int64 {
		return int64(len(w.ask("GET", "/v2/team/app/manifests/"+d.String(), 200, nil)))
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		{MediaType: ocispec.MediaTypeImageManifest, Digest: one, Size: size(one), Platform: &ocispec.Platform{Architecture: "amd64", OS: "linux"}},
		{MediaType: ocispec.MediaTypeImageManifest, Digest: two, Size: size(two), Platform: &ocispec.Platform{Architecture: "arm64", OS: "linux"}},
	}}
	blobs := "/v2/team/app/blobs/"
	return []tripRequest{
		w.get("manifest GET by tag", "/v2/team/app/manifests/one"),
		w.get("manifest GET by digest", "/v2/team/app/manifests/"+one.String()),
		w.get("small blob GET", blobs+layer.String()),
		w.get("blob GET", blobs+digest.FromString(large).String()),
		{"blob HEAD", func() { w.ask("HEAD", blobs+digest.FromString(large).String(), 200, nil) }},
		w.get("token", "/token?service="+w.URL()[len("https://"):]+"&scope=repository:team/app:pull"),
		{"small blob commit", func() { w.blob("a new blob") }},
		{"blob commit", func() { w.blob(large + "another") }},
		{"manifest PUT of three layers", func() { w.manifest("three", image, image.MediaType) }},
		{"index of two children", func() { w.manifest("both", index, index.MediaType) }},
		{"DELETE of a tag", func() { w.ask("DELETE", "/v2/team/app/manifests/t00", 202, nil) }},
		{"DELETE of a digest", func() { w.ask("DELETE", "/v2/team/app/manifests/"+digestOfTag(w, "t01"), 202, nil) }},
		w.get("page of tags", "/v2/team/app/tags/list?n=50"),
		w.get("referrers", "/v2/team/app/referrers/"+one.String()),
		w.get("page of 50 records", "/api/v1/records?limit=50"),
		w.get("API tags", "/api/v1/tags?repo=team/app"),
		w.get("API image", "/api/v1/image?repo=team/app&ref=one"),
	}
}

// digestOfTag asks for the digest of a tag, which is not counted.
func digestOfTag(w *tripWorld, tag string) string {
	w.t.Helper()
	defer w.trips.Take()
	return digest.FromString(w.ask("GET", "/v2/team/app/manifests/"+tag, 200, nil)).String()
}
