package access

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/crypto/bcrypt"
)

// TestBaseline takes over a store with an account and a token from before such were on record: they are listed, then found,
// once; whatever is put there later is a fault.
func TestBaseline(t *testing.T) {
	a := testRoom(t, testStore(t), bcrypt.MinCost)
	err := a.store.Update(background, func(tx storage.Tx) error { // a record as older versions made them
		_, err := a.book.Append(tx, provenance.Event{Action: provenance.Push, Repository: "old/app", Digest: digest.FromString("x")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const hash = "$2a$04$94HRlI3f8qSv5OTXuVBS0utUuz.VybRjhG/hputoIDVr6gcec0h4a"
	put := func(name, account, hash string) {
		t.Helper()
		err := a.store.Update(background, func(tx storage.Tx) error {
			tx.Put(accountTable, []byte(account), []byte("user:"+name))
			return user{User: User{Name: name, Account: account}, Credential: "abc", Hash: hash}.write(tx)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("old", "x1", hash)
	err = a.store.Update(background, func(tx storage.Tx) error {
		s := session{Session: Session{ID: "token-old", Kind: TokenSession, Owner: provenance.Actor{Kind: provenance.User, Handle: "old", Account: "x1"}}, Secret: []byte("secret")}
		return s.begin(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := problems(t, a); len(found) != 2 || !strings.Contains(found[0], "user:old has the account x1; by the records nobody has") {
		t.Errorf("in a store of this version: %q", found)
	}
	if err := provenance.MarkChained(background, a.store); err != nil {
		t.Fatal(err)
	}
	addUser(t, a, "root", true)
	if found, _ := problems(t, a); len(found) != 2 || found[0] != "user:old, account x1: not on record" || found[1] != "token-old of user:old: not on record" {
		t.Errorf("before: %q", found)
	}
	r, err := a.Baseline(background, Operator)
	if err != nil || r.Action != provenance.Baseline || len(r.Baseline) != 2 || r.Baseline[0].Count != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if found, _ := problems(t, a); len(found) != 0 {
		t.Errorf("afterwards: %q", found)
	}
	if _, err := a.Baseline(background, Operator); !errors.Is(err, ErrAdopted) {
		t.Errorf("again: %v", err)
	}
	put("old", "x1", strings.Replace(hash, "94HR", "94HS", 1))
	if found, _ := problems(t, a); len(found) != 1 || !strings.Contains(found[0], "user:old, account x1: no record and no baseline explains it") {
		t.Errorf("with another password: %q", found)
	}
	if err := a.SetPassword(background, Operator, "old", "another password"); err != nil {
		t.Fatal(err)
	}
	put("later", "x2", hash)
	if found, _ := problems(t, a); len(found) != 1 || !strings.Contains(found[0], "user:later, account x2: no record") {
		t.Errorf("with another account: %q", found)
	}
	err = a.store.Update(background, func(tx storage.Tx) error {
		tx.Put(baselineTable, baselineKey, []byte("[]"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := problems(t, a); !strings.Contains(strings.Join(found, "\n"), "the list of what was found is not the one of record") {
		t.Errorf("with another list: %q", found)
	}
}

// TestBaselineBlind loses a record: what is on record cannot be told then, and is not said to be everything.
func TestBaselineBlind(t *testing.T) {
	a, _ := testAccess(t)
	addUser(t, a, "root", true)
	err := a.store.Update(background, func(tx storage.Tx) error {
		tx.Delete("provenance/record", make([]byte, 8))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Baseline(background, Operator); !errors.Is(err, storage.ErrCorrupt) || errors.Is(err, ErrAdopted) {
		t.Errorf("with a record lost: %v", err)
	}
}
