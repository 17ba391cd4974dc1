package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-260924e6/hallmark/internal/durable"
)

// The files of the keys of MACs, 32 random bytes each: beside the other keys, and never in the store.
const (
	KeptKeyFile   = KeysDir + "/kept.key"   // of what the registry keeps beside images
	BearerKeyFile = KeysDir + "/bearer.key" // of bearer tokens
)

// KeptKey returns the key of what the registry keeps beside images, and makes it at the first start. Where nothing may change and there
// is none it returns nil, and what was kept does not count. If we stop before the file is there, the next start makes another, and nothing
// was kept under this one.
func (d *Dir) KeptKey() ([]byte, error) { return d.macKey(KeptKeyFile) }

// BearerKey returns the key of bearer tokens, and makes it at the first start. Where nothing may change and there is none it
// returns nil. If we stop before the file is there, the next start makes another, and no token was given under this one.
func (d *Dir) BearerKey() ([]byte, error) { return d.macKey(BearerKeyFile) }

// macKey reads a key, which is durable before anything is made with it.
func (d *Dir) macKey(name string) ([]byte, error) {
	key, err := os.ReadFile(d.File(name))
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.Mode == ToRead:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, 32)
		rand.Read(key) // which never fails
		if err := durable.MkdirAll(d.File(KeysDir), 0o700); err != nil {
			return nil, err
		}
		if err := durable.WriteFile(d.File(name), key, 0o600); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case len(key) != 32:
		return nil, fmt.Errorf("%s has %d bytes, and should have 32: remove it, and the next start makes another", d.File(name), len(key))
	}
	return key, nil
}
