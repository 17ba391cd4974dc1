package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestGone asks for what was deleted: the answer names the record that removed it.
func TestGone(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	d := a.image("alice", "team/app", "1.0", "one")
	a.image("alice", "team/app", "2.0", "one")
	status, _, _ := a.do("DELETE", "/v2/team/app/manifests/2.0", a.login("bob"), "")
	a.delete("bob", "team/app", d)
	records := a.want(200, "GET", "/api/v1/records?action=delete")
	var page struct{ Records []struct{ Index int } }
	if err := json.Unmarshal([]byte(records), &page); err != nil || len(page.Records) != 1 || status != 202 {
		t.Fatalf("%d, %v: %s", status, err, records)
	}
	removed := page.Records[0].Index
	for ref, want := range map[string]string{
		d.String(): fmt.Sprintf("record %d, by bob", removed),
		"1.0":      fmt.Sprintf("record %d, by bob", removed),
		"2.0":      fmt.Sprintf("record %d, by bob", removed-1),
		"3.0":      "there is no manifest 3.0",
	} {
		for _, path := range []string{"/api/v1/image", "/api/v1/report"} {
			said := a.want(404, "GET", path+"?"+url.Values{"repo": {"team/app"}, "ref": {ref}}.Encode())
			if path == "/api/v1/report" && ref == "3.0" {
				want = "there is no such image"
			}
			if !strings.Contains(said, want) {
				t.Errorf("%s of %s: %s", path, ref, said)
			}
		}
	}
	if status, _, said := a.do("GET", "/api/v1/image?repo=team/app&ref=1.0", a.login("carol"), ""); status != 404 || strings.Contains(said, "record") {
		t.Errorf("somebody who may not see it is told: %s", said)
	}
}

// TestNamesakes has two accounts that had one name, one after the other: wherever the name stands, so does the account.
func TestNamesakes(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	a.image("bob", "team/app", "1.0", "one")
	a.image("alice", "team/app", "0.9", "zero")
	accounts := map[bool]string{false: a.accountOf("bob")}
	if shown := a.hallmark("history", "team/app:1.0"); strings.Contains(shown, "account") {
		t.Errorf("one bob:\n%s", shown)
	}
	a.hallmark("user", "remove", "bob")
	a.addUser("bob")
	accounts[true] = a.accountOf("bob")
	verbs := [][]string{
		{"history", "team/app:1.0"},
		{"history", "team/app:1.0", "--at", "0s"},
		{"records", "--repo", "team/app"},
		{"show", "team/app:1.0"},
		{"sources", jobSource},
		{"records", "--action", "grant"},
	}
	for _, again := range []bool{false, true} { // before the second bob did anything, and then
		if again {
			a.hallmark("grant", "user:bob", "team/**", "push")
			a.image("bob", "team/app", "1.0", "two")
		}
		for _, verb := range verbs {
			if shown := a.hallmark(verb...); !strings.Contains(shown, "bob (account "+accounts[again]+")") || strings.Contains(shown, "alice (account") {
				t.Errorf("%v: which bob was that?\n%s", verb, shown)
			}
		}
		if shown := a.hallmark("user", "list"); !strings.Contains(shown, "bob (account "+accounts[true]+")") {
			t.Errorf("users:\n%s", shown)
		}
	}
	if shown := a.hallmark("records", "--identity", accounts[false]); !strings.Contains(shown, accounts[false]) || strings.Contains(shown, accounts[true]) {
		t.Errorf("records of the first:\n%s", shown)
	}
	if shown := a.hallmark("records", "--limit", "1"); !strings.Contains(shown, "There are more") {
		t.Errorf("a list that is cut:\n%s", shown)
	}
	if shown := a.hallmark("history", "team/app:1.0", "--limit", "2"); strings.Contains(shown, "There are more") {
		t.Errorf("a list that is whole:\n%s", shown)
	}
}

// TestNamesakesInSentences has a second bob, who did nothing yet, and one who is refused: sentences name the account, too.
func TestNamesakesInSentences(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	rules := writeFile(t, "rules:\n  - {name: of-ci, repositories: prod/**, at: push, require: image.first.job.counts, owner: alice}\n")
	a := newActing(t, "policy:\n  file: "+rules+"\n")
	a.image("bob", "team/app", "1.0", "one")
	a.delete("bob", "team/app", a.image("bob", "team/app", "2.0", "two"))
	first := a.accountOf("bob")
	a.hallmark("user", "remove", "bob")
	a.addUser("bob")
	second := a.accountOf("bob")
	a.hallmark("grant", "user:bob", "**", "delete")
	bob := "bob (account " + first + ")"
	at := "?" + url.Values{"repo": {"team/app"}, "ref": {"1.0"}}.Encode()
	gone := "?" + url.Values{"repo": {"team/app"}, "ref": {"2.0"}}.Encode()
	for what, said := range map[string]string{
		"First pushed here by " + bob: a.hallmark("show", "team/app:1.0"),
		"by " + bob:                   a.want(404, "GET", "/api/v1/image"+gone),
	} {
		if !strings.Contains(said, what) {
			t.Errorf("%q is not said in:\n%s", what, said)
		}
	}
	if report := a.want(200, "GET", "/api/v1/report"+at); !strings.Contains(report, "First pushed here by "+bob) {
		t.Errorf("a report:\n%s", report)
	}
	_, err := pushTo(t.Context(), a.as("bob", "prod/own"), "1.0", "three", theirOwn)
	if want := "rule of-ci: First pushed here by bob (account " + second + ")"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a refusal: %v; want %q", err, want)
	}
}

// TestNamesakeRobots is TestNamesakes of two robots.
func TestNamesakeRobots(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	first, secret := a.addRobot("builder")
	a.hallmark("grant", "robot:builder", "team/**", "push")
	r, err := repository(a.client, addressOf(a.url), "builder:"+secret, "team/app")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pushTo(t.Context(), r, "1.0", "one", theirOwn); err != nil {
		t.Fatal(err)
	}
	if shown := a.hallmark("show", "team/app:1.0"); strings.Contains(shown, "account") {
		t.Errorf("one builder:\n%s", shown)
	}
	a.hallmark("robot", "remove", "builder")
	a.addRobot("builder")
	for _, verb := range [][]string{{"history", "team/app:1.0"}, {"records", "--repo", "team/app"}, {"show", "team/app:1.0"}} {
		if shown := a.hallmark(verb...); !strings.Contains(shown, "robot:builder (account "+first+")") {
			t.Errorf("%v: which builder was that?\n%s", verb, shown)
		}
	}
}

func (a *acting) addRobot(name string) (account, secret string) {
	a.t.Helper()
	var made struct{ Account, Secret string }
	status, _, said := a.do("POST", "/api/v1/access/robots", "", string(mustMarshal(map[string]string{"name": name})), "Content-Type", "application/json")
	if err := json.Unmarshal([]byte(said), &made); err != nil || status != 201 || made.Account == "" {
		a.t.Fatalf("%d, %v: %s", status, err, said)
	}
	return made.Account, made.Secret
}

func (a *acting) addUser(name string) {
	a.t.Helper()
	body := string(mustMarshal(map[string]string{"name": name, "password": tablePassword}))
	if status, _, said := a.do("POST", "/api/v1/users", "", body, "Content-Type", "application/json"); status != 201 {
		a.t.Fatalf("%d: %s", status, said)
	}
}

func (a *acting) accountOf(name string) string {
	a.t.Helper()
	var page struct {
		Users []struct{ Name, Account string }
	}
	if err := json.Unmarshal([]byte(a.want(200, "GET", "/api/v1/users")), &page); err != nil {
		a.t.Fatal(err)
	}
	for _, u := range page.Users {
		if u.Name == name {
			return u.Account
		}
	}
	a.t.Fatalf("there is no %s", name)
	return ""
}
