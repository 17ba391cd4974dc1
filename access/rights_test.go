package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/crypto/bcrypt"
)

// testGrant reads SUBJECT PATTERN ROLE.
func testGrant(t testing.TB, s string) Grant {
	t.Helper()
	f := strings.Fields(s)
	role, err := ParseRight(f[2])
	if err != nil {
		t.Fatal(err)
	}
	return Grant{mustSubject(t, f[0]), mustPattern(t, f[1]), role}
}

func grant(t testing.TB, a *Access, grants ...string) {
	t.Helper()
	for _, g := range grants {
		if isNew, err := a.Grant(background, Operator, testGrant(t, g)); err != nil || !isNew {
			t.Fatalf("grant %s: %v, %v", g, isNew, err)
		}
	}
}

// addUser makes a user and returns who that is once signed in.
func addUser(t testing.TB, a *Access, name string, admin bool) provenance.Identity {
	t.Helper()
	u, err := a.AddUser(background, Operator, name, "correct horse", admin)
	if err != nil {
		t.Fatal(err)
	}
	return identityOf(u)
}

func identityOf(u User) provenance.Identity {
	return provenance.Identity{
		Actor: provenance.Actor{Kind: provenance.User, Handle: u.Name, Account: u.Account},
		Login: &provenance.Login{Method: "basic"},
	}
}

func TestDenyByDefault(t *testing.T) {
	a, _ := testAccess(t)
	root, bob := addUser(t, a, "root", true), addUser(t, a, "bob", false)
	for _, right := range []Right{Pull, Push, Delete, Admin} {
		if !a.May(root, right, "team/app") || !a.May(Operator, right, "team/app") {
			t.Errorf("an administrator may not %s", right)
		}
		for name, who := range map[string]provenance.Identity{
			"bob": bob, "a stranger": stranger, "nothing": {}, "a CI job": {Actor: provenance.Actor{Kind: provenance.CI}},
			"a removed root": identityOf(User{Name: "root", Account: "former"}),
		} {
			if a.May(who, right, "team/app") {
				t.Errorf("%s may %s", name, right)
			}
		}
	}
	if !a.Administers(root) || !a.Administers(Operator) || a.Administers(bob) || a.Administers(stranger) {
		t.Error("the wrong ones administrate")
	}
}

func TestRoles(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	grant(t, a, "user:bob team/** push", "everyone base/* pull", "anonymous open/app pull", "user:bob team/app delete", "user:bob own/** admin")
	job := provenance.Identity{Actor: provenance.Actor{Kind: provenance.CI}, Login: &provenance.Login{Issuer: github, Claims: map[string]string{"repository_id": "42"}}}
	grant(t, a, "ci:"+github+":repository_id=42 team/app push")
	machine := provenance.Identity{Actor: provenance.Actor{Kind: provenance.Robot, Account: "r"}}
	for _, c := range []struct {
		who  provenance.Identity
		repo string
		want Right
	}{
		{bob, "team/x", Push},
		{bob, "team/app", Delete},
		{bob, "base/x", Pull},
		{bob, "own/x", Admin},
		{bob, "open/app", Pull},
		{bob, "other", 0},
		{job, "team/app", Push},
		{job, "team/x", 0},
		{job, "base/x", 0},
		{job, "open/app", Pull},
		{machine, "base/x", Pull},
		{machine, "team/app", 0},
		{stranger, "open/app", Pull},
		{stranger, "base/x", 0},
	} {
		for right := Pull; right <= Admin; right++ {
			if got := a.May(c.who, right, c.repo); got != (right <= c.want) {
				t.Errorf("%s may %s %s: %v", c.who.Actor.Kind, right, c.repo, got)
			}
		}
	}
	if got := a.Prefixes(bob); !slices.Equal(got, []string{"base/", "open/app", "own/", "team/"}) {
		t.Errorf("prefixes %q", got)
	}
	if got := a.Prefixes(stranger); !slices.Equal(got, []string{"open/app"}) {
		t.Errorf("prefixes of strangers %q", got)
	}
}

func TestCeiling(t *testing.T) {
	a, _ := testAccess(t)
	root := addUser(t, a, "root", true)
	root.Ceiling = Scopes{UpTo(mustPattern(t, "team/**"), Push), {mustPattern(t, "old/*"), []Right{Delete}}}
	for repo, want := range map[string][]Right{"team/app": {Pull, Push}, "old/x": {Delete}, "other": nil} {
		for right := Pull; right <= Admin; right++ {
			if got := a.May(root, right, repo); got != slices.Contains(want, right) {
				t.Errorf("%s %s: %v", right, repo, got)
			}
		}
	}
	if a.Administers(root) {
		t.Error("a narrow token administrates")
	}
	root.Ceiling = Scopes{UpTo(mustPattern(t, "team/**"), Admin)}
	if a.Administers(root) || !a.AdministersAll(root, "team/x/*") || a.AdministersAll(root, "te*") {
		t.Error("a token administrates something else than its scope")
	}
	root.Ceiling = Scopes{}
	if a.May(root, Pull, "team/app") {
		t.Error("a token without scopes may pull")
	}
	narrow := addUser(t, a, "narrow", false)
	narrow.Ceiling = Scopes{UpTo(Everything, Admin)}
	if a.May(narrow, Pull, "team/app") || a.Administers(narrow) {
		t.Error("a ceiling gives rights")
	}
}

// TestPatternAdmin lets who administrates a pattern grant within it, and nowhere else.
func TestPatternAdmin(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	addUser(t, a, "root", true)
	grant(t, a, "user:bob team/** admin")
	for g, want := range map[string]error{
		"user:alice team/app push":  nil,
		"user:alice team/** admin":  nil,
		"everyone team/*/x pull":    nil,
		"user:alice ** pull":        ErrNotAdmin,
		"user:alice team push":      ErrNotAdmin,
		"user:bob ** admin":         ErrNotAdmin,
		"user:alice *eam/app push":  ErrNotAdmin,
		"user:nobody team/app pull": ErrUnknownUser,
		"team:none team/app pull":   ErrUnknownTeam,
		"robot:none team/app pull":  ErrUnknownRobot,
		"anonymous team/app push":   ErrTooHigh,
		"everyone team/app admin":   ErrTooHigh,
	} {
		if _, err := a.Grant(background, bob, testGrant(t, g)); !errors.Is(err, want) {
			t.Errorf("grant %s: %v", g, err)
		}
	}
	for g, want := range map[string]error{
		"user:alice team/app push": nil,
		"user:alice team/app pull": ErrUnknownGrant,
		"user:root ** admin":       ErrNotAdmin,
	} {
		if err := a.Revoke(background, bob, testGrant(t, g)); !errors.Is(err, want) {
			t.Errorf("revoke %s: %v", g, err)
		}
	}
}

func TestLastAdmin(t *testing.T) {
	a, _ := testAccess(t)
	addUser(t, a, "root", true)
	if err := a.Revoke(background, Operator, testGrant(t, "user:root ** admin")); !errors.Is(err, ErrLastAdmin) {
		t.Errorf("the last administrator's right: %v", err)
	}
	if err := a.RemoveUser(background, Operator, "root"); !errors.Is(err, ErrLastAdmin) {
		t.Errorf("the last administrator: %v", err)
	}
	if _, err := a.user(background, "root"); err != nil {
		t.Errorf("what was refused left something behind: %v", err)
	}
	grant(t, a, "user:alice ** admin")
	if err := a.RemoveUser(background, Operator, "root"); err != nil {
		t.Errorf("the last but one: %v", err)
	}
}

// TestMadeAgain removes a user and makes another of the same name.
func TestMadeAgain(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	grant(t, a, "user:bob team/** push")
	if err := a.RemoveUser(background, Operator, "bob"); err != nil {
		t.Fatal(err)
	}
	next := addUser(t, a, "bob", false)
	if a.May(bob, Pull, "team/app") || a.May(next, Pull, "team/app") {
		t.Error("a removed user's rights live on")
	}
	if n := len(a.rules.Load().document.Grants); n != 0 {
		t.Errorf("%d grants are left", n)
	}
}

// TestRecords wants a record of each change, with the digest of the document that it led to.
func TestRecords(t *testing.T) {
	store := testStore(t)
	a := testRoom(t, store, bcrypt.MinCost)
	root := addUser(t, a, "root", true)
	g := testGrant(t, "user:root team/** push")
	if _, err := a.Grant(background, root, g); err != nil {
		t.Fatal(err)
	}
	if isNew, err := a.Grant(background, root, g); err != nil || isNew {
		t.Errorf("the same again: %v, %v", isNew, err)
	}
	text, sum, err := a.rules.Load().document.encode()
	if err != nil || sum != digest.FromBytes(text) || sum != a.rules.Load().digest {
		t.Errorf("digest %s of %s, in force %s, %v", sum, text, a.rules.Load().digest, err)
	}
	if err := a.Revoke(background, root, g); err != nil {
		t.Fatal(err)
	}
	page, err := a.book.(*provenance.Book).Find(background, provenance.Query{})
	if err != nil || len(page.Records) != 3 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
	for i, want := range []struct {
		action provenance.Action
		by     string
		change provenance.RightsChange
	}{
		{provenance.Grant, "operator", provenance.RightsChange{Subject: "user:root", Account: root.Actor.Account, Pattern: "**", Role: "admin", Version: 1, Change: provenance.AccountAdded, Credential: page.Records[0].Grant.Credential}},
		{provenance.Grant, "root", provenance.RightsChange{Subject: "user:root", Account: root.Actor.Account, Pattern: "team/**", Role: "push", Version: 2}},
		{provenance.Revoke, "root", provenance.RightsChange{Subject: "user:root", Account: root.Actor.Account, Pattern: "team/**", Role: "push", Version: 3}},
	} {
		r := page.Records[i]
		if r.Action != want.action || r.Actor.Handle != want.by || fmt.Sprint(*r.Grant) != fmt.Sprint(want.change) || r.Repository != "" || r.PURL != "" {
			t.Errorf("record %d: %+v %+v", i, r, r.Grant)
		}
	}
	if page.Records[1].Digest != sum {
		t.Errorf("record 1 has digest %s, the document had %s", page.Records[1].Digest, sum)
	}
	hidden, err := a.book.(*provenance.Book).Find(background, provenance.Query{
		Visible:     func(string) bool { return true },
		Administers: func(pattern string) bool { return pattern == "team/**" },
	})
	if err != nil || len(hidden.Records) != 2 {
		t.Errorf("an administrator of team/** sees %d records, %v", len(hidden.Records), err)
	}
	again := testRoom(t, store, bcrypt.MinCost)
	if !again.Administers(root) || again.May(stranger, Pull, "x") {
		t.Error("a restart changed the rights")
	}
}

// TestFailsWhole wants a change that cannot be recorded not to happen.
func TestFailsWhole(t *testing.T) {
	a, _ := testAccess(t)
	a.book = failingBook{}
	if _, err := a.Grant(background, Operator, testGrant(t, "everyone ** pull")); !errors.Is(err, errFailing) {
		t.Errorf("%v", err)
	}
	if _, err := a.AddUser(background, Operator, "root", "correct horse", true); !errors.Is(err, errFailing) {
		t.Errorf("%v", err)
	}
	if _, err := a.user(background, "root"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("root: %v", err)
	}
	if len(a.rules.Load().document.Grants) != 0 {
		t.Error("what was not recorded is in force")
	}
}

var errFailing = errors.New("no room")

type failingBook struct{ Recorder }

func (failingBook) RightsOnRecord(storage.Reader, uint64, digest.Digest) error { return nil }

func (failingBook) Append(storage.Tx, provenance.Event) (*provenance.Record, error) {
	return nil, errFailing
}

// TestAdopt opens a store from before there were grants.
func TestAdopt(t *testing.T) {
	store := testStore(t)
	rows := map[string]string{
		"admin": `{"name":"admin","account":"aaa","admin":true,"hash":"x"}`,
		"bob":   `{"name":"bob","account":"bbb","hash":"x"}`,
	}
	err := store.Update(background, func(tx storage.Tx) error {
		for name, row := range rows {
			tx.Put(userTable, []byte(name), []byte(row))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a := testRoom(t, store, bcrypt.MinCost)
	if a.Administers(identityOf(User{Account: "aaa"})) || a.rules.Load().document.Version != 0 {
		t.Fatal("a start made an administrator of a mark in a row")
	}
	accounts, granted, err := a.Adopt(background, Operator)
	if err != nil || accounts != 2 || len(granted) != 1 || granted[0].Account != "aaa" {
		t.Fatalf("adopted %d, %+v, %v", accounts, granted, err)
	}
	for range 2 {
		if !a.Administers(identityOf(User{Account: "aaa"})) || a.May(identityOf(User{Account: "bbb"}), Pull, "x") {
			t.Error("the wrong one is administrator")
		}
		if v := a.rules.Load().document.Version; v != 1 {
			t.Errorf("version %d", v)
		}
		if _, _, err := a.Adopt(background, Operator); !errors.Is(err, ErrAdopted) {
			t.Errorf("adopted again: %v", err)
		}
		a = testRoom(t, store, bcrypt.MinCost)
	}
}

// TestAdoptNoForgery takes the document out of a store, and marks somebody as administrator.
func TestAdoptNoForgery(t *testing.T) {
	a, _ := testAccess(t)
	mallory := addUser(t, a, "mallory", false)
	grant(t, a, "user:mallory team/** pull")
	err := a.store.Update(background, func(tx storage.Tx) error {
		tx.Delete(documentTable, documentKey)
		tx.Delete(documentTable, versionKey)
		tx.Delete(accountTable, []byte(mallory.Actor.Account))
		row, err := tx.Get(userTable, []byte("mallory"))
		if err != nil {
			return err
		}
		tx.Put(userTable, []byte("mallory"), bytes.Replace(row, []byte("{"), []byte(`{"admin":true,`), 1))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a = testRoom(t, a.store, bcrypt.MinCost)
	if a.Administers(mallory) {
		t.Fatal("a start made an administrator")
	}
	if _, _, err := a.Adopt(background, Operator); !errors.Is(err, ErrAdopted) || a.Administers(mallory) {
		t.Errorf("adopted by hand, with rights on record: %v", err)
	}
}

// TestInForceAtOnce changes rights while others ask for them.
func TestInForceAtOnce(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				a.May(bob, Pull, "team/app")
			}
		})
	}
	for range 20 {
		grant(t, a, "user:bob team/** push")
		if !a.May(bob, Push, "team/app") {
			t.Error("a grant is not in force")
		}
		if err := a.Revoke(background, Operator, testGrant(t, "user:bob team/** push")); err != nil || a.May(bob, Pull, "team/app") {
			t.Errorf("a right is in force that was revoked; %v", err)
		}
	}
	cancel()
	group.Wait()
}

func TestDocumentIsCanonical(t *testing.T) {
	one := &Document{
		Teams:  []Team{{"b", []string{"y", "x", "x"}}, {"a", nil}},
		Grants: []Grant{testGrant(t, "everyone b pull"), testGrant(t, "everyone a push"), testGrant(t, "everyone a push")},
	}
	other := &Document{
		Teams:  []Team{{"a", []string{}}, {"b", []string{"x", "y"}}},
		Grants: []Grant{testGrant(t, "everyone a push"), testGrant(t, "everyone b pull")},
	}
	one, other = one.clone(), other.clone()
	one.tidy()
	other.tidy()
	text, sum, err := one.encode()
	_, sum2, err2 := other.encode()
	const want = `{"version":0,"teams":[{"name":"a","members":[]},{"name":"b","members":["x","y"]}],` +
		`"grants":[{"subject":"everyone","pattern":"a","role":"push"},{"subject":"everyone","pattern":"b","role":"pull"}],"immutable":[]}`
	if err := errors.Join(err, err2); err != nil || string(text) != want || sum != sum2 {
		t.Errorf("%s, %v", text, err)
	}
}

func TestDocumentBounds(t *testing.T) {
	d := (&Document{}).clone()
	for i := range maxGrants + 1 {
		d.Grants = append(d.Grants, Grant{Subject{Kind: EveryoneSubject}, Pattern{compileGlob(fmt.Sprint("r", i))}, Pull})
	}
	if err := d.check(); !errors.Is(err, ErrTooMuch) {
		t.Errorf("%d grants: %v", len(d.Grants), err)
	}
}

// BenchmarkMay asks for the right of a user with 100 grants among 10,000.
func BenchmarkMay(b *testing.B) {
	d := (&Document{}).clone()
	for i := range 10_000 {
		d.Grants = append(d.Grants, Grant{Subject{Kind: UserSubject, Name: fmt.Sprint("u", i%100)}, Pattern{compileGlob(fmt.Sprintf("team%d/**", i))}, Push})
	}
	r := compile(d, "", nil)
	who := identityOf(User{Account: "u7"})
	b.ReportAllocs()
	for b.Loop() {
		if !r.may(who, Pull, "team9907/app") {
			b.Fatal("no")
		}
	}
}

func TestFixedTags(t *testing.T) {
	glob := func(s string) Glob {
		g, err := ParseGlob(s)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	d := (&Document{}).clone()
	d.Fixed = []FixedTags{{mustPattern(t, "team/**"), glob("v*"), []Glob{glob("*-dev")}}}
	r := compile(d, "", nil)
	for ref, want := range map[string]bool{"team/app:v1": true, "team/app:v1-dev": false, "team/app:latest": false, "other:v1": false} {
		repo, tag, _ := strings.Cut(ref, ":")
		if got := r.fixed(repo, tag) != nil; got != want {
			t.Errorf("%s is fixed: %v", ref, got)
		}
	}
}
