package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// smallObject is up to how many bytes an object is read at once when it is opened.
const smallObject = 64 << 10

// row returns what is known of a sealed blob. Error: storage.ErrNotFound.
func (s *Store) row(ctx context.Context, at storage.Location) (p place.Place, o object, err error) {
	p, ok := place.OfLocation(at)
	if !ok {
		return p, o, fmt.Errorf("location %q: %w", at, storage.ErrNotFound)
	}
	return p, o, s.rows.View(ctx, func(tx storage.Reader) error { return getRow(tx, objectTable, p, &o) })
}

// Length implements storage.Blobs: the row says it, and the object store is not asked.
func (s *Store) Length(ctx context.Context, at storage.Location) (int64, error) {
	_, o, err := s.row(ctx, at)
	return o.Size, err
}

// Open implements storage.Blobs. An object that is there and is not as it was made is damaged.
func (s *Store) Open(ctx context.Context, at storage.Location) (storage.Blob, error) {
	p, o, err := s.row(ctx, at)
	if err != nil {
		return nil, err
	}
	b := &blob{ctx: ctx, s: s, key: s.client.key(o.place(p), o.Epoch), object: o}
	if o.Size <= smallObject {
		return b.whole()
	}
	if storage.AreInPieces(ctx) {
		return b, b.look()
	}
	return b.begin()
}

// look asks whether an object is there, and as it was made.
func (b *blob) look() error {
	found, err := b.s.client.stat(b.ctx, b.key)
	if err != nil {
		return b.s.notThere(b.ctx, err)
	}
	return b.like(found)
}

// begin begins to read an object: what its answer says of it costs no request of its own.
func (b *blob) begin() (storage.Blob, error) {
	body, found, err := b.s.client.get(b.ctx, b.key, "", 0)
	if err != nil {
		return nil, b.s.notThere(b.ctx, err)
	}
	b.body = body
	if err := b.like(found); err != nil {
		b.leave()
		return nil, err
	}
	return b, nil
}

// URL implements storage.Away. Small blobs come with the row that names them, or in one request.
func (s *Store) URL(ctx context.Context, at storage.Location, lasts time.Duration) (string, error) {
	p, o, err := s.row(ctx, at)
	if err != nil || o.Size <= smallObject {
		return "", err
	}
	b := &blob{ctx: ctx, s: s, key: s.client.key(o.place(p), o.Epoch), object: o}
	if err := b.look(); err != nil {
		return "", err
	}
	return s.client.url(ctx, b.key, lasts)
}

// notThere is the error of an object that was not got. That it is not there counts only while the registry's marker is: else the
// bucket is another one, or something in between answers, and nothing is known of any object.
func (s *Store) notThere(ctx context.Context, err error) error {
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if notOurs := s.mustBe(ctx, s.here.id); notOurs != nil {
		return fmt.Errorf("%w: %s, bucket %q, does not have the marker %s of this registry's blobs now", storage.ErrAway, s.client.endpoint, s.client.bucket, markerName)
	}
	return err
}

// whole reads a small object.
func (b *blob) whole() (storage.Blob, error) {
	body, found, err := b.s.client.get(b.ctx, b.key, "", 0)
	if err != nil {
		return nil, b.s.notThere(b.ctx, err)
	}
	b.body = body
	defer b.leave()
	if err := b.like(found); err != nil {
		return nil, err
	}
	content := make([]byte, b.Size())
	if _, err := io.ReadFull(b, content); err != nil {
		return nil, err
	}
	return memory{bytes.NewReader(content)}, nil
}

// memory is a blob that was read.
type memory struct{ *bytes.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }

// like wants an object to be as it was made. Error: storage.ErrCorrupt.
func (b *blob) like(found object) error {
	switch {
	case found.Size != b.object.Size:
		return fmt.Errorf("%w: the object has %d bytes, and should have %d", storage.ErrCorrupt, found.Size, b.object.Size)
	case found.ETag != b.object.ETag:
		return fmt.Errorf("%w: the object has the ETag %.60q, and was made with %.60q: it is another one", storage.ErrCorrupt, found.ETag, b.object.ETag)
	}
	return nil
}

// blob is an object that is being read, from where its reader is on.
type blob struct {
	ctx    context.Context
	s      *Store
	key    string
	object object

	mu   sync.Mutex // guards what follows
	at   int64      // of Read
	body io.ReadCloser
	next int64 // where body is
}

// Size implements storage.Blob.
func (b *blob) Size() int64 { return b.object.Size }

// Seek implements io.Seeker.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.object.Size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	b.at = offset
	return offset, nil
}

// Read implements io.Reader.
func (b *blob) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.readAt(p, b.at)
	b.at += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt. Those who read on get what follows from the same answer of the store.
func (b *blob) ReadAt(p []byte, at int64) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) && err == nil {
		var k int
		k, err = b.readAt(p[n:], at+int64(n))
		n += k
	}
	return n, err
}

// readAt reads some bytes. A connection that breaks off is made anew, as long as it gives any.
func (b *blob) readAt(p []byte, at int64) (int, error) {
	if at >= b.object.Size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), b.object.Size-at)]
	var broke error
	for range tries {
		if err := b.goTo(at); err != nil {
			return 0, err
		}
		n, err := b.body.Read(p)
		b.next += int64(n)
		if n > 0 {
			return n, nil
		}
		if b.ctx.Err() != nil {
			return 0, b.ctx.Err()
		}
		if err != nil {
			broke = err
			b.leave()
		}
	}
	if errors.Is(broke, io.EOF) { // the answer came to its end; one that was cut off says nothing of the object
		return 0, fmt.Errorf("%w: the object ends after %d bytes, and should have %d", storage.ErrCorrupt, at, b.object.Size)
	}
	return 0, b.s.client.explain("get", broke)
}

// goTo has the next byte come from a place. What is gone by then is damaged to the one who has it open.
func (b *blob) goTo(at int64) error {
	if b.body != nil && b.next == at {
		return nil
	}
	b.leave()
	body, _, err := b.s.client.get(b.ctx, b.key, b.object.ETag, at)
	if err = b.s.notThere(b.ctx, err); errors.Is(err, storage.ErrNotFound) {
		err = fmt.Errorf("%w: it is gone", storage.ErrCorrupt)
	}
	b.body, b.next = body, at
	return err
}

func (b *blob) leave() {
	if b.body != nil {
		_ = b.body.Close() // it was only read
	}
	b.body = nil
}

// Close implements io.Closer.
func (b *blob) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave()
	return nil
}
