package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"go.etcd.io/bbolt"
)

// A store has a layout: the number of the way in which the rooms above keep their rows. Those rooms change
// with the program, and each change of what is stored already is a Step. Open takes an older store through
// the steps that it lacks, once, and keeps the file as it was beside it.
//
// The engine's own table says where a store is on that way:
//
//	"version"   → the layout (4 bytes), set before the first change, so that no older program opens it
//	"migrating" → the layout it had (4), the layout it has come to (4); while steps are under way
const (
	metaTable    = storage.Table("storage")
	versionKey   = "version"
	migratingKey = "migrating"
)

// A Step takes a store from one layout to the next. It is never changed or removed once it was released.
type Step struct {
	// Does says what the step does, for people: "sign the records".
	Does string
	// Run makes the change, in Updates of which none is long. If we stop within it, the next Open runs it
	// again, over what it has committed: it finds from the rows how far it came.
	Run func(storage.Store) error
}

// Aside is where the file of a store is kept that had an older layout.
func Aside(path string, layout uint32) string {
	return path + ".layout" + strconv.FormatUint(uint64(layout), 10)
}

// progress is where a store is on its way to the newest layout.
type progress struct {
	layout uint32 // as "version" says
	from   uint32 // what it had when the steps began
	done   uint32 // what it has come to; layout, when no steps are under way
}

// migrate takes the store to the layout of this program.
//
// If we stop before the copy has its name, the next start makes it again. If we stop before the mark, it
// replaces it: nothing was changed. After the mark the copy is never touched again, and the steps go on
// where they were.
func (s *Store) migrate(c Config) error {
	p, err := s.progress()
	if err != nil || p.done == c.layout() {
		return err
	}
	if c.ReadOnly {
		return fmt.Errorf("%w: its layout is %d, and this one reads %d", storage.ErrOlder, p.done, c.layout())
	}
	path := s.db.Path()
	if p.from == 0 {
		aside := Aside(path, p.layout)
		c.say("%s has layout %d, and this version writes %d: first keeping it as it is, in %s", path, p.layout, c.layout(), aside)
		if err := s.copyTo(aside); err != nil {
			return fmt.Errorf("keep the store aside (nothing was changed): %w", err)
		}
		p.from = p.layout
	}
	if err := s.mark(c, p); err != nil {
		return err
	}
	for ; p.done < c.layout(); p.done++ {
		if err := s.step(c, p); err != nil {
			return fmt.Errorf("the change to layout %d: %w; the next start goes on with it. %s", p.done+1, err, goBack(path, p.from))
		}
	}
	c.say("%s has layout %d now. %s When all is well, delete %s", path, c.layout(), goBack(path, p.from), Aside(path, p.from))
	return nil
}

// step runs the step from where the store is, and marks that it was done.
func (s *Store) step(c Config, p progress) error {
	step := c.Steps[p.done-1]
	c.say("layout %d: %s", p.done+1, step.Does)
	if err := step.Run(s); err != nil {
		return err
	}
	p.done++
	return s.mark(c, p)
}

// goBack says how to.
func goBack(path string, layout uint32) string {
	return fmt.Sprintf("To go back: stop hallmark, `mv %s %s`, and run the version that wrote it; what was pushed since then is lost.",
		Aside(path, layout), path)
}

// mark says how far the store has come. At the end of the way there is nothing to say but its layout.
func (s *Store) mark(c Config, p progress) error {
	return s.Update(context.Background(), func(tx storage.Tx) error {
		tx.Put(metaTable, []byte(versionKey), number(c.layout()))
		if p.done == c.layout() {
			tx.Delete(metaTable, []byte(migratingKey))
		} else {
			tx.Put(metaTable, []byte(migratingKey), append(number(p.from), number(p.done)...))
		}
		return nil
	})
}

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// progress reads where the store is.
func (s *Store) progress() (p progress, err error) {
	err = s.View(context.Background(), func(tx storage.Reader) error {
		version, err := tx.Get(metaTable, []byte(versionKey))
		if err != nil {
			return err
		}
		p = progress{layout: binary.BigEndian.Uint32(version)} // checkLayout has seen that it has 4 bytes
		p.done = p.layout
		row, err := tx.Get(metaTable, []byte(migratingKey))
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil && len(row) != 8 {
			err = fmt.Errorf("%w: it does not say how far the change of its layout came", storage.ErrCorrupt)
		}
		if err != nil {
			return err
		}
		p.from, p.done = binary.BigEndian.Uint32(row), binary.BigEndian.Uint32(row[4:])
		return nil
	})
	return p, err
}

// copyTo writes the store into a file, whole or not at all.
func (s *Store) copyTo(path string) error {
	return durable.Write(path, 0o600, func(w io.Writer) error { return s.Snapshot(context.Background(), w, nil) })
}

// checkLayout reads the store's layout, or writes it into a store that was just made. A store that has one is only
// read: a commit, also one that changes no row, would write over pages of a store that may be damaged.
func checkLayout(db *bbolt.DB, newest uint32) error {
	if err := checkLength(db); err != nil {
		return err
	}
	made := true
	err := db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(metaTable))
		if made = meta != nil; !made {
			return nil
		}
		return knownLayout(db, meta.Get([]byte(versionKey)), newest)
	})
	if err != nil || made {
		return err
	}
	if db.IsReadOnly() {
		return fmt.Errorf("%w: it is empty", storage.ErrReadOnly)
	}
	return db.Update(func(tx *bbolt.Tx) error { return writeLayout(tx, newest) })
}

// knownLayout wants a layout that this program knows.
func knownLayout(db *bbolt.DB, found []byte, newest uint32) error {
	if len(found) != 4 || binary.BigEndian.Uint32(found) == 0 {
		return fmt.Errorf("%w: it has no version", storage.ErrCorrupt)
	}
	if v := binary.BigEndian.Uint32(found); v > newest {
		return fmt.Errorf("%w: its layout is %d, and this program knows up to %d; %s", storage.ErrNewer, v, newest, older(db.Path(), newest))
	}
	return nil
}

// older says what can be done by who has a program that is older than the store.
func older(path string, newest uint32) string {
	for layout := newest; layout > 0; layout-- {
		if _, err := os.Stat(Aside(path, layout)); err == nil {
			return "run the version that wrote it, or go back to the store as it was before: " + goBack(path, layout)
		} else if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return "run the version that wrote it, or restore a backup"
}

// checkLength refuses a file that lost its end: bbolt would fault on a page that is not there.
func checkLength(db *bbolt.DB) error {
	info, err := os.Stat(db.Path())
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: it has %d bytes and needs %d", storage.ErrCorrupt, info.Size(), tx.Size())
		}
		return nil
	})
}

// writeLayout marks a store as ours. If we stop before it, the next start finds an empty file and writes it.
func writeLayout(tx *bbolt.Tx, newest uint32) error {
	if name, _ := tx.Cursor().First(); name != nil {
		return fmt.Errorf("%w: it is not a store of this program", storage.ErrCorrupt)
	}
	meta, err := tx.CreateBucket([]byte(metaTable))
	if err != nil {
		return err
	}
	return meta.Put([]byte(versionKey), number(newest))
}

// create makes an empty store where there is none, under another name first: if we stop before the
// rename, the next start finds no store and makes it again.
func create(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() < 4096 {
		return fmt.Errorf("%w: it has only %d bytes", storage.ErrCorrupt, info.Size())
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.Remove(path + ".new"); err != nil { // half of one, that bbolt would refuse
		return err
	}
	db, err := bbolt.Open(path+".new", 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return durable.Rename(path+".new", path)
}
