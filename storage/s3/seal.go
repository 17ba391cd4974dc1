package s3

import (
	"context"
	"crypto/md5" // of which S3's ETags are made; nothing is trusted for it
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// Close implements storage.Upload.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return nil
	}
	var err error
	if u.Size() != u.row.Size || u.stored != len(u.parts) || u.flight != nil {
		err = u.keep(u.ctx)
	}
	if err != nil {
		err = u.fallBack(err)
		err = errors.Join(err, u.save(u.ctx))
	}
	u.end()
	return err
}

// end ends the session. The caller holds mu.
func (u *upload) end() {
	u.stop()
	u.drop()
	u.ended = true
	u.s.unlock(u.place)
}

// stop ends what is on its way.
func (u *upload) stop() {
	if f := u.flight; f != nil {
		f.cancel()
		<-f.done
		u.flight = nil
	}
}

// Cancel implements storage.Upload. What the object store has is removed in the background, until it says that it is gone.
func (u *upload) Cancel() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cancel()
}

func (u *upload) cancel() error {
	if u.ended {
		return nil
	}
	u.stop()
	u.dropTail()
	err := u.change(u.ctx, func(tx storage.Tx) {
		u.deleteRows(tx)
		if u.row.Sent {
			putGone(tx, settled(), goneRow{Place: u.ID(), Multipart: u.row.Multipart, Unended: true, Size: u.row.Size})
		}
	})
	u.end()
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBusy) {
		return nil // another has it
	}
	return err
}

func (u *upload) deleteRows(tx storage.Tx) {
	tx.Delete(uploadTable, objectKey(u.place))
	prefix := partPrefix(u.place)
	for item, err := range tx.Scan(partTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return // what cannot be read stays, and is in nobody's way
		}
		tx.Delete(partTable, item.Key)
	}
}

// Seal implements storage.Upload. If we stop before its row says so, the object is an upload's whose row names it, or whose
// parts the store has put together already: who resumes it sees that by its length.
func (u *upload) Seal(ctx context.Context, label string) (storage.Location, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return "", errEnded
	}
	if !place.ValidLabel(label) {
		return "", errors.Join(fmt.Errorf("label %.100q is not one", label), u.cancel())
	}
	if err := u.sealAs(ctx, u.place, nil); err != nil {
		return "", err
	}
	return u.place.Locate(label), nil
}

// sealAs makes what came the blob of a place, of which before says what was known. The caller holds mu.
func (u *upload) sealAs(ctx context.Context, blob place.Place, before func(storage.Tx)) error {
	made, err := u.whole(ctx)
	if err == nil {
		made.Run = u.s.run
		if blob != u.place {
			made.Place = u.place.String()
		}
		err = u.change(ctx, func(tx storage.Tx) {
			u.deleteRows(tx)
			if before != nil {
				before(tx)
			}
			if now, err := storage.Now(tx); u.s.several && err == nil {
				made.Sealed = now.Unix()
			}
			tx.Put(objectTable, objectKey(blob), encode(made))
		})
	}
	if err != nil {
		if made.Epoch > 0 {
			u.old = append(u.old, made)
		}
		return errors.Join(err, u.cancel())
	}
	u.end()
	return nil
}

// whole makes all bytes one object.
func (u *upload) whole(ctx context.Context) (object, error) {
	if err := u.land(); err != nil {
		return object{}, err
	}
	u.loadFew()
	tail := u.tailToLoad()
	switch {
	case len(u.parts) == 0 && tail != nil:
		u.row.Tail = nil // it is the blob now
		return *tail, nil
	case len(u.parts) == 0:
		u.dropTail()
		return u.putTail(ctx)
	}
	if err := u.lastPart(ctx, tail); err != nil {
		return object{}, err
	}
	return u.together(ctx)
}

// lastPart makes what follows the parts one.
func (u *upload) lastPart(ctx context.Context, tail *object) (err error) {
	key, n := u.s.client.key(u.place, 0), len(u.parts)+1
	var last part
	switch {
	case tail != nil:
		last, err = u.s.client.copyPart(ctx, u.s.client.key(u.place, tail.Epoch), key, u.row.Multipart, n, tail.Size)
	case len(u.buf) > 0:
		last, err = u.s.client.putPart(ctx, key, u.row.Multipart, n, u.buf)
	default:
		return nil
	}
	if err == nil {
		u.hasPart(last)
		u.drop()
	}
	return err
}

// together has the store put the parts together. Where its answer is lost, it does not know the upload any more, and whether
// the object is there decides.
func (u *upload) together(ctx context.Context) (object, error) {
	key := u.s.client.key(u.place, 0)
	want := object{Size: u.Size(), ETag: etagOf(u.parts)}
	etag, err := u.s.client.complete(ctx, key, u.row.Multipart, u.parts)
	if err == nil {
		want.ETag = etag
	}
	made, statErr := u.s.client.stat(ctx, key)
	switch {
	case err != nil && (statErr != nil || made.Size != want.Size || made.ETag != want.ETag):
		return made, err
	case statErr != nil:
		return made, fmt.Errorf("look at what was put together: %w", statErr)
	case made.Size != want.Size || made.ETag != want.ETag && want.ETag != "":
		return made, fmt.Errorf("%w: %s put %d bytes together to an object of %d", storage.ErrAway, u.s.client.endpoint, want.Size, made.Size)
	}
	return made, nil
}

// etagOf is the ETag that S3 gives to an object of parts, or "" where those of the parts are not MD5 sums.
func etagOf(parts []part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts))
}
