package independent

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestIsIndependent wants the package to stand on nothing of ours, and on few modules of others.
func TestIsIndependent(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	self, imports, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	may := []string{"golang.org/x/mod/sumdb/", "github.com/transparency-dev/", "github.com/sigstore/sigstore-go/", "github.com/sigstore/sigstore/pkg/signature"}
	for path := range strings.FieldsSeq(imports) {
		standard := !strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
		if !standard && !slices.ContainsFunc(may, func(of string) bool { return strings.HasPrefix(path, of) }) {
			t.Errorf("it imports %s", path)
		}
	}
	module, _, _ := strings.Cut(self, "/e2e/")
	if out, err = exec.Command("go", "list", "-deps", ".").Output(); err != nil || !strings.Contains(string(out), self) {
		t.Fatalf("%s: %v", out, err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if path != self && (path == module || strings.HasPrefix(path, module+"/")) {
			t.Errorf("it depends on %s", path)
		}
	}
}

// vector is a test vector of docs/design/replay.md, as far as it is about what a verifier from outside sees.
type vector struct {
	Records []*record
	State   struct {
		Repositories map[string]struct {
			Newest    uint64
			Unknown   *uint64
			Tags      map[string]struct{ Digest, Since any }
			Manifests map[string]struct {
				Added uint64
				Type  string
			}
			Holds map[string]struct{ Until, Record any }
		}
		Access   *struct{ Version, Digest any }
		Accounts map[string]struct{ Subject string }
		Tokens   map[string]struct {
			Account string
			reach
		}
	}
	Wrong []string
}

// TestVectors replays the vectors.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("../../provenance/replay/testdata/*.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			s := newState()
			for _, r := range v.Records {
				s.apply(r)
			}
			if got, want := recordsOf(s.wrong), recordsOf(v.Wrong); !slices.Equal(got, want) {
				t.Errorf("what is wrong:\n%s\nwant\n%s", strings.Join(s.wrong, "\n"), strings.Join(v.Wrong, "\n"))
			}
			if got, want := asJSON(t, viewOf(s)), asJSON(t, v.State); got != want {
				t.Errorf("it gives\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// recordsOf are the records that sentences are about: their words are not part of the definition.
func recordsOf(sentences []string) (records []string) {
	for _, s := range sentences {
		fields := strings.Fields(s)
		records = append(records, strings.TrimSuffix(fields[1], ":"))
	}
	return records
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	var same any // absent and empty are the same here
	if err := json.Unmarshal(data, &same); err != nil {
		t.Fatal(err)
	}
	data, err = json.MarshalIndent(prune(same), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func prune(v any) any {
	if m, ok := v.(map[string]any); ok {
		maps.DeleteFunc(m, func(_ string, of any) bool {
			of = prune(of)
			return of == nil || reflect.DeepEqual(of, map[string]any{})
		})
	}
	return v
}

// viewOf is the state as vectors have it.
func viewOf(s *state) any {
	type object = map[string]any
	repositories, accounts := object{}, object{}
	for name, p := range s.repositories {
		view := object{"Newest": p.newest, "Unknown": p.unknown}
		if p.unknown == nil {
			tags, manifests := object{}, object{}
			for name := range p.tags {
				if t, ok := p.means(name); ok {
					tags[name] = object{"Digest": t.digest, "Since": t.since}
				}
			}
			for d, m := range p.manifests {
				manifests[d] = object{"Added": m.added, "Type": m.mediaType}
			}
			holds := object{}
			for d, h := range p.holds {
				holds[d] = object{"Until": h.until, "Record": h.record}
			}
			view["Tags"], view["Manifests"], view["Holds"] = tags, manifests, holds
		}
		repositories[name] = view
	}
	for id, subject := range s.accounts {
		accounts[id] = object{"Subject": subject}
	}
	tokens := object{}
	for id, t := range s.tokens {
		tokens[id] = object{"Account": t.account, "Scopes": t.Scopes, "Expires": t.Expires}
	}
	view := object{"Repositories": repositories, "Accounts": accounts, "Tokens": tokens}
	if s.access != nil {
		view["Access"] = object{"Version": s.access.version, "Digest": s.access.digest}
	}
	return view
}
