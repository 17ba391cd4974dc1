package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// vector is a file of testdata: docs/design/replay.md.
type vector struct {
	About   string               `json:"about"`
	Records []*provenance.Record `json:"records"`
	State   stateView            `json:"state"`
	Wrong   []string             `json:"wrong"`
}

type stateView struct {
	Repositories map[string]repositoryView `json:"repositories"`
	Access       *accessView               `json:"access,omitempty"`
	Accounts     map[string]accountView    `json:"accounts,omitempty"`
	Tokens       map[string]tokenView      `json:"tokens,omitempty"`
	Rights       []string                  `json:"rights,omitempty"`
}

type tokenView struct {
	Account string                  `json:"account"`
	Record  uint64                  `json:"record"`
	Scopes  []provenance.TokenScope `json:"scopes,omitempty"`
	Expires *provenance.Time        `json:"expires,omitempty"`
}

type repositoryView struct {
	Newest    uint64                         `json:"newest"`
	Unknown   *uint64                        `json:"unknown,omitempty"`
	Tags      map[string]tagView             `json:"tags,omitempty"`
	Manifests map[digest.Digest]manifestView `json:"manifests,omitempty"`
	Holds     map[digest.Digest]Hold         `json:"holds,omitempty"`
}

type tagView struct {
	Digest digest.Digest `json:"digest"`
	Since  uint64        `json:"since"`
}

type manifestView struct {
	Added    uint64        `json:"added"`
	Tagged   *uint64       `json:"tagged,omitempty"`
	Subject  digest.Digest `json:"subject,omitempty"`
	Evidence uint64        `json:"evidence,omitempty"`
	Type     string        `json:"type,omitempty"`
}

type accessView struct {
	Record  uint64        `json:"record"`
	Version uint64        `json:"version"`
	Digest  digest.Digest `json:"digest"`
}

type accountView struct {
	Subject    string `json:"subject"`
	Credential string `json:"credential"`
	Record     uint64 `json:"record"`
}

func viewOf(s *State) (v stateView) {
	v.Repositories = make(map[string]repositoryView)
	for name, p := range s.Repositories {
		r := repositoryView{Newest: p.Newest, Unknown: p.Unknown}
		if p.Unknown == nil {
			r.Tags, r.Manifests = map[string]tagView{}, map[digest.Digest]manifestView{}
			if len(p.Holds) > 0 {
				r.Holds = p.Holds
			}
			for _, tag := range p.Tags() {
				t, _ := p.Tag(tag)
				r.Tags[tag] = tagView(t)
			}
			for d, m := range p.Manifests {
				r.Manifests[d] = manifestView{m.Added, tagged(m), m.Subject, m.Known, m.Type}
			}
		}
		v.Repositories[name] = r
	}
	if s.Access.Digest != "" {
		v.Access = &accessView{s.Access.Record, s.Access.Version, s.Access.Digest}
	}
	for id, a := range s.Accounts {
		if v.Accounts == nil {
			v.Accounts = make(map[string]accountView)
		}
		v.Accounts[id] = accountView(a)
	}
	for id, t := range s.Tokens {
		if v.Tokens == nil {
			v.Tokens = make(map[string]tokenView)
		}
		v.Tokens[id] = tokenView{t.Account, t.Record, t.Scopes, t.Expires}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Rights)) {
		v.Rights = append(v.Rights, fmt.Sprintf("%d: %s", s.Rights[key].Record, Describe(s.Rights[key].RightsChange)))
	}
	return v
}

func tagged(m *Manifest) *uint64 {
	if !m.HadTag {
		return nil
	}
	return &m.Tagged
}

// TestVectors replays what the definition gives for everybody to replay.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			v.check(t, func(s *State) *State { return s })
			v.check(t, func(s *State) *State { return saveAndRead(t, s) }) // after each record
		})
	}
}

// check replays the records, and does something with the state before each.
func (v vector) check(t *testing.T, between func(*State) *State) {
	t.Helper()
	options := Options{Secrets: true, Covers: func(rule provenance.RightsChange, repository, tag string) bool {
		return rule.Pattern == repository && rule.Tags == tag
	}}
	s := New(options)
	var wrong []string
	for _, r := range v.Records {
		s = between(s)
		s.Use(options)
		s.Apply(r, func(err error) { wrong = append(wrong, err.Error()) })
	}
	if got := viewOf(s); !reflect.DeepEqual(got, v.State) {
		shown, _ := json.MarshalIndent(got, "", " ")
		t.Errorf("the state is %s", shown)
	}
	if !slices.Equal(wrong, v.Wrong) {
		t.Errorf("it says:\n%s\nand not:\n%s", strings.Join(wrong, "\n"), strings.Join(v.Wrong, "\n"))
	}
}

func saveAndRead(t *testing.T, s *State) *State {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	read := new(State)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	plain := *s
	plain.options = Options{}
	if !reflect.DeepEqual(&plain, read) {
		t.Errorf("%s\nwas read as %+v", text, read)
	}
	return read
}

// TestSaved saves a state in which everything is there that a state can hold.
func TestSaved(t *testing.T) {
	s := New(Options{})
	unknown, until := uint64(3), provenance.At(time.Unix(1, 0))
	s.Founded, s.Skipped, s.Introduced["s-1"] = true, true, "a"
	s.Next, s.States, s.states, s.Access, s.Baseline = 9, 2, true, Access{1, 2, "sha256:aa"}, &Baseline{4, "sha256:bb"}
	s.Accounts["a"], s.Tokens["t"] = Account{"user:a", "s-1", 5}, Token{"a", 6, Reach{[]provenance.TokenScope{{Pattern: "**", Rights: []string{"pull"}}}, &until}}
	s.Rights[KeyOf(provenance.RightsChange{Team: "x"})] = Right{provenance.RightsChange{Team: "x"}, 7}
	s.repository("app").Unknown = &unknown
	s.repository("app").seen, s.repository("app").tags["1"] = true, Tag{"sha256:cc", 8}
	s.repository("app").Manifests["sha256:cc"] = &Manifest{"sha256:cc", 1, 1, "sha256:dd", 2, true, 3, "a/b"}
	s.repository("app").Removed["sha256:ee"] = 4
	s.repository("app").Trash["sha256:ee"] = Trashed{4, until, 1, 2, true}
	for v, i := reflect.ValueOf(*s), 0; i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "options" {
			t.Errorf("%s is not there", name) // a new one: save it too
		}
	}
	saveAndRead(t, s)
}

// TestRemoved wants what was removed to be known until it comes again.
func TestRemoved(t *testing.T) {
	s := New(Options{})
	for index, c := range []struct {
		action  provenance.Action
		change  provenance.ManifestChange
		removed map[digest.Digest]uint64
	}{
		{provenance.Push, provenance.ManifestAdded, map[digest.Digest]uint64{}},
		{provenance.Delete, provenance.ManifestRemoved, map[digest.Digest]uint64{"sha256:aa": 1}},
		{provenance.Push, provenance.ManifestAdded, map[digest.Digest]uint64{}},
		{provenance.Delete, provenance.ManifestRemoved, map[digest.Digest]uint64{"sha256:aa": 3}},
	} {
		r := &provenance.Record{Index: uint64(index), Action: c.action, Repository: "app", Digest: "sha256:aa", Manifest: c.change}
		if before := uint64(index) - 1; index > 0 {
			r.Before = &before
		}
		s.Apply(r, func(err error) { t.Error(err) })
		if got := s.Repositories["app"].Removed; !maps.Equal(got, c.removed) {
			t.Errorf("after record %d: %v, want %v", index, got, c.removed)
		}
	}
}

// TestOlder reads what a version saved that did not keep what was removed.
func TestOlder(t *testing.T) {
	s := New(Options{})
	s.repository("app").seen = true
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	older := strings.Replace(string(text), `"removed":{},`, "", 1)
	if err := json.Unmarshal([]byte(older), New(Options{})); older == string(text) || !errors.Is(err, ErrOlder) {
		t.Errorf("%s: %v", older, err)
	}
}

// TestSkip passes over what is not shown: the records of another repository do no harm, and one that is kept back shows.
func TestSkip(t *testing.T) {
	s := New(Options{})
	before := uint64(1)
	app := func(index uint64, before *uint64, change provenance.ManifestChange) *provenance.Record {
		return &provenance.Record{Index: index, Action: provenance.Push, Repository: "app", Digest: "sha256:aa", Manifest: change, Before: before}
	}
	s.Skip()
	s.Apply(app(1, nil, provenance.ManifestAdded), func(err error) { t.Error(err) })
	s.Skip()
	s.Apply(app(3, &before, provenance.ManifestAgain), func(err error) { t.Error(err) })
	s.Skip()
	var wrong []string
	before = 4
	s.Apply(app(5, &before, provenance.ManifestAgain), func(err error) { wrong = append(wrong, err.Error()) })
	if want := []string{"record 5: it names record 4 as the one before it in app, and that is 3"}; !slices.Equal(wrong, want) || s.Next != 6 || s.States != 1 {
		t.Errorf("%q, next %d, stated from %d on", wrong, s.Next, s.States)
	}
}

// TestOnly follows some repositories, and all rights.
func TestOnly(t *testing.T) {
	s := New(Options{Only: func(repository string) bool { return repository == "b" }})
	for i, repository := range []string{"a", "b", "a"} {
		s.Apply(&provenance.Record{Index: uint64(i), Action: provenance.Push, Repository: repository, Digest: "sha256:aa"}, func(err error) { t.Error(err) })
	}
	if s.Next != 3 || len(s.Repositories) != 1 || s.Repositories["b"].Newest != 1 {
		t.Errorf("%d records, %v", s.Next, s.Repositories)
	}
}
