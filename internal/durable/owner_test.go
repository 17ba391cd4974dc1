package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"golang.org/x/sys/unix"
)

// TestOpenGivesAway wants what root has just made to belong to the owner of its directory, and nothing else to: such a link
// would else make any file theirs.
func TestOpenGivesAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	const other = 65534
	dir, theirs := t.TempDir(), filepath.Join(t.TempDir(), "root's")
	err := errors.Join(os.Chown(dir, other, other), os.WriteFile(theirs, nil, 0o600), os.Symlink(theirs, filepath.Join(dir, "link")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new", "link"} {
		f, err := durable.OpenFile(filepath.Join(dir, name), 0o600)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]uint32{filepath.Join(dir, "new"): other, theirs: 0} {
		var is unix.Stat_t
		if err := unix.Stat(path, &is); err != nil || is.Uid != want {
			t.Errorf("%s belongs to %d, want %d: %v", path, is.Uid, want, err)
		}
	}
}
