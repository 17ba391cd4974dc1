package backup

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
)

// TestSnapshotOfOneMoment changes a file of the data directory while the store is copied: a key makes it copy the store
// again, and the newest checkpoint, which changes each minute, does not. What is taken is that of before.
func TestSnapshotOfOneMoment(t *testing.T) {
	t.Parallel()
	for name, tries := range map[string]int{keyring.CheckpointFile: 1, "receipt.pem": 3} {
		d := &datadir.Dir{Path: t.TempDir()}
		path := filepath.Join(d.File(datadir.KeysDir), name)
		if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		copies := 0
		write := func() {
			t.Helper()
			if err := durable.WriteFile(path, fmt.Append(nil, copies), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write()
		snap, err := takeSnapshot(d, func() (*snapshot, error) {
			if copies++; copies < 3 {
				write()
			}
			return &snapshot{}, nil
		})
		if err != nil || copies != tries || len(snap.files) != 1 || string(snap.files[0].content) != fmt.Sprint(tries-1) {
			t.Errorf("%s: after %d copies there is %q, %v", name, copies, snap.files, err)
		}
	}
}
