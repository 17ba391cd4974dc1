package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/beside"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"github.com/seed-260924e6/hallmark/storage"
)

// A NotOnRecordError is about a row that no record explains, in a store that is from before such rows were on record: it may
// have been there always. It is no problem, and no proof of anything.
type NotOnRecordError struct {
	What string
	line baselineLine
}

func (e *NotOnRecordError) Error() string { return e.What + ": not on record" }

// follower compares what the records say of rights and accounts with the tables.
type follower struct {
	*beside.Follower
	a     *Access
	bad   func(error)
	older bool                  // the store is from before accounts were on record
	found map[baselineLine]bool // what the baseline lists; nil where there is none
}

const missingStep = 1000 // accounts that are looked for in one View

// checkRecords wants the access document, the accounts and the personal tokens to be those that the records give.
func (a *Access) checkRecords(ctx context.Context, bad func(error)) error {
	f, err := a.newFollower(ctx, bad)
	if err != nil || f.Blind {
		return err
	}
	if err := a.store.View(ctx, f.document); err != nil || f.Blind {
		return err
	}
	if err := a.store.View(ctx, f.readBaseline); err != nil {
		return err
	}
	for _, t := range []struct {
		table storage.Table
		row   func(tx storage.Reader, item storage.Item) error
	}{{userTable, f.user}, {robotTable, f.robot}, {sessionTable, f.session}} {
		err := storage.EachRow(ctx, a.store, t.table, func(tx storage.Reader, item storage.Item) error {
			if err := f.Follow(tx); err != nil || f.Blind {
				return err
			}
			return t.row(tx, item)
		})
		if err != nil {
			return err
		}
	}
	return f.missing(ctx)
}

// newFollower replays all records that there are.
func (a *Access) newFollower(ctx context.Context, bad func(error)) (*follower, error) {
	f := &follower{a: a, bad: bad}
	var from uint64
	err := a.store.View(ctx, func(tx storage.Reader) (err error) {
		from, err = provenance.ChainedFrom(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	o := replay.Options{Only: func(string) bool { return false }, Secrets: true}
	f.Follower, err = beside.New(ctx, a.store, o, "who may do what is not known from the records", func(err error) { f.badf("%v", err) })
	if err != nil {
		return nil, err
	}
	// The mark alone would excuse whatever somebody puts into the tables.
	f.older = from > 0 && (from <= f.Newer || f.Blind)
	if from > 0 && !f.older {
		f.badf("the records before %d are said to be from before accounts were on record, and record %d is not", from, f.Newer)
	}
	return f, nil
}

func (f *follower) badf(format string, args ...any) { f.bad(corruptf(format, args...)) }

// document wants the document in force to be the one whose digest the newest record has, and to give what the records do.
func (f *follower) document(tx storage.Reader) error {
	if err := f.Follow(tx); err != nil || f.Blind {
		return err
	}
	d, sum, err := inForce(tx)
	if err != nil {
		return err
	}
	switch last := f.State.Access; {
	case last.Digest == "" && d.Version > 0:
		f.badf("the access document %s is in force, and no record says who granted anything", sum)
	case last.Digest != "" && last.Digest != sum:
		f.badf("the access document %s is in force, and the newest record of who may do what (%d) is of %s", sum, last.Record, last.Digest)
	}
	given := make(map[string]bool)
	all := d.facts()
	for _, fact := range slices.Concat(all.given, all.withheld) {
		key := replay.KeyOf(fact.RightsChange)
		given[key] = true
		if _, ok := f.State.Rights[key]; !ok {
			f.badf("by the access document: %s; by the records not", replay.Describe(fact.RightsChange))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.State.Rights)) {
		if r := f.State.Rights[key]; !given[key] {
			f.badf("by record %d: %s; by the access document not", r.Record, replay.Describe(r.RightsChange))
		}
	}
	return nil
}

func (f *follower) user(_ storage.Reader, item storage.Item) error {
	u, err := decodeUser(string(item.Key), item.Value)
	if err == nil {
		if !isItsOwn(u.Credential, u.Account, []byte(u.Hash)) {
			f.badf("the password of user:%s is not the one that it says, %s: it was changed past the registry, and nobody signs in with it", item.Key, u.Credential)
		}
		f.account("user:"+string(item.Key), u.Account, u.Credential, []byte(u.Hash))
	}
	return nil // what cannot be read is reported with the row
}

func (f *follower) robot(_ storage.Reader, item storage.Item) error {
	r, err := decodeRobot(string(item.Key), item.Value)
	if err == nil && len(r.Hash) == sha256.Size {
		if !r.isItsOwn() {
			f.badf("the secret of robot:%s, or when it ends, is not the one that it says, %s: it was changed past the registry, and nobody signs in with it", item.Key, r.Credential)
		}
		f.account("robot:"+string(item.Key), r.Account, r.Credential, r.Hash)
	}
	return nil
}

// account compares the row of a user or a robot with what the records say of it.
func (f *follower) account(subject, account, credential string, hash []byte) {
	is, ok := f.State.Accounts[account]
	switch {
	case !ok && f.older && !replay.IsOnRecord(credential):
		f.unexplained(fmt.Sprintf("%s, account %s", subject, account), baselineLine{accountKind, account, subject, credentialOf(account, hash)})
	case !ok:
		f.badf("%s has the account %s; by the records nobody has", subject, account)
	case is.Subject != subject:
		f.badf("%s has the account %s; by record %d that is %s", subject, account, is.Record, is.Subject)
	case is.Credential != "" && is.Credential != credential:
		f.badf("%s has the password or secret %s; by record %d it is %s", subject, credential, is.Record, is.Credential)
	}
}

// session wants a personal token to be one that its owner is on record to have made. Logins are not on record: a push names
// the session of one.
func (f *follower) session(tx storage.Reader, item storage.Item) error {
	s, err := decodeSession(string(item.Key), item.Value)
	if err != nil || s.Kind != TokenSession {
		return nil
	}
	if _, err := readAccount(tx, s.Owner.Account); errors.Is(err, ErrUnknownUser) {
		return nil // nobody can use it any more
	} else if err != nil {
		return err
	}
	is, ok := f.State.Tokens[s.ID]
	switch {
	case !ok && f.older && !replay.IsOnRecord(s.ID):
		f.unexplained(fmt.Sprintf("%s of %s:%s", s.ID, s.Owner.Kind, s.Owner.Handle),
			baselineLine{tokenKind, s.ID, s.Owner.Account, credentialOf(s.Owner.Account, s.Secret)})
	case !ok:
		f.badf("%s:%s has the token %s; by the records nobody made it", s.Owner.Kind, s.Owner.Handle, s.ID)
	case is.Account != s.Owner.Account || !isItsOwn(s.ID, s.Owner.Account, s.Secret):
		f.badf("the token %s is not the one that account %s made, by record %d", s.ID, is.Account, is.Record)
	case is.Says() != "" && is.Says() != s.reach().Says():
		f.badf("the token %s of %s:%s is for %s; by record %d it is for %s", s.ID, s.Owner.Kind, s.Owner.Handle, s.reach().Says(), is.Record, is.Says())
	}
	return nil
}

// reach is what a token may do, as its record has to state it.
func (s *session) reach() replay.Reach {
	return replay.Reach{Scopes: s.Scopes.onRecord(), Expires: &s.Expires}
}

// missing looks for accounts that the records give and the tables have not.
func (f *follower) missing(ctx context.Context) error {
	for some := range slices.Chunk(slices.Sorted(maps.Keys(f.State.Accounts)), missingStep) {
		err := f.a.store.View(ctx, func(tx storage.Reader) error {
			if err := f.Follow(tx); err != nil || f.Blind {
				return err
			}
			for _, account := range some {
				is, ok := f.State.Accounts[account]
				if !ok {
					continue // it was removed meanwhile
				}
				_, err := readAccount(tx, account)
				if errors.Is(err, ErrUnknownUser) {
					f.badf("%s is not there; by record %d it has the account %s", is.Subject, is.Record, account)
				} else if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
