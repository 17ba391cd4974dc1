package s3

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// upload is an open upload. One goroutine uses it at a time, and who shares out memory may put aside what it holds.
type upload struct {
	s     *Store
	ctx   context.Context // of what has to come to its end whoever left
	place place.Place
	size  atomic.Int64 // received
	grew  atomic.Int64 // when it last did, nanoseconds since 1970

	mu     sync.Mutex // guards what follows
	ended  bool
	row    uploadRow // what the object store has
	epoch  uint64    // of the row as it is stored: while it has this one, nobody else has taken the upload over
	parts  []part    // that the object store has, without the tail
	stored int       // of them, that rows name
	old    []object  // that were put aside, and are in parts now
	sums   sums
	buf    []byte  // what follows the parts, once something came; until then that is the row's Tail
	held   int64   // memory for buf
	flight *flight // a part on its way
	unkept int64   // bytes of parts that no row names
}

// sums are the running hashes of all bytes.
type sums struct{ sha256, sha512 hash.Hash }

func newSums() sums { return sums{sha256.New(), sha512.New()} }

func (s sums) write(p []byte) {
	s.sha256.Write(p)
	s.sha512.Write(p)
}

// marks returns the hashes, to go on with them later.
func (s sums) marks() (sum256, sum512 []byte) { return mark(s.sha256), mark(s.sha512) }

func mark(h hash.Hash) []byte {
	b, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(err) // those of the standard library can
	}
	return b
}

// sumsAt returns the hashes as marks left them.
func sumsAt(row uploadRow) (s sums, err error) {
	s = newSums()
	if row.Size > 0 {
		err = errors.Join(s.sha256.(encoding.BinaryUnmarshaler).UnmarshalBinary(row.SHA256),
			s.sha512.(encoding.BinaryUnmarshaler).UnmarshalBinary(row.SHA512))
	}
	if err != nil {
		return s, errors.Join(storage.ErrCorrupt, fmt.Errorf("the running hashes of an upload cannot be read: %w", err))
	}
	return s, nil
}

// Create implements storage.Blobs. From here on a row names what the upload puts.
func (s *Store) Create(ctx context.Context) (storage.Upload, error) {
	p := place.Place{Run: s.run, N: s.next.Add(1)}
	u := &upload{s: s, ctx: context.WithoutCancel(ctx), place: p, sums: newSums(), row: uploadRow{Epoch: 1, Run: s.run}, epoch: 1}
	u.touch()
	if err := s.lock(p); err != nil {
		return nil, err
	}
	row := u.row
	row.Modified = u.grew.Load()
	err := s.rows.Update(ctx, func(tx storage.Tx) error {
		tx.Put(uploadTable, objectKey(p), encode(row))
		return nil
	})
	if err != nil {
		s.unlock(p)
		return nil, err
	}
	s.unlocked(p, u)
	return u, nil
}

// Resume implements storage.Blobs. It takes the upload over: a writer of another process that is still about comes too late.
func (s *Store) Resume(ctx context.Context, id string) (storage.Upload, error) {
	p, ok := place.Parse(id, ".")
	if !ok {
		return nil, place.NoUpload(id)
	}
	if err := s.lock(p); err != nil {
		return nil, err
	}
	u := &upload{s: s, ctx: context.WithoutCancel(ctx), place: p}
	err := s.rows.Update(ctx, u.takeOver)
	if err == nil {
		u.sums, err = sumsAt(u.row)
	}
	if err != nil {
		s.unlock(p)
		if errors.Is(err, storage.ErrNotFound) {
			err = place.NoUpload(id)
		}
		return nil, err
	}
	u.size.Store(u.row.Size)
	u.grew.Store(u.row.Modified)
	s.unlocked(p, u)
	return u, nil
}

// takeOver reads the rows of an upload, and makes what it puts be named differently from what others have put.
func (u *upload) takeOver(tx storage.Tx) error {
	u.row, u.parts = uploadRow{}, nil
	if err := getRow(tx, uploadTable, u.place, &u.row); err != nil {
		return err
	}
	prefix := partPrefix(u.place)
	for item, err := range tx.Scan(partTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		var some []part
		if err := decode(item.Value, &some); err != nil {
			return err
		}
		u.parts = append(u.parts, some...)
	}
	if u.row.Parts != len(u.parts) {
		return errors.Join(storage.ErrCorrupt, fmt.Errorf("upload %s has %d parts, and rows of %d", u.place, u.row.Parts, len(u.parts)))
	}
	if u.row.Run != u.s.run { // which may not have lived to say what came of it
		putGone(tx, settled(), goneRow{Place: u.place.String(), Epoch: u.row.Epoch})
	}
	u.row.Sent = u.row.Sent || u.row.Run != u.s.run || u.row.Multipart != "" || u.row.Tail != nil
	u.stored, u.row.Run = len(u.parts), u.s.run
	u.row.Epoch++
	u.epoch = u.row.Epoch
	tx.Put(uploadTable, objectKey(u.place), encode(u.row))
	return nil
}

// lock makes the caller the only one of this process to write to an upload. Error: storage.ErrBusy.
func (s *Store) lock(p place.Place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.open[p]; taken {
		return fmt.Errorf("upload %s: %w", p, storage.ErrBusy)
	}
	s.open[p] = nil
	return nil
}

// unlocked lets others see how far an upload has come.
func (s *Store) unlocked(p place.Place, u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[p] = u
}

func (s *Store) unlock(p place.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p)
}

// Stat implements storage.Blobs.
func (s *Store) Stat(ctx context.Context, id string) (storage.UploadInfo, error) {
	p, ok := place.Parse(id, ".")
	if !ok {
		return storage.UploadInfo{}, place.NoUpload(id)
	}
	if info, open := s.live(p); open {
		return info, nil
	}
	var row uploadRow
	err := s.rows.View(ctx, func(tx storage.Reader) error { return getRow(tx, uploadTable, p, &row) })
	if errors.Is(err, storage.ErrNotFound) {
		return storage.UploadInfo{}, place.NoUpload(id)
	}
	return row.info(p), err
}

func (r uploadRow) info(p place.Place) storage.UploadInfo {
	return storage.UploadInfo{ID: p.String(), Size: r.Size, Modified: time.Unix(0, r.Modified)}
}

// live returns what an open upload says of itself.
func (s *Store) live(p place.Place) (info storage.UploadInfo, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.open[p]
	if u == nil {
		return info, false
	}
	return storage.UploadInfo{ID: p.String(), Size: u.Size(), Modified: time.Unix(0, u.grew.Load())}, true
}

// ID implements storage.Upload.
func (u *upload) ID() string { return u.place.String() }

// Size implements storage.Upload.
func (u *upload) Size() int64 { return u.size.Load() }

func (u *upload) touch() { u.grew.Store(time.Now().UnixNano()) }

// Sum implements storage.Summed.
func (u *upload) Sum(algorithm string) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch algorithm {
	case "sha256":
		return u.sums.sha256.Sum(nil)
	case "sha512":
		return u.sums.sha512.Sum(nil)
	}
	return nil
}

var errEnded = errors.New("the upload has ended")

// Write implements storage.Upload.
func (u *upload) Write(p []byte) (n int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return 0, errEnded
	}
	for len(p) > 0 {
		k, err := u.fill(p)
		if err != nil {
			return n, u.fallBack(err)
		}
		n, p = n+k, p[k:]
	}
	return n, nil
}

// fill takes some bytes, and sends off a part that is full.
func (u *upload) fill(p []byte) (int, error) {
	if err := u.room(len(p)); err != nil {
		return 0, err
	}
	full := u.nextSize()
	k := min(len(p), full-len(u.buf))
	u.buf = append(u.buf, p[:k]...)
	u.sums.write(p[:k])
	u.size.Add(int64(k))
	u.touch()
	if len(u.buf) < full {
		return k, nil
	}
	return k, u.send()
}

// nextSize is how long the part is that is being filled.
func (u *upload) nextSize() int {
	n := len(u.parts) + 1
	if u.flight != nil {
		n++
	}
	return partSize(n)
}

// room sees to it that there is a buffer for more bytes, with those in it that follow the last part.
func (u *upload) room(more int) error {
	u.loadFew()
	tail := u.tailToLoad()
	if tail != nil {
		more += int(tail.Size)
	}
	if u.held == 0 && len(u.buf)+more > unheld {
		if err := u.hold(); err != nil {
			return err
		}
	}
	if tail == nil {
		return nil
	}
	var err error
	u.buf, err = u.s.read(u.ctx, u.place, *tail, u.buf)
	return err
}

// hold takes memory for a part.
func (u *upload) hold() error {
	if len(u.parts) >= mostParts {
		return fmt.Errorf("an object store takes no blob of more than %d parts, and this one has %d bytes so far", mostParts, u.Size())
	}
	size := u.nextSize()
	if err := u.s.memory.take(u.ctx, u, int64(size)); err != nil {
		return err
	}
	u.held = int64(size)
	u.buf = append(newBuffer(size), u.buf...)
	return nil
}

// tailToLoad is what was put aside and has to be in the buffer before more bytes, or nil.
func (u *upload) tailToLoad() *object {
	if len(u.buf) > 0 || u.flight != nil {
		return nil
	}
	return u.row.Tail
}

// buffers keeps those of the least parts.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, leastPart); return &b }}

func newBuffer(size int) []byte {
	if size == leastPart {
		return *buffers.Get().(*[]byte)
	}
	return make([]byte, 0, size)
}

func freeBuffer(b []byte) {
	if cap(b) == leastPart {
		b = b[:0]
		buffers.Put(&b)
	}
}

// drop gives back the buffer.
func (u *upload) drop() {
	if u.held > 0 {
		u.s.memory.filled(u)
		u.s.memory.give(u.held)
		freeBuffer(u.buf)
	}
	u.buf, u.held = nil, 0
}

// read reads a whole object behind what is in a buffer.
func (s *Store) read(ctx context.Context, p place.Place, o object, buf []byte) ([]byte, error) {
	at := len(buf)
	buf = append(buf, make([]byte, o.Size)...)
	f := &blob{ctx: ctx, s: s, key: s.client.key(p, o.Epoch), object: o}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := io.ReadFull(f, buf[at:]); err != nil {
		return buf, fmt.Errorf("read back what was put aside of upload %s: %w", p, err)
	}
	return buf, nil
}
