package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/crypto/bcrypt"
)

// userTable: user name → JSON of user.
const userTable = storage.Table("access/user")

// The bounds of a password, in bytes. bcrypt looks at no more than 72, so more would be a false comfort.
const (
	MinPassword = 8
	MaxPassword = 72
)

// The errors of accounts.
var (
	ErrUnknownUser = fault.New(fault.Missing, "there is no such user")
	ErrUserExists  = fault.New(fault.Conflict, "there is such a user already")
	ErrUserName    = fault.New(fault.Invalid, "a user name has 1 to 64 lower-case letters, digits, '.', '_' and '-', and begins with a letter or digit")
	ErrPassword    = fault.Newf(fault.Invalid, "a password has %d to %d bytes", MinPassword, MaxPassword)
)

// A User is an account as it is shown.
type User struct {
	Name    string          `json:"name"`
	Account string          `json:"account"`         // never used again
	Admin   bool            `json:"admin,omitempty"` // of the registry; it follows from the grants, and is not stored
	Created provenance.Time `json:"created"`
	// PasswordSet is when the password was last changed.
	PasswordSet provenance.Time `json:"passwordSet"`
}

// user is an account as it is stored.
type user struct {
	User
	Credential string `json:"credential"` // names the password in records; new with each password
	Hash       string `json:"hash"`       // bcrypt
}

// AddUser makes an account, which has no rights until they are granted; with admin it is given admin on **.
// Errors: ErrUserName, ErrPassword, ErrUserExists.
func (a *Access) AddUser(ctx context.Context, by provenance.Identity, name, password string, admin bool) (User, error) {
	if !validUserName(name) {
		return User{}, ErrUserName
	}
	hash, err := a.hash(password)
	if err != nil {
		return User{}, err
	}
	now := provenance.At(a.now())
	u := user{
		User: User{Name: name, Account: newID(), Created: now, PasswordSet: now}, Hash: hash,
	}
	u.Credential = credentialOf(u.Account, []byte(hash))
	err = a.change(ctx, func(tx storage.Tx) error {
		if err := nameIsFree(tx, name); err != nil {
			return err
		}
		tx.Put(accountTable, []byte(u.Account), []byte("user:"+name))
		if err := u.write(tx); err != nil {
			return err
		}
		added := provenance.RightsChange{Subject: "user:" + name, Account: u.Account, Change: provenance.AccountAdded, Credential: u.Credential}
		if !admin {
			return a.record(tx, by, added)
		}
		_, err := a.editSaying(tx, by, func(d *Document) error {
			d.Grants = append(d.Grants, Grant{Subject{Kind: UserSubject, Name: u.Account}, Everything, Admin})
			return nil
		}, &added)
		return err
	})
	u.Admin = admin
	return u.User, err
}

// SetPassword changes a password. Every login with the former one fails from then on. Errors:
// ErrPassword, ErrUnknownUser.
func (a *Access) SetPassword(ctx context.Context, by provenance.Identity, name, password string) error {
	hash, err := a.hash(password)
	if err != nil {
		return err
	}
	now := provenance.At(a.now())
	return a.store.Update(ctx, func(tx storage.Tx) error {
		u, err := readUser(tx, name)
		if err != nil {
			return err
		}
		u.Hash, u.Credential, u.PasswordSet = hash, credentialOf(u.Account, []byte(hash)), now
		if err := u.write(tx); err != nil {
			return err
		}
		return a.record(tx, by, provenance.RightsChange{Subject: "user:" + name, Account: u.Account, Change: provenance.AccountSecret, Credential: u.Credential})
	})
}

// RenameUser gives an account another name. Its rights and its password stay, and so do its records, under
// the former name and the same account. Errors: ErrUserName, ErrUnknownUser, ErrUserExists, ErrRobotExists.
func (a *Access) RenameUser(ctx context.Context, by provenance.Identity, name, to string) (shown User, err error) {
	if !validUserName(to) {
		return User{}, ErrUserName
	}
	err = a.store.Update(ctx, func(tx storage.Tx) error {
		u, err := readUser(tx, name)
		if err != nil {
			return err
		}
		if err := nameIsFree(tx, to); err != nil {
			return err
		}
		u.Name, shown = to, u.User
		shown.Name = to
		tx.Delete(userTable, []byte(name))
		tx.Put(accountTable, []byte(u.Account), []byte("user:"+to))
		if err := u.write(tx); err != nil {
			return err
		}
		return a.record(tx, by, provenance.RightsChange{Subject: "user:" + to, Account: u.Account, Change: provenance.AccountRenamed, Former: "user:" + name})
	})
	shown.Admin = a.rules.Load().document.admins()[shown.Account]
	return shown, err
}

// RemoveUser removes an account with all that was granted to it. Its name is free again: its records stay
// as they are, and another account of the same name is another one in them, and has none of its rights.
// Errors: ErrUnknownUser, ErrLastAdmin.
func (a *Access) RemoveUser(ctx context.Context, by provenance.Identity, name string) error {
	find := func(tx storage.Reader) (string, error) { u, err := readUser(tx, name); return u.Account, err }
	return a.removeAccount(ctx, by, "user:"+name, ErrUnknownUser, find, func(tx storage.Tx, account string) {
		tx.Delete(userTable, []byte(name))
		tx.Delete(accountTable, []byte(account))
	})
}

// Users returns up to limit accounts in the order of their names, from the one behind after.
func (a *Access) Users(ctx context.Context, after string, limit int) (users []User, err error) {
	admins := a.rules.Load().document.admins()
	err = a.store.View(ctx, func(tx storage.Reader) error {
		users = nil
		for item, err := range tx.Scan(userTable, []byte(after+"\x00"), nil) {
			if err != nil || len(users) == limit {
				return err
			}
			u, err := decodeUser(string(item.Key), item.Value)
			if err != nil {
				return err
			}
			u.Admin = admins[u.Account]
			users = append(users, u.User)
		}
		return nil
	})
	return users, err
}

func (a *Access) user(ctx context.Context, name string) (u user, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		u, err = readUser(tx, name)
		return err
	})
	return u, err
}

// userRow returns an account as it is stored, or nil where there is none.
func (a *Access) userRow(ctx context.Context, name string) (row []byte, err error) {
	if !validUserName(name) {
		return nil, nil
	}
	err = a.look(ctx, []storage.Read{storage.Row(userTable, []byte(name))}, func(tx storage.Reader) error {
		value, err := tx.Get(userTable, []byte(name))
		if errors.Is(err, storage.ErrNotFound) {
			row = nil
			return nil
		}
		row = bytes.Clone(value)
		return err
	})
	return row, err
}

func readUser(tx storage.Reader, name string) (u user, err error) {
	if !validUserName(name) {
		return u, ErrUnknownUser
	}
	value, err := tx.Get(userTable, []byte(name))
	if errors.Is(err, storage.ErrNotFound) {
		return u, ErrUnknownUser
	}
	if err != nil {
		return u, err
	}
	return decodeUser(name, value)
}

func decodeUser(name string, value []byte) (u user, err error) {
	if err := json.Unmarshal(value, &u); err != nil {
		return u, fmt.Errorf("user %s: %w: %w", name, storage.ErrCorrupt, err)
	}
	return u, nil
}

func (u user) write(tx storage.Tx) error {
	value, err := json.Marshal(u)
	if err != nil {
		return err
	}
	tx.Put(userTable, []byte(u.Name), value)
	return nil
}

// CheckPassword says whether a password can be a user's. Error: ErrPassword.
func CheckPassword(password string) error {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return ErrPassword
	}
	return nil
}

// hash hashes a new password, outside of any transaction: it takes long on purpose.
func (a *Access) hash(password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), a.cost)
	return string(hash), err
}

// newID returns an identifier that is never used again.
func newID() string { return strings.ToLower(rand.Text()) }

// NewPassword returns a password that nobody can guess.
func NewPassword() string { return rand.Text() }

// CheckUserName says what is wrong with the name of a new user or robot. Error: ErrUserName.
func CheckUserName(name string) error {
	if !validUserName(name) {
		return ErrUserName
	}
	return nil
}

func validUserName(name string) bool {
	if name == "" || len(name) > 64 || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "-") {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", rune(c)) {
			return false
		}
	}
	return true
}
