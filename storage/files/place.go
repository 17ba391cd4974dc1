package files

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/storage"
)

// A place is a file's name: the run that made it, and its number in that run. It is never given twice.
type place struct{ run, n uint64 }

// perShelf is how many files a shelf has. It is made with all their names, and never gets another one.
const perShelf = 64

// String is the place as it stands in names: "RUN.N".
func (p place) String() string { return formatRun(p.run) + "." + strconv.FormatUint(p.n, 36) }

func formatRun(run uint64) string { return fmt.Sprintf("%016x", run) }

// parsePlace is the reverse of String, with the separator sep.
func parsePlace(s, sep string) (p place, ok bool) {
	run, n, _ := strings.Cut(s, sep)
	var err1, err2 error
	p.run, err1 = strconv.ParseUint(run, 16, 64)
	p.n, err2 = strconv.ParseUint(n, 36, 64)
	ok = err1 == nil && err2 == nil && formatRun(p.run) == run && strconv.FormatUint(p.n, 36) == n
	return p, ok
}

// shelf is the directory of a place.
func (d *Dir) shelf(p place) string {
	return filepath.Join(d.path, filesDir, formatRun(p.run)+"-"+strconv.FormatUint(p.n/perShelf, 36))
}

func (d *Dir) file(p place) string {
	return filepath.Join(d.shelf(p), strconv.FormatUint(p.n, 36))
}

// cutLocation takes a location apart: LABEL.RUN.N, or LABEL.RUN-N, as an older version made it.
func cutLocation(at storage.Location) (label string, p place, older, ok bool) {
	label, rest, _ := strings.Cut(string(at), ".")
	if p, ok = parsePlace(rest, "."); !ok {
		p, older = parsePlace(rest, "-")
	}
	return label, p, older, (ok || older) && validLabel(label)
}

// sealedPath returns the file of a location. Error: storage.ErrNotFound.
func (d *Dir) sealedPath(at storage.Location) (string, error) {
	label, p, older, ok := cutLocation(at)
	switch {
	case !ok:
		return "", fmt.Errorf("location %q: %w", at, storage.ErrNotFound)
	case older:
		return filepath.Join(d.path, sealedDir, label[len(label)-2:], string(at)), nil
	}
	return d.file(p), nil
}

// validLabel says that a label is at least 3 and at most 200 lower-case letters, digits and '-'.
func validLabel(label string) bool {
	if len(label) < 3 || len(label) > 200 {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
