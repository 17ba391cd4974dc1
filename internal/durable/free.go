package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Free returns how many bytes can still be written to the disk of a directory, and the size of the disk.
func Free(dir string) (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
