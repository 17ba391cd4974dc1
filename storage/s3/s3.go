// Package s3 keeps blobs in an object store that speaks S3. Rows in the registry's own store say what is there: an object's
// name is in a row before its first byte is sent, and stays in one until the object is gone. So nothing is ever looked for by
// listing the bucket, and a reader knows the length and the ETag that an object has to have.
//
//	PREFIXhallmark-blobs    whose blobs these are, so that two registries never share a prefix
//	PREFIXblobs/RUN/N       an object of several parts
//	PREFIXblobs/RUN/N-E     an object that was put at once, or what an upload holds beyond its last whole part
//
// RUN is drawn at random by each process, and N counts its uploads. E counts what was put for one upload: no name is ever
// written twice, so nobody who comes late can change what another has made.
//
// Bytes arrive in parts, which cannot be read back before the last. So each upload hashes what comes, and what an upload
// holds at the end of a request that is less than a part is put as an object of its own: it becomes the blob when nothing
// more comes.
package s3

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// Config says where an object store is, and how it is used.
type Config struct {
	// Endpoint is the URL of the object store: https://host[:port].
	Endpoint string `yaml:"endpoint"`
	// Bucket is the name of a bucket that is there.
	Bucket string `yaml:"bucket"`
	// Prefix is what the names of all objects begin with. It ends with a slash. Default: none.
	Prefix string `yaml:"prefix"`
	// Region is the region that requests are signed for. Default: us-east-1.
	Region string `yaml:"region"`
	// Credentials is a file in the format of ~/.aws/credentials, of which the profile AWS_PROFILE counts, or default. Default: the
	// variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then ~/.aws/credentials, then the role of the machine.
	Credentials string `yaml:"credentials"`
	// CA is a PEM file with the certificate authority of the endpoint. Default: those that the system trusts.
	CA string `yaml:"ca"`
	// Keep is how long an object stays after nothing needs it. An older copy of the registry's data, put back within that
	// time, finds all its blobs. Default: 7d.
	Keep units.Duration `yaml:"keep"`
}

// Options are what an engine gets from its registry.
type Options struct {
	// Rows keeps what is known of each object.
	Rows storage.Store
	// Free says how much room there is for rows. An object store has no end.
	Free func() (free, size uint64, err error)
	// Several says that other processes work on the rows too.
	Several bool
	// Log is told of what is put right in the background; nil is nobody.
	Log *slog.Logger
}

// Store keeps blobs in an object store. It implements storage.Blobs.
type Store struct {
	client *client
	rows   storage.Store
	free   func() (free, size uint64, err error)
	log    *slog.Logger
	keep   time.Duration
	run    uint64
	// several says that other processes seal objects, of which nobody knows for a moment whether a row will name them.
	several bool
	linked  time.Duration // after which one of another process is named, or never will be
	next    atomic.Uint64
	memory  *budget

	mu   sync.Mutex
	open map[place.Place]*upload // guarded by mu; nil while one is being opened

	here probe
}

// Open opens the blobs of the registry with an id, which Claim was called with before. Error: storage.ErrAway; storage.ErrCorrupt,
// where the blobs of another registry are there, or none.
func Open(ctx context.Context, c Config, id string, o Options) (*Store, error) {
	s, err := connect(ctx, c, o)
	if err != nil {
		return nil, err
	}
	s.here.id = id
	return s, s.mustBe(ctx, id)
}

// SamePlace says whether two name the same bucket and prefix.
func (c Config) SamePlace(as Config) bool {
	return strings.TrimSuffix(c.Endpoint, "/") == strings.TrimSuffix(as.Endpoint, "/") && c.Bucket == as.Bucket && c.Prefix == as.Prefix
}

// Where says for people where the objects are.
func (c Config) Where() string {
	return strings.TrimSuffix(c.Endpoint, "/") + "/" + c.Bucket + "/" + c.Prefix
}

func connect(ctx context.Context, c Config, o Options) (*Store, error) {
	remote, err := newClient(ctx, c)
	if err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{
		client: remote, rows: o.Rows, free: o.Free, log: log, keep: time.Duration(c.Keep), run: rand.Uint64(),
		several: o.Several, linked: settling,
		memory: newBudget(bufferBytes), open: map[place.Place]*upload{},
	}, nil
}

// Where says for people where the objects are.
func (s *Store) Where() string {
	return s.client.endpoint + "/" + s.client.bucket + "/" + s.client.prefix
}

// Free implements storage.Blobs: the rows need room too.
func (s *Store) Free() (free, size uint64, err error) { return s.free() }

// Readable wants the files that the configuration names to be there, and to hold what they should. It returns what is wrong with each.
func (c Config) Readable() (ca, credentials error) {
	t, ca := newTransport(c.CA)
	if ca == nil && c.Credentials != "" {
		_, credentials = newCredentials(context.Background(), c.Credentials, t)
	}
	return ca, credentials
}
