package access

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"golang.org/x/time/rate"
)

// Limits bound how many requests one may make. Anyone who has been quiet may make those of ten seconds at
// once; what is too much is refused, and told when to come again. The zero value of a field is no limit.
type Limits struct {
	// Identity is for each user, robot or CI identity, as 100/s or 3000/m. Default: no limit.
	Identity units.Rate `yaml:"identity"`
	// Address is for each address that requests without a login, or with a wrong one, come from. An IPv6
	// network of 64 bits is one address. Default: no limit.
	Address units.Rate `yaml:"address"`
}

// limiter counts the requests of identities and addresses.
type limiter struct{ identities, addresses *meter }

func newLimiter(l Limits) limiter {
	return limiter{identities: newMeter(l.Identity), addresses: newMeter(l.Address)}
}

// take counts a request of an identity, or, where nobody signed in, of an address. Error: SlowDownError.
func (l limiter) take(who provenance.Identity, address string, now time.Time) error {
	if who.Actor.Kind == provenance.System {
		return nil
	}
	if who.Login == nil {
		return l.addresses.take(peer.Network(address), now)
	}
	return l.identities.take(string(who.Actor.Kind)+" "+who.Actor.Handle+" "+who.Actor.Account, now)
}

// maxMetered bounds the identities, and the addresses, that are counted. Those that have been quiet for
// longest are forgotten first.
const maxMetered = 10_000

// meter limits the rate of each of many. A nil one limits nobody.
type meter struct {
	rate  rate.Limit
	burst int

	mu   sync.Mutex // guards adding to each
	each *lru.Cache[string, *rate.Limiter]
}

func newMeter(r units.Rate) *meter {
	if r == 0 {
		return nil
	}
	each, err := lru.New[string, *rate.Limiter](maxMetered)
	if err != nil {
		panic(err) // only for sizes, which are constants here
	}
	return &meter{rate: rate.Limit(r), burst: max(1, int(10*r)), each: each}
}

func (m *meter) take(name string, now time.Time) error {
	if m == nil {
		return nil
	}
	r := m.of(name).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now) // or the impatient would push their turn away with each try
	return &SlowDownError{Why: "too many requests", Wait: wait}
}

func (m *meter) of(name string) *rate.Limiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.each.Get(name)
	if !ok {
		l = rate.NewLimiter(m.rate, m.burst)
		m.each.Add(name, l)
	}
	return l
}
