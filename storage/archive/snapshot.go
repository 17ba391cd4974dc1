package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
)

// A Manifest says what a snapshot is and holds.
type Manifest struct {
	Version int             `json:"version"` // 1
	Name    string          `json:"name"`
	Made    time.Time       `json:"made"`
	About   json.RawMessage `json:"about"` // what the registry said of itself
	Files   []File          `json:"files"`
	Blobs   struct {
		Count int   `json:"count"`
		Bytes int64 `json:"bytes"`
	} `json:"blobs"`
	// Damaged are the labels of blobs that the list names and the snapshot lacks: the registry itself had lost them.
	Damaged []string `json:"damaged,omitempty"`
}

// A File is a file of a snapshot.
type File struct {
	Path   string `json:"path"` // from the snapshot's directory, with slashes
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// A Draft is a snapshot that is being made. Finish ends it; if we stop before, or inside, there is none.
type Draft struct {
	a *Archive
	Manifest
}

// nameLayout is how a snapshot is named after its time, so that names sort by it.
const nameLayout = "20060102T150405.000Z"

// Begin begins a snapshot, and removes those that were broken off.
func (a *Archive) Begin(made time.Time) (*Draft, error) {
	made = made.UTC().Truncate(time.Millisecond)
	d := &Draft{a, Manifest{Version: 1, Name: made.Format(nameLayout), Made: made}}
	names, err := a.Names()
	if n := len(names); n > 0 && names[n-1] >= d.Name { // the clock went back; the order stays
		last, _ := time.Parse(nameLayout, names[n-1]) // a name of others' making sorts as it may
		d.Name = last.Add(time.Millisecond).Format(nameLayout)
	}
	broken, globErr := filepath.Glob(a.snapshotPath("*" + partSuffix))
	err = errors.Join(err, globErr)
	for _, path := range broken {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return nil, err
	}
	return d, durable.MkdirAll(filepath.Join(d.path(), filesDir), 0o700)
}

// path is where the snapshot is while it is made.
func (d *Draft) path() string { return d.a.snapshotPath(d.Name) + partSuffix }

// AddFile copies a file of the data directory, whose path there has slashes.
func (d *Draft) AddFile(path string, content io.Reader) error {
	if !filepath.IsLocal(path) {
		return fmt.Errorf("%q is not a path within a data directory", path)
	}
	return d.add(filesDir+"/"+path, content)
}

// AddList copies the list of the blobs that the store names.
func (d *Draft) AddList(content io.Reader) error { return d.add(listFile, content) }

func (d *Draft) add(path string, content io.Reader) error {
	full := filepath.Join(d.path(), filepath.FromSlash(path))
	if err := durable.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		return err
	}
	h := sha256.New()
	f := File{Path: path}
	err := durable.Write(full, 0o600, func(w io.Writer) (err error) {
		f.Size, err = io.Copy(io.MultiWriter(w, h), content)
		return err
	})
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	d.Files = append(d.Files, f)
	return err
}

// Missing calls fn for each blob that the snapshot needs and the archive lacks.
func (d *Draft) Missing(fn func(Blob) error) error {
	d.Blobs.Count, d.Blobs.Bytes = 0, 0
	return eachBlob(filepath.Join(d.path(), listFile), func(b Blob) error {
		d.Blobs.Count++
		d.Blobs.Bytes += b.Size
		if has, err := d.a.Has(b); err != nil || has {
			return err
		}
		return fn(b)
	})
}

// LeaveOut notes that a blob which Missing named cannot be had any more: the snapshot is made without it.
func (d *Draft) LeaveOut(b Blob) {
	if !slices.Contains(d.Damaged, b.Label()) {
		d.Damaged = append(d.Damaged, b.Label())
		d.Blobs.Count--
		d.Blobs.Bytes -= b.Size
	}
}

// Finish makes the snapshot one: the manifest is written, every name is on the disk, and then the directory
// gets its own. It returns the SHA-256 of the manifest, which names everything.
func (d *Draft) Finish() (sum string, err error) {
	slices.Sort(d.Damaged)
	slices.SortFunc(d.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	text, err := json.MarshalIndent(d.Manifest, "", "  ")
	if err != nil {
		return "", err
	}
	text = append(text, '\n')
	if err := durable.WriteFile(filepath.Join(d.path(), manifestFile), text, 0o600); err != nil {
		return "", err
	}
	if err := d.syncNames(); err != nil {
		return "", err
	}
	return sumOf(text), durable.Rename(d.path(), d.a.snapshotPath(d.Name))
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// syncNames makes every name durable, also those of blobs that an earlier backup copied and that was killed
// before it flushed them.
func (d *Draft) syncNames() error {
	return errors.Join(durable.SyncTree(filepath.Join(d.a.path, blobsDir)), durable.SyncTree(d.path()))
}

// A Snapshot is a finished one.
type Snapshot struct {
	a   *Archive
	sum string
	Manifest
}

// Snapshot opens a snapshot, or the newest where name is empty. Errors: ErrNone, ErrDamaged.
func (a *Archive) Snapshot(name string) (*Snapshot, error) {
	names, err := a.Names()
	if err != nil {
		return nil, err
	}
	if name == "" && len(names) > 0 {
		name = names[len(names)-1]
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%s: %w %s; there are %q", a.path, ErrNone, name, names)
	}
	text, err := os.ReadFile(filepath.Join(a.snapshotPath(name), manifestFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	s := &Snapshot{a: a, sum: sumOf(text)}
	if err := json.Unmarshal(text, &s.Manifest); err != nil {
		return nil, fmt.Errorf("%w: the manifest of %s: %w", ErrDamaged, name, err)
	}
	if s.Version != 1 || s.Name != name {
		return nil, fmt.Errorf("%w: the manifest of %s is of version %d, and named %q", ErrDamaged, name, s.Version, s.Name)
	}
	return s, nil
}

// Sum is the SHA-256 of the manifest, as Finish returned it.
func (s *Snapshot) Sum() string { return s.sum }

// CopyFiles calls to for each file of the data directory with its path there and its content, which is
// compared with the manifest while it is read: an error at its end says that it must not be used.
func (s *Snapshot) CopyFiles(to func(path string, content io.Reader) error) error {
	for _, f := range s.Files {
		path, isFile := strings.CutPrefix(f.Path, filesDir+"/")
		if !isFile {
			continue
		}
		if !filepath.IsLocal(path) {
			return fmt.Errorf("%w: it names a file %q", ErrDamaged, f.Path)
		}
		if err := s.withFile(f, func(r io.Reader) error { return to(path, r) }); err != nil {
			return err
		}
	}
	return nil
}

// EachBlob calls fn for each blob that the snapshot needs and has.
func (s *Snapshot) EachBlob(fn func(Blob) error) error {
	i := slices.IndexFunc(s.Files, func(f File) bool { return f.Path == listFile })
	if i < 0 {
		return fmt.Errorf("%w: it has no list of blobs", ErrDamaged)
	}
	err := s.withFile(s.Files[i], func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		return err
	}
	return eachBlob(filepath.Join(s.a.snapshotPath(s.Name), listFile), func(b Blob) error {
		if slices.Contains(s.Damaged, b.Label()) {
			return nil
		}
		return fn(b)
	})
}

// CopyBlob writes the content of a blob, and compares it with its digest. Error: ErrDamaged.
func (s *Snapshot) CopyBlob(w io.Writer, b Blob) error {
	f, err := s.a.Open(b)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return b.Copy(w, f)
}

// withFile calls fn with the content of a file, whose last read fails where it is not what was written.
func (s *Snapshot) withFile(f File, fn func(io.Reader) error) error {
	r, err := os.Open(filepath.Join(s.a.snapshotPath(s.Name), filepath.FromSlash(f.Path)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	return fn(&compared{r: r, want: f, hash: sha256.New()})
}
