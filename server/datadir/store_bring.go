package datadir

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/transfer"
)

// Moved is what came of a StoreMove.
type Moved struct {
	Rows   int            `json:"rows"`
	Copied int            `json:"copied"` // by this run; what an earlier one copied was there
	Tables map[string]int `json:"tables"` // how many rows each has, on both sides
	// Log is where the log ends, on both sides; nil where there is none.
	Log *LogEnd `json:"log,omitempty"`
	// Again says that the store was there already.
	Again bool `json:"again,omitempty"`
}

// LogEnd is where a log ends: its size in leaves, and the root that its hashes give.
type LogEnd struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"`
}

// Bring is how a StoreMove is run.
type Bring struct {
	// Copying and Checking are told of how many rows there are, and of those that were copied or compared; nil is nobody.
	Copying, Checking func(come, all uint64)
	// Before is asked before each of the last steps, and its error ends the move there; nil is nobody.
	Before func() error
}

// Run copies the rows, compares them, and has the registry use them. Error: storage.ErrCorrupt, where what came is not what was there. If it ends
// anywhere before its last steps, the registry's store is where it was; between those, no server starts. The next run goes on.
func (m *StoreMove) Run(ctx context.Context, b Bring) (moved Moved, err error) {
	t := &transfer.Transfer{From: m.From, To: m.To, Leave: []storage.Table{MoveTable}}
	if moved.Rows, err = t.Count(ctx); err != nil {
		return moved, err
	}
	t.Came = counting(b.Copying, moved.Rows)
	if moved.Copied, err = t.Run(ctx); err != nil {
		return moved, err
	}
	t.Came = counting(b.Checking, moved.Rows)
	if err := moved.compare(ctx, t); err != nil {
		return moved, fmt.Errorf("what came is not what was there: %w", err)
	}
	for _, step := range m.steps(ctx) {
		if b.Before != nil {
			if err := b.Before(); err != nil {
				return moved, err
			}
		}
		if err := step(); err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// counting adds up how many rows have come.
func counting(shown func(come, all uint64), all int) func(int) {
	come := 0
	return func(rows int) {
		if come += rows; shown != nil {
			shown(uint64(come), uint64(all))
		}
	}
}

// compare wants both stores to have the same rows, and so the same log.
func (m *Moved) compare(ctx context.Context, t *transfer.Transfer) error {
	tables, err := t.Compare(ctx)
	if err != nil {
		return err
	}
	all := 0
	m.Tables = map[string]int{}
	for table, rows := range tables {
		all += rows
		m.Tables[string(table)] = rows
	}
	before, err := logOf(ctx, t.From)
	if err != nil {
		return err
	}
	if m.Log, err = logOf(ctx, t.To); err != nil {
		return err
	}
	if all != m.Rows || (before == nil) != (m.Log == nil) || before != nil && *before != *m.Log {
		return fmt.Errorf("%w: %d rows came, and there were %d, or the log is another one", storage.ErrCorrupt, all, m.Rows)
	}
	return nil
}

// logOf is where the newest log ends; nil where there is none.
func logOf(ctx context.Context, s storage.Store) (end *LogEnd, err error) {
	err = s.View(ctx, func(tx storage.Reader) error {
		head, err := log.ReadHead(tx)
		if errors.Is(err, log.ErrNoLog) {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := head.Checkpoint()
		end = &LogEnd{c.Origin, c.Size, c.Root.String()}
		return err
	})
	return end, err
}
