package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/durable"
)

// The files of the keys of MACs, 32 random bytes each: beside the other keys, and never in the store.
const (
	KeptKeyFile   = KeysDir + "/kept.key"   // of what the registry keeps beside images
	BearerKeyFile = KeysDir + "/bearer.key" // of bearer tokens
)

// macKeys are all of them.
var macKeys = []string{KeptKeyFile, BearerKeyFile}

// IsMACKey says whether a file of a data directory is the key of a MAC, in force or to follow.
func IsMACKey(path string) bool {
	return slices.ContainsFunc(macKeys, func(name string) bool { return path == name || path == nextMACKey(name) })
}

// nextMACKey is the file of the key that follows, until it is in force.
func nextMACKey(name string) string { return strings.TrimSuffix(name, ".key") + "-next.key" }

// KeptKey returns the key of what the registry keeps beside images, and makes it at the first start. Where nothing may change and there
// is none it returns nil, and what was kept does not count. If we stop before the file is there, the next start makes another, and nothing
// was kept under this one.
func (d *Dir) KeptKey() ([]byte, error) { return d.macKey(KeptKeyFile) }

// BearerKey returns the key of bearer tokens, and makes it at the first start. Where nothing may change and there is none it
// returns nil. If we stop before the file is there, the next start makes another, and no token was given under this one.
func (d *Dir) BearerKey() ([]byte, error) { return d.macKey(BearerKeyFile) }

// DrawMACKeys makes the keys that follow, durably, beside those in force, of which each comes into force when it is asked for next. If
// we stop before that or DropMACKeys, the next start takes them: anyone who makes them wants the others gone, and to renew a key of a MAC early costs no more than new
// bearer tokens and opinions.
func (d *Dir) DrawMACKeys() error {
	for _, name := range macKeys {
		if err := d.drawMACKey(nextMACKey(name)); err != nil {
			return err
		}
	}
	return nil
}

// MACKeysFollow says that there are keys which were drawn, and are not in force.
func (d *Dir) MACKeysFollow() bool {
	return slices.ContainsFunc(macKeys, func(name string) bool {
		_, err := os.Stat(d.File(nextMACKey(name)))
		return err == nil
	})
}

// DropMACKeys removes the keys that would have followed.
func (d *Dir) DropMACKeys() (err error) {
	for _, name := range macKeys {
		err = errors.Join(err, durable.Remove(d.File(nextMACKey(name))))
	}
	return err
}

func (d *Dir) useMACKey(name string) error {
	err := durable.Rename(d.File(nextMACKey(name)), d.File(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// macKey reads a key, which is durable before anything is made with it.
func (d *Dir) macKey(name string) ([]byte, error) {
	if d.Mode != ToRead {
		if err := d.useMACKey(name); err != nil {
			return nil, err
		}
	}
	key, err := os.ReadFile(d.File(name))
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.Mode == ToRead:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		if err := d.drawMACKey(name); err != nil {
			return nil, err
		}
		return os.ReadFile(d.File(name))
	case err != nil:
		return nil, err
	case len(key) != 32:
		return nil, fmt.Errorf("%s has %d bytes, and should have 32: remove it, and the next start makes another", d.File(name), len(key))
	}
	return key, nil
}

func (d *Dir) drawMACKey(name string) error {
	key := make([]byte, 32)
	rand.Read(key) // which never fails
	if err := durable.MkdirAll(d.File(KeysDir), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(d.File(name), key, 0o600)
}
