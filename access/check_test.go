package access

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// problems are what a check finds.
func problems(t *testing.T, a *Access) (found []string, accounts int) {
	t.Helper()
	accounts, err := a.Check(background, func(err error) { found = append(found, err.Error()) })
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
		"a right that nobody gave": {func(tx storage.Tx, u user, _ robot, _ Session) {
			text, err := tx.Get(documentTable, documentKey)
			if err == nil {
				tx.Put(documentTable, documentKey, []byte(strings.Replace(string(text), `"role":"pull"`, `"role":"push"`, 1)))
			}
		}, "by the access document: push for user:"},
		"a right that was taken": {func(tx storage.Tx, u user, _ robot, _ Session) {
			tx.Delete(documentTable, documentKey)
			tx.Delete(documentTable, versionKey)
		}, "pull for user:bob on team/**; by the access document not"},
		"another password": {func(tx storage.Tx, u user, _ robot, _ Session) {
			u.Hash = "$2a$04$94HRlI3f8qSv5OTXuVBS0utUuz.VybRjhG/hputoIDVr6gcec0h4a"
			_ = u.write(tx)
		}, "the password of user:bob is not the one that it says"},
		"another password, under its own id": {func(tx storage.Tx, u user, _ robot, _ Session) {
			u.Hash = "$2a$04$94HRlI3f8qSv5OTXuVBS0utUuz.VybRjhG/hputoIDVr6gcec0h4a"
			u.Credential = credentialOf(u.Account, []byte(u.Hash))
			_ = u.write(tx)
		}, "user:bob has the password or secret s-"},
		"another password, under an id of before": {func(tx storage.Tx, u user, _ robot, _ Session) {
			u.Hash, u.Credential = "$2a$04$94HRlI3f8qSv5OTXuVBS0utUuz.VybRjhG/hputoIDVr6gcec0h4a", "abc"
			_ = u.write(tx)
		}, "user:bob has the password or secret abc; by record"},
		"another secret": {func(tx storage.Tx, _ user, r robot, _ Session) { r.Hash[0]++; _ = r.write(tx) }, "the secret of robot:builder, or when it ends, is not"},
		"a secret that ends": {func(tx storage.Tx, _ user, r robot, _ Session) {
			r.Expires = new(provenance.At(time.Unix(1, 0)))
			r.Credential = credentialOf(r.Account, r.limited())
			_ = r.write(tx)
		}, "robot:builder"},
		"an account that nobody made": {func(tx storage.Tx, u user, _ robot, _ Session) {
			u.Name, u.Account = "eve", "x"
			_ = u.write(tx)
			tx.Put(accountTable, []byte("x"), []byte("user:eve"))
		}, "user:eve has the account x; by the records nobody has"},
		"an account that is gone": {func(tx storage.Tx, u user, _ robot, s Session) {
			tx.Delete(userTable, []byte("bob"))
			tx.Delete(accountTable, []byte(u.Account))
		}, "user:bob is not there; by record "},
		"a token that nobody made": {func(tx storage.Tx, u user, _ robot, s Session) {
			other := session{Session: s, Secret: []byte("another secret")}
			other.ID = "token-x"
			_ = other.begin(tx)
		}, "user:bob has the token token-x; by the records nobody made it"},
		"a token with another secret": {func(tx storage.Tx, u user, _ robot, s Session) {
			other, err := readSession(tx, s.ID)
			if err != nil {
				return
			}
			other.remove(tx)
			other.Secret = []byte("another secret")
			_ = other.begin(tx)
		}, "is not the one that account"},
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

// TestUnseenRights writes a grant into the document past the registry: nobody signs it with the next change.
func TestUnseenRights(t *testing.T) {
	a, _ := testAccess(t)
	grant(t, a, "everyone team/** pull")
	forge := func(from, to string) {
		t.Helper()
		err := a.store.Update(background, func(tx storage.Tx) error {
			text, err := tx.Get(documentTable, documentKey)
			if err == nil {
				tx.Put(documentTable, documentKey, []byte(strings.Replace(string(text), from, to, 1)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	forge(`"role":"pull"`, `"role":"push"`)
	for what, change := range map[string]func() error{
		"a team":     func() error { return a.AddTeam(background, Operator, "core") },
		"a grant":    func() error { _, err := a.Grant(background, Operator, testGrant(t, "everyone other pull")); return err },
		"an account": func() error { _, err := a.AddUser(background, Operator, "carol", "a long password", false); return err },
	} {
		if err := change(); !errors.Is(err, provenance.ErrNotGranted) {
			t.Errorf("%s: %v", what, err)
		}
	}
	forge(`"role":"push"`, `"role":"pull"`)
	if _, err := a.Grant(background, Operator, testGrant(t, "everyone other pull")); err != nil {
		t.Errorf("put back: %v", err)
	}
}
