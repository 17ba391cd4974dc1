package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/datadir"
)

// olderRegistry is what a program of an older layout said of its registry just before it was stopped: expected.json in
// testdata/layoutN.tar.gz, beside its data directory without the certificates, and the trust file that names whose key signed
// an image in it.
//
// Each was made by the last program that wrote that layout. People and a robot were added, teams made, rights given and taken
// away; images were pushed under tags, copied, joined into an index, and one was deleted; a tag moved, an image was signed in
// cosign's older form, and something attached; in every second one the keys were changed. That of layout 11 is that of layout 10, which the
// last program of layout 11 upgraded, and in which more was pushed and deleted.
type olderRegistry struct {
	Records    []map[string]any           // all, in order
	Tags       map[string]string          // by NAME:TAG, the digest that it stands for
	History    map[string]any             // of team/app:latest
	Receipts   map[string]json.RawMessage // by the number of the record
	Checkpoint string
	Seen       json.RawMessage  // what `log check` remembered of it in the middle
	Access     string           // the access document
	Users      []map[string]any // as `user list` has them
	Robot      string           // the secret of one
}

const olderName = "registry.example"

// TestOlderLayouts upgrades a registry of every older layout, and wants everything in it to be what it was.
func TestOlderLayouts(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	for layout := 2; layout <= len(datadir.Layouts); layout++ {
		t.Run(fmt.Sprint(layout), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if out, err := exec.Command("tar", "-xzf", fmt.Sprintf("testdata/layout%d.tar.gz", layout), "-C", dir).CombinedOutput(); err != nil {
				t.Fatalf("a change of the layout wants a registry of the layout before it: %v\n%s", err, out)
			}
			var was olderRegistry
			if err := readFile(filepath.Join(dir, "expected.json"), &was); err != nil {
				t.Fatal(err)
			}
			s := upgrade(t, filepath.Join(dir, "data"), filepath.Join(dir, "trust.yaml"))
			if _, err := os.Stat(filepath.Join(s.dir, fmt.Sprintf("%s.layout%d", storeFile, layout))); err != nil {
				t.Errorf("the store as it was: %v", err)
			}
			s.wantAsBefore(&was)
			s.wantProofs(&was)
			s.wantUsable(&was)
			s.kill()
			waitForClean(t, plainProgram(t), s.dir)
		})
	}
}

// upgrade starts a server on a data directory, which tells it its public name, and connects to where it really is.
func upgrade(t *testing.T, dir, trust string) *testServer {
	t.Helper()
	address := freeAddress(t)
	s := startPlain(t, dir, "--listen", address, "--config", writeFile(t, "trust:\n  file: "+trust+"\n"))
	if s.url != "https://"+olderName {
		t.Errorf("its name is %s", s.url)
	}
	s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	s.wantParts("/readyz?write")
	return s
}

// wantAsBefore wants what is served to be what it was.
func (s *testServer) wantAsBefore(was *olderRegistry) {
	s.t.Helper()
	var page struct{ Records []map[string]any }
	s.readJSON("/api/v1/records?order=asc&limit=1000", &page)
	if len(page.Records) < len(was.Records) {
		s.t.Fatalf("there are %d records, and were %d", len(page.Records), len(was.Records))
	}
	for i, r := range was.Records {
		s.wantSaid(fmt.Sprintf("record %d", i), page.Records[i], r)
	}
	served := make(map[string]bool)
	for name, digest := range was.Tags {
		repo, tag, _ := strings.Cut(name, ":")
		served[repo] = true
		if _, header, _ := s.do("GET", "/v2/"+repo+"/manifests/"+tag, "", ""); header.Get("Docker-Content-Digest") != digest {
			s.t.Errorf("%s is %s, and was %s", name, header.Get("Docker-Content-Digest"), digest)
		}
	}
	for repo := range served {
		var list struct{ Tags []string }
		s.readJSON("/v2/"+repo+"/tags/list", &list)
		for _, tag := range list.Tags {
			if was.Tags[repo+":"+tag] == "" {
				s.t.Errorf("%s:%s was not there", repo, tag)
			}
		}
	}
	var history map[string]any
	s.readJSON("/api/v1/history?repo=team/app&tag=latest", &history)
	s.wantSaid("the history", history, was.History)
	if said := s.hallmark("access", "export"); said != was.Access {
		s.t.Errorf("the access document is\n%s, and was\n%s", said, was.Access)
	}
	var people struct{ Users []map[string]any }
	if err := json.Unmarshal([]byte(s.hallmark("user", "list", "--json")), &people); err != nil {
		s.t.Fatal(err)
	}
	s.wantSaid("the users", people.Users, was.Users)
}

// wantSaid wants everything to be said again that was said. There may be more.
func (s *testServer) wantSaid(what string, is, was any) {
	s.t.Helper()
	switch w := was.(type) {
	case map[string]any:
		i, _ := is.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(w)) {
			s.wantSaid(what+"."+name, i[name], w[name])
		}
		return
	case []map[string]any:
		i, _ := is.([]map[string]any)
		for n := range w {
			if n < len(i) {
				s.wantSaid(fmt.Sprintf("%s[%d]", what, n), i[n], w[n])
			}
		}
		if len(i) == len(w) {
			return
		}
	case []any:
		i, _ := is.([]any)
		for n := range w {
			if n < len(i) {
				s.wantSaid(fmt.Sprintf("%s[%d]", what, n), i[n], w[n])
			}
		}
		if len(i) == len(w) {
			return
		}
	}
	if !reflect.DeepEqual(is, was) {
		s.t.Errorf("%s is %v, and was %v", what, is, was)
	}
}

// wantProofs wants what was proved to stay so: receipts that were kept, and the log that was followed.
func (s *testServer) wantProofs(was *olderRegistry) {
	s.t.Helper()
	root := writeFile(s.t, s.want(200, "GET", "/trusted_root.json"))
	for record, receipt := range was.Receipts {
		said := s.hallmark("verify", writeFile(s.t, string(receipt)), "--trusted-root", root)
		if !strings.Contains(said, "record "+record) {
			s.t.Errorf("the receipt of record %s: %s", record, said)
		}
	}
	seen := writeFile(s.t, strings.ReplaceAll(string(was.Seen), "DATA", s.dir))
	if said := s.hallmark("log", "check", "--state", seen, "--entries"); !strings.HasPrefix(said, "consistent") {
		s.t.Errorf("log check says %s", said)
	}
	if said := s.hallmark("audit", "--all", "--state", filepath.Join(s.t.TempDir(), "state")); !strings.Contains(said, "records") {
		s.t.Errorf("audit says %s", said)
	}
}

// wantUsable wants everybody to go on as before.
func (s *testServer) wantUsable(was *olderRegistry) {
	s.t.Helper()
	repo := s.repository("team/app")
	for tag, want := range map[string]string{"1.0": "base layer", "latest": "base layer"} {
		if layer, err := pullFrom(s.t.Context(), repo, tag); err != nil || layer != want {
			s.t.Errorf("team/app:%s has the layer %q, %v", tag, layer, err)
		}
	}
	for _, login := range []string{"alice:" + adminPassword, "builder:" + was.Robot} {
		if status, _, said := s.do("GET", "/v2/team/app/manifests/1.0", login, ""); status != 200 {
			s.t.Errorf("%s: %d %s", login, status, said)
		}
	}
	s.says("/api/v1/report?repo=team/app&ref=2.0", "It is signed by release-key.")
	s.says("/v2/team/app/referrers/"+was.Tags["team/app:2.0"], `"application/spdx+json"`)
	s.push("team/app", "4.0", "layer", nil)
}

// readFile reads a file of JSON.
func readFile(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
