package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
	"golang.org/x/crypto/bcrypt"
)

const maxVerified = 10_000 // logins remembered as right, and as wrong

// logins checks passwords once and remembers those that were right.
//
// A password is hashed with bcrypt the first time. From then on a keyed hash of it and of the account's
// row is enough, which is why a changed password is forgotten by itself: the row is another. That a password
// was wrong is remembered in the same way.
type logins struct {
	key      [32]byte                                   // of this process alone
	verified *lru.Cache[[32]byte, *provenance.Identity] // by keyed hashes of logins that were right
	wrong    *lru.Cache[[32]byte, struct{}]             // and of those that were not
	queue    *queue
	failures *failures
	decoy    decoy
	nobody   string // a hash to compare with for users that do not exist; that it has a password matters not

	mu      sync.Mutex           // guards flights
	flights map[[32]byte]*flight // logins being checked

	hashed, slowed, full atomic.Uint64 // see LoginCounts
}

// LoginCounts are how many logins with passwords there were since the start.
type LoginCounts struct {
	Hashed  uint64 // passwords that took a hash
	Slowed  uint64 // that had to wait after several wrong ones, and were not looked at
	Shed    uint64 // that were not looked at because too many waited
	Waiting int    // now
}

// Logins counts logins.
func (a *Access) Logins() LoginCounts {
	l := a.logins
	return LoginCounts{l.hashed.Load(), l.slowed.Load(), l.full.Load(), l.queue.length()}
}

// flight is one check that others with the same password wait for, as the parallel requests of one client do.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// wrongLogins is why a login has to wait.
const wrongLogins = "too many wrong logins for this user from this address"

func newLogins(cost int) *logins {
	l := &logins{
		verified: mustLRU[[32]byte, *provenance.Identity](maxVerified), wrong: mustLRU[[32]byte, struct{}](maxVerified),
		queue: newQueue(), failures: newFailures(), flights: map[[32]byte]*flight{},
	}
	l.nobody = fmt.Sprintf("$2a$%02d$94HRlI3f8qSv5OTXuVBS0utUuz.VybRjhG/hputoIDVr6gcec0h4a", cost)
	rand.Read(l.key[:]) // which never fails
	return l
}

// logIn checks a name and a password. For a name that does not exist it takes as long as for a wrong
// password.
func (a *Access) logIn(ctx context.Context, name, password, address string) (provenance.Identity, error) {
	row, err := a.userRow(ctx, name)
	if err != nil {
		return provenance.Identity{}, err
	}
	l := login{
		attempt: attempt{name, peer.Network(address)}, password: password, hash: a.logins.nobody,
		fingerprint: a.logins.fingerprint(name, row, password),
	}
	if who, ok := a.logins.verified.Get(l.fingerprint); ok {
		return *who, nil
	}
	if row != nil {
		u, err := decodeUser(name, row)
		if err != nil {
			return provenance.Identity{}, err
		}
		if !isItsOwn(u.Credential, u.Account, []byte(u.Hash)) {
			return provenance.Identity{}, ErrBadLogin // nobody is on record to have set this password: set another
		}
		l.hash, l.who = u.Hash, &provenance.Identity{
			Actor: provenance.Actor{Kind: provenance.User, Handle: u.Name, Account: u.Account},
			Login: &provenance.Login{Method: "basic", Issuer: a.issuer, Identity: u.Name, Credential: u.Credential},
		}
	}
	if err := a.logins.check(ctx, l, a.now); err != nil {
		return provenance.Identity{}, err
	}
	return *l.who, nil
}

// login is a login that is not known to be right.
type login struct {
	attempt
	password    string
	hash        string               // what bcrypt made of the right one
	who         *provenance.Identity // nil where there is no such user
	fingerprint [32]byte
}

func (l login) exists() bool { return l.who != nil }

// check compares a password with its hash, unless too many were wrong lately. Errors: ErrBadLogin, ErrBusy,
// SlowDownError, and that of ctx.
func (l *logins) check(ctx context.Context, try login, now func() time.Time) error {
	if len(try.password) > MaxPassword {
		return ErrBadLogin
	}
	if len(try.name) > 64 {
		try.name = "" // no user has such a name: keep one count for all
	}
	err := l.together(ctx, try, now)
	var slow *SlowDownError
	switch {
	case errors.Is(err, ErrBusy):
		l.full.Add(1)
	case errors.As(err, &slow):
		l.slowed.Add(1)
	}
	return err
}

// together checks a login, or waits for the check of one with the same password.
func (l *logins) together(ctx context.Context, try login, now func() time.Time) error {
	for {
		l.mu.Lock()
		f, ok := l.flights[try.fingerprint]
		if !ok {
			f = &flight{done: make(chan struct{})}
			l.flights[try.fingerprint] = f
		}
		l.mu.Unlock()
		if !ok {
			f.err = l.checkCounted(ctx, try, now)
			l.mu.Lock()
			delete(l.flights, try.fingerprint)
			l.mu.Unlock()
			close(f.done)
			return f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if f.err == nil || errors.Is(f.err, ErrBadLogin) {
			return f.err
		} // else it was the other's client that left, or the other's address that has to wait
	}
}

// checkCounted checks a login, and counts it.
func (l *logins) checkCounted(ctx context.Context, try login, now func() time.Time) error {
	if l.verified.Contains(try.fingerprint) { // since this one looked
		return nil
	}
	if l.wrong.Contains(try.fingerprint) {
		if wait := l.failures.again(try.attempt, try.exists(), now()); wait > 0 {
			return &SlowDownError{wrongLogins, wait}
		}
		return ErrBadLogin
	}
	before, wait := l.failures.begin(try.attempt, try.exists(), now())
	if wait > 0 {
		return &SlowDownError{wrongLogins, wait}
	}
	err := l.compare(ctx, try, before)
	switch {
	case err == nil:
		l.verified.Add(try.fingerprint, try.who)
		l.failures.right(try.attempt)
	case errors.Is(err, ErrBadLogin):
		l.wrong.Add(try.fingerprint, struct{}{})
		l.failures.wrong(try.attempt, try.exists(), now())
	case !errors.Is(err, ErrBusy): // what was refused counts, else those who are would be back at once, and push out others
		l.failures.undo(try.attempt, try.exists())
	}
	return err
}

// compare hashes the password when its turn comes, or seems to. Errors: ErrBadLogin, ErrBusy, and that of ctx.
func (l *logins) compare(ctx context.Context, try login, before tally) error {
	suspect := before.address >= manyFailures
	if !try.exists() && (suspect || l.queue.length() >= atOnce) && l.decoy.isFresh() {
		if err := l.decoy.wait(ctx); err != nil {
			return err
		}
		return ErrBadLogin
	}
	began, right := time.Now(), false
	t := &turn{address: try.address, suspect: suspect, failures: before.user}
	err := l.queue.do(ctx, t, func() {
		l.hashed.Add(1)
		right = bcrypt.CompareHashAndPassword([]byte(try.hash), []byte(try.password)) == nil
	})
	if err != nil {
		return err
	}
	l.decoy.note(time.Since(began))
	if !right || !try.exists() {
		return ErrBadLogin
	}
	return nil
}

// fingerprint is a keyed hash of a name, its account's row and a password, of no use to another process.
func (l *logins) fingerprint(name string, row []byte, password string) (f [32]byte) {
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(row))))
	mac.Write(row)
	mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(name))))
	mac.Write([]byte(name))
	mac.Write([]byte(password))
	mac.Sum(f[:0])
	return f
}
