package files

import (
	"fmt"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// perShelf is how many files a shelf has. It is made with all their names, and never gets another one.
const perShelf = 64

// shelf is the directory of a place.
func (d *Dir) shelf(p place.Place) string {
	return filepath.Join(d.path, filesDir, place.FormatRun(p.Run)+"-"+place.FormatN(p.N/perShelf))
}

func (d *Dir) file(p place.Place) string {
	return filepath.Join(d.shelf(p), place.FormatN(p.N))
}

// sealedPath returns the file of a location. Error: storage.ErrNotFound.
func (d *Dir) sealedPath(at storage.Location) (string, error) {
	label, p, older, ok := place.Cut(at)
	switch {
	case !ok:
		return "", fmt.Errorf("location %q: %w", at, storage.ErrNotFound)
	case older:
		return filepath.Join(d.path, sealedDir, label[len(label)-2:], string(at)), nil
	}
	return d.file(p), nil
}
