package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// served lets turns into a queue whose places are taken, and returns in which order they are served.
func served(t *testing.T, turns ...*turn) (order []*turn) {
	t.Helper()
	q := newQueue()
	q.free = 0
	for _, w := range turns {
		w.ready = make(chan error, 1)
		q.enter(w)
	}
	for range turns {
		q.mu.Lock()
		q.free++
		q.next()
		q.mu.Unlock()
		at := slices.IndexFunc(turns, func(w *turn) bool { return len(w.ready) == 1 && !slices.Contains(order, w) })
		if at < 0 {
			break
		}
		if err := <-turns[at].ready; err != nil {
			t.Fatal(err)
		}
		turns[at].ready = make(chan error)
		order = append(order, turns[at])
		q.mu.Lock()
		q.lines[turns[at].address].busy--
		q.mu.Unlock()
	}
	return order
}

func TestAddressesTakeTurns(t *testing.T) {
	var turns []*turn
	for range 5 {
		turns = append(turns, &turn{address: "attacker"})
	}
	alice, bob := &turn{address: "alice"}, &turn{address: "bob"}
	order := served(t, append(turns, alice, bob)...)
	if len(order) != 7 || order[0] != turns[0] || slices.Index(order, alice) > 2 || slices.Index(order, bob) > 2 {
		t.Errorf("alice's turn is %d, and bob's %d of %d", slices.Index(order, alice), slices.Index(order, bob), len(order))
	}
}

// TestUsersTakeTurns has one address: whose logins failed least goes first, and in a crowd who came last.
func TestUsersTakeTurns(t *testing.T) {
	guessed, alice := &turn{address: "a", failures: 3}, &turn{address: "a"}
	if order := served(t, guessed, alice); order[0] != alice {
		t.Error("alice waits for somebody whose logins failed")
	}
	first, second := &turn{address: "a"}, &turn{address: "a"}
	if order := served(t, first, second); order[0] != first {
		t.Error("without a crowd, the first is not first")
	}
	var turns []*turn
	for range 2 * crowded {
		turns = append(turns, &turn{address: "a"})
	}
	if order := served(t, append(turns, alice)...); order[0] != alice || len(order) != len(turns)+1 {
		t.Errorf("in a crowd alice's turn is %d", slices.Index(order, alice))
	}
}

// TestSuspectAddress wants an address from which much failed to get one hash at a time.
func TestSuspectAddress(t *testing.T) {
	q := newQueue()
	var turns []*turn
	for range 3 {
		turns = append(turns, &turn{address: "attacker", suspect: true, ready: make(chan error, 1)})
		q.enter(turns[len(turns)-1])
	}
	alice := &turn{address: "alice", ready: make(chan error, 1)}
	q.enter(alice)
	if len(turns[0].ready) != 1 || len(turns[1].ready) != 0 || len(alice.ready) != 1 {
		t.Error("the attacker has both places")
	}
	q.done(turns[0])
	if len(turns[1].ready) != 1 {
		t.Error("the next does not begin")
	}
}

// TestAttackedLogins lets an attacker make up names from many connections, and wants the right passwords to get in at
// once, from that address and from others.
func TestAttackedLogins(t *testing.T) {
	a := testRoom(t, testStore(t), bcrypt.MinCost+2)
	for i := range 6 {
		if _, err := a.AddUser(background, Operator, fmt.Sprint("alice", i), "correct horse", false); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	answers := make(chan error, 150)
	for i := range 150 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := a.Identify(request(fmt.Sprintf("name%d-%d", i, n), fmt.Sprint("wrong", n), "192.0.2.1:1").WithContext(ctx))
				select {
				case answers <- err:
				default:
				}
			}
		})
	}
	for range 150 {
		if err := <-answers; !errors.Is(err, ErrBadLogin) && !errors.Is(err, ErrBusy) {
			t.Fatalf("the attacker is told %v", err)
		}
	}
	for i, address := range []string{"192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:2", "[2001:db8::1]:1", "192.0.2.1:3", "192.0.2.9:1"} {
		if _, err := a.Identify(request(fmt.Sprint("alice", i), "correct horse", address)); err != nil {
			t.Errorf("alice%d from %s: %v", i, address, err)
		}
	}
	if n, refused := a.Logins(), a.Refused()["password"]; n.Hashed >= refused {
		t.Errorf("names that do not exist take hashes from those who do: %+v", n)
	}
}

// TestGuessedNames is the same with names that exist, of which the attacker knows all but the passwords.
func TestGuessedNames(t *testing.T) {
	a := testRoom(t, testStore(t), bcrypt.MinCost+2)
	const names = 40
	for i := range names + 2 {
		if _, err := a.AddUser(background, Operator, fmt.Sprint("user", i), "correct horse", false); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	slowed := make(chan struct{}, 1)
	for i := range 150 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, err := a.Identify(request(fmt.Sprint("user", (i+n)%names), fmt.Sprint("wrong", i, n), "192.0.2.1:1").WithContext(ctx))
				if slow := new(SlowDownError); errors.As(err, &slow) {
					select {
					case slowed <- struct{}{}:
					case <-time.After(time.Millisecond):
					}
				}
			}
		})
	}
	<-slowed
	for i, address := range []string{"192.0.2.1:1", "192.0.2.2:1"} {
		if _, err := a.Identify(request(fmt.Sprint("user", names+i), "correct horse", address)); err != nil {
			t.Errorf("from %s: %v", address, err)
		}
	}
	if n := a.Logins(); n.Hashed > names*(freeTries+8)+2 {
		t.Errorf("%d passwords of %d users were tried in a moment", n.Hashed, names)
	}
}

// TestManyGuesses wants guesses that come at once to count before they are checked.
func TestManyGuesses(t *testing.T) {
	a, _ := testAccess(t)
	giveBack := takeTurns(a)
	var group sync.WaitGroup
	answers := make(chan error, 50)
	for i := range 50 {
		group.Go(func() {
			_, err := a.Identify(request("alice", fmt.Sprint("wrong", i), "192.0.2.1:1"))
			answers <- err
		})
	}
	for range 50 - freeTries {
		if slow := new(SlowDownError); !errors.As(<-answers, &slow) {
			t.Error("a guess among many is not slowed down")
		}
	}
	waitFor(a, freeTries)
	giveBack()
	group.Wait()
	if n := a.Logins(); n.Hashed != freeTries || n.Slowed != 50-freeTries {
		t.Errorf("counted %+v", n)
	}
}

// TestSameAtOnce wants the parallel requests of one client to take one hash and one count.
func TestSameAtOnce(t *testing.T) {
	a, _ := testAccess(t)
	giveBack := takeTurns(a)
	var group sync.WaitGroup
	for range 3 * freeTries {
		group.Go(func() {
			if _, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1")); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(a, 1)
	giveBack()
	group.Wait()
	if n := a.Logins().Hashed; n != 1 {
		t.Errorf("%d hashes for one password", n)
	}
}

// TestLeftInQueue has a client leave whose parallel request others wait for.
func TestLeftInQueue(t *testing.T) {
	a, _ := testAccess(t)
	giveBack := takeTurns(a)
	ctx, cancel := context.WithCancel(background)
	left, got := make(chan error), make(chan error)
	go func() {
		_, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1").WithContext(ctx))
		left <- err
	}()
	waitFor(a, 1)
	go func() {
		_, err := a.Identify(request("alice", "correct horse", "192.0.2.2:1"))
		got <- err
	}()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	giveBack()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestFailuresOfOthers wants made-up names not to push the count of a user's failures out of memory.
func TestFailuresOfOthers(t *testing.T) {
	f, now := newFailures(), time.Now()
	alice := attempt{"alice", "192.0.2.1"}
	for range freeTries {
		f.begin(alice, true, now)
	}
	for i := range 2 * maxFailures {
		f.begin(attempt{fmt.Sprint("name", i), "192.0.2.1"}, false, now)
	}
	if _, wait := f.begin(alice, true, now); wait == 0 {
		t.Error("alice's guesses are forgotten")
	}
}
