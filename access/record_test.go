package access

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestAccountsOnRecord wants to read in the records what happened to accounts, by whom, under ids that stay, and
// to which credential a login belongs.
func TestAccountsOnRecord(t *testing.T) {
	a, _ := testAccess(t)
	root := addUser(t, a, "root", true)
	carol := addUser(t, a, "carol", false)
	robot, _, err := a.AddRobot(background, root, "builder", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.RotateRobot(background, root, "builder", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	login, err := a.Identify(request("builder", secret, "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SetPassword(background, carol, "carol", "battery staple"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.RenameUser(background, root, "carol", "caroline"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{a.RemoveRobot(background, root, "builder"), a.RemoveUser(background, root, "caroline")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := a.book.(*provenance.Book).Find(background, provenance.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range page.Records {
		if g := r.Grant; g.Change != "" && (g.Account == carol.Actor.Account || g.Account == robot.Account) {
			got = append(got, strings.TrimSpace(fmt.Sprint(r.Action, " ", g.Change, " ", g.Subject, " by ", r.Actor.Handle, " ", g.Former)))
			if g.Change == provenance.AccountSecret && g.Subject == "robot:builder" && g.Credential != login.Login.Credential {
				t.Errorf("the record names secret %s, and the login %s", g.Credential, login.Login.Credential)
			}
		}
		if sum, version := a.rules.Load().digest, a.rules.Load().document.Version; r.Grant.Version == version && r.Digest != sum {
			t.Errorf("record %d is of document %d, %s; want %s", r.Index, r.Grant.Version, r.Digest, sum)
		}
	}
	want := []string{
		"grant added user:carol by operator", "grant added robot:builder by root", "grant secret robot:builder by root",
		"grant secret user:carol by carol", "grant renamed user:caroline by root user:carol", "revoke removed robot:builder by root",
		"revoke removed user:caroline by root",
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%q, want\n%q", got, want)
	}
}
