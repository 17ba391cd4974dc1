package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

func TestRobots(t *testing.T) {
	a, clock := testAccess(t)
	r, secret, err := a.AddRobot(background, Operator, "builder", clock.Add(90*24*time.Hour))
	if err != nil || !isSecret(secret) {
		t.Fatalf("%q, %v", secret, err)
	}
	grant(t, a, "robot:builder team/** push", "everyone base pull")
	who, err := a.Identify(request("builder", secret, "192.0.2.1:1"))
	if err != nil || who.Actor != (provenance.Actor{Kind: provenance.Robot, Handle: "builder", Account: r.Account}) || who.Login.Credential == "" {
		t.Fatalf("%+v, %v", who, err)
	}
	if !a.May(who, Push, "team/app") || !a.May(who, Pull, "base") || a.May(who, Pull, "other") || a.Administers(who) {
		t.Error("the robot's rights are wrong")
	}
	for name, c := range map[string]struct{ name, secret string }{
		"another secret": {"builder", newSecret()}, "another robot": {"none", secret}, "a user": {"alice", secret},
		"a typo": {"builder", secret[:len(secret)-1] + "!"}, "a password": {"builder", "correct horse"},
	} {
		if _, err := a.Identify(request(c.name, c.secret, "192.0.2.2:1")); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	robots, err := a.Robots(background, "", 10)
	if err != nil || len(robots) != 1 || robots[0].LastUse == nil || robots[0].LastUse.Address != "192.0.2.1" {
		t.Errorf("robots %+v, %v", robots, err)
	}
	if text, _ := json.Marshal(robots); strings.Contains(string(text), secret) || strings.Contains(string(text), "hash") {
		t.Errorf("shown: %s", text)
	}
	_, next, err := a.RotateRobot(background, Operator, "builder", time.Time{})
	if err != nil || next == secret {
		t.Fatal(err)
	}
	if _, err := a.Identify(request("builder", secret, "192.0.2.3:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the former secret: %v", err)
	}
	if err := a.RemoveRobot(background, Operator, "builder"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(request("builder", next, "192.0.2.4:1")); !errors.Is(err, ErrBadLogin) || a.May(who, Pull, "team/app") {
		t.Errorf("a removed robot: %v", err)
	}
}

func TestRobotNames(t *testing.T) {
	a, clock := testAccess(t)
	if _, _, err := a.AddRobot(background, Operator, "alice", time.Time{}); !errors.Is(err, ErrUserExists) {
		t.Errorf("a robot of a user's name: %v", err)
	}
	if _, _, err := a.AddRobot(background, Operator, "builder", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AddUser(background, Operator, "builder", "correct horse", false); !errors.Is(err, ErrRobotExists) {
		t.Errorf("a user of a robot's name: %v", err)
	}
	if _, err := a.RenameUser(background, Operator, "alice", "builder"); !errors.Is(err, ErrRobotExists) {
		t.Errorf("a user renamed to a robot's name: %v", err)
	}
	if _, _, err := a.AddRobot(background, Operator, "../x", time.Time{}); !errors.Is(err, ErrUserName) {
		t.Errorf("a bad name: %v", err)
	}
	if _, _, err := a.AddRobot(background, Operator, "late", clock.Add(-time.Second)); !errors.Is(err, ErrPast) {
		t.Errorf("an expiry in the past: %v", err)
	}
	if _, _, err := a.RotateRobot(background, Operator, "none", time.Time{}); !errors.Is(err, ErrUnknownRobot) {
		t.Errorf("rotate none: %v", err)
	}
}

func TestRobotExpires(t *testing.T) {
	a, clock := testAccess(t)
	_, secret, err := a.AddRobot(background, Operator, "builder", clock.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	*clock = clock.Add(time.Hour - time.Second)
	if _, err := a.Identify(request("builder", secret, "192.0.2.1:1")); err != nil {
		t.Error(err)
	}
	*clock = clock.Add(time.Second)
	if _, err := a.Identify(request("builder", secret, "192.0.2.1:1")); !errors.Is(err, ErrExpired) {
		t.Errorf("an hour later: %v", err)
	}
}

// TestUsesAreWritten wants a last use to survive a restart, without a commit for each login.
func TestUsesAreWritten(t *testing.T) {
	store := testStore(t)
	a := testRoom(t, store, 4)
	_, secret, err := a.AddRobot(background, Operator, "builder", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := a.Identify(request("builder", secret, "192.0.2.1:1")); err != nil {
		t.Fatal(err)
	}
	a.KeepUses(ctx, func(err error) { t.Error(err) })
	robots, err := testRoom(t, store, 4).Robots(background, "", 1)
	if err != nil || robots[0].LastUse == nil || robots[0].LastUse.Address != "192.0.2.1" {
		t.Errorf("%+v, %v", robots, err)
	}
	if err := a.RemoveRobot(background, Operator, "builder"); err != nil {
		t.Fatal(err)
	}
	left := 0
	err = store.View(background, func(tx storage.Reader) error {
		left = 0
		for range tx.Scan(useTable, nil, nil) {
			left++
		}
		return nil
	})
	if err != nil || left != 0 {
		t.Errorf("%d last uses are left, %v", left, err)
	}
}

// takesNothing is a store that takes no changes, as on a full disk.
type takesNothing struct{ storage.Store }

func (takesNothing) Update(context.Context, func(storage.Tx) error) error { return storage.ErrFull }

// TestUseOfSession wants a session to be used where nothing can be written, and to go on as one that is used; and its use to be
// written when it can be.
func TestUseOfSession(t *testing.T) {
	a, clock := testAccess(t)
	refresh := issue(t, a, TokenAsk{Offline: true}).Refresh
	whole := a.store
	a.store = takesNothing{whole}
	for range 3 {
		*clock = clock.Add(loginLasts - time.Hour)
		if _, err := a.Refresh(bearer(""), refresh); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.WriteUses(background); !errors.Is(err, storage.ErrFull) {
		t.Errorf("on a full disk: %v", err)
	}
	u, _ := a.user(background, "alice")
	used := func(a *Access) time.Time {
		t.Helper()
		list, err := a.Sessions(background, u.Account, LoginSession, "", 10)
		if err != nil || len(list) != 1 || list[0].Used == nil || !list[0].Expires.Equal(clock.Add(loginLasts)) {
			t.Fatalf("%+v, %v", list, err)
		}
		return list[0].Used.Time
	}
	if got := used(a); !got.Equal(*clock) {
		t.Errorf("used at %v", got)
	}
	a.store = whole
	if err := a.WriteUses(background); err != nil {
		t.Fatal(err)
	}
	other := testRoom(t, whole, 4)
	other.now = a.now
	if got := used(other); !got.Equal(*clock) {
		t.Errorf("after a restart, used at %v", got)
	}
	*clock = clock.Add(loginLasts)
	if _, err := a.Refresh(bearer(""), refresh); !errors.Is(err, ErrBadLogin) {
		t.Errorf("nobody used it for long: %v", err)
	}
}

func TestTeams(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	if err := a.AddTeam(background, Operator, "core"); err != nil {
		t.Fatal(err)
	}
	if err := a.AddTeam(background, Operator, "core"); !errors.Is(err, ErrTeamExists) {
		t.Errorf("core again: %v", err)
	}
	grant(t, a, "team:core team/** push")
	if a.May(bob, Pull, "team/app") {
		t.Error("bob may pull before he joins")
	}
	if err := a.JoinTeam(background, Operator, "core", []string{"bob", "alice", "bob"}); err != nil || !a.May(bob, Push, "team/app") {
		t.Errorf("bob joined: %v", err)
	}
	if teams, err := a.Teams(background, "", 10); err != nil || len(teams) != 1 || !slices.Equal(teams[0].Members, []string{"alice", "bob"}) {
		t.Errorf("%+v, %v", teams, err)
	}
	for name, err := range map[string]error{
		"unknown user":      a.JoinTeam(background, Operator, "core", []string{"bob", "nobody"}),
		"unknown team":      a.JoinTeam(background, Operator, "none", []string{"bob"}),
		"remove none":       a.RemoveTeam(background, Operator, "none"),
		"leave of nobody":   a.LeaveTeam(background, Operator, "core", []string{"nobody"}),
		"leave of stranger": a.LeaveTeam(background, Operator, "core", []string{"alice", "alice"}),
	} {
		if !errors.Is(err, ErrUnknownUser) && !errors.Is(err, ErrUnknownTeam) && !errors.Is(err, ErrNotMember) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := a.LeaveTeam(background, Operator, "core", []string{"bob"}); err != nil || a.May(bob, Pull, "team/app") {
		t.Errorf("bob left: %v", err)
	}
	if err := a.RemoveTeam(background, Operator, "core"); err != nil || len(a.rules.Load().document.Grants) != 0 {
		t.Errorf("core removed: %v", err)
	}
	wantActions(t, a, "grant core", "grant team:core push", "grant core user:alice", "grant core user:bob", "revoke core user:bob",
		"revoke core", "revoke core user:alice", "revoke team:core push")
}

// wantActions compares the records of rights, not those of accounts, each as its action, team, subject and role.
func wantActions(t *testing.T, a *Access, want ...string) {
	t.Helper()
	page, err := a.book.(*provenance.Book).Find(background, provenance.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range page.Records {
		if r.Grant.Change != "" {
			continue
		}
		got = append(got, strings.Join(strings.Fields(fmt.Sprint(r.Action, " ", r.Grant.Team, " ", r.Grant.Subject, " ", r.Grant.Role)), " "))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%q, want\n%q", got, want)
	}
}

func TestRename(t *testing.T) {
	a, _ := testAccess(t)
	addUser(t, a, "root", true)
	grant(t, a, "user:alice team/** push")
	before, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.RenameUser(background, Operator, "alice", "carol")
	if err != nil || u.Name != "carol" || u.Account != before.Actor.Account {
		t.Fatalf("%+v, %v", u, err)
	}
	after, err := a.Identify(request("carol", "correct horse", "192.0.2.1:1"))
	if err != nil || after.Actor.Handle != "carol" || !a.May(after, Push, "team/app") {
		t.Errorf("%+v, %v", after.Actor, err)
	}
	if _, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the former name: %v", err)
	}
	next := addUser(t, a, "alice", false)
	if a.May(next, Pull, "team/app") {
		t.Error("the next alice has the rights of the former")
	}
	grants, err := a.Grants(background, Operator, GrantQuery{Repository: "team/app", Subjects: []string{"user:carol"}})
	if err != nil || len(grants) != 1 || grants[0].String() != "user:carol team/** push" {
		t.Errorf("%v, %v", grants, err)
	}
	if _, err := a.RenameUser(background, Operator, "carol", "alice"); !errors.Is(err, ErrUserExists) {
		t.Errorf("to a name in use: %v", err)
	}
	if _, err := a.RenameUser(background, Operator, "nobody", "x"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("of nobody: %v", err)
	}
}

// TestGrantsShown wants everyone to see their own grants, and those that they administrate.
func TestGrantsShown(t *testing.T) {
	a, _ := testAccess(t)
	root, bob := addUser(t, a, "root", true), addUser(t, a, "bob", false)
	account, err := a.user(background, "alice")
	if err != nil {
		t.Fatal(err)
	}
	alice := identityOf(account.User)
	with := func(who provenance.Identity, c provenance.Ceiling) provenance.Identity {
		who.Ceiling = c
		return who
	}
	grant(t, a, "user:alice team/** push", "user:alice secret pull", "user:bob team/app admin", "everyone base pull", "user:alice team/app pull")
	for name, c := range map[string]struct {
		who  provenance.Identity
		want int
	}{
		"root": {root, 6}, "bob": {bob, 3}, "a stranger": {stranger, 0},
		"a token of alice's for team/app": {with(alice, Scopes{UpTo(mustPattern(t, "team/app"), Pull)}), 2},
		"one for a part of team":          {with(alice, Scopes{UpTo(mustPattern(t, "team/a*"), Pull)}), 2},
		"one for nothing of hers":         {with(alice, Scopes{UpTo(mustPattern(t, "other/**"), Admin)}), 0},
		"one for everything":              {with(alice, Scopes{UpTo(mustPattern(t, "**"), Pull)}), 4},
		"one for a request to base":       {with(alice, &tokenScopes{repositories: []repositoryScope{{"base", []string{"pull"}}}}), 1},
		"one got with a narrow one":       {with(alice, &tokenScopes{all: true, under: Scopes{UpTo(mustPattern(t, "secret"), Pull)}}), 1},
	} {
		grants, err := a.Grants(background, c.who, GrantQuery{})
		if err != nil || len(grants) != c.want {
			t.Errorf("%s sees %v, %v", name, grants, err)
		}
	}
}

func TestApply(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	addUser(t, a, "root", true)
	grant(t, a, "user:bob old/** push")
	f, _, err := a.Export(background)
	if err != nil || len(f.Grants) != 2 || f.Version != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	same, version, err := a.Apply(background, Operator, f, false)
	if err != nil || len(same) != 0 || version != 2 {
		t.Errorf("the same again: %v at %d, %v", same, version, err)
	}
	f.Teams["core"] = []string{"bob", "alice"}
	f.Grants = append(f.Grants[1:], testGrant(t, "team:core team/** push"))
	glob, err := ParseGlob("v*")
	if err != nil {
		t.Fatal(err)
	}
	f.Immutable = []FixedTags{{Repositories: mustPattern(t, "team/**"), Tags: glob}}
	want := []string{"core", "core user:alice", "core user:bob", "team:core push", "user:bob push", "everyone"}
	list, version, err := a.Apply(background, Operator, f, true)
	if err != nil || len(list) != len(want) || version != 2 || a.May(bob, Pull, "team/app") {
		t.Errorf("dry run: %+v at %d, %v", list, version, err)
	}
	list, version, err = a.Apply(background, Operator, f, false)
	if err != nil || len(list) != len(want) || version != 3 || !a.May(bob, Push, "team/app") || a.May(bob, Pull, "old/x") {
		t.Errorf("applied: %+v at %d, %v", list, version, err)
	}
	if _, _, err := a.Apply(background, Operator, f, false); !errors.Is(err, ErrChanged) {
		t.Errorf("a file of a former version: %v", err)
	}
	f.Version = 0
	for at, spoil := range map[string]func(*File){
		"teams.core": func(f *File) { f.Teams = map[string][]string{"core": {"nobody"}} },
		"grants[0]":  func(f *File) { f.Grants = []Grant{testGrant(t, "user:nobody x pull")} },
		"grants[1]":  func(f *File) { f.Grants = append(f.Grants[:1:1], testGrant(t, "anonymous x push")) },
	} {
		bad := f
		spoil(&bad)
		var entry *EntryError
		if _, _, err := a.Apply(background, Operator, bad, false); !errors.As(err, &entry) || entry.At != at {
			t.Errorf("%s: %v", at, err)
		}
	}
	f.Grants = f.Grants[1:]
	if _, _, err := a.Apply(background, Operator, f, false); !errors.Is(err, ErrLastAdmin) {
		t.Errorf("without an administrator: %v", err)
	}
	for tag, want := range map[string]bool{"v1": true, "latest": false} {
		err := a.store.View(background, func(tx storage.Reader) error {
			rule, err := a.Fixed(tx, "team/app", tag)
			if (rule != "") != want {
				t.Errorf("%s: rule %q", tag, rule)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkIdentifyRobot signs in with a robot's secret, as each request of a machine does.
func BenchmarkIdentifyRobot(b *testing.B) {
	a, _ := testAccess(b)
	_, secret, err := a.AddRobot(background, Operator, "builder", time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	r := request("builder", secret, "192.0.2.1:1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Identify(r); err != nil {
			b.Fatal(err)
		}
	}
}
