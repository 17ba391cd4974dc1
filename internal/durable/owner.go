package durable

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// giveAway gives what root has just made to the owner of the directory that it is in. A verb that root runs on the data of
// a server with a user of its own would else leave files there that the server cannot read, or replace. Others than root
// own what they make.
func giveAway(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(f.Name()), &dir); err != nil {
		return &os.PathError{Op: "stat", Path: filepath.Dir(f.Name()), Err: err}
	}
	if dir.Uid == 0 {
		return nil
	}
	return f.Chown(int(dir.Uid), int(dir.Gid))
}

// giveAwayDir is giveAway for a directory.
func giveAwayDir(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(giveAway(d), d.Close())
}
