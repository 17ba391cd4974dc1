// Package backup copies a registry as it is at one moment, with or without a running server, and makes a data directory from such
// a copy.
//
// A [Source] is the server's side: a snapshot of everything except the bytes of blobs, which are sent one by one. A backup
// holds private keys, so only the operator gets it: these routes are on the socket in the data directory, and on no
// other listener.
package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/archive"
)

// The routes.
const (
	SnapshotPath = "/operator/snapshot" // ?blobs=true has blobs that are in an object store listed, too
	BlobPath     = "/operator/blobs/"   // and the blob's location
	// FinishedPath is told when a copy is whole, and on its disk.
	FinishedPath = "/operator/backup/finished"
)

// The names in the tar that a snapshot is sent as. The store comes last.
const (
	AboutEntry = "about.json" // what the registry says of itself
	ListEntry  = "blobs"      // archive.Blob lines
	FileEntry  = "files/"     // files of the data directory
)

// About is what a registry says of itself in a backup.
type About struct {
	Registry string `json:"registry"` // its URL
	Program  string `json:"program"`  // the version that made the backup
	Records  uint64 `json:"records"`
	// Objects is where the registry keeps its blobs, where that is an object store.
	Objects string `json:"objects,omitempty"`
	// WithBlobs says that they are in the backup all the same.
	WithBlobs bool `json:"withBlobs,omitempty"`
}

// HasBlobs says whether the blobs are in the backup.
func (a About) HasBlobs() bool { return a.Objects == "" || a.WithBlobs }

// Source is the registry that is copied.
type Source struct {
	Dir      *datadir.Dir
	Registry *registry.Registry
	URL      string // the registry's public name
}

// Routes adds what a copy asks for to a mux.
func (s *Source) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+SnapshotPath, s.serveSnapshot)
	mux.HandleFunc("GET "+BlobPath+"{at}", s.serveSealed)
	mux.HandleFunc("POST "+FinishedPath, s.noteFinished)
}

// noteFinished keeps when the last backup was made, for the metrics. If we stop before, the backup is whole all the same,
// and only seems to be older.
func (s *Source) noteFinished(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "backup")
	if err := s.Dir.Set(r.Context(), datadir.SettingBackup, time.Now().UTC().Format(time.RFC3339)); err != nil {
		api.WriteProblem(w, access.TroubleOf(err, "").Status, "when this backup was made could not be kept: "+err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// serveSnapshot sends a snapshot, and keeps the files of the blobs that it names until the client leaves.
func (s *Source) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "backup")
	release := s.Registry.KeepFiles()
	defer release()
	said := About{Registry: s.URL, Program: version.String(), Objects: s.Dir.Objects(), WithBlobs: r.URL.Query().Get("blobs") == "true"}
	snap, err := takeSnapshot(s.Dir, func() (*snapshot, error) { return s.copyStore(r.Context(), said) })
	if err != nil {
		// The operator alone asks this, so the error itself is told.
		api.WriteProblem(w, access.TroubleOf(err, "").Status, "the snapshot could not be taken: "+err.Error())
		return
	}
	defer snap.close()
	w.Header().Set("Content-Type", "application/x-tar")
	if err := snap.write(w); err != nil {
		return // the client sees that the end is missing
	}
	flush := http.NewResponseController(w)
	for beat := time.NewTicker(5 * time.Second); ; {
		_ = flush.Flush() // in a pipe there is nothing to flush
		select {
		case <-r.Context().Done():
			beat.Stop()
			return
		case <-beat.C: // zeros behind a tar mean nothing, and show whether anybody is there
			if _, err := w.Write(make([]byte, 512)); err != nil {
				return
			}
		}
	}
}

// serveSealed sends the bytes of a blob.
func (s *Source) serveSealed(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "backup")
	f, err := s.Dir.Blobs.Open(r.Context(), storage.Location(r.PathValue("at")))
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
		api.WriteProblem(w, http.StatusNotFound, "the file "+r.PathValue("at")+" is lost or damaged; `hallmark fsck` says more")
		return
	}
	if err != nil {
		api.WriteProblem(w, access.TroubleOf(err, "").Status, err.Error())
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.Copy(w, f) // a client that gets too little sees it by the digest
}

// snapshot is everything of one moment but the bytes of blobs, in files without a name: the store's
// transaction must not last as long as the client takes, and if we stop, nothing is left.
type snapshot struct {
	about       []byte // JSON
	files       []keptFile
	list, store *os.File
}

// keptFile is a small file of the data directory.
type keptFile struct {
	path    string // with slashes
	content []byte
}

// takeSnapshot prepares a snapshot. Keys and certificates that are changed at that moment may fit the store
// before or after it, so it is taken again until they are the same on both sides. The newest checkpoint is that of
// before: the log continues it, and it changes each minute, which a large store takes longer to copy than.
func takeSnapshot(d *datadir.Dir, copyStore func() (*snapshot, error)) (*snapshot, error) {
	for {
		before, err := readKept(d)
		if err != nil {
			return nil, err
		}
		snap, err := copyStore()
		if err != nil {
			return nil, err
		}
		after, err := readKept(d)
		if err == nil && reflect.DeepEqual(withoutCheckpoint(before), withoutCheckpoint(after)) {
			snap.files = before
			return snap, nil
		}
		snap.close()
		if err != nil {
			return nil, err
		}
	}
}

func (s *Source) copyStore(ctx context.Context, said About) (*snapshot, error) {
	snap := &snapshot{}
	if err := s.fill(ctx, snap, said); err != nil {
		snap.close()
		return nil, err
	}
	return snap, nil
}

func (s *Source) fill(ctx context.Context, snap *snapshot, said About) (err error) {
	if snap.list, err = nameless(s.Dir.Path); err != nil {
		return err
	}
	if snap.store, err = nameless(s.Dir.Path); err != nil {
		return err
	}
	list := bufio.NewWriter(snap.list)
	err = s.Dir.Snapshot(ctx, snap.store, func(tx storage.Reader) (err error) {
		if said.Records, err = provenance.Count(tx); err != nil {
			return err
		}
		if !said.HasBlobs() {
			return nil
		}
		return registry.EachBlob(tx, func(size int64, at storage.Location) error {
			_, err := list.WriteString(archive.Blob{Size: size, At: at}.Line())
			return err
		})
	})
	if err = errors.Join(err, list.Flush()); err != nil {
		return err
	}
	snap.about, err = json.Marshal(said)
	return err
}

// nameless makes a file in a directory that is gone when it is closed, or when we stop.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".snapshot-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

func (s *snapshot) close() {
	for _, f := range []*os.File{s.list, s.store} {
		if f != nil {
			_ = f.Close() // it has no name and was read
		}
	}
}

// write writes the snapshot as a tar, whose last entry is the store.
func (s *snapshot) write(w io.Writer) error {
	t := tar.NewWriter(w)
	if err := addEntry(t, AboutEntry, int64(len(s.about)), bytes.NewReader(s.about)); err != nil {
		return err
	}
	if err := addFile(t, ListEntry, s.list); err != nil {
		return err
	}
	for _, f := range s.files {
		if err := addEntry(t, FileEntry+f.path, int64(len(f.content)), bytes.NewReader(f.content)); err != nil {
			return err
		}
	}
	if err := addFile(t, FileEntry+datadir.StoreFile, s.store); err != nil {
		return err
	}
	return t.Close()
}

// kept are the directories and files that a backup copies beside the store. Blobs are copied one by one.
var kept = []string{datadir.CertsDir, datadir.KeysDir}

func readKept(d *datadir.Dir) (files []keptFile, err error) {
	for _, name := range kept {
		err := filepath.WalkDir(d.File(name), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && !e.Type().IsRegular() {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(d.Path, path)
			if err != nil || datadir.IsMACKey(filepath.ToSlash(rel)) {
				return err // a restore draws others
			}
			content, err := os.ReadFile(path)
			files = append(files, keptFile{filepath.ToSlash(rel), content})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func withoutCheckpoint(files []keptFile) []keptFile {
	return slices.DeleteFunc(slices.Clone(files), func(f keptFile) bool { return f.path == datadir.KeysDir+"/"+keyring.CheckpointFile })
}

func addFile(t *tar.Writer, name string, f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return addEntry(t, name, size, io.NewSectionReader(f, 0, size))
}

func addEntry(t *tar.Writer, name string, size int64, content io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(t, content)
	return err
}
