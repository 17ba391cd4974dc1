package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/backup"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/storage/archive"
	"github.com/spf13/cobra"
)

// restore is the verb `hallmark restore`.
func (e *env) restore() *cobra.Command {
	c := &cobra.Command{
		Use: "restore DIR", Short: "Make a data directory from a backup", Args: one("a directory with backups"),
		Long: "Make a data directory of the newest backup in DIR, or another one, in a place that is empty. Every byte is\n" +
			"compared with its digest. A restore that broke off is gone on with by the next. Blobs of a backup that was made\n" +
			"--with-blobs go to where the configuration has blobs: the data directory, or an object store, where only those that are\n" +
			"not there are copied.",
	}
	data := c.Flags().String("data", "", "the data `directory` to make (default ./hallmark-data)")
	name := c.Flags().String("backup", "", "the `name` of the backup, as `hallmark backup DIR --list` shows it (default: the newest)")
	known := c.Flags().String("checkpoint", "", "`file` with the newest checkpoint that is known of the log (default: that of the backup)")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		checkpoint, err := readCheckpoint(*known)
		if err != nil {
			return err
		}
		a, err := archive.Open(args[0])
		if err != nil {
			return exitError{exitAsk, err}
		}
		s, err := a.Snapshot(*name)
		if errors.Is(err, archive.ErrDamaged) {
			return exitError{exitNo, err}
		}
		if err != nil {
			return exitError{exitAsk, err}
		}
		shown := e.newProgress("restoring blobs")
		r := &backup.Restore{
			Snapshot: s, Checkpoint: checkpoint, Expect: shown.expect, Done: shown.done, Say: e.sayUpgrade,
			Config: func() (config.Config, error) { return config.Load("", e.getenv) },
		}
		if r.Dir, err = filepath.Abs(e.dataDir(&target{data: *data})); err != nil {
			return err
		}
		begun, err := r.Run(c.Context())
		shown.end()
		if err != nil {
			return restoreError(r.Dir, err)
		}
		return e.showRestored(r, begun, *asJSON)
	}
	return c
}

// readCheckpoint reads a file that the user names.
func readCheckpoint(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("--checkpoint: %w", err)
	}
	return string(text), nil
}

func restoreError(dir string, err error) error {
	switch {
	case errors.As(err, new(*backup.OccupiedError)), errors.As(err, new(*config.Error)):
		return err
	case errors.Is(err, archive.ErrDamaged):
		return nof("nothing was restored to %s: %w; another backup may be whole (--backup)", dir, err)
	default:
		return askf("nothing was restored to %s yet; run it again to go on: %w", dir, err)
	}
}

// showRestored shows what was restored; begun is the first record of the new log, or nil.
func (e *env) showRestored(r *backup.Restore, begun *provenance.Record, asJSON bool) error {
	m := madeOf(r.Snapshot)
	if asJSON {
		answer := map[string]any{"data": r.Dir, "backup": m}
		if begun != nil {
			answer["record"] = begun
		}
		return writeJSON(e.stdout, answer)
	}
	var said backup.About
	if err := json.Unmarshal(m.About, &said); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "restored backup %s of %s to %s: %d records, %d blobs, %s\n", m.Name, said.Registry, r.Dir, said.Records, m.Blobs, units.Bytes(m.Bytes))
	if !said.HasBlobs() {
		fmt.Fprintf(e.stdout, "its blobs are in %s: configure blobs.s3 as it was, and never run the one that it is a copy of again\n", said.Objects)
	}
	if b := begun; b != nil {
		fmt.Fprintf(e.stdout, "the log %s is closed at %d leaves, and never signed again; %s goes on with new keys, and its first record, %d, names it\n",
			b.Continues.Origin, b.Continues.Size, b.Log.Origin, b.Index)
	}
	for _, d := range m.Damaged {
		fmt.Fprintf(e.stdout, "%s was lost or damaged when the backup was made, and is not in it: push it again\n", d)
	}
	fmt.Fprintf(e.stdout, "what was pushed after it was made is not in it. Next:\n  hallmark fsck --deep --data %s\n  hallmark serve --data %s\n", r.Dir, r.Dir)
	return nil
}
