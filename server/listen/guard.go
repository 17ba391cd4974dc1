// Package listen bounds what clients can take from a server by their connections alone, before it knows who they are.
//
// A [Guard] bounds the number of connections, and decides which one to close when there are too many; a [Stall] cuts those that
// send or read nothing in the middle of a request. Bulk reads, and what the kernel buffers for slow readers, belong here
// too: they are about the connection, not about the requests on it.
package listen

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
)

// ConnectionLimits bound connections.
type ConnectionLimits struct {
	// Connections is how many connections may be open at once. Default: 10000, and never more than three quarters
	// of the files that the process may open.
	Connections int `yaml:"connections"`
	// AddressConnections is how many of them may come from one address; an IPv6 network of 64 bits is one. Trusted
	// proxies are bounded by Connections alone. Default: 1000.
	AddressConnections int `yaml:"addressConnections"`
}

// A Guard bounds the connections of a listener. Where there are too many, a newcomer takes the place of the one that
// has been of no use for longest: idle, in a handshake, or with a request that nobody has signed in for. So strangers
// who hold connections open keep nobody out.
type Guard struct {
	most, mostOf int
	proxies      peer.Proxies
	ticks        atomic.Uint64 // orders what happens to connections

	mu   sync.Mutex // guards what follows
	n    int
	from map[string]map[*guarded]struct{}

	replaced, refused atomic.Uint64 // connections
}

// guarded is a connection that a guard counts.
type guarded struct {
	*bulkConn
	guard   *Guard
	address string
	exempt  bool          // a trusted proxy's
	serving atomic.Int32  // requests under way whose client is known
	since   atomic.Uint64 // when it was last of use
	taken   atomic.Int64  // bytes that its client took, since it was slow
	quick   atomic.Bool   // it took many
	closed  sync.Once
}

// NewGuard returns a guard of listeners without connections yet.
func NewGuard(c ConnectionLimits, proxies peer.Proxies) *Guard {
	g := &Guard{most: c.Connections, mostOf: c.AddressConnections, proxies: proxies, from: map[string]map[*guarded]struct{}{}}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur/4*3 < uint64(g.most) {
		g.most = int(files.Cur / 4 * 3) // the others are for blobs
	}
	return g
}

// Listener returns a listener whose connections are counted, and read bulk in large pieces.
func (g *Guard) Listener(l net.Listener) net.Listener { return guardedListener{l, g} }

type guardedListener struct {
	net.Listener
	guard *Guard
}

// Accept implements net.Listener.
func (l guardedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.guard.admit(&bulkConn{Conn: conn}); c != nil {
			return c, nil
		}
		_ = conn.Close() // there is no room, and nobody to tell
	}
}

// admit counts a connection, and closes another where there are too many. It returns nil where there is no room.
func (g *Guard) admit(conn *bulkConn) *guarded {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		host = conn.RemoteAddr().String()
	}
	c := &guarded{bulkConn: conn, guard: g, address: peer.Network(host), exempt: g.proxies.Trusts(host)}
	c.touch()
	c.boundUnsent(unsent)
	victim, ok := g.add(c)
	if !ok {
		g.refused.Add(1)
		return nil
	}
	if victim != nil {
		g.replaced.Add(1)
		_ = victim.Close() // it was of no use to anybody
	}
	return c
}

// add adds a connection, and says which has to go for it.
func (g *Guard) add(c *guarded) (victim *guarded, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch from := g.from[c.address]; {
	case !c.exempt && len(from) >= g.mostOf:
		victim = leastUseful(from)
	case g.n >= g.most:
		victim = g.ofTheMost()
	default:
		g.insert(c)
		return nil, true
	}
	if victim == nil {
		return nil, false
	}
	g.remove(victim) // its Close finds that done
	g.insert(c)
	return victim, true
}

// leastUseful is the connection that has been of no use for longest, or nil where all serve somebody.
func leastUseful(from map[*guarded]struct{}) (least *guarded) {
	for c := range from {
		if c.serving.Load() == 0 && (least == nil || c.since.Load() < least.since.Load()) {
			least = c
		}
	}
	return least
}

// ofTheMost is the least useful connection of the address that has the most; the caller holds mu, here and below.
func (g *Guard) ofTheMost() (least *guarded) {
	most := 0
	for _, from := range g.from {
		if len(from) > most {
			if c := leastUseful(from); c != nil {
				least, most = c, len(from)
			}
		}
	}
	return least
}

func (g *Guard) insert(c *guarded) {
	from := g.from[c.address]
	if from == nil {
		from = map[*guarded]struct{}{}
		g.from[c.address] = from
	}
	from[c] = struct{}{}
	g.n++
}

func (g *Guard) remove(c *guarded) {
	from := g.from[c.address]
	if _, ok := from[c]; !ok {
		return
	}
	if delete(from, c); len(from) == 0 {
		delete(g.from, c.address)
	}
	g.n--
}

// Open is how many connections there are.
func (g *Guard) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// Replaced is how many connections were closed to make room for others.
func (g *Guard) Replaced() uint64 { return g.replaced.Load() }

// Refused is how many connections were not let in, because all others were at work.
func (g *Guard) Refused() uint64 { return g.refused.Load() }

func (c *guarded) touch() { c.since.Store(c.guard.ticks.Add(1)) }

// Close implements net.Conn.
func (c *guarded) Close() error {
	c.closed.Do(func() {
		c.guard.mu.Lock()
		defer c.guard.mu.Unlock()
		c.guard.remove(c)
	})
	return c.bulkConn.Close()
}

type connectionKey struct{}

// WithConnection lets a request find its connection: it is a server's ConnContext.
func WithConnection(ctx context.Context, conn net.Conn) context.Context {
	if overTLS, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = overTLS.NetConn()
	}
	if c, ok := conn.(*guarded); ok {
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

// Known keeps a connection from being replaced while it serves a client that is known.
func Known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connectionOf(r.Context())
		if c == nil {
			next.ServeHTTP(w, r)
			return
		}
		c.touch()
		serving := int32(0)
		obs.OnUser(r.Context(), func() {
			c.serving.Add(1 - serving)
			serving = 1
		})
		defer func() {
			c.touch()
			c.serving.Add(-serving)
		}()
		next.ServeHTTP(w, r)
	})
}
