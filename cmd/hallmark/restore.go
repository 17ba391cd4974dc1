package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/server/backup"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage/archive"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// restore is the verb `hallmark restore`.
func (e *env) restore() *cobra.Command {
	c := &cobra.Command{
		Use: "restore DIR", Short: "Make a data directory from a backup", Args: one("a directory with backups"),
		Long: "Make a data directory of the newest backup in DIR, or another one, in a place that is empty. Every byte is\n" +
			"compared with its digest. A restore that broke off is gone on with by the next.",
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
		r := &restoreRun{env: e, snapshot: s, progress: e.newProgress("restoring blobs"), checkpoint: checkpoint}
		if r.dir, err = filepath.Abs(e.dataDir(&target{data: *data})); err != nil {
			return err
		}
		if err := r.run(c.Context()); err != nil {
			return restoreError(r.dir, err)
		}
		return r.show(*asJSON)
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
	case errors.As(err, new(exitError)), errors.As(err, new(*config.Error)):
		return err
	case errors.Is(err, archive.ErrDamaged):
		return nof("nothing was restored to %s: %w; another backup may be whole (--backup)", dir, err)
	default:
		return askf("nothing was restored to %s yet; run it again to go on: %w", dir, err)
	}
}

// restoringFile marks a directory in which a restore is under way, and names the backup. The store has
// another name until everything is there, so that nothing can be started before.
const (
	restoringFile = "restoring"
	newStoreFile  = datadir.StoreFile + ".restoring"
)

// restoreRun is a restore under way.
type restoreRun struct {
	*env
	snapshot *archive.Snapshot
	dir      string
	progress *progress
	// checkpoint is the newest signed checkpoint that is known of the log; "" is that of the backup.
	checkpoint string
	// begun is the first record of the new log.
	begun *provenance.Record
}

func (r *restoreRun) file(name string) string { return filepath.Join(r.dir, name) }

// run makes the data directory. If we stop anywhere before the store has its name, there is no registry in the
// directory, and the next restore of the same backup does it all again.
func (r *restoreRun) run(ctx context.Context) (err error) {
	mark, err := r.claim()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mark.Close()) }()
	if err := r.copyFiles(); err != nil {
		return err
	}
	if err := r.fillStore(ctx); err != nil {
		return err
	}
	if err := r.beginLog(ctx); err != nil {
		return err
	}
	// Every name below, also those that a restore made which was killed before it flushed them, before the one
	// that makes a registry of it. If we stop behind that one, the mark that is left says nothing any more.
	if err := durable.SyncTree(r.dir); err != nil {
		return err
	}
	if err := durable.Rename(r.file(newStoreFile), r.file(datadir.StoreFile)); err != nil {
		return err
	}
	return durable.Remove(r.file(restoringFile))
}

// claim makes the directory ours: it was empty, or a restore of the same backup broke off in it.
func (r *restoreRun) claim() (*os.File, error) {
	if err := durable.Settle(r.dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	// Also behind a mark that a power loss has brought back.
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == datadir.StoreFile }) {
		return nil, usagef("%s is not empty, there is a registry in it: a backup is restored into a new or empty directory (--data)", r.dir)
	}
	if begun, err := os.ReadFile(r.file(restoringFile)); errors.Is(err, fs.ErrNotExist) && len(entries) > 0 {
		return nil, usagef("%s is not empty: a backup is restored into a new or empty directory (--data)", r.dir)
	} else if err == nil && len(begun) > 0 && string(begun) != r.snapshot.Sum() {
		return nil, usagef("another backup was being restored into %s: empty it first", r.dir)
	}
	mark, err := durable.OpenFile(r.file(restoringFile), 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(mark.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(askf("another restore into %s is under way", r.dir), mark.Close())
	}
	_, err = mark.WriteAt([]byte(r.snapshot.Sum()), 0)
	if err = errors.Join(err, mark.Sync()); err != nil {
		return nil, errors.Join(err, mark.Close())
	}
	return mark, nil
}

// copyFiles copies keys, certificates and the store, which keeps another name for now.
func (r *restoreRun) copyFiles() error {
	return r.snapshot.CopyFiles(func(path string, content io.Reader) error {
		if path == datadir.StoreFile {
			path = newStoreFile
		}
		full := r.file(filepath.FromSlash(path))
		if err := durable.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if strings.HasPrefix(path, datadir.CertsDir+"/") && filepath.Base(path) == "ca.pem" {
			mode = 0o644 // everybody may read it, and tools do
		}
		return durable.Write(full, mode, func(w io.Writer) error {
			_, err := io.Copy(w, content)
			return err
		})
	})
}

// fillStore copies the blobs to where the store says that they are.
func (r *restoreRun) fillStore(ctx context.Context) (err error) {
	d := &datadir.Dir{Path: r.dir, Mode: datadir.ToChange}
	if d.Store, err = datadir.OpenStore(r.file(newStoreFile), datadir.ToChange, datadir.Options{Say: r.sayUpgrade}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.RecreateBlobs(ctx); err != nil {
		return err
	}
	var blobs []archive.Blob
	err = r.snapshot.EachBlob(func(b archive.Blob) error {
		r.progress.expect(b.Size)
		blobs = append(blobs, b)
		return nil
	})
	if err != nil {
		return err
	}
	err = inParallel(ctx, copiers, blobs, func(b archive.Blob) error {
		err := d.Blobs.Import(b.At, func(w io.Writer) error { return r.snapshot.CopyBlob(w, b) })
		r.progress.done(b.Size)
		return err
	})
	r.progress.end()
	return err
}

// beginLog closes the log of the backup and begins a new one, with new keys: somebody may have seen more of
// the old one than is in the backup, so going on with it would be a second history.
func (r *restoreRun) beginLog(ctx context.Context) (err error) {
	d := &datadir.Dir{Path: r.dir, Mode: datadir.ToChange}
	if d.Store, err = datadir.OpenStore(r.file(newStoreFile), datadir.ToChange, datadir.Options{Say: r.sayUpgrade}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	cfg, err := config.Load("", r.getenv)
	if err != nil {
		return err
	}
	named, err := d.PublicURL(ctx, cfg, cfg.Listen)
	if err != nil {
		return err
	}
	book, err := provenance.NewBook(d.Store, named)
	if err != nil {
		return err
	}
	end := provenance.Ending{Action: provenance.Restore, Reason: "restored", Checkpoint: r.checkpoint}
	keys := keyring.New(book, d.File(datadir.KeysDir), cfg.Keys, slog.New(slog.DiscardHandler))
	if _, err := keys.Recall(); err != nil {
		return err
	}
	r.begun, err = keys.Replace(ctx, access.Operator, end)
	if errors.Is(err, log.ErrNoLog) {
		return nil // a backup from before there was a log: `hallmark log adopt` begins it
	}
	return err
}

func (r *restoreRun) show(asJSON bool) error {
	m := madeOf(r.snapshot)
	if asJSON {
		answer := map[string]any{"data": r.dir, "backup": m}
		if r.begun != nil {
			answer["record"] = r.begun
		}
		return writeJSON(r.stdout, answer)
	}
	var said backup.About
	if err := json.Unmarshal(m.About, &said); err != nil {
		return err
	}
	fmt.Fprintf(r.stdout, "restored backup %s of %s to %s: %d records, %d blobs, %s\n", m.Name, said.Registry, r.dir, said.Records, m.Blobs, inBytes(m.Bytes))
	if b := r.begun; b != nil {
		fmt.Fprintf(r.stdout, "the log %s is closed at %d leaves, and never signed again; %s goes on with new keys, and its first record, %d, names it\n",
			b.Continues.Origin, b.Continues.Size, b.Log.Origin, b.Index)
	}
	for _, d := range m.Damaged {
		fmt.Fprintf(r.stdout, "%s was lost or damaged when the backup was made, and is not in it: push it again\n", d)
	}
	fmt.Fprintf(r.stdout, "what was pushed after it was made is not in it. Next:\n  hallmark fsck --deep --data %s\n  hallmark serve --data %s\n", r.dir, r.dir)
	return nil
}
