package retention

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Facts are what a repository holds, as far as rules and plans need it. Tags and manifests name each other by their place in these
// lists.
type Facts struct {
	Repository string
	Tags       []Tag
	Manifests  []Manifest
	Blobs      []digest.Digest // that manifests refer to
}

// A Tag is what a tag means.
type Tag struct {
	Name      string
	Manifest  int       // what it means
	Record    uint64    // the record that set it
	Immutable string    // a sentence about the rule that keeps it as it is, or ""
	Pulled    time.Time // the last pull by this tag; zero where none is known
}

// A Manifest is one that is in the repository.
type Manifest struct {
	Digest  digest.Digest
	Record  uint64    // the record that put it there
	Held    string    // until when, or ""
	Pulled  time.Time // the last pull by digest; zero where none is known
	Meant   *uint64   // the last record after which no tag meant it any more, where that matters
	Subject int       // what it refers to, or -1 where it has no subject, or one that is not here
	Lists   []int     // manifests that it lists
	Blobs   []int32   // in Facts.Blobs
}

// A Moment is when rules are asked.
type Moment struct {
	Now time.Time
	// Since returns the index of the first record that is not older than a duration. It goes by the running maximum of the
	// records' times, so a clock that was set back makes nothing older.
	Since func(ago time.Duration) uint64
}
