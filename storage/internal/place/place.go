// Package place names what an engine of blobs makes: by the process that made it, and its number there. A name is never
// given twice, so that removing something twice can never remove somebody else's.
package place

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/storage"
)

// A Place is the process that made something, by a number that each draws at random, and the how manieth it was.
type Place struct{ Run, N uint64 }

// String is the place as it stands in names: "RUN.N".
func (p Place) String() string { return FormatRun(p.Run) + "." + FormatN(p.N) }

// FormatRun is how a process stands in names.
func FormatRun(run uint64) string { return fmt.Sprintf("%016x", run) }

// FormatN is how a number stands in names.
func FormatN(n uint64) string { return strconv.FormatUint(n, 36) }

// Parse is the reverse of String, with the separator sep.
func Parse(s, sep string) (p Place, ok bool) {
	run, n, _ := strings.Cut(s, sep)
	var err1, err2 error
	p.Run, err1 = strconv.ParseUint(run, 16, 64)
	p.N, err2 = strconv.ParseUint(n, 36, 64)
	ok = err1 == nil && err2 == nil && FormatRun(p.Run) == run && FormatN(p.N) == n
	return p, ok
}

// Locate returns the location of a place: LABEL.RUN.N.
func (p Place) Locate(label string) storage.Location {
	return storage.Location(label + "." + p.String())
}

// Cut takes a location apart: LABEL.RUN.N, or LABEL.RUN-N, as an older version made it. No process made both, so their places
// differ too.
func Cut(at storage.Location) (label string, p Place, older, ok bool) {
	label, rest, _ := strings.Cut(string(at), ".")
	if p, ok = Parse(rest, "."); !ok {
		p, older = Parse(rest, "-")
	}
	return label, p, older, (ok || older) && ValidLabel(label)
}

// OfLocation is the reverse of Locate, also of a location that an older version made.
func OfLocation(at storage.Location) (p Place, ok bool) {
	_, p, _, ok = Cut(at)
	return p, ok
}

// ValidLabel says that a label is at least 3 and at most 200 lower-case letters, digits and '-'.
func ValidLabel(label string) bool {
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

// NoUpload is the error of an id of which there is no upload.
func NoUpload(id string) error { return fmt.Errorf("upload %.100q: %w", id, storage.ErrNotFound) }

// A Set is a set of places, with a bit each: there may be millions.
type Set map[Place]uint64

// Add adds a place.
func (s Set) Add(p Place) { s[Place{p.Run, p.N / 64}] |= 1 << (p.N % 64) }

// Has says whether a place is in it.
func (s Set) Has(p Place) bool { return s[Place{p.Run, p.N / 64}]&(1<<(p.N%64)) != 0 }
