package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server/backup"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage/archive"
	"github.com/spf13/cobra"
)

// backup is the verb `hallmark backup`.
func (e *env) backup() *cobra.Command {
	c := &cobra.Command{
		Use: "backup DIR", Short: "Copy everything to a directory, with the server running or stopped", Args: one("a directory"),
		Long: "Copy the store, the blobs, the certificates and the keys of a data directory to DIR, as they are at one moment,\n" +
			"while the server runs or not. DIR may hold many backups: each is a snapshot, and what it has in common with\n" +
			"others is there once, so only new blobs are copied. A backup is there whole or not at all; one that broke off is\n" +
			"gone on with by the next. DIR holds private keys: keep it as safe as the data directory, on another disk. Blobs in an\n" +
			"object store stay there, and are copied only with --with-blobs.",
	}
	data := c.Flags().String("data", "", "the data `directory` (default ./hallmark-data)")
	keep := c.Flags().Int("keep", 0, "then remove all but the newest `N` backups in DIR (default: keep all)")
	with := c.Flags().Bool("with-blobs", false, "copy blobs that are in an object store, too")
	list := c.Flags().Bool("list", false, "list the backups in DIR instead")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *list:
			return e.listBackups(args[0], *asJSON)
		case *keep < 0 || c.Flags().Changed("keep") && *keep == 0:
			return usagef("--keep wants a number from 1 on")
		}
		return e.makeBackup(c.Context(), &target{data: *data}, args[0], *keep, *with, *asJSON)
	}
	return c
}

// made is a backup as it is shown.
type made struct {
	Name    string          `json:"name"`
	Made    time.Time       `json:"made"`
	About   json.RawMessage `json:"about"`
	Blobs   int             `json:"blobs"`
	Bytes   int64           `json:"bytes"`             // of all its blobs and files
	Copied  *copied         `json:"copied,omitempty"`  // what was not there before
	Removed int             `json:"removed,omitempty"` // older backups
	// Damaged are blobs that the registry had lost when the backup was made, and that are not in it.
	Damaged []string `json:"damaged,omitempty"`
	// Manifest is the SHA-256 of its manifest, which names every byte: keep it elsewhere, and you can tell
	// whether somebody changed the backup.
	Manifest string `json:"manifest"`
}

type copied struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (e *env) makeBackup(ctx context.Context, t *target, dir string, keep int, withBlobs, asJSON bool) (err error) {
	a, err := archive.Create(dir)
	if err != nil {
		return exitError{exitAsk, err}
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the server keeps blobs until then
	cl, err := e.connect(ctx, t)
	if err != nil {
		return err
	}
	defer cl.close() //nolint:errcheck // what was asked is answered
	b := &backupRun{client: cl, archive: a, withBlobs: withBlobs, progress: e.newProgress("copying blobs")}
	if err := b.run(ctx); err != nil {
		return askf("the backup broke off, and the ones before it are as they were; run it again to go on: %w", err)
	}
	snapshot, err := a.Snapshot(b.draft.Name)
	if err != nil {
		return exitError{exitAsk, err}
	}
	shown := madeOf(snapshot)
	shown.Copied = &b.copied
	if cl.background == nil && len(shown.Damaged) == 0 { // a server runs; files alone are not changed
		if err := cl.send(ctx, "POST", backup.FinishedPath, nil, nil); err != nil { // the backup is as good without
			fmt.Fprintf(e.stderr, "the backup is made, but the registry's metric hallmark_backup_finished_seconds does not say so: %v\n", err)
		}
	}
	if keep > 0 {
		if shown.Removed, err = a.Keep(keep); err != nil {
			return askf("the backup %s is made; removing older ones failed: %w", shown.Name, err)
		}
	}
	if err := e.showBackup(shown, asJSON); err != nil || len(shown.Damaged) == 0 {
		return err
	}
	return nof("the backup is made, without %d blobs that the registry has lost or that are damaged: push them again, and make another", len(shown.Damaged))
}

func (e *env) showBackup(m made, asJSON bool) error {
	if asJSON {
		return writeJSON(e.stdout, m)
	}
	fmt.Fprintf(e.stdout, "backup %s: %d blobs, %s in all; copied %d blobs, %s\n", m.Name, m.Blobs, units.Bytes(m.Bytes), m.Copied.Blobs, units.Bytes(m.Copied.Bytes))
	if m.Removed > 0 {
		fmt.Fprintf(e.stdout, "removed %d older ones\n", m.Removed)
	}
	fmt.Fprintf(e.stdout, "manifest sha256:%s\n", m.Manifest)
	var said backup.About
	if err := json.Unmarshal(m.About, &said); err != nil {
		return err
	}
	if !said.HasBlobs() {
		fmt.Fprintf(e.stdout, "the blobs are in %s, and not in it\n", said.Objects)
	}
	for _, d := range m.Damaged {
		fmt.Fprintf(e.stdout, "not in it: %s\n", d)
	}
	return nil
}

// backupRun is a backup under way.
type backupRun struct {
	client   *client
	archive  *archive.Archive
	draft    *archive.Draft
	progress *progress

	withBlobs bool // also those in an object store

	mu     sync.Mutex
	copied copied // guarded by mu
}

// run takes a snapshot, copies the blobs that it names, and makes it a backup.
func (b *backupRun) run(ctx context.Context) (err error) {
	if b.draft, err = b.archive.Begin(time.Now()); err != nil {
		return err
	}
	resp, err := b.client.open(ctx, "GET", fmt.Sprintf("%s?blobs=%t", backup.SnapshotPath, b.withBlobs), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if err := b.readSnapshot(resp.Body); err != nil {
		return err
	}
	kept := whileOpen(ctx, resp.Body)
	if err := b.copyBlobs(kept); err != nil {
		return err
	}
	b.progress.end()
	if err := context.Cause(kept); err != nil {
		return err
	}
	_, err = b.draft.Finish()
	return err
}

// whileOpen returns a context that ends when an answer does. The server keeps the files of blobs as long as
// the answer goes on.
func whileOpen(ctx context.Context, answer io.Reader) context.Context {
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		_, err := io.Copy(io.Discard, answer)
		end(errors.Join(errors.New("the server has ended, and blobs may have gone since"), err))
	}()
	return ctx
}

// readSnapshot reads the tar, which is whole when the store is there, its last entry.
func (b *backupRun) readSnapshot(r io.Reader) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("the server's snapshot is cut short: %w", err)
		}
		path, isFile := strings.CutPrefix(h.Name, backup.FileEntry)
		switch {
		case h.Name == backup.AboutEntry:
			b.draft.About, err = io.ReadAll(io.LimitReader(t, 1<<20))
		case h.Name == backup.ListEntry:
			err = b.draft.AddList(t)
		case isFile:
			err = b.draft.AddFile(path, t)
		}
		if err != nil || path == datadir.StoreFile {
			return err
		}
	}
}

func (b *backupRun) copyBlobs(ctx context.Context) error {
	var wanted []archive.Blob
	err := b.draft.Missing(func(blob archive.Blob) error {
		wanted = append(wanted, blob)
		b.progress.expect(blob.Size)
		return nil
	})
	if err != nil {
		return err
	}
	return backup.InParallel(ctx, backup.Copiers, wanted, func(blob archive.Blob) error {
		err := b.copyBlob(ctx, blob)
		b.mu.Lock()
		defer b.mu.Unlock()
		switch {
		case errors.Is(err, archive.ErrDamaged):
			b.draft.LeaveOut(blob)
		case err != nil:
			return err
		default:
			b.copied.Blobs++
			b.copied.Bytes += blob.Size
		}
		b.progress.done(blob.Size)
		return nil
	})
}

// copyBlob copies a blob. Error: archive.ErrDamaged, where the registry has not what the blob's digest says. One blob
// that is lost must not keep all others from being saved.
func (b *backupRun) copyBlob(ctx context.Context, blob archive.Blob) error {
	resp, err := b.client.open(ctx, "GET", backup.BlobPath+url.PathEscape(string(blob.At)), nil)
	if refused := (exitError{}); errors.As(err, &refused) && refused.code == exitNo {
		return fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return b.archive.Put(blob, resp.Body)
}

func madeOf(s *archive.Snapshot) made {
	m := made{Damaged: digestsOf(s.Damaged), Name: s.Name, Made: s.Made, About: s.About, Blobs: s.Blobs.Count, Bytes: s.Blobs.Bytes, Manifest: s.Sum()}
	for _, f := range s.Files {
		m.Bytes += f.Size
	}
	return m
}

// digestsOf turns the labels of an archive into digests.
func digestsOf(labels []string) (digests []string) {
	for _, l := range labels {
		digests = append(digests, strings.Replace(l, "-", ":", 1))
	}
	return digests
}

func (e *env) listBackups(dir string, asJSON bool) error {
	a, err := archive.Open(dir)
	if err != nil {
		return exitError{exitAsk, err}
	}
	names, err := a.Names()
	if err != nil {
		return exitError{exitAsk, err}
	}
	all := []made{}
	for _, name := range names {
		s, err := a.Snapshot(name)
		if err != nil {
			return nof("%w", err)
		}
		all = append(all, madeOf(s))
	}
	if asJSON {
		return writeJSON(e.stdout, map[string]any{"backups": all})
	}
	tab := e.table("NAME", "MADE", "RECORDS", "BLOBS", "SIZE", "REGISTRY…")
	for _, m := range all {
		var said backup.About
		if err := json.Unmarshal(m.About, &said); err != nil {
			return nof("%s: what it says of its registry is not JSON: %w", filepath.Join(dir, m.Name), err)
		}
		tab.row(m.Name, moment(m.Made), strconv.FormatUint(said.Records, 10), strconv.Itoa(m.Blobs), units.Bytes(m.Bytes), said.Registry)
	}
	return tab.flush()
}
