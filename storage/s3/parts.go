package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/seed-260924e6/hallmark/storage"
)

// saveEvery is how much an upload may grow before its row says so: what came since is lost when we are killed.
const saveEvery = 64 << 20

// flight is a part on its way to the store.
type flight struct {
	size           int64 // of the upload with it, and its running hashes then
	sum256, sum512 []byte
	cancel         func()
	done           chan struct{}
	part           part  // once done is closed
	err            error // as well
}

// send sends the buffer off as a part. One is on its way while the next is filled.
func (u *upload) send() error {
	if err := u.land(); err != nil {
		return err
	}
	if err := u.beginParts(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(u.ctx)
	f := &flight{size: u.Size(), cancel: cancel, done: make(chan struct{})}
	f.sum256, f.sum512 = u.sums.marks()
	u.s.memory.filled(u)
	buf, held := u.buf, u.held
	u.flight, u.buf, u.held = f, nil, 0
	key, id, n := u.s.client.key(u.place, 0), u.row.Multipart, len(u.parts)+1
	go func() {
		f.part, f.err = u.s.client.putPart(ctx, key, id, n, buf)
		freeBuffer(buf)
		u.s.memory.give(held) // before anybody asks for the part: he may be waiting for memory
		close(f.done)
	}()
	return nil
}

// beginParts has the store begin an upload in parts, and a row know it before there is a part. If we stop between the two, the
// store has an upload without bytes, which is looked for when ours is dropped.
func (u *upload) beginParts() error {
	if u.row.Multipart != "" {
		return nil
	}
	u.row.Sent = true
	id, err := u.s.client.begin(u.ctx, u.s.client.key(u.place, 0))
	if err != nil {
		return err
	}
	u.row.Multipart = id
	if err = u.save(u.ctx); err != nil {
		_ = u.s.client.abort(u.ctx, u.s.client.key(u.place, 0), id) // nobody else knows it; else a life-cycle rule does it
	}
	return err
}

// land waits for the part that is on its way.
func (u *upload) land() error {
	f := u.flight
	if f == nil {
		return nil
	}
	<-f.done
	f.cancel()
	u.flight = nil
	if f.err != nil {
		return f.err
	}
	if f.part.ETag == "" {
		return fmt.Errorf("%w: %s gave no ETag for a part", storage.ErrAway, u.s.client.endpoint)
	}
	u.hasPart(f.part)
	u.row.Size, u.row.SHA256, u.row.SHA512 = f.size, f.sum256, f.sum512
	if u.unkept < saveEvery {
		return nil
	}
	return u.save(u.ctx)
}

// hasPart says that the store has another part, which begins with what was put aside before.
func (u *upload) hasPart(p part) {
	u.parts = append(u.parts, p)
	u.unkept += p.Size
	u.dropTail()
}

// dropTail says that what was put aside is elsewhere now.
func (u *upload) dropTail() {
	if u.row.Tail != nil {
		u.old = append(u.old, *u.row.Tail)
	}
	u.row.Tail, u.row.Few = nil, nil
}

// fewBytes is up to how many bytes behind the parts are put aside in the row: a round trip to the object store costs more, and most
// blobs that are so small come to live in the store of the registry, which then never asks the object store.
const fewBytes = 16 << 10

// loadFew has the buffer hold what the row does.
func (u *upload) loadFew() {
	if len(u.buf) == 0 && u.flight == nil {
		u.buf = append(u.buf, u.row.Few...)
	}
}

// Held implements storage.Summed.
func (u *upload) Held() ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return nil, errEnded
	}
	u.loadFew()
	if u.Size() > fewBytes || int64(len(u.buf)) != u.Size() {
		return nil, nil
	}
	return append([]byte{}, u.buf...), nil
}

// fallBack has the upload hold what the object store has, after an error.
func (u *upload) fallBack(cause error) error {
	if u.flight != nil {
		cause = errors.Join(cause, u.land())
	}
	u.drop()
	var err error
	u.sums, err = sumsAt(u.row)
	u.size.Store(u.row.Size)
	return errors.Join(cause, err)
}

// putTail puts what is in the buffer under a name of its own. Where the answer is lost, something may be there under that name.
func (u *upload) putTail(ctx context.Context) (object, error) {
	tail := object{Epoch: u.row.Epoch, Size: int64(len(u.buf))}
	u.row.Epoch++
	u.row.Sent = true
	etag, err := u.s.client.put(ctx, u.s.client.key(u.place, tail.Epoch), u.buf, minio.PutObjectOptions{})
	if err != nil {
		u.old = append(u.old, tail)
		return object{}, err
	}
	tail.ETag = etag
	return tail, nil
}

// putAside puts what the buffer holds into the store, for others who wait for its memory.
func (u *upload) putAside() {
	if !u.mu.TryLock() {
		return // it is getting bytes, or waits for the store
	}
	defer u.mu.Unlock()
	if u.ended || u.held == 0 {
		return
	}
	if err := u.keep(u.ctx); err != nil {
		u.s.log.Warn("what a slow upload holds could not be put aside", "upload", u.ID(), "err", err)
	}
}

// keep makes all that came durable: parts, and what is less than one as an object.
func (u *upload) keep(ctx context.Context) error {
	if err := u.land(); err != nil {
		return err
	}
	if len(u.buf) > 0 {
		if err := u.keepBuffer(ctx); err != nil {
			return err
		}
		u.row.Size = u.Size()
		u.row.SHA256, u.row.SHA512 = u.sums.marks()
		u.drop()
	}
	return u.save(ctx)
}

// keepBuffer makes what follows the parts durable: a few bytes with the row, and more as an object.
func (u *upload) keepBuffer(ctx context.Context) error {
	if len(u.buf) <= fewBytes {
		few := append([]byte{}, u.buf...)
		u.dropTail()
		u.row.Few = few
		return nil
	}
	tail, err := u.putTail(ctx)
	if err == nil {
		u.dropTail()
		u.row.Tail = &tail
	}
	return err
}

// save writes the row, unless it says the same already, or another process has taken the upload over.
func (u *upload) save(ctx context.Context) error {
	row := u.row
	row.Parts, row.Modified = len(u.parts), u.grew.Load()
	return u.change(ctx, func(tx storage.Tx) {
		tx.Put(uploadTable, objectKey(u.place), encode(row))
		if fresh := u.parts[u.stored:]; len(fresh) > 0 {
			tx.Put(partTable, partKey(u.place, u.stored), encode(fresh))
		}
	})
}

// change changes the rows of the upload, and has what is not needed any more removed, unless another process has taken the
// upload over. Errors: storage.ErrBusy; storage.ErrNotFound, where it was dropped.
func (u *upload) change(ctx context.Context, how func(storage.Tx)) error {
	err := u.s.rows.Update(ctx, func(tx storage.Tx) error {
		var now uploadRow
		if err := getRow(tx, uploadTable, u.place, &now); err != nil {
			return err
		}
		if now.Epoch != u.epoch {
			return fmt.Errorf("upload %s was taken over by another process: %w", u.place, storage.ErrBusy)
		}
		how(tx)
		for _, o := range u.old {
			putGone(tx, settled(), goneRow{Place: u.place.String(), Epoch: o.Epoch, Size: o.Size})
		}
		return nil
	})
	if err == nil {
		u.stored, u.unkept, u.old, u.epoch = len(u.parts), 0, nil, u.row.Epoch
	}
	return err
}
