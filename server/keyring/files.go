package keyring

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/server/config"
)

// keyFile is where a private key is, and where the one that follows it is or will be.
type keyFile struct {
	what       string
	path, next string
	own        bool // made by the registry, in its data
}

// makeMissing makes the registry's own key files where they are not there.
func (k *Ring) makeMissing() error {
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
func (k *Ring) make(f keyFile, path string) error {
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
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil { // Open was not called by a restore
		return err
	}
	return durable.WriteFile(path, content, 0o600)
}

// Read returns the keys in all files that are there, the current ones first.
func (k *Ring) Read() (keys provenance.Keys, err error) {
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
		return key, config.Errorf("%s %s: %w", what, path, err)
	}
	return key, nil
}

// settle lets the file of the key in force have the usual name, and removes one that never came into force
// or is no longer. If we stop in the middle, the next start settles the rest.
func (k *Ring) settle(ctx context.Context) error {
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

// nextKey makes the key that follows, unless it is given as a file, and reads it.
func nextKey[K any](k *Ring, f keyFile, parse func([]byte) (K, error)) (key K, err error) {
	if err := k.makeNext(f); err != nil {
		return key, err
	}
	return readKey(f.what, f.next, parse)
}

// makeNext makes the key that follows, unless it is given as a file.
func (k *Ring) makeNext(f keyFile) error {
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
