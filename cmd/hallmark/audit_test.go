package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/audit"
	"github.com/seed-260924e6/hallmark/storage"
)

// audit runs `hallmark audit` over the network, as login.
func (s *testServer) audit(t *testing.T, login, state string, args ...string) (said string, status int) {
	t.Helper()
	user, password, _ := strings.Cut(login, ":")
	var out bytes.Buffer
	args = append([]string{"audit", "--server", s.url, "--ca", filepath.Join(s.dir, "certs/ca.pem"), "--state", state, "--proof", state + ".proof"}, args...)
	getenv := func(name string) string {
		return map[string]string{"HALLMARK_USER": user, "HALLMARK_PASSWORD": password}[name]
	}
	err := run(t.Context(), args, getenv, nil, &out, &out)
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String(), exitCode(err)
}

// wantAudit wants an audit as the administrator to find nothing.
func (s *testServer) wantAudit(t *testing.T, state string, args ...string) {
	t.Helper()
	if said, status := s.audit(t, "admin:"+adminPassword, state, args...); status != 0 || strings.Contains(said, "not shown to you") {
		t.Errorf("an honest registry: %d\n%s", status, said)
	}
}

// TestAuditHonest audits a registry in which everything happens that its users and its operator may do, also while they do it.
func TestAuditHonest(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	whole, state := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "state")
	s.wantAudit(t, state)
	d := s.push("team/app", "0", "one", nil)
	for i := range 120 { // more tags than a record moves
		s.push("team/app", fmt.Sprint(i), "one", nil)
	}
	s.push("team/app", "0", "two", nil)
	s.push("team/app", "0", "one", nil)
	s.push("team/web", "1.0", "one", map[string]string{"org.opencontainers.image.source": "https://git.example/web"})
	s.wantAudit(t, state)
	s.want(202, "DELETE", "/v2/team/app/manifests/7") // a tag
	s.want(202, "DELETE", "/v2/team/app/manifests/"+d)
	s.push("team/app", "7", "one", nil)
	s.want(202, "DELETE", "/v2/team/web/manifests/1.0")
	s.push("team/gone", "1", "x", nil)
	s.want(202, "DELETE", "/v2/team/gone/manifests/"+s.push("team/gone", "2", "x", nil))
	s.wantAudit(t, state)
	js := []string{"Content-Type", "application/json"}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/v1/users", `{"name":"alice","password":"wonderland-1"}`},
		{"POST", "/api/v1/access/grants", `{"subject":"user:alice","pattern":"team/web","role":"delete"}`},
		{"POST", rulesPath, `{"repositories":"fixed/**","tags":"v*"}`},
		{"POST", "/api/v1/access/robots", engine},
		{"PUT", "/api/v1/users/alice/name", `{"name":"alicia"}`},
		{"DELETE", "/api/v1/access/grants?subject=user:alicia&role=delete&pattern=team/web", ""},
		{"DELETE", "/api/v1/users/alicia", ""},
		{"POST", "/api/v1/keys", `{"reason":"rotated"}`},
	} {
		if status, _, body := s.do(c.method, c.path, "", c.body, js...); status >= 300 {
			t.Fatalf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	s.push("fixed/app", "v1", "fixed", nil)
	s.wantAudit(t, state)
	if status, _, body := s.do("POST", "/api/v1/keys", "", `{"reason":"stolen"}`, js...); status != 201 {
		t.Fatal(status, body)
	}
	s.push("team/app", "after", "after", nil)
	s.wantAudit(t, state)
	s.wantAudit(t, whole, "--all")

	ctx, stop := context.WithCancel(t.Context())
	var pushes sync.WaitGroup
	for who := range 3 {
		repo := s.repository("team/busy")
		pushes.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := pushTo(context.Background(), repo, fmt.Sprint(i%5), fmt.Sprint(who, i), nil); err != nil {
					t.Error(err)
					return
				}
				if d, err := repo.Resolve(context.Background(), fmt.Sprint(i%5)); err == nil && i%7 == 6 {
					_ = repo.Delete(context.Background(), d) // which somebody else may have done
				}
			}
		})
	}
	for range 5 {
		s.wantAudit(t, state)
	}
	stop()
	pushes.Wait()
	s.wantAudit(t, state)
}

// TestAuditFinds changes the store of a stopped registry, as somebody does who can write to it, and wants the audit to say
// what is not so: also one that goes on from an audit before.
func TestAuditFinds(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir, state := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "state")
	s := startServer(t, dir)
	s.push("team/app", "1", "old", nil)
	s.kill()
	const tags, manifests = storage.Table("registry/tag"), storage.Table("registry/manifest")
	var before []byte
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		value, err := tx.Get(tags, []byte("team/app\x001"))
		if err != nil {
			t.Error(err)
		}
		before = bytes.Clone(value)
	})
	s = startServer(t, dir)
	s.push("team/app", "1", "new", nil)
	two := s.push("team/app", "2", "two", nil)
	s.wantAudit(t, state)
	url := s.url
	s.kill()
	if err := os.Remove(filepath.Join(dir, socketFile)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, storage.Tx)
		says   []string // each on a line of its own, and no more lines than these
		first  bool     // only an audit that reads all records can tell: the log is as it was
	}{
		"a tag rolled back": {
			damage: func(_ *testing.T, tx storage.Tx) { tx.Put(tags, []byte("team/app\x001"), before) },
			says:   []string{"team/app:1 means sha256:"},
		},
		"a tag dropped": {
			damage: func(_ *testing.T, tx storage.Tx) { tx.Delete(tags, []byte("team/app\x002")) },
			says:   []string{"team/app:2 is not there; by the records it means " + two + " since record 3"},
		},
		"a tag made": {
			damage: func(_ *testing.T, tx storage.Tx) { tx.Put(tags, []byte("team/app\x003"), before) },
			says:   []string{"team/app:3 means sha256:"},
		},
		"a manifest removed": {
			damage: func(t *testing.T, tx storage.Tx) {
				hash, err := hex.DecodeString(strings.TrimPrefix(two, "sha256:"))
				if err != nil {
					t.Fatal(err)
				}
				for row, err := range tx.Scan(manifests, []byte("team/app\x00"), nil) {
					if err == nil && bytes.HasSuffix(row.Key, hash) {
						tx.Delete(manifests, bytes.Clone(row.Key))
						return
					}
				}
				t.Error("there is no such row")
			},
			says: []string{"team/app:2, when it is pulled, is not there", "team/app@" + two + " is not there; by the records it is, since record 3"},
		},
		"a right given": {
			damage: func(t *testing.T, tx storage.Tx) {
				document, err := tx.Get("access/document", []byte("document"))
				if err != nil {
					t.Fatal(err)
				}
				tx.Put("access/document", []byte("document"), bytes.Replace(document, []byte(`"grants":[`), []byte(`"grants":[{"subject":"anonymous","pattern":"**","role":"pull"},`), 1))
			},
			says: []string{"of the access document version 1 is in force, sha256:"},
		},
		"a record changed": {
			damage: func(t *testing.T, tx storage.Tx) {
				tx.Put("provenance/record", recordKey(2), bytes.Replace(statement(t, tx, 2), []byte(`"handle":"admin"`), []byte(`"handle":"alice"`), 1))
			},
			says:  []string{"record 2 is not the one that the log", "the provenance of team/app@"},
			first: true,
		},
		"a record changed and signed": {
			damage: func(t *testing.T, tx storage.Tx) { forge(t, tx, dir, 2) },
			says:   []string{"record 2 is not the one that the log", "the provenance of team/app@"},
			first:  true,
		},
		"a record lost": {
			damage: func(_ *testing.T, tx storage.Tx) { tx.Delete("provenance/record", recordKey(1)) },
			says:   []string{"record 1 is lost or damaged"},
			first:  true,
		},
		"a signature lost": {
			damage: func(_ *testing.T, tx storage.Tx) { tx.Delete("provenance/signature", recordKey(2)) },
			says:   []string{"record 2 has no signature", "the provenance of team/app@"},
			first:  true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			copied := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(copied, storeFile), func(tx storage.Tx) { c.damage(t, tx) })
			s := startServer(t, copied)
			s.wantFound(t, filepath.Join(t.TempDir(), "state"), c.says)
			if c.first {
				return
			}
			seen := s.remembered(t, state, url)
			s.wantFound(t, seen, c.says)
			s.wantFound(t, seen, c.says) // what was found is not forgotten
		})
	}
}

// remembered is what was remembered of a server, as what is remembered of this one, which has a copy of its data.
func (s *testServer) remembered(t *testing.T, state, url string) string {
	t.Helper()
	from, err := audit.OpenFile(state)
	if err != nil {
		t.Fatal(err)
	}
	m, err := from.Memory(url)
	if err != nil || m.State == nil {
		t.Fatal(m, err)
	}
	path := filepath.Join(t.TempDir(), "remembered")
	to, err := audit.OpenFile(path)
	if err == nil {
		err = to.Keep(s.url, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// wantFound wants an audit to say each of these, and nothing else.
func (s *testServer) wantFound(t *testing.T, state string, says []string) {
	t.Helper()
	said, status := s.audit(t, "admin:"+adminPassword, state)
	if status != exitNo {
		t.Errorf("status %d\n%s", status, said)
	}
	lines := strings.Split(said, "\n")
	if len(lines) < len(says)+1 || !strings.HasPrefix(lines[len(says)], "read ") {
		t.Fatalf("it should say %d things:\n%s", len(says), said)
	}
	for i, words := range says {
		if !strings.Contains(lines[i], words) {
			t.Errorf("it does not say %q\n%s", words, said)
		}
	}
}

// auditor is an audit of the server, whose connection ends where ends says so.
func (s *testServer) auditor(file *audit.File, m *audit.Memory, ends func(path string) error) *audit.Audit {
	ask := func(_ context.Context, method, path string) (*audit.Answer, error) {
		if err := ends(path); err != nil {
			return nil, err
		}
		status, header, body := s.do(method, path, "", "")
		return &audit.Answer{Status: status, Header: header, Body: []byte(body)}, nil
	}
	return &audit.Audit{
		Fetch: func(ctx context.Context, path string) ([]byte, error) {
			answer, err := ask(ctx, "GET", path)
			if err != nil || answer.Status != 200 {
				return nil, fmt.Errorf("%s: %+v %w", path, answer, err)
			}
			return answer.Body, nil
		},
		Ask: ask, Keep: func() error { return file.Keep("it", m) }, Now: time.Now,
	}
}

// TestAuditGoesOn ends an audit while it reads, and wants the next one to read only the rest; and one whose file was changed
// to say that, and to blame nobody.
func TestAuditGoesOn(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startPlain(t, filepath.Join(t.TempDir(), "data"))
	s.push("team/app", "x", "one", nil)
	manifest := s.want(200, "GET", "/v2/team/app/manifests/x")
	for i := range 1100 {
		s.do("PUT", fmt.Sprintf("/v2/team/app/manifests/%d", i), "", manifest, manifestType...)
	}
	path := filepath.Join(t.TempDir(), "state")
	var pages []string
	gone := errors.New("the network is gone")
	look := func(most int) (*audit.Report, *audit.Memory, error) {
		file, err := audit.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := file.Memory("it")
		if err != nil {
			t.Fatal(err)
		}
		pages = nil
		var mu sync.Mutex // guards pages
		report, err := s.auditor(file, m, func(path string) error {
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(path, "/statements") {
				return nil
			}
			if pages = append(pages, path); len(pages) > most {
				return gone
			}
			return nil
		}).Run(t.Context(), m)
		return report, m, err
	}
	if report, m, err := look(1); !errors.Is(err, gone) || m.State.Next != 1000 {
		t.Fatalf("%+v, %v", report, err)
	}
	report, _, err := look(9)
	if err != nil || len(report.Findings) > 0 || report.Records != 1102 || report.Tags != 1101 {
		t.Errorf("%+v, %v", report, err)
	}
	if len(pages) != 1 || !strings.Contains(pages[0], "from=1000") {
		t.Errorf("it read %q", pages)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A wrong memory, even one that is written as it should be, has all records read again before anything is said.
	file, _ := audit.OpenFile(path)
	m, err := file.Memory("it")
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range m.State.Repositories["team/app"].Manifests {
		manifest.Added++
	}
	if err := file.Keep("it", m); err != nil {
		t.Fatal(err)
	}
	if report, _, err := look(9); err != nil || len(report.Findings) > 0 || len(pages) != 2 {
		t.Errorf("%+v, %v; it read %q", report, err, pages)
	}
	for i := 0; i < len(kept); i += len(kept)/20 + 1 {
		if err := os.WriteFile(path, slices.Concat(kept[:i], []byte{kept[i] ^ 1}, kept[i+1:]), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, status := s.audit(t, "admin:"+adminPassword, path); status != exitUsage || !strings.Contains(said, "this file was changed") {
			t.Fatalf("byte %d: %d %s", i, status, said)
		}
	}
}

// TestAuditPart audits what somebody may see who may not see everything.
func TestAuditPart(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir, state := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "state")
	s := startServer(t, dir)
	js := []string{"Content-Type", "application/json"}
	s.do("POST", "/api/v1/users", "", `{"name":"alice","password":"wonderland-1"}`, js...)
	s.do("POST", "/api/v1/access/grants", "", `{"subject":"user:alice","pattern":"team/app","role":"pull"}`, js...)
	for _, layer := range []string{"one", "two", "three"} {
		s.push("team/app", "1", layer, nil)
		s.push("team/web", "1", layer, nil)
	}
	const alice = "alice:wonderland-1"
	part := func(status int, says string) {
		t.Helper()
		said, got := s.audit(t, alice, state)
		if got != status || !strings.Contains(said, says) {
			t.Errorf("status %d, and it should say %q\n%s", got, says, said)
		}
	}
	part(0, "more records are not shown to you")
	// What she was not shown before counts from now on, and what she is not shown any more does not.
	s.push("team/web", "2", "four", nil)
	s.do("POST", "/api/v1/access/grants", "", `{"subject":"user:alice","pattern":"team/web","role":"pull"}`, js...)
	s.push("team/web", "2", "five", nil)
	part(0, "with what follows: 2 repositories")
	s.do("DELETE", "/api/v1/access/grants?subject=user:alice&role=pull&pattern=team/app", "", "")
	s.push("team/web", "2", "six", nil)
	part(0, "with what follows: 1 repository")
	s.kill()
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		value, err := tx.Get("registry/tag", []byte("team/web\x001"))
		if err != nil {
			t.Error(err)
		}
		tx.Put("registry/tag", []byte("team/web\x002"), bytes.Clone(value))
	})
	s = startServer(t, dir)
	part(exitNo, "team/web:2 means sha256:")
}

// TestAuditActs lists what is done in somebody's name, once, also where they may see nothing; and who pushes and is not expected to.
func TestAuditActs(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	js := []string{"Content-Type", "application/json"}
	const alice = "alice:wonderland-1"
	s.do("POST", "/api/v1/users", "", `{"name":"alice","password":"wonderland-1"}`, js...)
	for _, repo := range []string{"team/app", "team/web"} {
		s.do("POST", "/api/v1/access/grants", "", `{"subject":"user:alice","pattern":"`+repo+`","role":"push"}`, js...)
		s.push(repo, "1", "one", nil)
		manifest := s.want(200, "GET", "/v2/"+repo+"/manifests/1")
		if status, _, body := s.do("PUT", "/v2/"+repo+"/manifests/hers", alice, manifest, manifestType...); status != 201 {
			t.Fatal(status, body)
		}
	}
	s.do("DELETE", "/api/v1/access/grants?subject=user:alice&role=push&pattern=team/web", "", "")
	state := filepath.Join(t.TempDir(), "state")
	look := func(login string, status, rows int, args ...string) string {
		t.Helper()
		said, got := s.audit(t, login, state, args...)
		if _, table, _ := strings.Cut(said, "CREDENTIAL\n"); got != status || strings.Count(table, "s-") != rows {
			t.Errorf("%v: status %d, and it should be %d with %d acts\n%s", args, got, status, rows, said)
		}
		return said
	}
	if said := look(alice, 0, 2, "--identity", "me"); !strings.Contains(said, "team/web") || !strings.Contains(said, "1 repository, 2 tags") {
		t.Errorf("%s", said)
	}
	look(alice, 0, 0, "--identity", "me")
	manifest := s.want(200, "GET", "/v2/team/app/manifests/1")
	s.do("PUT", "/v2/team/app/manifests/hers", alice, manifest, manifestType...)
	look(alice, 0, 0) // an audit of another kind
	look(alice, 0, 1, "--identity", "me")

	state = filepath.Join(t.TempDir(), "state")
	expect := func(by string) string {
		return writeFile(t, "pushes:\n  - repositories: team/*\n    by: ["+by+"]\n")
	}
	const admin = "admin:" + adminPassword
	look(admin, 0, 0, "--expect", expect("user:admin, user:alice"))
	only := expect("user:admin")
	if said := look(admin, exitNo, 0, "--expect", only); !strings.Contains(said, "user:alice pushed team/web:hers, and is not expected to\n") {
		t.Errorf("%s", said)
	}
	look(admin, 0, 0, "--expect", only) // it was said
	s.push("elsewhere", "1", "one", nil)
	if said := look(admin, exitNo, 0, "--expect", only); !strings.Contains(said, "user:admin pushed elsewhere:1, and is not expected to\n") {
		t.Errorf("%s", said)
	}
	for _, wrong := range []string{"team:core", "user:admin, x", "anonymous"} {
		look(admin, exitUsage, 0, "--expect", expect(wrong))
	}
}

// TestAuditKeptBack has a registry pass a record over as one that may not be shown: within a history that shows; of the newest
// the audit says that it cannot tell.
func TestAuditKeptBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for _, layer := range []string{"one", "two", "three"} {
		s.push("team/app", "1", layer, nil) // records 1 to 3
	}
	for kept, says := range map[uint64]string{
		2: "record 3: it names record 2 as the one before it in team/app, and that is 1",
		3: "team/app:1 means ", // as long as the registry serves what it keeps back
	} {
		file, err := audit.OpenFile(filepath.Join(t.TempDir(), "state"))
		if err != nil {
			t.Fatal(err)
		}
		m := new(audit.Memory)
		a := s.auditor(file, m, func(string) error { return nil })
		honest := a.Fetch
		a.Fetch = func(ctx context.Context, path string) ([]byte, error) {
			data, err := honest(ctx, path)
			var page provenance.StatementPage
			if !strings.Contains(path, "/statements") || err != nil || json.Unmarshal(data, &page) != nil {
				return data, err
			}
			page.Statements = slices.DeleteFunc(page.Statements, func(s provenance.Statement) bool { return s.Index == kept })
			return json.Marshal(page)
		}
		report, err := a.Run(t.Context(), m)
		if err != nil || report.Hidden != 1 || len(report.Findings) == 0 || !strings.HasPrefix(report.Findings[0], says) {
			t.Errorf("record %d: %+v, %v", kept, report, err)
		}
	}
}

// TestAuditHistory has a registry leave the newest move out of a tag's history.
func TestAuditHistory(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for _, layer := range []string{"one", "two"} {
		s.push("team/app", "1", layer, nil) // records 1 and 2
	}
	file, err := audit.OpenFile(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	m := new(audit.Memory)
	a := s.auditor(file, m, func(string) error { return nil })
	a.Sample = 10
	honest := a.Ask
	a.Ask = func(ctx context.Context, method, path string) (*audit.Answer, error) {
		if strings.Contains(path, "/api/v1/history") {
			path += "&after=2"
		}
		return honest(ctx, method, path)
	}
	report, err := a.Run(t.Context(), m)
	if err != nil || len(report.Findings) != 1 || !strings.HasPrefix(report.Findings[0], "team/app:1, by its history, means sha256:") {
		t.Errorf("%+v, %v", report, err)
	}
}
