package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/crypto/bcrypt"
)

// Check compares the document, the accounts and the sessions with each other, and all of them with the records. It
// reports to bad what does not fit, a [NotOnRecordError] where that is no problem, and returns how many accounts there are, and
// an error when it could not go on.
func (a *Access) Check(ctx context.Context, bad func(error)) (accounts int, err error) {
	if err := a.checkDocument(ctx, bad); err != nil {
		return 0, err
	}
	if err := a.checkRecords(ctx, bad); err != nil {
		return 0, err
	}
	for _, t := range []struct {
		table storage.Table
		row   func(storage.Reader, storage.Item) error
	}{
		{userTable, checkUser},
		{robotTable, checkRobot},
		{accountTable, checkAccount},
		{sessionTable, checkSession},
		{sessionSecret, checkSessionSecret},
		{sessionOf, checkSessionOf},
		{tokenKeyTable, checkStoredKey},
	} {
		err := storage.EachRow(ctx, a.store, t.table, func(tx storage.Reader, item storage.Item) error {
			if t.table == accountTable {
				accounts++
			}
			if err := t.row(tx, item); err != nil {
				bad(err)
			}
			return nil
		})
		if err != nil {
			return accounts, err
		}
	}
	return accounts, nil
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", storage.ErrCorrupt, fmt.Sprintf(format, args...))
}

// checkDocument reports to bad what in the document does not fit.
func (a *Access) checkDocument(ctx context.Context, bad func(error)) error {
	return a.store.View(ctx, func(tx storage.Reader) error {
		d, _, err := inForce(tx)
		if err != nil {
			return err
		}
		if version, err := readVersion(tx); err != nil || version != d.Version {
			bad(errors.Join(err, corruptf("the access document says that it is version %d, and its row %d", d.Version, version)))
		}
		as, tidy := d.clone(), d.clone() // in which nothing is null
		tidy.tidy()
		_, asFound, err := as.encode()
		if _, again, err2 := tidy.encode(); err != nil || err2 != nil || again != asFound {
			bad(errors.Join(err, corruptf("the access document is not in its order")))
		}
		for _, account := range d.accounts() {
			if _, err := readAccount(tx, account); err != nil {
				bad(fmt.Errorf("the access document: %w", err))
			}
		}
		return nil
	})
}

// accounts are all that the document names.
func (d *Document) accounts() (list []string) {
	for _, t := range d.Teams {
		list = append(list, t.Members...)
	}
	for _, g := range d.Grants {
		if g.Subject.hasAccount() {
			list = append(list, g.Subject.Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func checkUser(tx storage.Reader, item storage.Item) error {
	u, err := decodeUser(string(item.Key), item.Value)
	if err != nil {
		return err
	}
	if _, err := bcrypt.Cost([]byte(u.Hash)); err != nil {
		return corruptf("user %s: its password: %v", item.Key, err)
	}
	return checkNamed(tx, "user", string(item.Key), u.Name, u.Account)
}

func checkRobot(tx storage.Reader, item storage.Item) error {
	r, err := decodeRobot(string(item.Key), item.Value)
	if err != nil {
		return err
	}
	if len(r.Hash) != sha256.Size {
		return corruptf("robot %s: the hash of its secret has %d bytes", item.Key, len(r.Hash))
	}
	return checkNamed(tx, "robot", string(item.Key), r.Name, r.Account)
}

// checkNamed wants the account of a user or robot to be known by that name alone.
func checkNamed(tx storage.Reader, kind, key, name, account string) error {
	owner, err := tx.Get(accountTable, []byte(account))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if name != key || string(owner) != kind+":"+key {
		return corruptf("%s %s says that it is %s, and its account %s that it is of %q", kind, key, name, account, owner)
	}
	return nil
}

func checkAccount(tx storage.Reader, item storage.Item) error {
	kind, name, _ := strings.Cut(string(item.Value), ":")
	var account string
	var err error
	switch kind {
	case "user":
		var u user
		u, err = readUser(tx, name)
		account = u.Account
	case "robot":
		var r robot
		r, err = readRobot(tx, name)
		account = r.Account
	}
	if err != nil && !errors.Is(err, ErrUnknownUser) && !errors.Is(err, ErrUnknownRobot) {
		return err
	}
	if account != string(item.Key) {
		return corruptf("account %s is of %s, which has the account %q", item.Key, item.Value, account)
	}
	return nil
}

func checkSession(tx storage.Reader, item storage.Item) error {
	s, err := decodeSession(string(item.Key), item.Value)
	if err != nil {
		return err
	}
	_, err = tx.Get(sessionOf, sessionOfKey(s.Owner.Account, s.ID))
	id := []byte(s.ID)
	if err == nil && len(s.Secret) > 0 {
		id, err = tx.Get(sessionSecret, s.Secret)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if err != nil || s.ID != string(item.Key) || string(id) != s.ID || sessionKind(s.ID) != s.Kind {
		return corruptf("session %s: it, its secret and its owner do not name each other", item.Key)
	}
	return nil
}

func checkSessionSecret(tx storage.Reader, item storage.Item) error {
	s, err := readSession(tx, string(item.Value))
	if errors.Is(err, ErrUnknownSession) || err == nil && !bytes.Equal(s.Secret, item.Key) {
		return corruptf("a secret is of session %s, which has another or is not there", item.Value)
	}
	return err
}

func checkSessionOf(tx storage.Reader, item storage.Item) error {
	account, id, _ := bytes.Cut(item.Key, []byte{0})
	s, err := readSession(tx, string(id))
	if errors.Is(err, ErrUnknownSession) || err == nil && s.Owner.Account != string(account) {
		return corruptf("account %s has a session %s, which is another's or is not there", account, id)
	}
	return err
}
