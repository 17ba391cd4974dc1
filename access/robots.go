package access

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// robotTable: robot name → JSON of robot. Users and robots share their names, because both sign in by them.
const robotTable = storage.Table("access/robot")

// The errors of robots.
var (
	ErrUnknownRobot = fault.New(fault.Missing, "there is no such robot")
	ErrRobotExists  = fault.New(fault.Conflict, "there is such a robot already")
	ErrExpired      = fault.New(fault.Login, "the secret has expired; an administrator can make a new one with `hallmark robot rotate`")
	ErrPast         = fault.New(fault.Invalid, "a secret that has expired already is of no use")
)

// A Robot is an account of a machine as it is shown.
type Robot struct {
	Name      string           `json:"name"`
	Account   string           `json:"account"` // never used again
	Created   provenance.Time  `json:"created"`
	SecretSet provenance.Time  `json:"secretSet"`
	Expires   *provenance.Time `json:"expires,omitempty"` // its secret, which does not where this is absent
	LastUse   *Use             `json:"lastUse,omitempty"`
}

// robot is a Robot as it is stored, without its last use.
type robot struct {
	Robot
	Credential string `json:"credential"` // names the secret in records; new with each secret
	Hash       []byte `json:"hash"`       // see secret.go
}

// AddRobot makes an account for a machine, without rights, and returns it with its secret, which is shown
// only now. The zero time never expires. Errors: ErrUserName, ErrRobotExists, ErrUserExists, ErrPast.
func (a *Access) AddRobot(ctx context.Context, by provenance.Identity, name string, expires time.Time) (Robot, string, error) {
	if !validUserName(name) {
		return Robot{}, "", ErrUserName
	}
	r := robot{Robot: Robot{Name: name, Account: newID(), Created: provenance.At(a.now())}}
	secret, err := a.renew(&r, expires)
	if err != nil {
		return Robot{}, "", err
	}
	err = a.store.Update(ctx, func(tx storage.Tx) error {
		if err := nameIsFree(tx, name); err != nil {
			return err
		}
		tx.Put(accountTable, []byte(r.Account), []byte("robot:"+name))
		if err := r.write(tx); err != nil {
			return err
		}
		return a.record(tx, by, r.change(provenance.AccountAdded))
	})
	return r.Robot, secret, err
}

// RotateRobot gives a robot a new secret. The former one is refused from then on. Errors: ErrUnknownRobot,
// ErrPast.
func (a *Access) RotateRobot(ctx context.Context, by provenance.Identity, name string, expires time.Time) (shown Robot, secret string, err error) {
	err = a.store.Update(ctx, func(tx storage.Tx) error {
		r, err := readRobot(tx, name)
		if err != nil {
			return err
		}
		if secret, err = a.renew(&r, expires); err != nil {
			return err
		}
		shown = r.Robot
		if err := r.write(tx); err != nil {
			return err
		}
		return a.record(tx, by, r.change(provenance.AccountSecret))
	})
	return shown, secret, err
}

// change is what a record says of a robot and its secret.
func (r robot) change(what provenance.AccountChange) provenance.RightsChange {
	return provenance.RightsChange{Subject: "robot:" + r.Name, Account: r.Account, Change: what, Credential: r.Credential}
}

// limited is what the id of a robot's secret is a hash over: what is stored of the secret, and when it ends.
func (r robot) limited() []byte {
	if r.Expires == nil {
		return r.Hash
	}
	return fmt.Appendf(bytes.Clone(r.Hash), "\x00until %s", r.Expires)
}

// isItsOwn says that the id is that of the secret beside it and of when it ends. Ids of older versions are of the secret alone, and
// stay until it changes.
func (r robot) isItsOwn() bool {
	return isItsOwn(r.Credential, r.Account, r.limited()) || isItsOwn(r.Credential, r.Account, r.Hash)
}

// renew draws a robot's secret.
func (a *Access) renew(r *robot, expires time.Time) (string, error) {
	r.Expires = nil
	if !expires.IsZero() {
		if expires.Before(a.now()) {
			return "", ErrPast
		}
		at := provenance.At(expires)
		r.Expires = &at
	}
	secret := newSecret()
	hash := secretHash(secret)
	r.Hash, r.SecretSet = hash[:], provenance.At(a.now())
	r.Credential = credentialOf(r.Account, r.limited())
	return secret, nil
}

// RemoveRobot removes a robot with all that was granted to it. Error: ErrUnknownRobot.
func (a *Access) RemoveRobot(ctx context.Context, by provenance.Identity, name string) error {
	find := func(tx storage.Reader) (string, error) { r, err := readRobot(tx, name); return r.Account, err }
	return a.removeAccount(ctx, by, "robot:"+name, ErrUnknownRobot, find, func(tx storage.Tx, account string) {
		tx.Delete(robotTable, []byte(name))
		tx.Delete(accountTable, []byte(account))
		a.uses.forget(tx, account)
	})
}

// Robots returns up to limit robots in the order of their names, from the one behind after.
func (a *Access) Robots(ctx context.Context, after string, limit int) (robots []Robot, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		robots = nil
		for item, err := range tx.Scan(robotTable, []byte(after+"\x00"), nil) {
			if err != nil || len(robots) == limit {
				return err
			}
			r, err := decodeRobot(string(item.Key), item.Value)
			if err != nil {
				return err
			}
			if r.LastUse, err = a.uses.last(tx, r.Account); err != nil {
				return err
			}
			robots = append(robots, r.Robot)
		}
		return nil
	})
	return robots, err
}

// robotLogin checks a robot's name and secret. It takes no slow hash, and a wrong one slows down nobody: see
// secret.go. Errors: ErrBadLogin, ErrExpired.
func (a *Access) robotLogin(ctx context.Context, name, secret, address string) (provenance.Identity, error) {
	var r robot
	reads := []storage.Read{storage.Row(robotTable, []byte(name))}
	err := a.look(ctx, reads, func(tx storage.Reader) (err error) { r, err = readRobot(tx, name); return err })
	hash := secretHash(secret)
	switch {
	case errors.Is(err, ErrUnknownRobot), err == nil && (subtle.ConstantTimeCompare(hash[:], r.Hash) != 1 || !r.isItsOwn()):
		return provenance.Identity{}, ErrBadLogin
	case err != nil:
		return provenance.Identity{}, err
	case r.Expires != nil && !a.now().Before(r.Expires.Time):
		return provenance.Identity{}, fmt.Errorf("%w (robot %s, %s)", ErrExpired, name, r.Expires)
	}
	a.uses.note(r.Account, address, a.now())
	return provenance.Identity{
		Actor: provenance.Actor{Kind: provenance.Robot, Handle: r.Name, Account: r.Account},
		Login: &provenance.Login{Method: "basic", Issuer: a.issuer, Identity: r.Name, Credential: r.Credential},
	}, nil
}

// nameIsFree wants neither a user nor a robot to have a name. Errors: ErrUserExists, ErrRobotExists.
func nameIsFree(tx storage.Reader, name string) error {
	_, userErr := readUser(tx, name)
	_, robotErr := readRobot(tx, name)
	switch {
	case userErr == nil:
		return ErrUserExists
	case robotErr == nil:
		return ErrRobotExists
	case errors.Is(userErr, ErrUnknownUser) && errors.Is(robotErr, ErrUnknownRobot):
		return nil
	default:
		return errors.Join(userErr, robotErr)
	}
}

func readRobot(tx storage.Reader, name string) (r robot, err error) {
	if !validUserName(name) {
		return r, ErrUnknownRobot
	}
	value, err := tx.Get(robotTable, []byte(name))
	if errors.Is(err, storage.ErrNotFound) {
		return r, ErrUnknownRobot
	}
	if err != nil {
		return r, err
	}
	return decodeRobot(name, value)
}

func decodeRobot(name string, value []byte) (r robot, err error) {
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("robot %s: %w: %w", name, storage.ErrCorrupt, err)
	}
	return r, nil
}

func (r robot) write(tx storage.Tx) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tx.Put(robotTable, []byte(r.Name), value)
	return nil
}
