// Package keyring keeps the files of a book's signing keys, and beside them the newest checkpoint that they signed.
//
// A new key is durable before the store says that it is in force, and an old key is removed after that. If a key is missing
// the registry still starts: it is read-only, and says what to do.
package keyring

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/storage"
)

// CheckpointFile is where the newest signed checkpoint is kept, beside the keys: anyone who can write the store alone, as
// the administrator of a database can, does not reach it. A start wants the log to continue it.
const CheckpointFile = "log.checkpoint"

// Ring keeps the key files of a book. It is safe for concurrent use.
type Ring struct {
	book    *provenance.Book
	log     *slog.Logger
	receipt keyFile // of records
	sum     keyFile // of checkpoints
	seen    string  // the file of the newest signed checkpoint

	mu      sync.Mutex // held while keys change
	written string     // what is known to be in the file seen; guarded by mu
}

// New returns the keys of a book, whose own files are in dir.
func New(book *provenance.Book, dir string, c config.Keys, log *slog.Logger) *Ring {
	file := func(what, key, path, next string) keyFile {
		if path != "" {
			return keyFile{what: what, path: path, next: next}
		}
		return keyFile{what, filepath.Join(dir, key+".pem"), filepath.Join(dir, key+"-next.pem"), true}
	}
	return &Ring{
		book: book, log: log,
		receipt: file("receipt key", "receipt", c.Receipt, c.NextReceipt),
		sum:     file("log key", "log", c.Log, c.NextLog),
		seen:    filepath.Join(dir, CheckpointFile),
	}
}

// Open gives the book its keys, and makes them at the first start. Without the keys in force the book can
// be read, and no more: that is logged, with what to do.
func (k *Ring) Open(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.settleNames(); err != nil {
		return err
	}
	seen, err := k.Recall()
	if err != nil {
		return err
	}
	if _, err := k.book.InForce(ctx); errors.Is(err, log.ErrNoLog) && !seen {
		// If we stop between these files and the book's first log, the next start finds them and goes on.
		if err := k.makeMissing(); err != nil {
			return err
		}
	} else if err != nil && !errors.Is(err, log.ErrNoLog) {
		return err
	}
	keys, err := k.Read()
	if err != nil {
		return err
	}
	err = k.book.Begin(ctx, keys)
	switch {
	case errors.Is(err, provenance.ErrNoKey):
		return k.complain(ctx)
	case errors.Is(err, provenance.ErrNotAdopted), errors.Is(err, provenance.ErrDisagree):
		k.log.Error("nothing is signed, so nothing can be pushed or deleted", "why", err)
		return nil
	case err != nil:
		return err
	}
	k.write(ctx)
	return k.settle(ctx)
}

// Recall tells the book which checkpoint was kept last, and says whether one was.
func (k *Ring) Recall() (seen bool, err error) {
	text, err := os.ReadFile(k.seen)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	k.book.Recall(string(text))
	return err == nil, nil
}

// Keep writes the newest checkpoint at once, if the log has grown since it was last written, and so each time until ctx
// ends.
func (k *Ring) Keep(ctx context.Context, every time.Duration) {
	for tick := time.NewTicker(every); ; {
		k.KeepNow(ctx)
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// KeepNow writes the newest checkpoint, if the log has grown.
func (k *Ring) KeepNow(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.write(ctx)
}

// write writes the newest checkpoint, if it is another than was last written. It may lag behind the log, and never the
// log behind it: if we stop here, the next start finds an older one, which the log continues. So a failure is no more
// than logged. The caller holds mu.
func (k *Ring) write(ctx context.Context) {
	signed, err := k.book.Newest(ctx)
	if err == nil && signed != "" && signed != k.written {
		if err = durable.MkdirAll(filepath.Dir(k.seen), 0o700); err == nil {
			err = durable.WriteFile(k.seen, []byte(signed), 0o600)
		}
		if err == nil {
			k.written = signed
			k.book.Recall(signed)
		}
	}
	if err != nil && ctx.Err() == nil {
		k.log.Error("the newest checkpoint of the log was not written beside the keys", "file", k.seen, "err", err)
	}
}

// settleNames makes the names of the registry's own key files durable: who made them may have been killed before.
func (k *Ring) settleNames() error {
	for _, f := range []keyFile{k.receipt, k.sum} {
		if !f.own {
			continue
		}
		if err := durable.Settle(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Look wants that there are keys, for a book that is only read: what they signed is stored with it. One with records
// from before there was a log has none yet.
func (k *Ring) Look(ctx context.Context) error {
	seen, err := k.Recall()
	if err != nil {
		return err
	}
	_, err = k.book.InForce(ctx)
	if !errors.Is(err, log.ErrNoLog) {
		return err
	}
	n, err := k.book.Len(ctx)
	if err == nil && n == 0 && !seen {
		err = fmt.Errorf("%w, and it has no keys yet", storage.ErrReadOnly)
	}
	return err
}

// Adopt begins the first log over records from before there was one.
func (k *Ring) Adopt(ctx context.Context, who provenance.Identity) (*provenance.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, err := k.book.Adopt(ctx, who)
	if err != nil {
		return nil, err
	}
	k.write(ctx)
	return r, k.settle(ctx)
}

// complain says which key is missing, and what to do about it.
func (k *Ring) complain(ctx context.Context) error {
	why, err := k.book.Missing(ctx)
	if err != nil {
		return err
	}
	k.log.Error("a signing key is missing or wrong: nothing can be pushed or deleted until it is back", "why", why,
		"files", []string{k.receipt.path, k.sum.path},
		"do", "put the file back from where you keep a copy, and restart; if there is none, `hallmark key rotate --lost` begins a new log with new keys")
	return nil
}

// Rotate implements api.KeyKeeper. The new keys are durable before the store says that they are in force;
// the old ones go away after it.
func (k *Ring) Rotate(ctx context.Context, who provenance.Identity, reason string) (r *provenance.Record, err error) {
	if reason != "rotated" {
		return k.Replace(ctx, who, provenance.Ending{Action: provenance.KeyChange, Reason: reason})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := nextKey(k, k.receipt, receipt.ParseSigner)
	if err != nil {
		return nil, err
	}
	if r, err = k.book.Rotate(ctx, who, next); err != nil {
		return nil, err
	}
	k.write(ctx)
	return r, k.settle(ctx)
}

// Replace closes the log, and begins another with new keys of both kinds.
func (k *Ring) Replace(ctx context.Context, who provenance.Identity, end provenance.Ending) (*provenance.Record, error) {
	return k.replace(ctx, func(keys provenance.Keys) (*provenance.Record, error) { return k.book.Succeed(ctx, who, keys, end) })
}

// Continue does the same where an older copy of the store was put back. known is a checkpoint of the log, or "".
func (k *Ring) Continue(ctx context.Context, who provenance.Identity, known string) (*provenance.Record, error) {
	return k.replace(ctx, func(keys provenance.Keys) (*provenance.Record, error) { return k.book.Continue(ctx, who, keys, known) })
}

// replace makes new keys of both kinds, durable before succeed puts them in force. Those that it did not are removed by the
// next start.
func (k *Ring) replace(ctx context.Context, succeed func(provenance.Keys) (*provenance.Record, error)) (*provenance.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := nextKey(k, k.receipt, receipt.ParseSigner)
	if err != nil {
		return nil, err
	}
	key, err := nextKey(k, k.sum, log.ParseKey)
	if err != nil {
		return nil, err
	}
	r, err := succeed(provenance.Keys{Receipts: []*receipt.Signer{next}, Logs: []ed25519.PrivateKey{key}})
	if err != nil {
		return nil, err
	}
	k.write(ctx)
	return r, k.settle(ctx)
}
