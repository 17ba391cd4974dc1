package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/move"
	"github.com/spf13/cobra"
)

// move is the verb `hallmark move`.
func (e *env) move() *cobra.Command {
	c := &cobra.Command{
		Use: "move --to CONFIG", Short: "Take the blobs into an object store, or the store into a database, or back", Args: cobra.NoArgs,
		Long: "Copy the blobs or the store of a registry that is stopped to where CONFIG has them: blobs into the object store that its blobs.s3\n" +
			"names, the store into the PostgreSQL database that its store names, or either into the data directory, where CONFIG names none. One of\n" +
			"the two is moved at a time. Everything else stays in the data directory, and nobody else can open it meanwhile. Each blob is compared\n" +
			"with its digest as it is copied, then all are counted and measured where they came to, and some are read again, or all of them\n" +
			"(--verify all). Of a store all rows are compared, and the end of the log. Until its end the registry is where it was; a move that broke\n" +
			"off is gone on with by the next. What was moved stays where it was, too: remove it yourself. Exit status 1 says that some blobs were\n" +
			"lost or damaged before.",
		Example: "  hallmark move --to /etc/hallmark/with-s3.yaml --data /var/lib/hallmark",
	}
	to := c.Flags().String("to", "", "configuration `file` that the registry will have")
	from := c.Flags().String("config", "", "configuration `file` that it has (default ./hallmark.yaml, where it exists)")
	data := c.Flags().String("data", "", "the data `directory` (default: that of --to, or ./hallmark-data)")
	verify := c.Flags().String("verify", "sample", "how many blobs are read again where they came to: `sample` or all")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *verify != "sample" && *verify != "all" {
			return usagef("--verify is %q, and should be sample or all", *verify)
		}
		was, will, err := e.moveConfigs(*from, *to)
		if err != nil {
			return err
		}
		if was.Store != will.Store {
			return e.moveStore(c.Context(), was, will, firstOf(*data, will.Data), *to, *asJSON)
		}
		m := &move.Move{From: was.Blobs.Remote(), To: will.Blobs.Remote(), Database: was.Store, All: *verify == "all", Say: e.sayUpgrade}
		if m.Dir, err = filepath.Abs(firstOf(*data, will.Data)); err != nil {
			return err
		}
		copying, checking := e.newProgress("copying blobs"), e.newProgress("checking blobs")
		m.Copying, m.Checking = move.Shown{Expect: copying.expect, Done: copying.done}, move.Shown{Expect: checking.expect, Done: checking.done}
		moved, err := m.Run(c.Context())
		copying.end()
		checking.end()
		if err != nil {
			return moveError(m, err)
		}
		return e.showMoved(m, moved, *to, *asJSON)
	}
	return c
}

// moveConfigs reads the configuration that the registry has, and the one that it will have.
func (e *env) moveConfigs(from, to string) (was, will config.Config, err error) {
	if to == "" {
		return was, will, usagef("--to is missing: name the configuration that the registry will have")
	}
	if will, err = config.Load(to, e.getenv); err == nil {
		err = will.Check()
	}
	if err != nil {
		return was, will, err
	}
	was, err = config.Load(from, e.getenv)
	return was, will, err
}

func moveError(m *move.Move, err error) error {
	switch {
	case errors.Is(err, move.ErrSame), errors.As(err, new(*config.Error)):
		return usagef("nothing was moved: %w", err)
	case errors.Is(err, datadir.ErrNone):
		return askf("nothing was moved: %w; name another with --data", err)
	}
	return askf("the blobs of %s are where they were; run it again to go on: %w", m.Dir, err)
}

// showMoved shows what came of a move.
func (e *env) showMoved(m *move.Move, moved move.Moved, to string, asJSON bool) error {
	moved.Damaged = digestsOf(moved.Damaged)
	where, was := blobsIn(m.Dir, m), blobsIn(m.Dir, &move.Move{To: m.From})
	if asJSON {
		if err := writeJSON(e.stdout, struct {
			To string `json:"to"`
			move.Moved
		}{where, moved}); err != nil {
			return err
		}
	} else {
		e.sayMoved(moved, where, was)
		fmt.Fprintf(e.stdout, "Next:\n  hallmark serve --config %s --data %s\n", to, m.Dir)
	}
	if n := len(moved.Damaged); n > 0 {
		return nof("the blobs were moved, without %d that the registry has lost or that are damaged: push them again", n)
	}
	return nil
}

func (e *env) sayMoved(moved move.Moved, where, was string) {
	if moved.Again {
		fmt.Fprintf(e.stdout, "the blobs are in %s already\n", where)
		return
	}
	fmt.Fprintf(e.stdout, "the blobs are in %s now: %d blobs, %s in all; copied %d, read %d again\n", where, moved.Blobs-len(moved.Damaged), units.Bytes(moved.Bytes), moved.Copied, moved.Read)
	for _, d := range moved.Damaged {
		fmt.Fprintf(e.stdout, "not moved: %s\n", d)
	}
	fmt.Fprintf(e.stdout, "they are in %s still, and nothing needs them there any more\n", was)
}

// blobsIn says where a move takes blobs.
func blobsIn(dir string, m *move.Move) string {
	if m.To == nil {
		return filepath.Join(dir, datadir.BlobsDir)
	}
	return m.To.Where()
}
