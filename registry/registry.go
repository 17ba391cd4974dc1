// Package registry is the OCI registry: it accepts images and serves them, and commits a record of every
// change with the change itself.
//
// Upload sessions, mounts and blob deletes are served by distribution's App, embedded over a namespace
// of our own (app.go, namespace.go). Everything that is read, and the manifests, are served here, from
// the store's tables and from open files, because distribution has no transactions and its read path
// costs several times as much. Each gap of distribution that we fill has a file of its own,
// whose comment says what is missing upstream.
//
// A request is parsed into a value first (route.go), then checked against the caller's rights, then
// acted upon. Handlers return errors; errors.go turns them into answers in one place.
package registry

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Config is how a Registry is set up. The zero value of a field is its default.
type Config struct {
	// MaxManifest is the size above which a manifest is refused. Default: 4MiB, the least that OCI asks
	// registries to take.
	MaxManifest units.Size `yaml:"maxManifest"`
	// UploadKeep is how long an upload may lie untouched, while the registry runs, before it is removed. Default: 24h.
	UploadKeep units.Duration `yaml:"uploadKeep"`
	// Reserve is how much of the disk stays free: pushes are refused below it, so that reads and deletes
	// can go on. Default: 1GiB, but at most a twentieth of the disk. It is never less than 16MiB, or a
	// twentieth of a small disk, because giving back room takes some.
	Reserve units.Size `yaml:"reserve"`
	// Lease is how long a blob stays that no manifest needs, so that a push has time to come to its
	// manifest, and a deleted image can be pushed again without its layers. Default: 24h.
	Lease units.Duration `yaml:"lease"`
	// SmallBlobs is the size up to which blobs live in the store, and not in files of their own. Default, and most: 16KiB.
	SmallBlobs units.Size `yaml:"smallBlobs"`
}

// Gate decides who makes a request and what they may do. access.Access is one.
type Gate interface {
	// Begin says who makes a request; the first View of it looks whether that is so still.
	Begin(r *http.Request) (*access.Caller, error)
	May(who provenance.Identity, right access.Right, repository string) bool
	// MayIn is May as a transaction sees it; it fails where the login was ended since Begin.
	MayIn(tx storage.Reader, who provenance.Identity, right access.Right, repository string) (bool, error)
	// Challenge tells a client how to sign in for a scope, and why it has to.
	Challenge(r *http.Request, scope string, why error) string
	// Prefixes are what the names of all repositories begin with that someone may pull from, in order.
	Prefixes(who provenance.Identity) []string
	// Fixed returns a sentence about the rule that keeps a tag as it is once it is set, or "".
	Fixed(tx storage.Reader, repository, tag string) (string, error)
	// Following is a View of the store that declares what fn reads. By what it sees, the documents that the registry decides by are in force
	// before fn runs.
	Following(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error
	// FixedRules is another one after each change of what Fixed goes by.
	FixedRules(tx storage.Reader) (digest.Digest, error)
}

// Registry serves /v2/. It is safe for concurrent use.
type Registry struct {
	c         Config
	store     storage.Store
	blobs     storage.Blobs
	book      *provenance.Book
	gate      Gate
	log       *slog.Logger
	appraiser Appraiser // nil where nobody looks at signatures
	keptKey   atomic.Pointer[keptKey]
	secret    []byte // signs upload ids; kept in the store, so that uploads outlive the process

	clock     *clock           // of leases and uploads
	now       func() uint64    // what it shows; tests set it forward
	machine   func() time.Time // the machine's clock; tests set it too
	wake      chan struct{}
	keep      sync.RWMutex // read-locked while the files of blobs must stay
	collected struct{ blobs, bytes atomic.Int64 }
	quotas    atomic.Pointer[quotas]
	small     *lru.Cache[storage.Location, []byte]
	cursors   cipher.AEAD // seals where a page of repositories ended: see cursor.go
	sessions  *sessions
	trash     TrashConfig // does not change
	ending    ending
	app       http.Handler
	reserved  reservations
	uncounted chan struct{} // told when a counter of usage or of a quota cannot be read
	policy    Policy        // nil where there are no rules
	waiting   waiting       // small blobs that have arrived without their manifest
	redirects *redirects    // nil where nobody is redirected; does not change
	mirrors   Mirrors       // nil where there are none
	withholds atomic.Bool   // something of theirs may be held
	refused   refusals
	full      refusals      // by quotas
	warned    atomic.Uint64 // pushes, of a soft limit
	marks     *marks
	moves     moves
	scrub     *scrub
	pulls     *pulls
	behind    *behind // what GETs and HEADs leave to be committed

	changingQuotas sync.Mutex // one change at a time, with what it keeps in memory
}

// New returns the registry kept in a store and its blobs.
func New(ctx context.Context, store storage.Store, blobs storage.Blobs, book *provenance.Book, gate Gate, log *slog.Logger, c Config) (*Registry, error) {
	if c.MaxManifest == 0 {
		c.MaxManifest = 4 << 20
	}
	if c.UploadKeep == 0 {
		c.UploadKeep = units.Duration(24 * time.Hour)
	}
	if c.Lease == 0 {
		c.Lease = units.Duration(24 * time.Hour)
	}
	if c.SmallBlobs == 0 {
		c.SmallBlobs = maxSmall
	}
	secret, err := openSecret(ctx, store)
	if err != nil {
		return nil, err
	}
	clock, err := openClock(ctx, store, time.Now())
	if err != nil {
		return nil, err
	}
	g := &Registry{
		c: c, store: store, blobs: blobs, book: book, gate: gate, log: log, secret: secret,
		clock: clock, now: clock.now, machine: time.Now, wake: make(chan struct{}, 1), marks: new(marks), scrub: newScrub(), pulls: newPulls(), behind: newBehind(), sessions: newSessions(),
		uncounted: make(chan struct{}, 1),
	}
	g.SetKeptKey(drawKeptKey())
	if g.cursors, err = newCursors(secret); err != nil {
		return nil, err
	}
	if g.small, err = lru.New[storage.Location, []byte](smallBlobs); err != nil {
		return nil, err
	}
	if g.app, err = newApp(g); err != nil {
		return nil, fmt.Errorf("embed distribution: %w", err)
	}
	book.Follow(g.follow)
	if err := g.lookForWithheld(ctx); err != nil {
		return nil, err
	}
	if err := store.View(ctx, func(tx storage.Reader) error {
		last, err := lastMove(tx)
		g.moves.seen.Store(last) // nothing was decided before it
		return err
	}); err != nil {
		return nil, err
	}
	return g, g.reloadQuotas(ctx)
}

// openSecret reads the registry's secret, and draws it at the first start.
func openSecret(ctx context.Context, store storage.Store) (secret []byte, err error) {
	drawn := make([]byte, 32)
	rand.Read(drawn) // which never fails
	return storage.GetOrPut(ctx, store, secretTable, secretKey, drawn)
}

// call is one request on its way through the registry.
type call struct {
	request
	who provenance.Identity
	r   *http.Request

	g      *Registry      // that got a request; nil of what is no request
	caller *access.Caller // of a request: its login is good once view has run, or it was settled; nil of what is no request

	absent digest.Digest              // the blob that is to come, where there was none when the request began; or ""
	from   string                     // the repository whose bytes this request takes, which its caller must be able to pull from still when it commits; or ""
	check  func(storage.Reader) error // of a removal by a rule: what else has to hold when it commits; or nil
	reason *provenance.RuleReason     // where a rule does it

	chunk *chunk  // the Content-Range of an upload's request, or nil
	open  *upload // what this request writes to, or nil

	// failure is set by the namespace, for want of a better way through distribution's App, which turns
	// most errors into status 500. The goroutine of the request owns it.
	failure error
}

// apiVersion is the header by which docker knows a registry.
const apiVersion = "Docker-Distribution-Api-Version"

// ServeHTTP serves /v2/.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(apiVersion, "registry/2.0")
	if err := g.serve(w, r); err != nil {
		g.fail(w, r, err)
	}
}

func (g *Registry) serve(w http.ResponseWriter, r *http.Request) error {
	// distribution parses form bodies, and spools them to disk. No client of a registry sends them.
	if err := refuseForms(r); err != nil {
		return err
	}
	caller, err := g.gate.Begin(r)
	if err != nil {
		return err
	}
	parsed, err := parse(r.Method, r.URL)
	if err == nil {
		err = g.handle(w, &call{request: parsed, g: g, who: caller.Who, caller: caller, r: r})
	}
	if err == nil {
		return nil
	}
	if ended := caller.Settle(r.Context()); ended != nil {
		return ended // whose login has ended is told nothing else
	}
	obs.SetUser(r.Context(), caller.Who.Actor.Handle)
	return err
}

// handle lets a call in, and acts on it. Where its handler begins with a look into the store, that looks at the caller's login too.
func (g *Registry) handle(w http.ResponseWriter, c *call) error {
	if !c.looksFirst() {
		if err := g.settle(c); err != nil {
			return err
		}
		obs.SetUser(c.r.Context(), c.who.Actor.Handle)
	}
	obs.SetRoute(c.r.Context(), string(c.kind))
	if err := g.authorizeNow(c); err != nil {
		return err
	}
	return c.handle(g, w, c)
}

// authorizeNow is authorize, which refuses nobody by what another process has changed since.
func (g *Registry) authorizeNow(c *call) error {
	err := g.authorize(c)
	if err == nil || c.caller.Settle(c.r.Context()) != nil || !c.caller.Moved() {
		return err
	}
	return g.authorize(c)
}

// settle looks whether a caller's login is good still and, where an upload is to end, whether there is such a blob already.
func (g *Registry) settle(c *call) error {
	ctx := c.r.Context()
	d, ok := parseDigest(c.query.Get("digest"))
	if !ok || c.kind != uploadsKind && c.kind != uploadKind {
		return c.caller.Settle(ctx)
	}
	reads := func() []storage.Read { return []storage.Read{storage.Row(blobTable, digestKey(d))} }
	return c.caller.View(ctx, reads, func(tx storage.Reader) error {
		_, err := tx.Get(blobTable, digestKey(d))
		if errors.Is(err, storage.ErrNotFound) {
			c.absent, err = d, nil
		}
		return err
	})
}

// maxEarlyBody is how much of a body is read, in bytes, for a token that was good lately and may have ended since: no more than may
// come in a header.
const maxEarlyBody = 16 << 10

// looksFirst says that a handler's first act is view, and that it answers nobody before. That of a manifest's PUT reads the body
// first, which tells it what to look for.
func (c *call) looksFirst() bool {
	switch c.kind {
	case manifestKind:
		size := c.r.ContentLength
		return c.right == access.Pull || c.right == access.Push && size >= 0 && size <= maxEarlyBody
	case blobKind, tagsKind, referrersKind:
		return c.right == access.Pull
	}
	return false
}

// A view is a View of the store that declares what it reads.
type view func(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error

// view is a View for nobody's request.
func (g *Registry) view(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error {
	return g.gate.Following(ctx, reads, fn)
}

// firstView is that of a call, whether it is a request or not.
func (g *Registry) firstView(c *call) view {
	if c.caller == nil {
		return g.view
	}
	return c.view
}

// view is the View that a request begins with: it wants that the caller's login was not ended.
func (c *call) view(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error {
	all := func() []storage.Read { return append(c.g.unseenMoves(), reads()...) }
	return c.caller.View(ctx, all, func(tx storage.Reader) error {
		obs.SetUser(ctx, c.who.Actor.Handle)
		if err := c.g.followMoves(tx); err != nil {
			return err
		}
		if c.caller.Moved() {
			if err := c.g.authorize(c); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

// authorize checks the caller's rights in the repository of the request. Strangers are asked who they are
// where they may not go on; at the base, because it is there that clients look for how to sign in; and before a list
// that is shorter for them than for others, because a client that is never asked never signs in.
func (g *Registry) authorize(c *call) error {
	stranger := c.who.Actor.Kind == provenance.Anonymous
	switch {
	case stranger && c.kind == baseKind && !hasToken(c.r):
		return access.ErrNoLogin
	case stranger && c.kind == catalogKind && !access.SaysStranger(c.r):
		return access.ErrNoLogin
	case c.kind == catalogKind && access.NeedsCatalog(c.who):
		return access.ErrScope
	case c.repo == "":
		return nil
	case g.gate.May(c.who, c.right, c.repo) && c.needsFrom():
		return access.ErrScope
	case g.gate.May(c.who, c.right, c.repo):
		return g.mayEnter(c)
	case access.NeedsScope(c.who, c.right, c.repo):
		return access.ErrScope // whether anything is there or not
	case stranger:
		return access.ErrNoLogin
	case !g.gate.May(c.who, access.Pull, c.repo):
		return errNameUnknown(c.repo) // as if it were not there
	default:
		return errNoRight(c)
	}
}

// update runs a transaction that changes a call's repository, unless what let the call in was taken from it
// since: a right or a login that was revoked before this commit is worth nothing in it.
// It declares what it reads for that, and what fn reads.
func (g *Registry) update(ctx context.Context, c *call, reads func() []storage.Read, fn func(storage.Tx) error) error {
	declared := func() []storage.Read { return slices.Concat(access.DecidesBy(c.who), g.moveReads(), reads()) }
	return storage.UpdateReading(ctx, g.store, declared, func(tx storage.Tx) error {
		if err := g.reauthorize(tx, c); err != nil {
			return err
		}
		if c.check != nil {
			if err := c.check(tx); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

// reauthorize answers as authorize would now.
func (g *Registry) reauthorize(tx storage.Reader, c *call) error {
	may, err := g.gate.MayIn(tx, c.who, c.right, c.repo)
	if may && c.from != "" {
		return g.mayTake(tx, c)
	}
	if may || err != nil {
		return err
	}
	may, err = g.gate.MayIn(tx, c.who, access.Pull, c.repo)
	switch {
	case err != nil:
		return err
	case may:
		return errNoRight(c)
	}
	return errNameUnknown(c.repo)
}

// mayTake is storage.ErrNotFound where a call may not pull, or not any more, from where it takes bytes.
func (g *Registry) mayTake(tx storage.Reader, c *call) error {
	may, err := g.gate.MayIn(tx, access.Owner(c.who), access.Pull, c.from)
	if err == nil && !may {
		err = storage.ErrNotFound
	}
	return err
}

func errNoRight(c *call) error { return errDenied("you may pull from %s, but not %s", c.repo, c.right) }

// hasToken says that a request carries a token: then its client knows how to sign in, even as nobody.
func hasToken(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "bearer")
}

// event returns a record's beginning: what every action of this call has in common.
func (c *call) event(action provenance.Action) provenance.Event {
	return provenance.Event{
		Action:     action,
		Repository: c.repo,
		Who:        c.who,
		Reason:     c.reason,
		Observed:   provenance.Observation{RequestID: obs.RequestID(c.r.Context())},
		Unsigned: provenance.Unsigned{
			ClientAddress: peer.Address(c.r),
			ForwardedFor:  bounded(c.r.Header.Get("X-Forwarded-For")),
			UserAgent:     bounded(c.r.UserAgent()),
		},
	}
}
