package oidc

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"golang.org/x/time/rate"
)

const (
	askAtOnce      = 10              // times in a row that the tokens of one address make us ask an issuer
	askEvery       = 5 * time.Second // from one address after that
	askAtOnceAll   = 20              // and from all of them
	askEveryAll    = 1 * time.Second
	maxAskingFrom  = 10_000 // addresses that are counted; those that have been quiet for longest are forgotten first
	shortestToWait = 10 * time.Millisecond
)

// A budget bounds how often one issuer is asked because a token has a key that is not known: anybody can make one up.
// Each address has its own share, so who never sent such a token before is not kept waiting by who sends thousands; and
// there is a bound in all, for strangers with many addresses.
type budget struct {
	mu   sync.Mutex // guards what follows
	all  *rate.Limiter
	each *lru.Cache[string, *rate.Limiter]
}

func newBudget() *budget {
	each, err := lru.New[string, *rate.Limiter](maxAskingFrom)
	if err != nil {
		panic(err) // only for sizes below one
	}
	return &budget{all: rate.NewLimiter(rate.Every(askEveryAll), askAtOnceAll), each: each}
}

// take takes one time to ask, for an address. Where that is not to be had yet it takes nothing, and says how long to wait.
func (b *budget) take(address string, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	network := peer.Network(address)
	own, ok := b.each.Get(network)
	if !ok {
		own = rate.NewLimiter(rate.Every(askEvery), askAtOnce)
		b.each.Add(network, own)
	}
	if wait := max(missing(own, now), missing(b.all, now)); wait > 0 {
		return max(wait, shortestToWait)
	}
	own.AllowN(now, 1)
	b.all.AllowN(now, 1)
	return 0
}

// missing is how long it takes until a limiter allows one more.
func missing(l *rate.Limiter, now time.Time) time.Duration {
	return time.Duration((1 - l.TokensAt(now)) / float64(l.Limit()) * float64(time.Second))
}
