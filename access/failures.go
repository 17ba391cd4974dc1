package access

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	maxFailures  = 10_000 // pairs of user and address whose wrong logins are counted, and addresses
	freeTries    = 5      // wrong logins before the next one has to wait
	manyFailures = 10     // wrong logins, under whatever names, after which an address is suspect
	longestWait  = time.Minute
)

// attempt is whose login fails, from where: one address cannot lock out another.
type attempt struct{ name, address string }

// failures counts the logins that failed lately, by user and address and by address alone. A login counts from
// the moment it is begun: else a thousand at once would all be the first.
type failures struct {
	mu        sync.Mutex
	users     *lru.Cache[attempt, *failureRun] // of users that there are
	strangers *lru.Cache[attempt, *failureRun] // of names that somebody made up: they push out only each other
	addresses *lru.Cache[string, *failureRun]
}

type failureRun struct {
	count int
	last  time.Time
}

func newFailures() *failures {
	return &failures{users: mustLRU[attempt, *failureRun](maxFailures), strangers: mustLRU[attempt, *failureRun](maxFailures), addresses: mustLRU[string, *failureRun](maxFailures)}
}

// mustLRU returns a cache of a constant size.
func mustLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for sizes below one
	}
	return c
}

// tally is how often logins failed before this one.
type tally struct{ user, address int }

// begin counts a login as failed before anybody knows, unless it has to wait.
func (f *failures) begin(try attempt, exists bool, now time.Time) (before tally, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	run := runOf(f.pairs(exists), try, now)
	if wait := run.wait(now); wait > 0 {
		return before, wait
	}
	from := runOf(f.addresses, try.address, now)
	before = tally{run.count, from.count}
	run.count, run.last = run.count+1, now
	from.count, from.last = from.count+1, now
	return before, 0
}

// wrong ends a login that failed: the wait begins with its answer, however long the check took.
func (f *failures) wrong(try attempt, exists bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	runOf(f.pairs(exists), try, now).last = now
}

// right ends a login that was right: its user begins anew.
func (f *failures) right(try attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users.Remove(try)
	f.uncount(try.address)
}

// undo takes back a login that was not checked.
func (f *failures) undo(try attempt, exists bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if run, ok := f.pairs(exists).Get(try); ok {
		run.count = max(0, run.count-1)
	}
	f.uncount(try.address)
}

func (f *failures) uncount(address string) {
	if from, ok := f.addresses.Get(address); ok {
		from.count = max(0, from.count-1)
	}
}

// again counts a login with a password that was wrong before: the one who sends it learns nothing, and most often it
// is a machine that was not told of the new one. So it is slowed down once, and keeps nobody else from getting in.
func (f *failures) again(try attempt, exists bool, now time.Time) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	run := runOf(f.pairs(exists), try, now)
	if wait := run.wait(now); wait > 0 {
		return wait
	}
	if run.count < freeTries {
		run.count, run.last = run.count+1, now
	}
	return 0
}

func (f *failures) pairs(exists bool) *lru.Cache[attempt, *failureRun] {
	if exists {
		return f.users
	}
	return f.strangers
}

// runOf finds the run of a key, or begins one: nothing for a while is forgiven.
func runOf[K comparable](c *lru.Cache[K, *failureRun], key K, now time.Time) *failureRun {
	run, ok := c.Get(key)
	if !ok || now.Sub(run.last) > 10*longestWait {
		run = &failureRun{}
		c.Add(key, run)
	}
	return run
}

// wait is how long the next try has to wait: nothing for the first few, then twice as long each time.
func (r *failureRun) wait(now time.Time) time.Duration {
	if r.count < freeTries {
		return 0
	}
	penalty := longestWait
	if over := r.count - freeTries; over < 6 {
		penalty = time.Second << over
	}
	return penalty - max(0, now.Sub(r.last))
}
