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
	"github.com/seed-260924e6/hallmark/provenance"
	"golang.org/x/crypto/bcrypt"
)

const (
	maxVerified = 10_000 // logins remembered as right
	maxFailures = 10_000 // pairs of user and address whose wrong logins are counted
	maxWaiting  = 100    // logins that wait for their turn to be checked
	atOnce      = 2      // passwords hashed at the same time: it keeps the processor for everyone else
	freeTries   = 5      // wrong logins before the next one has to wait
	longestWait = time.Minute
)

// logins checks passwords once and remembers those that were right.
//
// A password is hashed with bcrypt the first time. From then on a keyed hash of it and of the account's
// row is enough, which is why a changed password is forgotten by itself: the row is another.
type logins struct {
	key      [32]byte                                   // of this process alone
	verified *lru.Cache[[32]byte, *provenance.Identity] // by keyed hashes of logins that were right
	turn     chan struct{}                              // holds one token for each password being hashed
	waiting  atomic.Int32                               // logins waiting for turn
	nobody   string                                     // a hash to compare with for users that do not exist; that it has a password matters not
	mu       sync.Mutex                                 // guards failures
	failures *lru.Cache[attempt, *failureRun]           // wrong logins lately
}

// wrongLogins is why a login has to wait.
const wrongLogins = "too many wrong logins for this user from this address"

// attempt is whose login fails, from where: one address cannot lock out another.
type attempt struct{ name, address string }

type failureRun struct {
	count int
	last  time.Time
}

func newLogins(cost int) *logins {
	verified, err := lru.New[[32]byte, *provenance.Identity](maxVerified)
	failures, err2 := lru.New[attempt, *failureRun](maxFailures)
	if err := errors.Join(err, err2); err != nil {
		panic(err) // only for sizes, which are constants here
	}
	l := &logins{verified: verified, failures: failures, turn: make(chan struct{}, atOnce)}
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
	l := login{attempt: attempt{name, address}, password: password, hash: a.logins.nobody, fingerprint: a.logins.fingerprint(row, password)}
	if who, ok := a.logins.verified.Get(l.fingerprint); ok {
		return *who, nil
	}
	if row != nil {
		u, err := decodeUser(name, row)
		if err != nil {
			return provenance.Identity{}, err
		}
		l.hash, l.who = u.Hash, &provenance.Identity{
			Actor: provenance.Actor{Kind: provenance.User, Handle: u.Name, Account: u.Account},
			Login: &provenance.Login{Method: "basic", Issuer: a.issuer, Identity: u.Name, Credential: u.Credential},
		}
	}
	if err := a.logins.check(ctx, l, a.now); err != nil {
		return provenance.Identity{}, err
	}
	if l.who == nil {
		return provenance.Identity{}, ErrBadLogin
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

// check compares a password with its hash, unless too many were wrong lately.
func (l *logins) check(ctx context.Context, try login, now func() time.Time) error {
	if len(try.password) > MaxPassword {
		return ErrBadLogin
	}
	if len(try.name) > 64 {
		try.name = "" // no user has such a name: keep one count for all
	}
	if wait := l.wait(try.attempt, now()); wait > 0 {
		return &SlowDownError{wrongLogins, wait}
	}
	if err := l.compare(ctx, try); err != nil {
		if errors.Is(err, ErrBadLogin) {
			l.failed(try.attempt, now()) // the wait begins with the answer, however long the check took
		}
		return err
	}
	l.succeeded(try.attempt)
	return nil
}

// compare hashes the password when its turn comes.
func (l *logins) compare(ctx context.Context, try login) error {
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > maxWaiting {
		return ErrBusy
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.verified.Contains(try.fingerprint) { // while this one waited, as the parallel requests of one client do
		return nil
	}
	if bcrypt.CompareHashAndPassword([]byte(try.hash), []byte(try.password)) != nil {
		return ErrBadLogin
	}
	if try.who != nil {
		l.verified.Add(try.fingerprint, try.who)
	}
	return nil
}

// fingerprint is a keyed hash of an account's row and a password, of no use to another process.
func (l *logins) fingerprint(row []byte, password string) (f [32]byte) {
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(row))))
	mac.Write(row)
	mac.Write([]byte(password))
	mac.Sum(f[:0])
	return f
}

// wait is how long the next try has to wait: nothing for the first few, then twice as long each time.
func (l *logins) wait(who attempt, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	run, ok := l.failures.Get(who)
	if !ok || run.count < freeTries {
		return 0
	}
	penalty := longestWait
	if over := run.count - freeTries; over < 6 {
		penalty = time.Second << over
	}
	return penalty - max(0, now.Sub(run.last))
}

func (l *logins) failed(who attempt, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run, ok := l.failures.Get(who)
	if !ok || now.Sub(run.last) > 10*longestWait {
		run = &failureRun{}
		l.failures.Add(who, run)
	}
	run.count++
	run.last = now
}

func (l *logins) succeeded(who attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures.Remove(who)
}
