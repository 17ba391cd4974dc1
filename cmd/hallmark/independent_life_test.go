package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// life is a registry to which everything happens that can be on record, in a mixture that is the same each time.
type life struct {
	*testServer
	random *rand.Rand
	n      int                 // of all that was made, so that each is new
	there  map[string][]string // manifests by repository, as they were sent
}

var lifeRepositories = []string{"app", "team/app", "team/web", "team/deep/er", "base/debian", "fixed/app"}

func newLife(s *testServer) *life {
	l := &life{testServer: s, random: rand.New(rand.NewPCG(17, 2)), there: make(map[string][]string)}
	for _, repo := range lifeRepositories {
		l.must("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(ocispec.DescriptorEmptyJSON.Digest), "{}", "application/octet-stream")
	}
	return l
}

// must makes a request that has to be done.
func (l *life) must(method, path, body, contentType string) string {
	l.t.Helper()
	status, _, said := l.do(method, path, "", body, "Content-Type", contentType)
	if status < 200 || status > 299 {
		l.t.Fatalf("%s %s: %d %s", method, path, status, said)
	}
	return said
}

func (l *life) change(method, path, body string) string {
	l.t.Helper()
	return l.must(method, path, body, "application/json")
}

// live lets n things happen in the repositories, and what happens to rights between them.
func (l *life) live(n int) {
	l.t.Helper()
	for i := range n {
		if i%40 == 39 {
			l.rights()
		}
		repo := lifeRepositories[l.random.IntN(len(lifeRepositories))]
		switch there := l.there[repo]; {
		case len(there) < 3 || l.random.IntN(10) < 3:
			l.push(repo, l.image(l.some(there)), l.tags())
		case l.random.IntN(10) < 2:
			l.push(repo, l.index(there), l.tags())
		case l.random.IntN(10) < 2:
			l.push(repo, l.about(l.some(there)), "")
		case l.random.IntN(10) < 4: // again, and perhaps with other tags
			l.push(repo, l.some(there), l.tags())
		case l.random.IntN(10) < 5:
			l.untag(repo)
		default:
			l.remove(repo)
		}
	}
}

func (l *life) some(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[l.random.IntN(len(of))]
}

// tags are none to three of the few that there are, so that they move; the fixed ones are new.
func (l *life) tags() string {
	names := url.Values{}
	for range l.random.IntN(4) {
		names.Add("tag", fmt.Sprintf("t%d", l.random.IntN(12)))
	}
	return names.Encode()
}

// push sends a manifest by its digest, and sets tags with it. In one repository each push also sets a tag that stays.
func (l *life) push(repo, body, tags string) {
	l.t.Helper()
	if repo == "fixed/app" && tags != "" && !slices.Contains(l.there[repo], body) {
		l.n++
		tags += fmt.Sprintf("&tag=v%d", l.n)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		l.t.Fatal(err)
	}
	l.must("PUT", "/v2/"+repo+"/manifests/"+digest.FromString(body).String()+"?"+tags, body, m.MediaType)
	if !slices.Contains(l.there[repo], body) {
		l.there[repo] = append(l.there[repo], body)
	}
}

func (l *life) untag(repo string) {
	status, _, said := l.do("DELETE", fmt.Sprintf("/v2/%s/manifests/t%d", repo, l.random.IntN(12)), "", "")
	if status != 202 && status != 404 {
		l.t.Fatal(status, said)
	}
}

// remove removes a manifest, unless a rule keeps it or an index needs it.
func (l *life) remove(repo string) {
	body := l.some(l.there[repo])
	status, _, said := l.do("DELETE", "/v2/"+repo+"/manifests/"+digest.FromString(body).String(), "", "")
	if status != 202 && status != 403 {
		l.t.Fatal(status, said)
	}
	if status == 202 {
		l.there[repo] = slices.DeleteFunc(l.there[repo], func(s string) bool { return s == body })
	}
}

func (l *life) manifest(m any) string {
	data, err := json.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

func (l *life) number() map[string]string {
	l.n++
	return map[string]string{"n": fmt.Sprint(l.n)}
}

// image is an image without layers. It says that it was built on another one.
func (l *life) image(base string) string {
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example", Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{}, Annotations: l.number(),
	}
	m.SchemaVersion = 2
	m.Annotations["org.opencontainers.image.base.digest"] = digest.FromString(base).String()
	return l.manifest(m)
}

// about is an artifact that refers to something.
func (l *life) about(subject string) string {
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.note", Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{}, Annotations: l.number(),
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(subject), Size: int64(len(subject))},
	}
	m.SchemaVersion = 2
	return l.manifest(m)
}

// index lists up to three manifests that are there.
func (l *life) index(there []string) string {
	m := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Annotations: l.number(), Manifests: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	for range 1 + l.random.IntN(3) {
		child := l.some(there)
		var of ocispec.Manifest
		if err := json.Unmarshal([]byte(child), &of); err != nil {
			l.t.Fatal(err)
		}
		m.Manifests = append(m.Manifests, ocispec.Descriptor{MediaType: of.MediaType, Digest: digest.FromString(child), Size: int64(len(child))})
	}
	return l.manifest(m)
}

// rights lets a person come and go, with a robot, a team, a token and what is given to them.
func (l *life) rights() {
	l.t.Helper()
	l.n++
	const api = "/api/v1/access/"
	alice, bob := fmt.Sprintf("alice%d", l.n), fmt.Sprintf("bob%d", l.n)
	l.change("POST", "/api/v1/users", fmt.Sprintf(`{"name":%q,"password":"wonderland-1"}`, alice))
	l.change("POST", api+"teams", fmt.Sprintf(`{"name":"core%d"}`, l.n))
	l.change("POST", fmt.Sprintf("%steams/core%d/members", api, l.n), fmt.Sprintf(`{"users":[%q]}`, alice))
	l.change("POST", api+"grants", fmt.Sprintf(`{"subject":"team:core%d","pattern":"team/**","role":"push"}`, l.n))
	l.change("POST", api+"grants", fmt.Sprintf(`{"subject":"user:%s","pattern":"app","role":"pull"}`, alice))
	l.change("POST", api+"robots", fmt.Sprintf(`{"name":"robot%d"}`, l.n))
	made := l.change("POST", api+"tokens", `{"name":"x","scopes":[{"pattern":"**","rights":["pull"]}]}`)
	var token struct{ ID string }
	if err := json.Unmarshal([]byte(made), &token); err != nil || token.ID == "" {
		l.t.Fatal(err, made)
	}
	l.change("POST", rulesPath, fmt.Sprintf(`{"repositories":"never/%d/**","tags":"v*","except":["v0"]}`, l.n))
	if l.random.IntN(2) == 0 {
		return
	}
	l.change("PUT", "/api/v1/users/"+alice+"/name", fmt.Sprintf(`{"name":%q}`, bob))
	l.change("PUT", "/api/v1/users/"+bob+"/password", `{"password":"wonderland-2"}`)
	l.change("POST", fmt.Sprintf("%srobots/robot%d/secret", api, l.n), `{}`)
	l.change("DELETE", api+"grants?subject=user:"+bob+"&role=pull&pattern=app", "")
	l.change("DELETE", fmt.Sprintf("%steams/core%d/members/%s", api, l.n, bob), "")
	l.change("DELETE", api+"tokens/"+token.ID, "")
	l.change("DELETE", fmt.Sprintf("%s?tags=v*&repositories=never/%d/**", rulesPath, l.n), "")
	if l.random.IntN(2) == 0 {
		l.change("DELETE", "/api/v1/users/"+bob, "")
		l.change("DELETE", fmt.Sprintf("%srobots/robot%d", api, l.n), "")
		l.change("DELETE", fmt.Sprintf("%steams/core%d", api, l.n), "")
	}
}

// once lets happen what needs to happen once: more tags than a record holds that end together, a rule for tags and what
// it forbids, signatures, another document of rights.
func (l *life) once(t *testing.T, key *signer) {
	t.Helper()
	l.change("POST", rulesPath, `{"repositories":"fixed/*","tags":"v*"}`)
	body := l.image("")
	for from := 0; from < 120; from += 40 {
		names := make([]string, 0, 40)
		for i := range 40 {
			names = append(names, fmt.Sprintf("tag=many%d", from+i))
		}
		l.push("team/app", body, strings.Join(names, "&"))
	}
	l.want(202, "DELETE", "/v2/team/app/manifests/"+digest.FromString(body).String())
	l.there["team/app"] = slices.DeleteFunc(l.there["team/app"], func(s string) bool { return s == body })
	l.push("team/app", l.image(""), "tag=many7") // which ended, and is not yet said to have
	image := digest.FromString(l.image("")).String()
	signed := l.testServer.push("team/signed", "1.0", "one", nil)
	key.signImage(l.testServer, "team/signed", signed, signed)
	key.attest(l.testServer, "team/signed", signed)
	key.signImage(l.testServer, "team/signed", image, signed) // that of another
	gone := l.testServer.push("team/gone", "1", "gone", nil)
	l.want(202, "DELETE", "/v2/team/gone/manifests/"+gone)
	var document map[string]any
	if err := json.Unmarshal([]byte(l.want(200, "GET", "/api/v1/access/document")), &document); err != nil {
		t.Fatal(err)
	}
	delete(document, "version")
	document["grants"] = append(document["grants"].([]any), map[string]string{"subject": "everyone", "pattern": "base/*", "role": "pull"})
	l.change("PUT", "/api/v1/access/document", l.manifest(document))
}

// went is what is remembered of a life while its store is an older copy.
func (l *life) went() map[string][]string {
	copied := maps.Clone(l.there)
	for name, there := range copied {
		copied[name] = slices.Clone(there)
	}
	return copied
}

// stop ends the server as its operator does, and waits.
func (s *testServer) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := <-s.done; err != nil {
		s.t.Fatal(err)
	}
	s.cmd = nil
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
