package access

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/seed-260924e6/hallmark/storage"
)

// adopt takes over accounts from before there were grants: then everyone who signed in could do
// everything, and a mark in the row made administrators. They keep admin on **; all others have what they
// are granted from now on. It does nothing once there is a document. If we stop before, the next start
// finds the same.
func (a *Access) adopt(ctx context.Context) error {
	var version uint64
	err := a.store.View(ctx, func(tx storage.Reader) (err error) {
		version, err = readVersion(tx)
		return err
	})
	if err != nil {
		return err
	}
	if version > 0 {
		return a.reload(ctx) // nobody else has this Access yet
	}
	return a.change(ctx, func(tx storage.Tx) error {
		version, err := readVersion(tx)
		if err != nil || version > 0 {
			return err
		}
		var grants []Grant
		for item, err := range tx.Scan(userTable, nil, nil) {
			if err != nil {
				return err
			}
			var u struct {
				Account string `json:"account"`
				Admin   bool   `json:"admin"`
			}
			if err := json.Unmarshal(item.Value, &u); err != nil {
				return fmt.Errorf("user %s: %w: %w", item.Key, storage.ErrCorrupt, err)
			}
			tx.Put(accountTable, []byte(u.Account), append([]byte("user:"), item.Key...))
			if u.Admin {
				grants = append(grants, Grant{Subject{Kind: UserSubject, Name: u.Account}, Everything, Admin})
			}
		}
		_, err = a.edit(tx, Operator, func(d *Document) error { d.Grants = grants; return nil })
		return err
	})
}
