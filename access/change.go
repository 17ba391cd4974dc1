package access

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

const (
	// "document" → JSON of Document; "version" → its version (8 bytes, big-endian), for those who want to
	// know only whether theirs is still the one.
	documentTable = storage.Table("access/document")
	// account → "user:NAME" or "robot:NAME". There as long as the account is.
	accountTable = storage.Table("access/account")
)

var (
	documentKey = []byte("document")
	versionKey  = []byte("version")
)

// change runs an Update that may edit the document, and puts into force what the store has then. One runs
// at a time. When the outcome of the commit is unknown, what the store shows is in force: it is what a
// restart would find.
func (a *Access) change(ctx context.Context, fn func(tx storage.Tx) error) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	err := a.store.Update(ctx, fn)
	return errors.Join(err, a.reload(context.WithoutCancel(ctx)))
}

// reload puts the stored document into force. The caller holds changing.
func (a *Access) reload(ctx context.Context) error {
	return a.store.View(ctx, func(tx storage.Reader) error {
		r, err := a.rulesIn(tx)
		if err == nil {
			a.rules.Store(r)
		}
		return err
	})
}

// rulesIn returns the rules as a transaction sees them: mostly those in force, but between the commit of a
// change and its coming into force the newer ones.
func (a *Access) rulesIn(tx storage.Reader) (*rules, error) {
	version, err := readVersion(tx)
	if err != nil {
		return nil, err
	}
	if now := a.rules.Load(); now != nil && now.document.Version == version {
		return now, nil
	}
	d, sum, err := readDocument(tx)
	if err != nil {
		return nil, err
	}
	return compile(d, sum, a.bound), nil
}

// readVersion returns the version of the stored document: 0 where there is none yet.
func readVersion(tx storage.Reader) (uint64, error) {
	value, err := tx.Get(documentTable, versionKey)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(value) != 8:
		return 0, fmt.Errorf("%w: the version of the access document has %d bytes", storage.ErrCorrupt, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func readDocument(tx storage.Reader) (*Document, digest.Digest, error) {
	value, err := tx.Get(documentTable, documentKey)
	if errors.Is(err, storage.ErrNotFound) {
		return (&Document{}).clone(), "", nil
	}
	if err != nil {
		return nil, "", err
	}
	d := new(Document)
	if err := json.Unmarshal(value, d); err != nil {
		return nil, "", fmt.Errorf("access document: %w: %w", storage.ErrCorrupt, err)
	}
	if err := d.check(); err != nil {
		return nil, "", fmt.Errorf("access document: %w: %w", storage.ErrCorrupt, err)
	}
	return d, digest.FromBytes(value), nil
}

// inForce is readDocument, with the digest of an empty one where nothing was ever granted.
func inForce(tx storage.Reader) (*Document, digest.Digest, error) {
	d, sum, err := readDocument(tx)
	if err == nil && sum == "" {
		_, sum, err = d.encode()
	}
	return d, sum, err
}

// stored is inForce, without reading the document again that this process has in force: it may be of a megabyte, and everybody who
// writes would wait for that. Nobody may change it.
func (a *Access) stored(tx storage.Reader) (*Document, digest.Digest, error) {
	value, err := tx.Get(documentTable, documentKey)
	if now := a.rules.Load(); err == nil && now != nil && now.digest == digest.FromBytes(value) {
		return now.document, now.digest, nil
	}
	return inForce(tx)
}

// onRecord is inForce, for who goes on from it. Error: provenance.ErrNotGranted.
func (a *Access) onRecord(tx storage.Reader) (*Document, digest.Digest, error) {
	d, sum, err := a.stored(tx)
	if err == nil {
		err = a.book.RightsOnRecord(tx, d.Version, sum)
	}
	return d, sum, err
}

// edit changes the document in the caller's transaction, with a record of each right that is given or
// taken. It returns what changed. Errors: those of Document.check, and ErrLastAdmin.
func (a *Access) edit(tx storage.Tx, by provenance.Identity, change func(*Document) error) ([]Change, error) {
	return a.editSaying(tx, by, change, nil)
}

// editSaying is edit, where the record of the first right that an account is given also says that the account was added.
func (a *Access) editSaying(tx storage.Tx, by provenance.Identity, change func(*Document) error, added *provenance.RightsChange) ([]Change, error) {
	p, err := a.plan(tx, change)
	if err != nil || len(p.list) == 0 {
		return nil, err
	}
	list := p.list
	for i := range list {
		list[i].Version = p.next.Version
		if added != nil && list[i].Account == added.Account {
			list[i].Change, list[i].Credential, added = added.Change, added.Credential, nil
		}
		e := provenance.Event{Action: list[i].Action, Digest: p.sum, Who: by, Grant: &list[i].RightsChange}
		if _, err := a.book.Append(tx, e); err != nil {
			return nil, err
		}
	}
	tx.Put(documentTable, documentKey, p.text)
	tx.Put(documentTable, versionKey, binary.BigEndian.AppendUint64(nil, p.next.Version))
	return list, nil
}

// A plan is an edit of the document that may be made.
type plan struct {
	next *Document
	list []Change // none: nothing would change, and next is as it was
	text []byte
	sum  digest.Digest
}

// plan says what an edit would do. Errors: those of Document.check, ErrLastAdmin, ErrManyChanges, ErrTooMuch and provenance.ErrNotGranted.
func (a *Access) plan(tx storage.Reader, change func(*Document) error) (p plan, err error) {
	old, _, err := a.onRecord(tx)
	if err != nil {
		return p, err
	}
	p.next = old.clone() // old may be the one in force
	if err := change(p.next); err != nil {
		return p, err
	}
	p.list, err = a.compare(tx, old, p.next)
	switch {
	case err != nil || len(p.list) == 0:
		return p, err
	case len(p.list) > maxChanges:
		return p, ErrManyChanges
	}
	p.next.Version++
	p.text, p.sum, err = p.next.encode()
	if err == nil && len(p.text) > maxDocument {
		err = ErrTooMuch
	}
	return p, err
}

// record appends the record of what happened to an account, and not to the document: the digest is that of the
// document that is in force.
func (a *Access) record(tx storage.Tx, by provenance.Identity, c provenance.RightsChange) error {
	d, sum, err := a.onRecord(tx)
	if err != nil {
		return err
	}
	c.Version = d.Version
	e := provenance.Event{Action: provenance.Grant, Digest: sum, Who: by, Grant: &c}
	if c.Change == provenance.AccountRemoved || c.Change == provenance.TokenEnded {
		e.Action = provenance.Revoke
	}
	_, err = a.book.Append(tx, e)
	return err
}

// compare tidies and checks an edited document, and says what changed, by the names that accounts have now.
func (a *Access) compare(tx storage.Reader, old, next *Document) ([]Change, error) {
	next.tidy()
	*next = *next.clone() // in which nothing is null: the same content has the same JSON
	if err := next.check(); err != nil {
		return nil, err
	}
	if len(old.admins()) > 0 && len(next.admins()) == 0 {
		return nil, ErrLastAdmin
	}
	list := changes(old, next)
	for i, c := range list {
		if c.Account == "" {
			continue
		}
		name, err := readAccount(tx, c.Account)
		if err != nil {
			return nil, err
		}
		list[i].Subject = name
	}
	return list, nil
}

// readAccount returns who has an account, as user:NAME or robot:NAME. Error: ErrUnknownUser.
func readAccount(tx storage.Reader, account string) (string, error) {
	value, err := tx.Get(accountTable, []byte(account))
	if errors.Is(err, storage.ErrNotFound) {
		return "", fmt.Errorf("account %s: %w", account, ErrUnknownUser)
	}
	return string(value), err
}
