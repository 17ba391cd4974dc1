package backup

import (
	"context"
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
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage/archive"
	"golang.org/x/sys/unix"
)

// restoringFile marks a directory in which a restore is under way, and names the backup. The store has
// another name until everything is there, so that nothing can be started before.
const (
	restoringFile = "restoring"
	newStoreFile  = datadir.StoreFile + ".restoring"
)

// Restore makes a data directory of a backup.
type Restore struct {
	// Snapshot is the backup.
	Snapshot *archive.Snapshot
	// Dir is the data directory, as an absolute path. It is made, or empty, or an earlier restore of the backup broke off in it.
	Dir string
	// Checkpoint is the newest signed checkpoint that is known of the log; "" is that of the backup.
	Checkpoint string
	// Config returns the configuration, which names the keys.
	Config func() (config.Config, error)
	// Expect is told the size of each blob that is to come, and Done of each that was copied, from several goroutines.
	Expect, Done func(size int64)
	// Say is told what is done to a store of an older version.
	Say func(sentence string)

	// begun is the first record of the new log.
	begun *provenance.Record
}

// An OccupiedError says that the directory is not one that a backup can be restored into, and which are.
type OccupiedError struct{ says string }

func (e *OccupiedError) Error() string { return e.says }

func occupiedf(format string, args ...any) error { return &OccupiedError{fmt.Sprintf(format, args...)} }

func (r *Restore) file(name string) string { return filepath.Join(r.Dir, name) }

// Run makes the data directory, and returns the first record of its new log: nil where it has none, because its backup is from
// before there was one. Errors: *OccupiedError, *config.Error, archive.ErrDamaged.
//
// If we stop anywhere before the store has its name, there is no registry in the
// directory, and the next restore of the same backup does it all again.
func (r *Restore) Run(ctx context.Context) (*provenance.Record, error) {
	err := r.run(ctx)
	return r.begun, err
}

func (r *Restore) run(ctx context.Context) (err error) {
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
	cfg, err := r.Config()
	if err != nil {
		return err
	}
	// Every name below, also those that a restore made which was killed before it flushed them, before the one
	// that makes a registry of it. If we stop behind that one, the mark that is left says nothing any more.
	if err := durable.SyncTree(r.Dir); err != nil {
		return err
	}
	if err := r.useStore(ctx, cfg.Store); err != nil {
		return err
	}
	return durable.Remove(r.file(restoringFile))
}

// useStore makes the file of the store that of a registry, or brings it into the database that the configuration names.
func (r *Restore) useStore(ctx context.Context, database string) error {
	if database == "" {
		return durable.Rename(r.file(newStoreFile), r.file(datadir.StoreFile))
	}
	m, err := datadir.StoreIntoDatabase(ctx, r.Dir, newStoreFile, database, datadir.Options{Say: r.Say})
	if err != nil {
		return err
	}
	_, err = m.Run(ctx, datadir.Bring{})
	return errors.Join(err, m.Close())
}

// claim makes the directory ours: it was empty, or a restore of the same backup broke off in it.
func (r *Restore) claim() (*os.File, error) {
	if err := durable.Settle(r.Dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil, err
	}
	// Also behind a mark that a power loss has brought back.
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == datadir.StoreFile }) {
		return nil, occupiedf("%s is not empty, there is a registry in it: a backup is restored into a new or empty directory (--data)", r.Dir)
	}
	if begun, err := os.ReadFile(r.file(restoringFile)); errors.Is(err, fs.ErrNotExist) && len(entries) > 0 {
		return nil, occupiedf("%s is not empty: a backup is restored into a new or empty directory (--data)", r.Dir)
	} else if err == nil && len(begun) > 0 && string(begun) != r.Snapshot.Sum() {
		return nil, occupiedf("another backup was being restored into %s: empty it first", r.Dir)
	}
	mark, err := durable.OpenFile(r.file(restoringFile), 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(mark.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another restore into %s is under way", r.Dir), mark.Close())
	}
	_, err = mark.WriteAt([]byte(r.Snapshot.Sum()), 0)
	if err = errors.Join(err, mark.Sync()); err != nil {
		return nil, errors.Join(err, mark.Close())
	}
	return mark, nil
}

// copyFiles copies keys, certificates and the store, which keeps another name for now. The keys of MACs, which
// backups of older versions have, stay behind, and the next start draws others: they may have been stolen, and renewed, since then.
func (r *Restore) copyFiles() error {
	return r.Snapshot.CopyFiles(func(path string, content io.Reader) error {
		if datadir.IsMACKey(path) {
			_, err := io.Copy(io.Discard, content) // it is compared with its sum all the same
			return err
		}
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

// fillStore makes the store that of a registry, with its blobs.
func (r *Restore) fillStore(ctx context.Context) (err error) {
	d := &datadir.Dir{Path: r.Dir, Mode: datadir.ToChange}
	if d.Store, err = datadir.OpenStore(r.file(newStoreFile), datadir.ToChange, datadir.Options{Say: r.Say}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := r.restoreBlobs(ctx, d); err != nil {
		return err
	}
	return registry.RestartPulls(ctx, d.Store) // others may have pulled from the original since
}

// restoreBlobs sees to it that the blobs are where the configuration has them. Those in an object store may be there still, because it keeps for
// a time what nothing needs, and where they are not in the backup that is relied on.
func (r *Restore) restoreBlobs(ctx context.Context, d *datadir.Dir) error {
	remote, err := d.Remote(ctx)
	if err != nil || remote && r.Snapshot.Blobs.Count == 0 {
		return err
	}
	cfg, err := r.Config()
	if err != nil {
		return err
	}
	to := cfg.Blobs.Remote()
	if !remote { // `hallmark move` takes them there
		to = nil
	}
	into, err := d.Target(ctx, to, datadir.Options{})
	if err == nil {
		err = r.copyBlobs(ctx, into, to != nil)
	}
	if err == nil && remote && to == nil {
		err = d.Use(ctx, nil)
	}
	return err
}

// copyBlobs copies the blobs to where the store says that they are, or those that are not there.
func (r *Restore) copyBlobs(ctx context.Context, into datadir.Target, lacking bool) error {
	var blobs []archive.Blob
	err := r.Snapshot.EachBlob(func(b archive.Blob) error {
		r.Expect(b.Size)
		blobs = append(blobs, b)
		return nil
	})
	if err != nil {
		return err
	}
	return InParallel(ctx, Copiers, blobs, func(b archive.Blob) error {
		defer r.Done(b.Size)
		if lacking {
			if there, err := datadir.Holds(ctx, into, b.At, b.Size); err != nil || there {
				return err
			}
		}
		return into.Import(ctx, b.At, func(w io.Writer) error { return r.Snapshot.CopyBlob(w, b) })
	})
}

// beginLog closes the log of the backup and begins a new one, with new keys: somebody may have seen more of
// the old one than is in the backup, so going on with it would be a second history.
func (r *Restore) beginLog(ctx context.Context) (err error) {
	d := &datadir.Dir{Path: r.Dir, Mode: datadir.ToChange}
	if d.Store, err = datadir.OpenStore(r.file(newStoreFile), datadir.ToChange, datadir.Options{Say: r.Say}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	cfg, err := r.Config()
	if err != nil {
		return err
	}
	named, err := d.PublicURL(ctx, cfg, "")
	if err != nil {
		return err
	}
	book, err := provenance.NewBook(d.Store, named)
	if err != nil {
		return err
	}
	end := provenance.Ending{Action: provenance.Restore, Reason: "restored", Checkpoint: r.Checkpoint}
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
