package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/internal/durable"
)

// Keep removes all snapshots but the newest n, and then the blobs that none of those left needs. It returns
// how many snapshots went.
//
// A snapshot that goes loses its name first, for good, before a blob goes. If we stop at any moment, what is left of it is removed by the
// next Begin, and blobs that nothing needs by the next Keep.
func (a *Archive) Keep(n int) (removed int, err error) {
	names, err := a.Names()
	if err != nil || len(names) <= n {
		return 0, err
	}
	for _, name := range names[:len(names)-n] {
		if err := durable.Rename(a.snapshotPath(name), a.snapshotPath(name)+partSuffix); err != nil {
			return removed, err
		}
		removed++
	}
	for _, name := range names[:len(names)-n] {
		if err := os.RemoveAll(a.snapshotPath(name) + partSuffix); err != nil {
			return removed, err
		}
	}
	return removed, a.prune()
}

// prune removes the blobs that no snapshot needs.
func (a *Archive) prune() error {
	needed := map[string]bool{}
	names, err := a.Names()
	for _, name := range names {
		s, err := a.Snapshot(name)
		if err != nil {
			return err // what a damaged snapshot needs cannot be told, so nothing goes
		}
		err = s.EachBlob(func(b Blob) error { needed[b.Label()] = true; return nil })
		if err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(filepath.Join(a.path, blobsDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || needed[e.Name()] {
			return err
		}
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
