// Package layout takes a store of an older layout to that of this program, whatever engine keeps it.
//
// A store has a layout: the number of the way in which the rooms keep their rows. Those rooms change with the program, and each change of
// what is stored already is a storage.Step. An engine takes an older store through the steps that it lacks, once, when it opens it.
//
// A table of the engines' own says where a store is on that way:
//
//	"version"   → the layout (4 bytes), set before the first change, so that no older program opens it
//	"migrating" → the layout it had (4), the layout it has come to (4); while steps are under way
package layout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/storage"
)

// The rows of the engines' own table.
const (
	Table        = storage.Table("storage")
	VersionKey   = "version"
	MigratingKey = "migrating"
)

// A Way is a store, and the steps to the newest layout.
type Way struct {
	Store storage.Store
	Steps []storage.Step
	Name  string                // of the store, in sentences
	Say   func(sentence string) // nil: nobody is told
	// Keep keeps the store aside as it is, and returns where, before anything is changed; nil where there is no such thing.
	Keep func(layout uint32) (where string, err error)
	// GoBack says how to go back to a layout.
	GoBack func(layout uint32) string
}

// progress is where a store is on its way.
type progress struct {
	layout uint32 // as "version" says; 0: nothing says
	from   uint32 // what it had when the steps began
	done   uint32 // what it has come to; layout, when no steps are under way
}

func (w Way) newest() uint32 { return uint32(len(w.Steps)) + 1 }

func (w Way) say(format string, args ...any) {
	if w.Say != nil {
		w.Say(fmt.Sprintf(format, args...))
	}
}

// Number is a layout as it is stored.
func Number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// Known wants a stored layout to be one that is known up to newest. Errors: storage.ErrCorrupt, storage.ErrNewer.
func Known(found []byte, newest uint32) error {
	if len(found) != 4 || binary.BigEndian.Uint32(found) == 0 {
		return fmt.Errorf("%w: it has no version", storage.ErrCorrupt)
	}
	if v := binary.BigEndian.Uint32(found); v > newest {
		return fmt.Errorf("%w: its layout is %d, and this program knows up to %d", storage.ErrNewer, v, newest)
	}
	return nil
}

// Readable wants a store that need not be changed. Errors: storage.ErrOlder, storage.ErrNewer, storage.ErrCorrupt.
func (w Way) Readable(ctx context.Context) error {
	p, err := w.progress(ctx)
	if err == nil && p.done != w.newest() {
		err = fmt.Errorf("%w: its layout is %d, and this one reads %d", storage.ErrOlder, p.done, w.newest())
	}
	return err
}

// Go takes the store to the newest layout, and marks one that is new.
//
// If we stop before what was kept aside has its name, the next start keeps it again. If we stop before the mark, it replaces it: nothing was
// changed. After the mark it is never touched again, and the steps go on where they were.
func (w Way) Go(ctx context.Context) error {
	p, err := w.progress(ctx)
	if err != nil || p.done == w.newest() {
		return err
	}
	if p.layout == 0 {
		return w.mark(ctx, progress{done: w.newest()})
	}
	if p.from == 0 {
		if err := w.keep(p.layout); err != nil {
			return err
		}
		p.from = p.layout
	}
	if err := w.mark(ctx, p); err != nil {
		return err
	}
	for ; p.done < w.newest(); p.done++ {
		if err := w.step(ctx, p); err != nil {
			return fmt.Errorf("the change to layout %d: %w; the next start goes on with it. %s", p.done+1, err, w.GoBack(p.from))
		}
	}
	w.say("%s has layout %d now. %s", w.Name, w.newest(), w.GoBack(p.from))
	return nil
}

func (w Way) keep(from uint32) error {
	if w.Keep == nil {
		w.say("%s has layout %d, and this version writes %d", w.Name, from, w.newest())
		return nil
	}
	where, err := w.Keep(from)
	if err != nil {
		return fmt.Errorf("keep the store aside (nothing was changed): %w", err)
	}
	w.say("%s had layout %d, and this version writes %d: as it was it is kept in %s", w.Name, from, w.newest(), where)
	return nil
}

// step runs the step from where the store is, and marks that it was done.
func (w Way) step(ctx context.Context, p progress) error {
	step := w.Steps[p.done-1]
	w.say("layout %d: %s", p.done+1, step.Does)
	if err := step.Run(w.Store); err != nil {
		return err
	}
	p.done++
	return w.mark(ctx, p)
}

// mark says how far the store has come. At the end of the way there is nothing to say but its layout.
func (w Way) mark(ctx context.Context, p progress) error {
	return w.Store.Update(ctx, func(tx storage.Tx) error {
		tx.Put(Table, []byte(VersionKey), Number(w.newest()))
		if p.done == w.newest() {
			tx.Delete(Table, []byte(MigratingKey))
		} else {
			tx.Put(Table, []byte(MigratingKey), append(Number(p.from), Number(p.done)...))
		}
		return nil
	})
}

// progress reads where the store is.
func (w Way) progress(ctx context.Context) (p progress, err error) {
	err = w.Store.View(ctx, func(tx storage.Reader) error {
		p = progress{}
		version, err := tx.Get(Table, []byte(VersionKey))
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = Known(version, w.newest())
		}
		if err != nil {
			return err
		}
		p.layout = binary.BigEndian.Uint32(version)
		p.done = p.layout
		return p.read(tx)
	})
	return p, err
}

// read reads how far steps under way have come.
func (p *progress) read(tx storage.Reader) error {
	row, err := tx.Get(Table, []byte(MigratingKey))
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
}
