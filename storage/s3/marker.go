package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/seed-260924e6/hallmark/storage"
)

// markerName is the object that says whose blobs are below a prefix.
const markerName = "hallmark-blobs"

// Claim makes a prefix the one of the registry with an id. It may be called again with the same id. Errors: storage.ErrAway;
// storage.ErrCorrupt, where it is another registry's.
func Claim(ctx context.Context, c Config, id string) error {
	s, err := connect(ctx, c, Options{})
	if err != nil {
		return err
	}
	found, err := s.marked(ctx)
	switch {
	case err != nil:
		return err
	case found != "":
		return s.compare(found, id)
	}
	once := minio.PutObjectOptions{}
	once.SetMatchETagExcept("*") // so that of two that begin at once one comes too late
	if _, err = s.client.put(ctx, s.client.prefix+markerName, []byte(id+"\n"), once); err != nil {
		return s.mustBeAfter(ctx, id, err)
	}
	return s.mustBe(ctx, id)
}

// mustBeAfter is mustBe after a failure that may have been none.
func (s *Store) mustBeAfter(ctx context.Context, id string, failed error) error {
	found, err := s.marked(ctx)
	if err != nil || found == "" {
		return failed
	}
	return s.compare(found, id)
}

// mustBe wants the prefix to be the one of a registry.
func (s *Store) mustBe(ctx context.Context, id string) error {
	found, err := s.marked(ctx)
	if err != nil {
		return err
	}
	return s.compare(found, id)
}

func (s *Store) compare(found, id string) error {
	where := fmt.Sprintf("%s, bucket %q, prefix %q,", s.client.endpoint, s.client.bucket, s.client.prefix)
	switch found {
	case id:
		return nil
	case "":
		return fmt.Errorf("%w: %s has no object %s, and this registry's blobs were there: is it another bucket?", storage.ErrCorrupt, where, markerName)
	}
	return fmt.Errorf("%w: %s holds the blobs of another registry: give each its own blobs.s3.prefix", storage.ErrCorrupt, where)
}

// marked returns the id of the registry whose blobs these are, or "".
func (s *Store) marked(ctx context.Context) (id string, err error) {
	body, _, err := s.client.get(ctx, s.client.prefix+markerName, "", 0)
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer body.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(body, 100))
	if err != nil {
		return "", s.client.explain("get", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// probe remembers for a moment whether the object store answered.
type probe struct {
	id string

	mu  sync.Mutex
	at  time.Time // guarded by mu
	err error     // guarded by mu
}

// probeEvery is how long an answer counts, and probeTime how long it may take.
const (
	probeEvery = 10 * time.Second
	probeTime  = 5 * time.Second
)

// Here returns nil while the object store answers, and has this registry's blobs.
func (s *Store) Here() error {
	s.here.mu.Lock()
	defer s.here.mu.Unlock()
	if time.Since(s.here.at) < probeEvery {
		return s.here.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	s.here.err = s.mustBe(ctx, s.here.id)
	s.here.at = time.Now()
	return s.here.err
}
