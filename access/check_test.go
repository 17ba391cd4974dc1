package access

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// problems are what a check finds.
func problems(t *testing.T, a *Access) (found []string, accounts int) {
	t.Helper()
	newest := func(ctx context.Context) (*provenance.Record, error) {
		page, err := a.book.(*provenance.Book).Find(ctx, provenance.Query{Descending: true, Limit: 1})
		if err != nil || len(page.Records) == 0 {
			return nil, err
		}
		return page.Records[0], nil
	}
	accounts, err := a.Check(background, newest, func(err error) { found = append(found, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	return found, accounts
}

// TestCheck damages the rows of accounts, sessions and rights one by one.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(tx storage.Tx, u user, r robot, s Session)
		says   string
	}{
		"nothing":                     {func(storage.Tx, user, robot, Session) {}, ""},
		"a user without account":      {func(tx storage.Tx, u user, _ robot, _ Session) { tx.Delete(accountTable, []byte(u.Account)) }, "user bob says"},
		"a user of another name":      {func(tx storage.Tx, u user, _ robot, _ Session) { u.Name = "bobby"; _ = u.write(tx) }, "user bobby says"},
		"no password":                 {func(tx storage.Tx, u user, _ robot, _ Session) { u.Hash = "x"; _ = u.write(tx) }, "user bob: its password"},
		"a robot without a secret":    {func(tx storage.Tx, _ user, r robot, _ Session) { r.Hash = nil; _ = r.write(tx) }, "robot builder: the hash"},
		"a robot that is gone":        {func(tx storage.Tx, _ user, r robot, _ Session) { tx.Delete(robotTable, []byte(r.Name)) }, "is of robot:builder"},
		"a row that is no user":       {func(tx storage.Tx, _ user, _ robot, _ Session) { tx.Put(userTable, []byte("eve"), []byte("{")) }, "user eve"},
		"an account of nobody":        {func(tx storage.Tx, _ user, _ robot, _ Session) { tx.Put(accountTable, []byte("x"), []byte("team:y")) }, "account x is of team:y"},
		"a session of nobody":         {func(tx storage.Tx, u user, _ robot, s Session) { tx.Delete(sessionOf, sessionOfKey(u.Account, s.ID)) }, "do not name each other"},
		"a session that is gone":      {func(tx storage.Tx, _ user, _ robot, s Session) { tx.Delete(sessionTable, []byte(s.ID)) }, "is another's or is not there"},
		"a secret of another session": {func(tx storage.Tx, _ user, _ robot, s Session) { tx.Put(sessionSecret, []byte("x"), []byte(s.ID)) }, "which has another or is not there"},
		"the version":                 {func(tx storage.Tx, _ user, _ robot, _ Session) { tx.Put(documentTable, versionKey, make([]byte, 8)) }, "its row 0"},
		"rights not on record": {func(tx storage.Tx, u user, _ robot, _ Session) {
			text, err := tx.Get(documentTable, documentKey)
			if err == nil {
				tx.Put(documentTable, documentKey, []byte(strings.Replace(string(text), `"role":"pull"`, `"role":"push"`, 1)))
			}
		}, "the newest record of who may do what"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := testAccess(t)
			bob := addUser(t, a, "bob", false)
			grant(t, a, "user:bob team/** pull")
			if _, _, err := a.AddRobot(background, Operator, "builder", time.Time{}); err != nil {
				t.Fatal(err)
			}
			s, _, err := a.AddToken(background, bob, NewToken{Name: "x", Scopes: Scopes{UpTo(Everything, Pull)}})
			if err != nil {
				t.Fatal(err)
			}
			err = a.store.Update(background, func(tx storage.Tx) error {
				u, err := readUser(tx, "bob")
				if err != nil {
					return err
				}
				r, err := readRobot(tx, "builder")
				if err == nil {
					c.damage(tx, u, r, s)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			found, accounts := problems(t, a)
			if all := strings.Join(found, "\n"); (len(found) > 0) != (c.says != "") || !strings.Contains(all, c.says) || accounts < 2 {
				t.Errorf("%d accounts, found\n%s\nwant %q", accounts, all, c.says)
			}
		})
	}
}
