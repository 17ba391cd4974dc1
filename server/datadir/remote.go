package datadir

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// What the setting of the blobs begins with where they are in an object store, whose marker has the rest.
const (
	remoteBlobs  = "s3:"
	claimedBlobs = "s3-claimed:" // the marker may not be there yet
)

func isRemote(id string) bool {
	return strings.HasPrefix(id, remoteBlobs) || strings.HasPrefix(id, claimedBlobs)
}

func (o Options) remote() (*s3.Config, error) {
	if o.S3 == nil {
		return nil, nil
	}
	return o.S3()
}

// openRemote opens the blobs in an object store.
func (d *Dir) openRemote(ctx context.Context, c s3.Config, id string, log *slog.Logger) (Blobs, error) {
	switch {
	case id != "" && !isRemote(id):
		return nil, fmt.Errorf("this registry's blobs are in %s, and blobs.s3 names an object store: leave blobs.s3 out, or take them there with `hallmark move`", d.File(BlobsDir))
	case d.Mode == ToRead && !strings.HasPrefix(id, remoteBlobs):
		return nil, fmt.Errorf("open blobs: %w: the store does not know its blobs yet", storage.ErrReadOnly)
	}
	id, err := d.claim(ctx, c, id)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	blobs, err := s3.Open(ctx, c, id, s3.Options{Rows: d.Rows(), Free: d.freeRows, Several: d.several, Log: log})
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return blobs, nil
}

// freeRows says how much room there is for the rows of blobs that are elsewhere.
func (d *Dir) freeRows() (free, size uint64, err error) { return durable.Free(d.Path) }

// Objects says where the blobs are, where that is an object store, or "".
func (d *Dir) Objects() string {
	if remote, ok := d.Blobs.(*s3.Store); ok {
		return remote.Where()
	}
	return ""
}

// Remote says whether the blobs of the store are in an object store, whether or not it is reached.
func (d *Dir) Remote(ctx context.Context) (bool, error) {
	id, err := d.Setting(ctx, settingBlobs)
	return isRemote(id), err
}

// claim claims the prefix of a new registry: an id is kept, then the marker is made, then it is kept that it was. If we stop
// between two of them, the next start goes on, because the marker has its id. It returns the id.
func (d *Dir) claim(ctx context.Context, c s3.Config, id string) (string, error) {
	if id == "" {
		id = claimedBlobs + newID()
		if err := d.Set(ctx, settingBlobs, id); err != nil {
			return "", err
		}
	}
	own, claimed := strings.CutPrefix(id, claimedBlobs)
	if !claimed {
		return strings.TrimPrefix(id, remoteBlobs), nil
	}
	if err := s3.Claim(ctx, c, own); err != nil {
		return "", err
	}
	return own, d.Set(ctx, settingBlobs, remoteBlobs+own)
}

func newID() string {
	b := make([]byte, 16)
	crand.Read(b) // which never fails
	return hex.EncodeToString(b)
}
