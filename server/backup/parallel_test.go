package backup_test

import (
	"errors"
	"testing"

	"github.com/seed-260924e6/hallmark/server/backup"
)

// TestInParallelStops wants none to begin behind an error.
func TestInParallelStops(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for range 1000 {
		n := 0 // one worker alone counts
		err := backup.InParallel(t.Context(), 1, make([]int, 100), func(int) error { n++; return failed })
		if n != 1 || !errors.Is(err, failed) {
			t.Fatalf("%d began, the first of which failed: %v", n, err)
		}
	}
}
