package main

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

	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/storage"
)

// keyFile is where a private key is, and where the one that follows it is or will be.
type keyFile struct {
	what       string
	path, next string
	own        bool // made by the registry, in its data
}

// checkpointFile is where the newest signed checkpoint is kept, beside the keys: whoever can write the store alone, as
// the administrator of a database can, does not reach it. A start wants the log to continue it.
const checkpointFile = "log.checkpoint"

// keyring keeps the key files of a book. It is safe for concurrent use.
type keyring struct {
	book    *provenance.Book
	log     *slog.Logger
	receipt keyFile // of records
	sum     keyFile // of checkpoints
	seen    string  // the file of the newest signed checkpoint

	mu      sync.Mutex // held while keys change
	written string     // what is known to be in the file seen; guarded by mu
}

func newKeyring(book *provenance.Book, dir string, c config.Keys, log *slog.Logger) *keyring {
	file := func(what, key, path, next string) keyFile {
		if path != "" {
			return keyFile{what: what, path: path, next: next}
		}
		return keyFile{what, filepath.Join(dir, key+".pem"), filepath.Join(dir, key+"-next.pem"), true}
	}
	return &keyring{
		book: book, log: log,
		receipt: file("receipt key", "receipt", c.Receipt, c.NextReceipt),
		sum:     file("log key", "log", c.Log, c.NextLog),
		seen:    filepath.Join(dir, checkpointFile),
	}
}

// open gives the book its keys, and makes them at the first start. Without the keys in force the book can
// be read, and no more: that is logged, with what to do.
func (k *keyring) open(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.settleNames(); err != nil {
		return err
	}
	seen, err := k.recall()
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
	keys, err := k.read()
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

// recall tells the book which checkpoint was kept last, and says whether one was.
func (k *keyring) recall() (seen bool, err error) {
	text, err := os.ReadFile(k.seen)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	k.book.Recall(string(text))
	return err == nil, nil
}

// keep writes the newest checkpoint at once, if the log has grown since it was last written, and so each time until ctx
// ends.
func (k *keyring) keep(ctx context.Context, every time.Duration) {
	for tick := time.NewTicker(every); ; {
		k.keepNow(ctx)
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

func (k *keyring) keepNow(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.write(ctx)
}

// write writes the newest checkpoint, if it is another than was last written. It may lag behind the log, and never the
// log behind it: if we stop here, the next start finds an older one, which the log continues. So a failure is no more
// than logged. The caller holds mu.
func (k *keyring) write(ctx context.Context) {
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
func (k *keyring) settleNames() error {
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

// look wants that there are keys, for a book that is only read: what they signed is stored with it. One with records
// from before there was a log has none yet.
func (k *keyring) look(ctx context.Context) error {
	seen, err := k.recall()
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

// adopt begins the first log over records from before there was one.
func (k *keyring) adopt(ctx context.Context, who provenance.Identity) (*provenance.Record, error) {
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
func (k *keyring) complain(ctx context.Context) error {
	why, err := k.book.Missing(ctx)
	if err != nil {
		return err
	}
	k.log.Error("a signing key is missing or wrong: nothing can be pushed or deleted until it is back", "why", why,
		"files", []string{k.receipt.path, k.sum.path},
		"do", "put the file back from where you keep a copy, and restart; if there is none, `hallmark key rotate --lost` begins a new log with new keys")
	return nil
}

// makeMissing makes the registry's own key files where they are not there.
func (k *keyring) makeMissing() error {
	for _, f := range []keyFile{k.receipt, k.sum} {
		if _, err := os.Stat(f.path); !f.own || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := k.make(f, f.path); err != nil {
			return err
		}
	}
	return nil
}

// make makes a new key in a file.
func (k *keyring) make(f keyFile, path string) error {
	keys, err := provenance.GenerateKeys()
	if err != nil {
		return err
	}
	content, err := keys.Receipts[0].PEM()
	if f == k.sum {
		content, err = log.FormatKey(keys.Logs[0])
	}
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil { // open was not called by a restore
		return err
	}
	return durable.WriteFile(path, content, 0o600)
}

// read returns the keys in all files that are there, the current ones first.
func (k *keyring) read() (keys provenance.Keys, err error) {
	if keys.Receipts, err = readKeys(k.receipt, receipt.ParseSigner); err != nil {
		return keys, err
	}
	keys.Logs, err = readKeys(k.sum, log.ParseKey)
	return keys, err
}

func readKeys[K any](f keyFile, parse func([]byte) (K, error)) (keys []K, err error) {
	for _, path := range []string{f.path, f.next} {
		key, err := readKey(f.what, path, parse)
		if errors.Is(err, fs.ErrNotExist) || path == "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readKey[K any](what, path string, parse func([]byte) (K, error)) (key K, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("%s: %w", what, err)
	}
	if key, err = parse(content); err != nil {
		return key, usagef("%s %s: %w", what, path, err)
	}
	return key, nil
}

// settle lets the file of the key in force have the usual name, and removes one that never came into force
// or is no longer. If we stop in the middle, the next start settles the rest.
func (k *keyring) settle(ctx context.Context) error {
	f, err := k.book.InForce(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		settleKey(k.receipt, receipt.ParseSigner, func(s *receipt.Signer) bool { return s.Key().Hint() == f.Receipt }),
		settleKey(k.sum, log.ParseKey, func(key ed25519.PrivateKey) bool { return f.Log.Key.Equal(key.Public()) }))
}

func settleKey[K any](f keyFile, parse func([]byte) (K, error), inForce func(K) bool) error {
	if !f.own {
		return nil
	}
	next, err := readKey(f.what, f.next, parse)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil: // it may be the one in force
		return err
	case inForce(next):
		return durable.Rename(f.next, f.path)
	default:
		return durable.Remove(f.next) // it never came into force
	}
}

// Rotate implements api.KeyKeeper. The new keys are durable before the store says that they are in force;
// the old ones go away after it.
func (k *keyring) Rotate(ctx context.Context, who provenance.Identity, reason string) (r *provenance.Record, err error) {
	if reason != "rotated" {
		return k.replaceAll(ctx, who, provenance.Ending{Action: provenance.KeyChange, Reason: reason})
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

// replaceAll closes the log, and begins another with new keys of both kinds.
func (k *keyring) replaceAll(ctx context.Context, who provenance.Identity, end provenance.Ending) (*provenance.Record, error) {
	return k.replace(ctx, func(keys provenance.Keys) (*provenance.Record, error) { return k.book.Succeed(ctx, who, keys, end) })
}

// continueRestored does the same where an older copy of the store was put back. known is a checkpoint of the log, or "".
func (k *keyring) continueRestored(ctx context.Context, who provenance.Identity, known string) (*provenance.Record, error) {
	return k.replace(ctx, func(keys provenance.Keys) (*provenance.Record, error) { return k.book.Continue(ctx, who, keys, known) })
}

// replace makes new keys of both kinds, durable before succeed puts them in force. Those that it did not are removed by the
// next start.
func (k *keyring) replace(ctx context.Context, succeed func(provenance.Keys) (*provenance.Record, error)) (*provenance.Record, error) {
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

// nextKey makes the key that follows, unless it is given as a file, and reads it.
func nextKey[K any](k *keyring, f keyFile, parse func([]byte) (K, error)) (key K, err error) {
	if err := k.makeNext(f); err != nil {
		return key, err
	}
	return readKey(f.what, f.next, parse)
}

// makeNext makes the key that follows, unless it is given as a file.
func (k *keyring) makeNext(f keyFile) error {
	switch {
	case f.own:
		return k.make(f, f.next)
	case f.next == "":
		return fmt.Errorf("%w: the %s is the file %s, which is given in the configuration: write the new key to another file, "+
			"name it as keys.nextReceipt or keys.nextLog, restart, and try again", api.ErrNoNextKey, f.what, f.path)
	default:
		return nil
	}
}
