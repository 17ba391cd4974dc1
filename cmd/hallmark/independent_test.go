package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/e2e/independent"
)

// TestIndependent has a verifier that shares no code with the registry follow one to which everything happens: thousands of
// events, another receipt key, a stolen key, and an older copy of the store that was put back.
func TestIndependent(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	key := newSigner(t)
	rules := writeFile(t, "rules: []\n")
	config := writeFile(t, fmt.Sprintf("trust: {file: %s}\npolicy: {file: %s}\n", key.file, rules))
	start := func() *testServer { return startPlain(t, dir, "--config", config) }
	l := newLife(start())
	var memory independent.Memory
	var actions map[string]int
	visit := func(each uint64) *independent.Report {
		t.Helper()
		report, err := independentOf(l.testServer, each).Visit(t.Context(), &memory)
		if err != nil {
			t.Fatal(err)
		}
		actions = report.Actions
		return report
	}
	visit(1)
	l.once(t, key)
	l.live(600)
	visit(40)
	l.change("POST", "/api/v1/keys", `{"reason":"rotated"}`)
	l.live(250)
	if err := os.WriteFile(rules, []byte("rules:\n- {name: never, repositories: [secret/*], at: [pull], require: 'false', owner: ops}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.reload("configuration, policy, retention, mirrors and certificate reloaded")
	l.live(300)
	visit(40)
	l.change("POST", "/api/v1/keys", `{"reason":"stolen"}`)
	l.live(300)
	visit(40)

	l.stop()
	store, older := filepath.Join(dir, storeFile), filepath.Join(t.TempDir(), "older.db")
	copyFile(t, store, older)
	then := l.went()
	l.testServer = start()
	l.live(150)
	visit(40)
	l.stop()
	copyFile(t, older, store)
	l.testServer, l.there = start(), then
	l.hallmark("log", "continue", "--restored")
	if lost := visit(40).Lost; lost < 100 {
		t.Errorf("%d leaves are said to be lost", lost)
	}
	l.live(300)
	report := visit(10)
	if report.Lost != 0 || report.Records < 2000 || report.Receipts < 100 || len(memory.Logs) != 3 {
		t.Errorf("%+v, %d logs", report, len(memory.Logs))
	}
	for _, action := range []string{"push", "untag", "delete", "attest", "grant", "revoke", "key", "restore", "rules"} {
		if actions[action] == 0 {
			t.Errorf("there is no record of the action %s", action)
		}
	}
	l.wantTamperingRefused(t, memory)
}

func independentOf(s *testServer, each uint64) *independent.Registry {
	return &independent.Registry{URL: s.url, User: "admin", Password: adminPassword, Client: s.client, Each: each}
}
