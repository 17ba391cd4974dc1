package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrAdopted says that no account is left to take over, or none may be.
var ErrAdopted = errors.New("no account is from before there were grants")

// Adopt takes over accounts from before there were grants: then everyone who signed in could do everything, and a mark
// in the row made administrators. Where nobody was ever granted anything they get admin on **; all others have what
// they are granted from now on. It returns how many accounts it took over, and what was granted.
//
// It is never done but by hand: a mark in a row is no evidence, and anyone who can write the store can write one. Where
// rights are on record nothing is granted, whatever the document says, or if it is gone. Error: ErrAdopted.
func (a *Access) Adopt(ctx context.Context, by provenance.Identity) (accounts int, granted []Change, err error) {
	err = a.change(ctx, func(tx storage.Tx) error {
		r, err := provenance.NewestRights(tx)
		if err != nil {
			return err
		}
		version, err := readVersion(tx)
		if err != nil {
			return err
		}
		if r != nil && version == 0 && r.Grant != nil && r.Grant.Version > 0 {
			return fmt.Errorf("%w: record %d is about version %d of the access document, which is gone; restore a backup from before", ErrAdopted, r.Index, r.Grant.Version)
		}
		found, grants, err := adoptAccounts(tx)
		if err != nil {
			return err
		}
		if accounts = len(found); accounts == 0 {
			return ErrAdopted
		}
		for _, c := range found {
			if err := a.record(tx, by, c); err != nil {
				return err
			}
		}
		if version > 0 {
			return nil
		}
		granted, err = a.edit(tx, by, func(d *Document) error { d.Grants = grants; return nil })
		return err
	})
	return accounts, granted, err
}

// adoptAccounts lets each user sign in whose account is not known, and returns them, and the grants of those who were
// administrators.
func adoptAccounts(tx storage.Tx) (found []provenance.RightsChange, grants []Grant, err error) {
	for item, err := range tx.Scan(userTable, nil, nil) {
		if err != nil {
			return nil, nil, err
		}
		var u struct {
			Account    string `json:"account"`
			Admin      bool   `json:"admin"`
			Credential string `json:"credential"`
		}
		if err := json.Unmarshal(item.Value, &u); err != nil {
			return nil, nil, fmt.Errorf("user %s: %w: %w", item.Key, storage.ErrCorrupt, err)
		}
		if _, err := tx.Get(accountTable, []byte(u.Account)); !errors.Is(err, storage.ErrNotFound) {
			if err != nil {
				return nil, nil, err
			}
			continue // it is of this version
		}
		found = append(found, provenance.RightsChange{Subject: "user:" + string(item.Key), Account: u.Account, Change: provenance.AccountAdopted, Credential: u.Credential})
		tx.Put(accountTable, []byte(u.Account), append([]byte("user:"), item.Key...))
		if u.Admin {
			grants = append(grants, Grant{Subject{Kind: UserSubject, Name: u.Account}, Everything, Admin})
		}
	}
	return found, grants, nil
}
