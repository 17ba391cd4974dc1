package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// Leftovers implements storage.Blobs. Nothing that is named is ever taken for a leftover, also where a copy of
// the directory has lost its files' permissions.
func (d *Dir) Leftovers(ctx context.Context, rows iter.Seq2[storage.Location, error]) iter.Seq2[storage.Leftover, error] {
	return func(yield func(storage.Leftover, error) bool) {
		keep := place.Set{}
		for at, err := range rows {
			if err != nil {
				yield(storage.Leftover{}, err)
				return
			}
			if _, p, _, ok := place.Cut(at); ok {
				keep.Add(p)
			}
		}
		for _, dir := range []string{filesDir, sealedDir} {
			for f, err := range d.earlier(ctx, dir) {
				if err != nil {
					yield(storage.Leftover{}, err)
					return
				}
				left, ok := d.leftover(f, keep)
				if ok && !yield(left, nil) {
					return
				}
			}
		}
	}
}

// leftover says what a file is that nothing names. An upload is remembered for Uploads.
func (d *Dir) leftover(f found, keep place.Set) (left storage.Leftover, ok bool) {
	mode := f.info.Mode()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case keep.Has(f.Place) || d.resumed.Has(f.Place): // what was resumed may have been sealed since, and be named next
		return left, false
	case f.older || isSealed(mode):
		return storage.Leftover{At: f.at, Size: f.info.Size()}, true
	case isUnused(mode):
		return storage.Leftover{At: f.at, Unused: true}, true
	}
	if _, known := d.uploads[f.Place]; !known {
		d.uploads[f.Place] = false
	}
	return left, false
}

// found is a file that an earlier process made.
type found struct {
	place.Place
	at    storage.Location // begins with "unknown" where its name does not have the label
	older bool             // sealed by an older version
	info  fs.FileInfo
}

// earlier yields the files that earlier processes made, and passes over what no version of this program makes.
func (d *Dir) earlier(ctx context.Context, dir string) iter.Seq2[found, error] {
	return func(yield func(found, error) bool) {
		for shelf, err := range entries(ctx, filepath.Join(d.path, dir)) {
			if err != nil {
				yield(found{}, err)
				return
			}
			run, _, _ := strings.Cut(shelf.Name(), "-")
			if !shelf.IsDir() || run == place.FormatRun(d.run) {
				continue
			}
			for info, err := range entries(ctx, filepath.Join(d.path, dir, shelf.Name())) {
				if err != nil {
					yield(found{}, err)
					return
				}
				at := storage.Location(info.Name())
				if dir == filesDir {
					at = storage.Location("unknown." + run + "." + info.Name())
				}
				_, p, older, ok := place.Cut(at)
				if path, _ := d.sealedPath(at); !ok || path != filepath.Join(d.path, dir, shelf.Name(), info.Name()) {
					continue
				}
				if !yield(found{Place: p, at: at, older: older, info: info}, nil) {
					return
				}
			}
		}
	}
}

// entries yields what is in a directory, a part at a time, so that memory does not follow its length.
// What goes away meanwhile is passed over.
func entries(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		f, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close() //nolint:errcheck // it was only read
		for {
			infos, err := f.Readdir(512)
			for _, info := range infos {
				if !yield(info, ctx.Err()) {
					return
				}
			}
			if len(infos) == 0 {
				if !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) { // the directory itself may go away
					yield(nil, err)
				}
				return
			}
		}
	}
}
