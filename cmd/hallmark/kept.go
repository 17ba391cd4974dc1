package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/registry"
)

// keptKeyFile holds the key of what the registry keeps beside images, 32 random bytes: beside the other keys, and never in
// the store.
const keptKeyFile = keysDir + "/kept.key"

// sealKept gives the registry the key of what it keeps, and makes it at the first start. Where nothing may change and there
// is none, what was kept does not count. If we stop before the file is there, the next start makes another, and nothing
// was kept under this one.
func (d *data) sealKept(g *registry.Registry) error {
	key, err := os.ReadFile(d.file(keptKeyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.how == toRead:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, 32)
		rand.Read(key) // which never fails
		if err := durable.MkdirAll(d.file(keysDir), 0o700); err != nil {
			return err
		}
		if err := durable.WriteFile(d.file(keptKeyFile), key, 0o600); err != nil {
			return err
		}
	case err != nil:
		return err
	case len(key) != 32:
		return fmt.Errorf("%s has %d bytes, and should have 32: remove it, and the next start makes another", d.file(keptKeyFile), len(key))
	}
	g.SealKept(key)
	return nil
}
