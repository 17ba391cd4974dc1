package mirror_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// heap is content by digest, as a place has it.
type heap map[digest.Digest][]byte

func (h heap) put(mediaType string, content []byte) ocispec.Descriptor {
	d := digest.FromBytes(content)
	h[d] = content
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

func (h heap) putJSON(t testing.TB, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return h.put(mediaType, content)
}

// image makes an image of some layers.
func (h heap) image(t testing.TB, arch string, subject *ocispec.Descriptor, layers ...string) ocispec.Descriptor {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Subject: subject}
	m.Config = h.putJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}})
	for _, l := range layers {
		m.Layers = append(m.Layers, h.put(ocispec.MediaTypeImageLayer, []byte(l)))
	}
	d := h.putJSON(t, m.MediaType, m)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

// place is what each source of these tests has: two tags, an index with two platforms, and something attached to it.
type place struct {
	heap
	one, two, amd, arm, multi, attached ocispec.Descriptor
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{heap: heap{}}
	p.one, p.two = p.image(t, "amd64", nil, "a", "b"), p.image(t, "amd64", nil, "a", "c")
	p.amd, p.arm = p.image(t, "amd64", nil, "d"), p.image(t, "arm64", nil, "e")
	p.multi = p.putJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{p.amd, p.arm},
	})
	p.attached = p.image(t, "unknown", &p.multi, "sbom")
	return p
}

// tags are the place's.
func (p *place) tags() map[string]ocispec.Descriptor {
	return map[string]ocispec.Descriptor{"1.0": p.one, "2.0": p.two, "latest": p.multi}
}

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// layout writes the place as an OCI image layout.
func (p *place) layout(t testing.TB, dir string) string {
	t.Helper()
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{p.attached}}
	for tag, d := range p.tags() {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
		index.Manifests = append(index.Manifests, d)
	}
	written := heap{}
	list := written.putJSON(t, "", index)
	write(t, filepath.Join(dir, "index.json"), written[list.Digest])
	write(t, filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	for d, content := range p.heap {
		write(t, filepath.Join(dir, "blobs", d.Algorithm().String(), d.Encoded()), content)
	}
	return dir
}

// archive writes a layout into a tar file.
func archive(t testing.TB, layout string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "app.tar")
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.AddFS(os.DirFS(layout)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, name, out.Bytes())
	return name
}

// distribution writes the place as distribution's registry keeps it.
func (p *place) distribution(t testing.TB, repo string) string {
	t.Helper()
	dir := t.TempDir()
	v2 := filepath.Join(dir, "docker", "registry", "v2")
	for d, content := range p.heap {
		write(t, filepath.Join(v2, "blobs", "sha256", d.Encoded()[:2], d.Encoded(), "data"), content)
	}
	manifests := filepath.Join(v2, "repositories", repo, "_manifests")
	for d, content := range p.heap {
		if bytes.Contains(content, []byte(`"schemaVersion"`)) {
			write(t, filepath.Join(manifests, "revisions", "sha256", d.Encoded(), "link"), []byte(d))
		}
	}
	for tag, d := range p.tags() {
		write(t, filepath.Join(manifests, "tags", tag, "current", "link"), []byte(d.Digest))
	}
	return dir
}

// importLine is a line of the answer to an import.
type importLine struct {
	Report *report `json:"report"`
	Failed string  `json:"failed"`
}

type remark struct{ Reference, Why string }

type report struct {
	Images, Came, Present, Left, Refused, LeftOut, Known, Manifests, Blobs int64
	Counted                                                                bool
	Refusals, LeftAlone, Lacking                                           []remark
}

// run asks a server for an import as its operator, and returns the last report, and what failed.
func run(t testing.TB, s *servertest.Server, want map[string]any) (r report, failed string) {
	t.Helper()
	status, body := ask(t, s, http.MethodPost, "/api/v1/import", want)
	if status != http.StatusOK {
		t.Fatalf("an import of %v answers %d: %s", want, status, body)
	}
	for lines := json.NewDecoder(bytes.NewReader(body)); lines.More(); {
		var line importLine
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if failed = line.Failed; line.Report != nil {
			r = *line.Report
		}
	}
	return r, failed
}

func ask(t testing.TB, s *servertest.Server, method, path string, body any) (status int, answer []byte) {
	t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, s, method, path, "application/json", content)
}

// send asks as the operator.
func send(t testing.TB, s *servertest.Server, method, path, mediaType string, content []byte) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://hallmark"+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Accept", "*/*")
	resp, err := s.Operator.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// get asks for something under /v2/.
func get(t testing.TB, s *servertest.Server, path string) (int, []byte) {
	t.Helper()
	return send(t, s, http.MethodGet, path, "", nil)
}

// wantAll wants every manifest with the same bytes, every tag, and what is attached.
func (p *place) wantAll(t *testing.T, s *servertest.Server, repo string) {
	t.Helper()
	for tag, d := range p.tags() {
		if status, body := get(t, s, "/v2/"+repo+"/manifests/"+tag); status != http.StatusOK || !bytes.Equal(body, p.heap[d.Digest]) {
			t.Errorf("%s:%s answers %d with %d bytes", repo, tag, status, len(body))
		}
	}
	for _, d := range []ocispec.Descriptor{p.amd, p.arm, p.attached} {
		if status, body := get(t, s, "/v2/"+repo+"/manifests/"+d.Digest.String()); status != http.StatusOK || !bytes.Equal(body, p.heap[d.Digest]) {
			t.Errorf("%s@%s answers %d with %d bytes", repo, d.Digest, status, len(body))
		}
	}
	if _, list := get(t, s, "/v2/"+repo+"/referrers/"+p.multi.Digest.String()); !bytes.Contains(list, []byte(p.attached.Digest)) {
		t.Errorf("what is attached is not among %s", list)
	}
	if problems := fsck(t, s); problems != "" {
		t.Errorf("fsck: %s", problems)
	}
}

func fsck(t testing.TB, s *servertest.Server) (problems string) {
	t.Helper()
	_, body := get(t, s, "/api/v1/check?deep=true")
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, `"problem"`) || strings.Contains(line, `"failed"`) {
			problems += line
		}
	}
	return problems
}

// record is what these tests look at of one.
type record struct {
	Action   string
	Digest   digest.Digest
	Tags     []struct{ Name string }
	Observed struct{ Origin map[string]string }
	Claimed  []struct{ Fact, Value string }
}

func records(t testing.TB, s *servertest.Server, query string) []record {
	t.Helper()
	_, body := get(t, s, "/api/v1/records?limit=1000&"+query)
	var page struct{ Records []record }
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return page.Records
}

// wantOnce wants one record for each manifest and tag, all of the action import.
func wantOnce(t *testing.T, s *servertest.Server, repo string) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range records(t, s, "repo="+repo) {
		if r.Action != "import" {
			t.Errorf("a record has the action %s", r.Action)
		}
		names := []string{""}
		for _, tag := range r.Tags {
			names = append(names[:0], tag.Name)
		}
		seen[names[0]+"@"+r.Digest.String()]++
	}
	for what, n := range seen {
		if n > 1 {
			t.Errorf("%s has %d records", what, n)
		}
	}
}

// TestPaths imports what lies on the disk, in each form that is known, twice: the second time, all of it is here.
func TestPaths(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(t *testing.T, p *place) string
		into string
		repo string
		kind string
		came int64
	}{
		"layout":           {func(t *testing.T, p *place) string { return p.layout(t, t.TempDir()) }, "team/app", "team/app", "layout", 4},
		"archive":          {func(t *testing.T, p *place) string { return archive(t, p.layout(t, t.TempDir())) }, "team/app", "team/app", "archive", 4},
		"zot's directory":  {zot, "", "team/app", "layout", 4},
		"zot's, with into": {zot, "old", "old/team/app", "layout", 4},
		"distribution's":   {func(t *testing.T, p *place) string { return p.distribution(t, "team/app") }, "", "team/app", "distribution", 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, s := newPlace(t), servertest.Start(t)
			want := map[string]any{"path": c.make(t, p), "into": c.into}
			dry, _ := run(t, s, map[string]any{"path": want["path"], "into": c.into, "dryRun": true})
			if status, _ := get(t, s, "/v2/"+c.repo+"/tags/list"); status != http.StatusNotFound {
				t.Errorf("a dry run made the repository: %d", status)
			}
			r, failed := run(t, s, want)
			if r.Images != c.came || r.Refused != 0 || failed != "" || r.Manifests != 6 {
				t.Errorf("%+v %s", r, failed)
			}
			if dry.Manifests != r.Manifests || dry.Blobs != r.Blobs {
				t.Errorf("a dry run counts %d manifests and %d blobs, and %d and %d came", dry.Manifests, dry.Blobs, r.Manifests, r.Blobs)
			}
			p.wantAll(t, s, c.repo)
			if again, failed := run(t, s, want); again.Present != c.came || again.Manifests+again.Blobs != 0 || failed != "" {
				t.Errorf("again: %+v %s", again, failed)
			}
			wantOnce(t, s, c.repo)
			for _, r := range records(t, s, "repo="+c.repo+"&tag=1.0") {
				if r.Observed.Origin["kind"] != c.kind || !strings.Contains(r.Observed.Origin["reference"], "1.0") {
					t.Errorf("its origin is %v", r.Observed.Origin)
				}
			}
		})
	}
}

// zot writes a directory with a layout for each repository, as zot keeps them.
func zot(t *testing.T, p *place) string {
	dir := t.TempDir()
	p.layout(t, filepath.Join(dir, "team", "app"))
	write(t, filepath.Join(dir, "cache.db"), []byte("x"))
	write(t, filepath.Join(dir, ".trivy", "oci-layout"), []byte("{}"))
	return dir
}

// TestBrokenDirectory names what is broken in a registry's data directory, and brings the rest.
func TestBrokenDirectory(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	dir := p.distribution(t, "team/app")
	v2 := filepath.Join(dir, "docker", "registry", "v2")
	manifests := filepath.Join(v2, "repositories", "team", "app", "_manifests")
	data := func(d digest.Digest) string {
		return filepath.Join(v2, "blobs", "sha256", d.Encoded()[:2], d.Encoded(), "data")
	}
	lost, damaged, cut := digest.FromString("lost"), p.image(t, "amd64", nil, "damaged"), p.image(t, "amd64", nil, "cut off")
	for name, d := range map[string]digest.Digest{"dangling": lost, "damaged": damaged.Digest, "cut": cut.Digest, "no.digest": "sha256:x", "-bad": p.one.Digest} {
		write(t, filepath.Join(manifests, "tags", name, "current", "link"), []byte(d))
	}
	write(t, data(damaged.Digest), p.heap[damaged.Digest])
	write(t, data(cut.Digest), p.heap[cut.Digest])
	for _, d := range []ocispec.Descriptor{damaged, cut} {
		var m ocispec.Manifest
		if err := json.Unmarshal(p.heap[d.Digest], &m); err != nil {
			t.Fatal(err)
		}
		write(t, data(m.Config.Digest), p.heap[m.Config.Digest])
	}
	write(t, data(digest.FromString("damaged")), []byte("changed"))
	write(t, data(digest.FromString("cut off")), []byte("cut"))
	gone := filepath.Join(manifests, "revisions", "sha256", p.two.Digest.Encoded(), "link") // deleted, its tag too
	for _, name := range []string{gone, filepath.Join(manifests, "tags", "2.0", "current", "link")} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(manifests, "tags", "leads-out")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(v2, "repositories", "team", "app", "_uploads", "1", "data"), []byte("begun"))
	write(t, filepath.Join(v2, "repositories", "Upper", "_manifests", "tags", "1", "current", "link"), []byte(p.one.Digest))

	r, failed := run(t, s, map[string]any{"path": dir})
	why := map[string]string{}
	for _, m := range r.Refusals {
		why[m.Reference] = m.Why
	}
	for ref, has := range map[string]string{
		"team/app:dangling": "does not have it", "team/app:damaged": "damaged there", "team/app:cut": "damaged there", "team/app:no.digest": "no digest", "team/app:-bad": "tag",
		"team/app:2.0": "does not have it", "team/app:leads-out": "", "Upper": "Upper",
	} {
		if got, ok := why[ref]; !ok || !strings.Contains(got, has) {
			t.Errorf("of %s it says %q, want %q", ref, got, has)
		}
	}
	if failed != "" || int(r.Refused) != len(why) || r.Came == 0 {
		t.Errorf("%+v %s", r, failed)
	}
	for tag, want := range map[string]int{"1.0": 200, "latest": 200, "2.0": 404, "damaged": 404, "cut": 404} {
		if status, _ := get(t, s, "/v2/team/app/manifests/"+tag); status != want {
			t.Errorf("%s answers %d", tag, status)
		}
	}
	if problems := fsck(t, s); problems != "" {
		t.Errorf("fsck: %s", problems)
	}
}

// TestBrokenLayouts names what cannot be read among the layouts of a directory, and brings the others, whatever they are called.
func TestBrokenLayouts(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	dir := t.TempDir()
	p.layout(t, filepath.Join(dir, "team", "blobs"))
	p.layout(t, filepath.Join(dir, "zebra"))
	write(t, filepath.Join(dir, "empty", "oci-layout"), []byte("{}"))
	write(t, filepath.Join(dir, "team", "cut", "oci-layout"), []byte("{}"))
	write(t, filepath.Join(dir, "team", "cut", "index.json"), []byte(`{"manifests":[`))
	r, failed := run(t, s, map[string]any{"path": dir})
	why := map[string]string{}
	for _, m := range r.Refusals {
		why[m.Reference] = m.Why
	}
	if failed != "" || r.Refused != 2 || !strings.Contains(why["empty"], "no such file") || !strings.Contains(why["team/cut"], "index.json") {
		t.Errorf("%+v %s", r, failed)
	}
	p.wantAll(t, s, "team/blobs")
	p.wantAll(t, s, "zebra")
}

// TestTimes keeps the times of the files as claims.
func TestTimes(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	dir := p.distribution(t, "team/app")
	link := filepath.Join(dir, "docker/registry/v2/repositories/team/app/_manifests/tags/1.0/current/link")
	when := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	if err := os.Chtimes(link, when, when); err != nil {
		t.Fatal(err)
	}
	run(t, s, map[string]any{"path": dir})
	for _, r := range records(t, s, "repo=team/app&tag=1.0") {
		if len(r.Claimed) == 0 || r.Claimed[0].Fact != "pushed-at" || r.Claimed[0].Value != "2021-03-04T05:06:07Z" {
			t.Errorf("it claims %v", r.Claimed)
		}
	}
}

// TestTagSetHere leaves a tag that somebody has set here since, and moves one that an import set.
func TestTagSetHere(t *testing.T) {
	t.Parallel()
	p, s := newPlace(t), servertest.Start(t)
	dir := p.distribution(t, "team/app")
	run(t, s, map[string]any{"path": dir})
	tags := filepath.Join(dir, "docker/registry/v2/repositories/team/app/_manifests/tags")
	for tag, d := range map[string]ocispec.Descriptor{"1.0": p.two, "2.0": p.one} { // both moved there
		write(t, filepath.Join(tags, tag, "current", "link"), []byte(d.Digest))
	}
	put(t, s, "/v2/team/app/manifests/1.0", ocispec.MediaTypeImageIndex, p.heap[p.multi.Digest])
	r, _ := run(t, s, map[string]any{"path": dir})
	if r.Left != 1 || len(r.LeftAlone) != 1 || r.LeftAlone[0].Reference != "team/app:1.0" || r.Refused != 0 {
		t.Errorf("%+v", r)
	}
	for tag, want := range map[string]ocispec.Descriptor{"1.0": p.multi, "2.0": p.one} {
		if _, body := get(t, s, "/v2/team/app/manifests/"+tag); !bytes.Equal(body, p.heap[want.Digest]) {
			t.Errorf("%s means %s", tag, digest.FromBytes(body))
		}
	}
}

func put(t testing.TB, s *servertest.Server, path, mediaType string, content []byte) {
	t.Helper()
	if status, body := send(t, s, http.MethodPut, path, mediaType, content); status != http.StatusCreated {
		t.Fatalf("PUT %s answers %d: %s", path, status, body)
	}
}

// TestNothingThere refuses in words what cannot be imported.
func TestNothingThere(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	empty := t.TempDir()
	packed, old, text := filepath.Join(empty, "a.tar.gz"), filepath.Join(empty, "old.tar"), filepath.Join(empty, "text")
	write(t, packed, []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"))
	write(t, text, bytes.Repeat([]byte("no archive "), 100))
	var tarred bytes.Buffer
	w := tar.NewWriter(&tarred)
	if err := w.WriteHeader(&tar.Header{Name: "manifest.json", Size: 2, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("[]")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, old, tarred.Bytes())
	for _, c := range []struct {
		want map[string]any
		says string
	}{
		{map[string]any{"path": t.TempDir()}, "neither a registry's data nor an OCI image layout"},
		{map[string]any{"path": filepath.Join(empty, "none")}, "no such file"},
		{map[string]any{"path": "relative"}, "not absolute"},
		{map[string]any{"path": packed}, "gzip"},
		{map[string]any{"path": old}, "skopeo copy docker-archive:"},
		{map[string]any{"path": text}, "no whole tar file"},
		{map[string]any{"registry": "https://user:pass@x.example"}, "is no registry"},
		{map[string]any{"registry": "x.example/team/app"}, "the repositories behind it"},
		{map[string]any{"registry": "ftp://x.example"}, "is no registry"},
		{map[string]any{"registry": "x.example", "ca": "no PEM"}, "no PEM certificate"},
		{map[string]any{}, "either path"},
		{map[string]any{"path": empty, "registry": "x.example"}, "either path"},
		{map[string]any{"path": empty, "repositories": []string{"UPPER"}}, "pattern"},
	} {
		if status, body := ask(t, s, http.MethodPost, "/api/v1/import", c.want); status < 400 || status >= 500 || !strings.Contains(string(body), c.says) {
			t.Errorf("%v answers %d %s, want %q", c.want, status, body, c.says)
		}
	}
}
