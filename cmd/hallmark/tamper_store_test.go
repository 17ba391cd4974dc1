package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// tamperStore is a registry that was used by honest people, stopped; and what others remember of it. Each tampering has a
// copy of its own.
type tamperStore struct {
	dir    string // the data directory
	older  string // the data directory as it was some records before
	config string
	vkey   string // of the witness
	// What people outside keep, as of the moment before it was stopped: the directory with the files seen, audit, witness,
	// logs.json and receipts.json.
	outside string
	url     string // of the server when it was looked at
	// What is written for digests, accounts and logs, which are others each time.
	names, accounts map[string]string
	origins         []string
}

// tamperPolicy is the policy document of the registry.
const tamperPolicy = "rules:\n  - name: graded\n    repositories: [team/**]\n    at: pull\n    effect: warn\n    owner: security@example.org\n    require: report.grade <= \"B\"\n"

// newTamperStore has a registry do everything that leaves a row behind. Blobs of up to 4 bytes are in the store, and others in files.
func newTamperStore(t *testing.T) *tamperStore {
	t.Helper()
	top := t.TempDir()
	b := &tamperStore{
		dir: filepath.Join(top, "data"), older: filepath.Join(top, "older"), outside: filepath.Join(top, "outside"),
		config: filepath.Join(top, "hallmark.yaml"), names: make(map[string]string), accounts: make(map[string]string),
	}
	b.must(t, os.Mkdir(b.outside, 0o700))
	b.vkey = b.hallmark(t, 0, "witness", "--state", b.file("witness"), "--name", "witness.example/w1")
	b.must(t, os.WriteFile(b.config, fmt.Appendf(nil, "registry:\n  smallBlobs: 4\nwitnesses:\n  - %s\n", b.vkey), 0o600))

	s := b.start(t)
	b.useFirst(t, s)
	b.stop(t, s)
	b.must(t, os.CopyFS(b.older, os.DirFS(b.dir)))
	s = b.start(t)
	b.useThen(t, s)
	b.lookFromOutside(t, s)
	b.stop(t, s)
	return b
}

func (b *tamperStore) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *tamperStore) file(name string) string { return filepath.Join(b.outside, name) }

func (b *tamperStore) start(t *testing.T) *testServer {
	t.Helper()
	return startServer(t, b.dir, "--insecure-http", "--config", b.config)
}

// stop ends a server as its operator does, so that all is written that is written at the end.
func (b *tamperStore) stop(t *testing.T, s *testServer) {
	t.Helper()
	b.must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.done
	s.cmd = nil
	b.must(t, os.Remove(filepath.Join(b.dir, socketFile)))
	b.index(t)
}

// index makes the rows that find the newest records, as a registry does a moment later: how many it has made when it is
// stopped is chance.
func (b *tamperStore) index(t *testing.T) {
	t.Helper()
	store, err := bolt.Open(filepath.Join(b.dir, storeFile), bolt.Config{Steps: datadir.Layouts})
	b.must(t, err)
	book, err := provenance.NewBook(store, "https://registry.example")
	b.must(t, err)
	b.must(t, errors.Join(book.Index(t.Context()), store.Close()))
}

// hallmark runs a verb in this process.
func (b *tamperStore) hallmark(t *testing.T, want int, verb ...string) string {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), verb, func(string) string { return "" }, nil, &out, &out)
	if exitCode(err) != want {
		t.Fatalf("%q: %v\n%s", verb, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

func (b *tamperStore) push(t *testing.T, s *testServer, repo, tag, layer string, labels map[string]string) digest.Digest {
	t.Helper()
	r := s.repository(repo)
	r.PlainHTTP = true
	d, err := pushTo(t.Context(), r, tag, layer, labels)
	b.must(t, err)
	b.names[d.String()] = layer
	return d
}

// attach pushes a statement that has an image as its subject.
func (b *tamperStore) attach(t *testing.T, s *testServer, repo string, image digest.Digest) digest.Digest {
	t.Helper()
	r := s.repository(repo)
	r.PlainHTTP = true
	subject, err := r.Resolve(t.Context(), image.String())
	b.must(t, err)
	layer, err := pushBlob(t.Context(), r, "application/vnd.in-toto+json", []byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
	b.must(t, err)
	config, err := pushBlob(t.Context(), r, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	b.must(t, err)
	d, err := pushManifest(t.Context(), r, "", ocispec.Manifest{
		ArtifactType: "application/vnd.in-toto+json", Config: config, Layers: []ocispec.Descriptor{layer}, Subject: &subject,
	})
	b.must(t, err)
	b.names[d.String()] = "attached"
	return d
}

func (b *tamperStore) do(t *testing.T, s *testServer, method, path, login, body string) string {
	t.Helper()
	status, _, said := s.do(method, path, login, body, "Content-Type", "application/json")
	if status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, status, said)
	}
	return said
}

// useFirst is what happens before the older copy is made.
func (b *tamperStore) useFirst(t *testing.T, s *testServer) {
	t.Helper()
	b.do(t, s, "PUT", ruleDocumentPath(provenance.PolicyRules), "", `{"text":`+quote(tamperPolicy)+`}`)
	b.push(t, s, "team/app", "1", "one", nil)
	b.push(t, s, "team/app", "2", "another", nil)
	b.do(t, s, "POST", "/api/v1/users", "", `{"name":"alice","password":"wonderland-1"}`)
	b.do(t, s, "POST", "/api/v1/users", "", `{"name":"bob","password":"looking-glass-1"}`)
	b.do(t, s, "POST", "/api/v1/access/teams", "", `{"name":"crew"}`)
	b.do(t, s, "POST", "/api/v1/access/teams/crew/members", "", `{"users":["bob"]}`)
	b.do(t, s, "POST", "/api/v1/access/grants", "", `{"subject":"user:alice","pattern":"team/**","role":"push"}`)
	b.do(t, s, "POST", "/api/v1/access/grants", "", `{"subject":"team:crew","pattern":"team/**","role":"pull"}`)
	b.do(t, s, "POST", "/api/v1/access/robots", "", `{"name":"engine","expires":"2099-01-01T00:00:00Z"}`)
	b.do(t, s, "POST", rulesPath, "", `{"repositories":"fixed/**","tags":"v*"}`)
	b.do(t, s, "POST", "/api/v1/keys", "", `{"reason":"stolen"}`) // another log begins
	b.push(t, s, "fixed/app", "v1", "fixed", nil)
}

// useThen is what happens afterwards.
func (b *tamperStore) useThen(t *testing.T, s *testServer) {
	t.Helper()
	b.do(t, s, "POST", "/api/v1/access/tokens", "alice:wonderland-1", `{"name":"laptop","scopes":[{"pattern":"team/**","rights":["pull"]}]}`)
	b.push(t, s, "team/app", "1", "two", map[string]string{"org.opencontainers.image.source": "https://git.example/app"})
	three := b.push(t, s, "team/app", "1", "three", map[string]string{"org.opencontainers.image.source": "https://git.example/app"})
	b.attach(t, s, "team/app", three)
	b.push(t, s, "team/app", "3", "gone", nil)
	b.do(t, s, "DELETE", "/v2/team/app/manifests/3", "", "")
	web := b.push(t, s, "team/app", "4", "web", nil)
	b.do(t, s, "DELETE", "/v2/team/app/manifests/"+web.String(), "", "")
	b.do(t, s, "POST", "/api/v1/keys", "", `{"reason":"rotated"}`)
	b.do(t, s, "POST", holdsPath, "", `{"repository":"team/app","ref":"`+three.String()+`","until":"2099-01-01T00:00:00Z","reason":"an audit"}`)
	b.push(t, s, "team/web", "1", "web", nil)
	b.do(t, s, "GET", "/v2/team/app/manifests/1", "bob:looking-glass-1", "") // its grade is kept
	b.do(t, s, "POST", "/v2/team/app/blobs/uploads/", "", "")
	b.hallmark(t, 0, "witness", "--state", b.file("witness"), s.url)
	b.push(t, s, "team/web", "2", "web two", nil)
	_, retyped := b.untyped(t, s)
	b.names[retyped.String()] = "retyped"
}

// lookFromOutside has others see the registry, so that they remember it.
func (b *tamperStore) lookFromOutside(t *testing.T, s *testServer) {
	t.Helper()
	b.url = s.url
	logs, err := receipt.ParseLogs([]byte(b.do(t, s, "GET", "/keys/logs.json", "", "")))
	b.must(t, err)
	for _, l := range logs {
		b.origins = append(b.origins, l.Origin)
	}
	var list struct {
		Users  []struct{ Name, Account string }
		Robots []struct{ Name, Account string }
	}
	b.must(t, json.Unmarshal([]byte(b.do(t, s, "GET", "/api/v1/users", "", "")), &list))
	b.must(t, json.Unmarshal([]byte(b.do(t, s, "GET", "/api/v1/access/robots", "", "")), &list))
	for _, a := range append(list.Users, list.Robots...) {
		b.accounts[a.Account] = a.Name
	}
	b.hallmark(t, 0, "log", "check", "--data", b.dir, "--state", b.file("seen"))
	b.hallmark(t, 0, "audit", "--data", b.dir, "--state", b.file("audit"))
	for _, name := range []string{"logs.json", "receipts.json"} {
		b.must(t, os.WriteFile(b.file(name), []byte(b.do(t, s, "GET", "/keys/"+name, "", "")), 0o600))
	}
}
