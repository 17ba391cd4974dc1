package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"golang.org/x/crypto/bcrypt"
)

var background = context.Background()

func testStore(t testing.TB) storage.Store {
	t.Helper()
	return storagetest.Twice(engines.New(t))
}

// testKeys are the keys of all registries of this test.
var testKeys = sync.OnceValue(func() provenance.Keys {
	keys, err := provenance.GenerateKeys()
	if err != nil {
		panic(err)
	}
	return keys
})

// testRoom is the access room of a store, with a book.
func testRoom(t testing.TB, store storage.Store, cost int) *Access {
	t.Helper()
	book, err := provenance.NewBook(store, "https://registry.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Begin(background, testKeys()); err != nil {
		t.Fatal(err)
	}
	a, err := New(background, store, Config{URL: "https://registry.example", Book: book, BcryptCost: cost})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// testAccess has quick passwords, a clock that the test sets, and the user alice.
func testAccess(t testing.TB) (*Access, *time.Time) {
	t.Helper()
	a := testRoom(t, testStore(t), bcrypt.MinCost)
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a.now = func() time.Time { return clock }
	if _, err := a.AddUser(background, Operator, "alice", "correct horse", false); err != nil {
		t.Fatal(err)
	}
	return a, &clock
}

func request(name, password, address string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = address
	r.SetBasicAuth(name, password)
	return r
}

func TestUsers(t *testing.T) {
	a, _ := testAccess(t)
	alice, err := a.user(background, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.AddUser(background, Operator, "alice", "another one", false); !errors.Is(err, ErrUserExists) {
		t.Errorf("alice again: %v", err)
	}
	for _, name := range []string{"", "Alice", "a b", "-a", ".a", "_a", "a:b", "a/b", "ä", "a\x00", strings.Repeat("a", 65)} {
		if _, err := a.AddUser(background, Operator, name, "correct horse", false); !errors.Is(err, ErrUserName) {
			t.Errorf("user %q: %v", name, err)
		}
	}
	for _, password := range []string{"", "1234567", strings.Repeat("x", 73)} {
		if _, err := a.AddUser(background, Operator, "bob", password, false); !errors.Is(err, ErrPassword) {
			t.Errorf("a password of %d bytes: %v", len(password), err)
		}
		if err := a.SetPassword(background, Operator, "alice", password); !errors.Is(err, ErrPassword) {
			t.Errorf("a new password of %d bytes: %v", len(password), err)
		}
	}
	if err := a.SetPassword(background, Operator, "nobody", "correct horse"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("password of nobody: %v", err)
	}
	if _, err := a.AddUser(background, Operator, "bob.b-1_x", strings.Repeat("x", 72), true); err != nil {
		t.Fatal(err)
	}
	users, err := a.Users(background, "", 10)
	if err != nil || len(users) != 2 || users[0] != alice.User || users[1].Name != "bob.b-1_x" || !users[1].Admin {
		t.Errorf("users %+v, %v", users, err)
	}
	if users, err := a.Users(background, "alice", 10); err != nil || len(users) != 1 {
		t.Errorf("behind alice: %+v, %v", users, err)
	}
	if err := a.RemoveUser(background, Operator, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveUser(background, Operator, "alice"); !errors.Is(err, ErrUnknownUser) {
		t.Errorf("remove again: %v", err)
	}
	again, err := a.AddUser(background, Operator, "alice", "correct horse", false)
	if err != nil || again.Account == alice.Account {
		t.Errorf("the next alice has account %s, the first had %s; %v", again.Account, alice.Account, err)
	}
}

func TestDefaultCost(t *testing.T) {
	a := testRoom(t, testStore(t), 0)
	if _, err := a.AddUser(background, Operator, "alice", "correct horse", false); err != nil {
		t.Fatal(err)
	}
	u, err := a.user(background, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{u.Hash, a.logins.nobody} {
		if cost, err := bcrypt.Cost([]byte(hash)); cost != 12 || err != nil {
			t.Errorf("cost %d, %v", cost, err)
		}
	}
}

func TestIdentify(t *testing.T) {
	a, _ := testAccess(t)
	who, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1234"))
	if err != nil {
		t.Fatal(err)
	}
	u, _ := a.user(background, "alice")
	if who.Actor != (provenance.Actor{Kind: provenance.User, Handle: "alice", Account: u.Account}) {
		t.Errorf("actor %+v", who.Actor)
	}
	if l := who.Login; l.Method != "basic" || l.Issuer != "https://registry.example" || l.Identity != "alice" || l.Credential != u.Credential {
		t.Errorf("login %+v", l)
	}
	bearer := request("", "", "192.0.2.1:1")
	bearer.Header.Set("Authorization", "Bearer alice")
	none := request("", "", "192.0.2.1:1")
	none.Header.Del("Authorization")
	for name, c := range map[string]struct {
		r    *http.Request
		want error
	}{
		"no login":       {none, ErrNoLogin},
		"an empty login": {request("", "", "192.0.2.1:1"), ErrNoLogin},
		"not basic":      {bearer, ErrBadLogin},
		"wrong password": {request("alice", "wrong", "192.0.2.1:1"), ErrBadLogin},
		"no password":    {request("alice", "", "192.0.2.1:1"), ErrBadLogin},
		"unknown user":   {request("mallory", "correct horse", "192.0.2.1:1"), ErrBadLogin},
		"no such name":   {request("../etc", "correct horse", "192.0.2.1:1"), ErrBadLogin},
		"longer":         {request("alice", "correct horse"+strings.Repeat("x", 72), "192.0.2.1:1"), ErrBadLogin},
	} {
		if who, err := a.Identify(c.r); !errors.Is(err, c.want) || who.Login != nil {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	operator := none.WithContext(WithOperator(background))
	if who, err := a.Identify(operator); err != nil || who.Actor.Kind != provenance.System || who.Login != nil {
		t.Errorf("operator: %+v, %v", who, err)
	}
}

// TestLongPassword wants 72 bytes to count whole: bcrypt would take any longer one for its beginning.
func TestLongPassword(t *testing.T) {
	a, _ := testAccess(t)
	long := strings.Repeat("x", 72)
	if err := a.SetPassword(background, Operator, "alice", long); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(request("alice", long, "192.0.2.1:1")); err != nil {
		t.Error(err)
	}
	if _, err := a.Identify(request("alice", long+"y", "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("with more behind it: %v", err)
	}
}

// TestForgets wants memory of right logins to end with the password and with the account.
func TestForgets(t *testing.T) {
	a, _ := testAccess(t)
	logIn := func(password string) error {
		_, err := a.Identify(request("alice", password, "192.0.2.1:1"))
		return err
	}
	if err := errors.Join(logIn("correct horse"), logIn("correct horse")); err != nil {
		t.Fatal(err)
	}
	if n := a.logins.verified.Len(); n != 1 {
		t.Errorf("%d logins remembered", n)
	}
	if err := a.SetPassword(background, Operator, "alice", "battery staple"); err != nil {
		t.Fatal(err)
	}
	if err := logIn("correct horse"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the former password: %v", err)
	}
	if err := logIn("battery staple"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := a.RemoveUser(background, Operator, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := logIn("battery staple"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a removed user: %v", err)
	}
}

// takeTurns takes every turn to hash a password, and returns what gives them back.
func takeTurns(a *Access) (giveBack func()) {
	taken := make([]*turn, atOnce)
	for i := range taken {
		taken[i] = &turn{address: fmt.Sprint("taken ", i), ready: make(chan error, 1)}
		a.logins.queue.enter(taken[i])
		<-taken[i].ready
	}
	return func() {
		for _, t := range taken {
			a.logins.queue.done(t)
		}
	}
}

// waitFor waits until so many logins wait for their turn.
func waitFor(a *Access, n int) {
	for a.Logins().Waiting != n {
		time.Sleep(time.Millisecond)
	}
}

// TestRemembered logs in where a password can no longer be hashed, because every turn is taken.
func TestRemembered(t *testing.T) {
	a, _ := testAccess(t)
	if _, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1")); err != nil {
		t.Fatal(err)
	}
	takeTurns(a)
	if _, err := a.Identify(request("alice", "correct horse", "192.0.2.9:1")); err != nil {
		t.Errorf("a remembered login: %v", err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := a.Identify(request("alice", "wrong", "192.0.2.9:1").WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("a login that must wait, and whose client leaves: %v", err)
	}
}

// TestTooManyWaiting fills the queue of logins to check.
func TestTooManyWaiting(t *testing.T) {
	a, _ := testAccess(t)
	takeTurns(a)
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	refused := make(chan error, 2*maxLine)
	for range maxLine + 10 {
		group.Go(func() {
			refused <- a.logins.queue.do(ctx, &turn{address: "192.0.2.1"}, func() { t.Error("it has no place") })
		})
	}
	for range 10 {
		if err := <-refused; !errors.Is(err, ErrBusy) {
			t.Errorf("beyond the queue: %v", err)
		}
	}
	cancel()
	group.Wait()
	for range maxLine {
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Errorf("in the queue: %v", err)
		}
	}
	if n := a.Logins().Waiting; n != 0 {
		t.Errorf("%d wait still", n)
	}
	if n := len(a.logins.queue.lines); n > atOnce {
		t.Errorf("%d lines are left", n)
	}
}

func TestSlowDown(t *testing.T) {
	a, clock := testAccess(t)
	from := func(address, password string) error {
		_, err := a.Identify(request("alice", password, address+":1"))
		return err
	}
	for range freeTries {
		if err := from("192.0.2.1", "wrong"); !errors.Is(err, ErrBadLogin) {
			t.Fatal(err)
		}
	}
	var slow *SlowDownError
	if err := from("192.0.2.1", "correct horse"); !errors.As(err, &slow) || slow.Wait != time.Second {
		t.Errorf("after %d wrong logins: %v", freeTries, err)
	}
	if err := from("192.0.2.2", "correct horse"); err != nil {
		t.Errorf("from another address: %v", err)
	}
	if err := from("192.0.2.1", "correct horse"); err != nil {
		t.Errorf("what is remembered as right: %v", err)
	}
	*clock = clock.Add(time.Second)
	for range 3 {
		if err := from("192.0.2.1", "wrong"); !errors.Is(err, ErrBadLogin) {
			t.Errorf("what was wrong before, after the wait: %v", err)
		}
	}
	if err := from("192.0.2.1", "wrong too"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("another one, after the wait: %v", err)
	}
	if err := from("192.0.2.1", "wrong again"); !errors.As(err, &slow) || slow.Wait != 2*time.Second {
		t.Errorf("after one more: %v", err)
	}
	for i := range 100 {
		*clock = clock.Add(longestWait)
		if err := from("192.0.2.1", fmt.Sprint("wrong ", i)); !errors.Is(err, ErrBadLogin) {
			t.Fatalf("after the longest wait: %v", err)
		}
	}
	*clock = clock.Add(longestWait)
	if err := a.SetPassword(background, Operator, "alice", "battery staple"); err != nil {
		t.Fatal(err)
	}
	if err := from("192.0.2.1", "battery staple"); err != nil {
		t.Errorf("the right one after the wait: %v", err)
	}
	if err := from("192.0.2.1", "wrong"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a right login did not end the count: %v", err)
	}
}
