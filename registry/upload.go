package registry

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/storage"
)

// To its client an upload's id is that of its file, with a MAC over it, the repository and the account: nobody
// else can resume it, and nothing has to be stored to know that.

const uploadMACLength = 32 // in hexadecimal

// clientUploadID is what the client of a call gets to know of an upload.
func (g *Registry) clientUploadID(c *call, id string) string { return id + "-" + g.uploadMAC(c, id) }

func (g *Registry) uploadMAC(c *call, id string) string {
	mac := hmac.New(sha256.New, g.secret)
	fmt.Fprintf(mac, "upload\x00%s\x00%s\x00%s\x00%s", id, c.repo, c.who.Actor.Kind, c.who.Actor.Account)
	return hex.EncodeToString(mac.Sum(nil)[:uploadMACLength/2])
}

// uploadID returns the id of the file of a client's upload.
func (g *Registry) uploadID(c *call, client string) (id string, ok bool) {
	id, mac, _ := strings.Cut(client, "-")
	return id, hmac.Equal([]byte(mac), []byte(g.uploadMAC(c, id)))
}

// createUpload begins an upload of the call's account to its repository.
func (g *Registry) createUpload(ctx context.Context, c *call) (*upload, error) {
	if err := g.room(); err != nil {
		return nil, err
	}
	s := &session{owner: ownerOf(c.who), started: time.Now(), hash: sha256.New()}
	if err := g.sessions.admit(s.owner, g.c.UploadKeep); err != nil {
		return nil, err
	}
	file, err := g.blobs.Create(ctx)
	if err != nil {
		g.sessions.leave(s.owner)
		return nil, err
	}
	if _, ok := file.(storage.Summed); ok {
		s.hash = nil // one hash is enough
	}
	g.sessions.put(file.ID(), s)
	c.open = &upload{g: g, c: c, client: g.clientUploadID(c, file.ID()), file: file, session: s}
	return c.open, nil
}

// resumeUpload opens an upload to go on with it.
func (g *Registry) resumeUpload(ctx context.Context, c *call, client string) (*upload, error) {
	if err := g.room(); err != nil {
		return nil, err
	}
	return g.openUpload(ctx, c, client)
}

func (g *Registry) openUpload(ctx context.Context, c *call, client string) (*upload, error) {
	id, ok := g.uploadID(c, client)
	if !ok {
		return nil, errUploadUnknown()
	}
	file, err := g.blobs.Resume(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errUploadUnknown()
	case errors.Is(err, storage.ErrBusy):
		return nil, newFailure(http.StatusConflict, "BLOB_UPLOAD_INVALID",
			"another request is writing to this upload; when it has ended, ask with GET where the upload stands")
	case err != nil:
		return nil, err
	}
	u := &upload{g: g, c: c, client: client, file: file, session: g.sessions.resume(id, ownerOf(c.who))}
	if c.chunk != nil && c.chunk.start != file.Size() {
		return nil, errors.Join(g.errOutOfOrder(c), u.Close())
	}
	c.open = u
	return u, nil
}

// cancelUpload drops an upload. distribution's App would do it only for who knows how far it has come.
func (g *Registry) cancelUpload(w http.ResponseWriter, c *call) error {
	u, err := g.openUpload(c.r.Context(), c, c.upload)
	if err != nil {
		return err
	}
	if err := u.Cancel(c.r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// statUpload tells how far an upload has come, while another request may be writing to it.
func (g *Registry) statUpload(ctx context.Context, c *call, client string) (*uploadStatus, error) {
	id, ok := g.uploadID(c, client)
	if !ok {
		return nil, errUploadUnknown()
	}
	info, err := g.blobs.Stat(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, errUploadUnknown()
	}
	if err != nil {
		return nil, err
	}
	return &uploadStatus{id: client, size: info.Size, at: info.Modified}, nil
}

// uploadStatus is a distribution.BlobWriter that only tells where an upload stands.
type uploadStatus struct {
	distribution.BlobWriter
	id   string
	size int64
	at   time.Time
}

func (u *uploadStatus) ID() string           { return u.id }
func (u *uploadStatus) Size() int64          { return u.size }
func (u *uploadStatus) StartedAt() time.Time { return u.at }
func (u *uploadStatus) Close() error         { return nil }

// upload is a distribution.BlobWriter over an open upload.
type upload struct {
	g       *Registry
	c       *call
	client  string // its id, as the client has it
	file    storage.Upload
	session *session
	ended   bool // it was cancelled
}

// ID implements distribution.BlobWriter.
func (u *upload) ID() string { return u.client }

// Size implements distribution.BlobWriter.
func (u *upload) Size() int64 { return u.file.Size() }

// StartedAt implements distribution.BlobWriter.
func (u *upload) StartedAt() time.Time { return u.session.started }

// Close implements distribution.BlobWriter: the upload stays for a later request.
func (u *upload) Close() error { return u.file.Close() }

// Cancel implements distribution.BlobWriter.
func (u *upload) Cancel(context.Context) error {
	u.ended = true
	u.g.endSession(u.file.ID())
	return u.c.failed(u.file.Cancel())
}

// Write implements distribution.BlobWriter.
func (u *upload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	if s := u.session; s.hash != nil {
		s.hash.Write(p[:n])
		s.n += int64(n)
	}
	if errors.Is(err, storage.ErrFull) {
		err = errors.Join(err, u.Cancel(context.Background())) // give back what is left of the disk
	}
	if errors.Is(err, storage.ErrNotFound) { // what keeps it has forgotten it
		err = errors.Join(errUploadUnknown(), err, u.Cancel(context.Background()))
	}
	return n, u.c.failed(err)
}

// roomEvery is how many bytes an upload may grow before the disk is looked at again.
const roomEvery = 16 << 20

// buffers are for bodies on their way to the disk: large, because each is a system call and a step of
// the hash.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// bodyBuffers returns buffers for a client of which so many bytes came quickly. Anyone who is slow holds a small one.
func bodyBuffers(quick int64) *sync.Pool {
	switch {
	case quick >= 1<<20:
		return &buffers
	case quick >= 2*mediumBuffer:
		return &mediumBuffers
	default:
		return &smallBuffers
	}
}

// ReadFrom implements distribution.BlobWriter. What arrived before an error is kept, so that a client
// can go on behind it.
func (u *upload) ReadFrom(r io.Reader) (n int64, err error) {
	if ch := u.c.chunk; ch != nil {
		r = io.LimitReader(r, ch.length)
		defer func() { err = u.checkChunk(ch, n, err) }()
	}
	d, _ := parseDigest(u.c.query.Get("digest"))
	if err := u.reserve(d, u.c.r.ContentLength); err != nil {
		return 0, err
	}
	defer func() {
		u.g.shrink(&u.session.reserved, u.Size()) // a body that breaks off ends as any other
		if err != nil {
			err = errors.Join(err, u.reserveWhatCame())
		}
	}()
	quick, unlooked := int64(0), int64(0)
	for {
		began := time.Now()
		got, err := u.take(r, bodyBuffers(quick))
		n += got
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
		if quick += got; time.Since(began) > slow {
			quick = 0
		}
		if unlooked += got; unlooked >= roomEvery {
			unlooked = 0
			if err := u.g.room(); err != nil {
				return n, u.c.failed(errors.Join(err, u.Cancel(context.Background())))
			}
			if err := u.reserve(d, u.c.r.ContentLength-n); err != nil {
				return n, err
			}
		}
	}
}

// reserve reserves what has come and what is still to come, as far as that is known, for bytes that are to be those of a digest, or "".
// Where a quota has no room for it, the upload has ended.
func (u *upload) reserve(d digest.Digest, more int64) error {
	more = min(max(more, 0), math.MaxInt64-u.Size())
	err := u.g.reserve(context.WithoutCancel(u.c.r.Context()), u.c.repo, &u.session.reserved, d, u.Size()+more)
	if err != nil {
		err = u.c.failed(errors.Join(err, u.Cancel(context.Background())))
	}
	return err
}

// reserveWhatCame reserves the bytes of an upload that stays. They are not taken any more for those of a blob that is there.
func (u *upload) reserveWhatCame() error {
	if u.ended || len(u.session.reserved.quotas) > 0 {
		return nil
	}
	return u.reserve("", 0)
}

// take takes a buffer's length. At the end of r it returns io.EOF.
func (u *upload) take(r io.Reader, pool *sync.Pool) (int64, error) {
	buf := pool.Get().(*[]byte)
	defer pool.Put(buf)
	read, readErr := io.ReadFull(r, *buf)
	if readErr == io.ErrUnexpectedEOF {
		readErr = io.EOF
	}
	n, err := u.Write((*buf)[:read])
	return int64(n), cmp.Or(err, readErr)
}

// checkChunk wants a body as long as its Content-Range. That it is not longer was seen to by its reader
// and, where it names its length, by parseContentRange.
func (u *upload) checkChunk(ch *chunk, n int64, err error) error {
	if err == nil && n < ch.length {
		err = u.c.failed(newFailure(http.StatusBadRequest, "SIZE_INVALID", "Content-Range covers %d bytes, and only %d came", ch.length, n))
	}
	return err
}

// Commit implements distribution.BlobWriter: it checks the digest, and gives the blob to the repository.
func (u *upload) Commit(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	err := u.commit(ctx, desc.Digest)
	if err != nil {
		return ocispec.Descriptor{}, u.c.failed(err)
	}
	return ocispec.Descriptor{Digest: desc.Digest, Size: u.Size(), MediaType: "application/octet-stream"}, nil
}

func (u *upload) commit(ctx context.Context, want digest.Digest) error {
	if _, ok := parseDigest(want.String()); !ok {
		return errDigest(want.String())
	}
	// Its bytes are there now, and those of all that come at the same time.
	if err := u.g.room(); err != nil {
		return errors.Join(err, u.Cancel(ctx))
	}
	got, err := u.digest(want.Algorithm())
	if err != nil {
		return err
	}
	if got != want {
		wrong := u.c.failed(newFailure(http.StatusBadRequest, "DIGEST_INVALID", "the bytes that came have digest %s, which is not the one named", got))
		return errors.Join(wrong, u.reserveWhatCame())
	}
	defer u.g.endSession(u.file.ID())
	u.g.unreserve(&u.session.reserved) // from here on what binds is the quota in the transaction
	return u.g.storeBlob(ctx, u.c, want, u.file)
}

// digest returns the digest of all bytes. It reads them again when the running hash does not cover them, unless the upload
// has hashed them itself.
func (u *upload) digest(algorithm digest.Algorithm) (digest.Digest, error) {
	if summed, ok := u.file.(storage.Summed); ok {
		return digest.NewDigestFromBytes(algorithm, summed.Sum(algorithm.String())), nil
	}
	if s := u.session; s.hash != nil && s.n == u.Size() && algorithm == digest.SHA256 {
		return digest.NewDigest(algorithm, s.hash), nil
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	h := algorithm.Hash()
	file, ok := u.file.(storage.Readable)
	if !ok {
		return "", fmt.Errorf("upload %s can neither be read back nor does it know its hashes", u.file.ID())
	}
	if _, err := io.CopyBuffer(h, io.NewSectionReader(file, 0, u.Size()), *buf); err != nil {
		return "", fmt.Errorf("read an upload back: %w", err)
	}
	return digest.NewDigest(algorithm, h), nil
}

// leastReserve is kept in reserve whatever the configuration says, but of a small disk no more than a twentieth. Without
// it a disk that is full stays full: to give back room takes a transaction, and that takes room.
const leastReserve = 16 << 20

// DefaultReserve is what is kept in reserve of a disk of so many bytes where the configuration says nothing.
func DefaultReserve(size uint64) units.Size { return units.Size(min(1<<30, size/20)) }

// Room returns nil while there is room for pushes. Errors: storage.ErrFull, and those of the disk.
func (g *Registry) Room() error { return g.room() }

// room returns nil, or storage.ErrFull when less than the reserve is free.
func (g *Registry) room() error {
	free, size, err := g.blobs.Free()
	if err != nil {
		return err
	}
	reserve := max(uint64(g.c.Reserve), min(leastReserve, size/20))
	if g.c.Reserve == 0 {
		reserve = uint64(DefaultReserve(size))
	}
	if free < reserve {
		g.wakeCollector() // which empties the trash
		return fmt.Errorf("%w: %d bytes are free, and %d are kept in reserve", storage.ErrFull, free, reserve)
	}
	return nil
}
