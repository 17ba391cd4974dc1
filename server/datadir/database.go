package datadir

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"golang.org/x/sys/unix"
)

// ProcessFile names, in a data directory whose store is in a database, the process that works on it. It is locked while one does.
const ProcessFile = "process"

// Process names the process that works on a store in a database, over its restarts; it is "" where the store is in the directory.
func (d *Dir) Process() string { return d.name }

// A Store is what the rooms keep their rows in, in the directory or in a database.
type Store interface {
	storage.Store
	// Err returns nil while the store takes Updates, and otherwise why it does not.
	Err() error
	// Stalled returns for how long no Update was answered of those that wait; 0 where none does.
	Stalled() time.Duration
	// Size returns its length in bytes.
	Size() (int64, error)
}

// Embedded is the store in the directory, or nil where it is in a database: that is backed up and checked with its own tools.
func (d *Dir) Embedded() *bolt.Store {
	embedded, _ := d.Store.(*bolt.Store)
	return embedded
}

// openStore opens the store, wherever it is.
func (d *Dir) openStore(o Options) (err error) {
	inFile, err := d.has(StoreFile)
	if err != nil {
		return err
	}
	inDatabase, err := d.has(ProcessFile)
	if err != nil {
		return err
	}
	switch {
	case o.Database != "" && inFile:
		return fmt.Errorf("this registry's store is %s, and the configuration names a database: leave store out, or take it there with `hallmark move`", d.File(StoreFile))
	case o.Database == "" && inDatabase && !inFile:
		return errors.New("this registry's store is in a database, and the configuration names none: set store again, or take it into the directory with `hallmark move`")
	case o.Database != "":
		return d.openDatabase(o)
	}
	store, err := OpenStore(d.File(StoreFile), d.Mode, o)
	if err == nil {
		d.Store = store
	}
	return err
}

func (d *Dir) has(name string) (bool, error) {
	_, err := os.Stat(d.File(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// openDatabase opens the store in a database. The name of the process is made before the first row: one that is started again on the
// same directory, after it was killed, need not wait for the end of its own lease.
func (d *Dir) openDatabase(o Options) (err error) {
	c := postgres.Config{URL: o.Database, Steps: Layouts, ReadOnly: d.Mode == ToRead, Admit: admit, Say: o.say, OnCommit: o.OnCommit, Log: o.Log}
	if o.admit != nil {
		c.Admit = o.admit
	}
	if !c.ReadOnly {
		if c.Process, d.locked, err = d.process(); err != nil {
			return err
		}
	}
	d.name = c.Process
	store, err := postgres.Open(context.Background(), c)
	if err != nil {
		return errors.Join(err, d.unlock())
	}
	d.Store = store
	return nil
}

// process returns the name of the process that works on the store, whose file is locked. Error: storage.ErrInUse.
func (d *Dir) process() (name string, locked *os.File, err error) {
	path := d.File(ProcessFile)
	if there, err := d.has(ProcessFile); err != nil {
		return "", nil, err
	} else if !there {
		if err := durable.WriteFile(path, []byte(newProcess()+"\n"), 0o600); err != nil {
			return "", nil, err
		}
	}
	if locked, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(locked.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", nil, errors.Join(storage.ErrInUse, locked.Close())
	}
	text := make([]byte, 256)
	n, _ := locked.Read(text) // what is not there is found to be no name
	name = strings.TrimSpace(string(text[:n]))
	if name == "" {
		return "", nil, errors.Join(fmt.Errorf("%s names no process: remove it, and wait 30 s for the end of the lease that it had", path), locked.Close())
	}
	return name, locked, nil
}

// newProcess is a name that people recognise and nobody else has.
func newProcess() string {
	host, _ := os.Hostname() // "" does as well
	b := make([]byte, 4)
	crand.Read(b) // which never fails
	return strings.TrimLeft(host+"-"+hex.EncodeToString(b), "-")
}

// unlock lets another process work on the store.
func (d *Dir) unlock() error {
	if d.locked == nil {
		return nil
	}
	return d.locked.Close()
}
