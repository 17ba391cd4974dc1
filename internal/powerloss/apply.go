package powerloss

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Apply takes the next event. An error says that the recorder does not know what it does.
func (d *Disk) Apply(e Event) error {
	if e.Ret < 0 {
		if (e.Call == "fsync" || e.Call == "fdatasync") && !e.Begin {
			if f, err := d.file(e); err == nil && f != nil {
				f.begun = nil // nothing is durable by it
			}
		}
		return nil
	}
	if err := d.apply(e); err != nil {
		return fmt.Errorf("%s(%.200s) = %d: %w", e.Call, strings.Join(e.Args, ", "), e.Ret, err)
	}
	return nil
}

func (d *Disk) apply(e Event) error {
	switch e.Call {
	case exited:
		clear(d.files)
		return nil
	case "openat":
		return d.open(e)
	case "mkdir", "mkdirat":
		return d.mkdir(e)
	case "unlink", "unlinkat", "rmdir":
		return d.unlink(e)
	case "rename", "renameat", "renameat2":
		return d.rename(e)
	case "chmod", "fchmodat":
		return d.chmod(e)
	case "sync", "open", "creat", "truncate", "link", "linkat", "symlink", "symlinkat", "dup", "dup2", "dup3":
		return d.unknown(e)
	}
	f, err := d.file(e)
	if err != nil || f == nil {
		return err
	}
	return d.onFile(f, e)
}

// onFile applies a call on an open file of the directory.
func (d *Disk) onFile(f *openFile, e Event) error {
	switch e.Call {
	case "close":
		delete(d.files, number(e.Args[0]))
	case "read":
		f.at += e.Ret
	case "lseek":
		f.at = e.Ret
	case "pread64": // changes nothing
	case "write", "pwrite64":
		return f.put(e)
	case "ftruncate":
		f.truncate(int64(number(e.Args[1])))
	case "fchmod":
		f.chmod(octal(e.Args[1]))
	case "fsync", "fdatasync":
		if e.Begin {
			f.beginFlush()
		} else {
			f.endFlush()
		}
	default:
		return fmt.Errorf("the recorder does not know this call")
	}
	return nil
}

func (f *openFile) put(e Event) error {
	b, err := unquote(e.Args[1])
	if err != nil {
		return err
	}
	b, at := b[:e.Ret], f.place(e)
	f.write(at, b)
	if e.Call == "write" {
		f.at = at + int64(len(b))
	}
	return nil
}

// place is where a write puts its bytes.
func (f *openFile) place(e Event) int64 {
	switch {
	case e.Call == "pwrite64":
		return int64(number(e.Args[3]))
	case f.atTheEnd:
		return int64(len(f.data))
	}
	return f.at
}

// Settle says of a write within which the process was killed how much of it came to be: as much as the directory has, which
// no other process has changed since. Other events stay as they are.
func (d *Disk) Settle(e Event) (Event, error) {
	if !e.Cut {
		return e, nil
	}
	e.Cut, e.Ret = false, -1
	f, err := d.file(e)
	if err != nil || f == nil {
		return e, err
	}
	path, named := d.root.pathOf(f.inode)
	if !named {
		return e, nil
	}
	b, err := unquote(e.Args[1])
	if err != nil {
		return e, err
	}
	now, err := os.ReadFile(d.path + path)
	if err != nil {
		return e, err
	}
	now = now[min(f.place(e), int64(len(now))):]
	n := 0
	for n < min(len(b), len(now)) && b[n] == now[n] {
		n++
	}
	if n > 0 {
		e.Ret = int64(n)
	}
	return e, nil
}

// pathOf returns the name of a file below a directory, and whether it has one.
func (i *inode) pathOf(file *inode) (path string, named bool) {
	for _, name := range sorted(i.names) {
		is := i.names[name]
		if is == file {
			return "/" + name, true
		}
		if below, ok := is.pathOf(file); ok {
			return "/" + name + below, true
		}
	}
	return "", false
}

// file returns the open file that the first argument means, or nil for one elsewhere.
func (d *Disk) file(e Event) (*openFile, error) {
	if len(e.Args) == 0 {
		return nil, fmt.Errorf("it has no arguments")
	}
	return d.files[number(e.Args[0])], nil
}

// unknown refuses a call that names something in the directory.
func (d *Disk) unknown(e Event) error {
	for _, arg := range e.Args {
		if path, err := unquote(arg); err == nil && d.holds(string(path)) {
			return fmt.Errorf("the recorder does not know this call")
		}
	}
	if n := len(e.Args); n > 0 && d.files[number(e.Args[0])] != nil && !strings.HasPrefix(e.Args[0], `"`) {
		return fmt.Errorf("the recorder does not know this call")
	}
	return nil
}

func (d *Disk) holds(path string) bool { return path == d.path || strings.HasPrefix(path, d.path+"/") }

// spot is a name in a directory: parent is nil outside, and for the directory itself.
type spot struct {
	parent *inode
	name   string
	inode  *inode // nil where there is nothing
	inside bool
}

// find finds the path that stands at args[i], from the directory at args[i-1] where the call has one.
func (d *Disk) find(args []string, i int) (spot, error) {
	raw, err := unquote(args[i])
	if err != nil {
		return spot{}, err
	}
	path, from := string(raw), d.root
	switch {
	case filepath.IsAbs(path) && !d.holds(filepath.Clean(path)):
		return spot{}, nil
	case filepath.IsAbs(path):
		path = strings.TrimPrefix(filepath.Clean(path), d.path)
	case i > 0 && d.files[number(args[i-1])] != nil && args[i-1] != "AT_FDCWD":
		from = d.files[number(args[i-1])].inode
	default:
		return spot{}, nil // relative to elsewhere
	}
	s := spot{inode: from, inside: true}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if s.inode == nil {
			return spot{}, nil // a directory above is not there
		}
		s = spot{s.inode, name, s.inode.names[name], true}
	}
	return s, nil
}

func (d *Disk) open(e Event) error {
	delete(d.files, int(e.Ret))
	s, err := d.find(e.Args, 1)
	if err != nil || !s.inside {
		return err
	}
	flags := e.Args[2]
	if strings.Contains(flags, "O_TMPFILE") {
		d.files[int(e.Ret)] = &openFile{inode: &inode{}} // without a name it cannot be left
		return nil
	}
	if s.inode == nil {
		if !strings.Contains(flags, "O_CREAT") {
			return nil // a socket
		}
		mode := octal(e.Args[3])
		s.inode = &inode{mode: mode, flushed: state{mode: mode}}
		s.parent.setName(s.name, s.inode)
	}
	if strings.Contains(flags, "O_TRUNC") {
		s.inode.truncate(0)
	}
	d.files[int(e.Ret)] = &openFile{inode: s.inode, atTheEnd: strings.Contains(flags, "O_APPEND")}
	return nil
}

// at is where a call of the *at family has its path: the older ones have it first.
func at(e Event) int {
	if strings.HasPrefix(e.Args[0], `"`) {
		return 0
	}
	return 1
}

func (d *Disk) mkdir(e Event) error {
	s, err := d.find(e.Args, at(e))
	if err == nil && s.parent != nil {
		s.parent.setName(s.name, newDir())
	}
	return err
}

func (d *Disk) unlink(e Event) error {
	s, err := d.find(e.Args, at(e))
	if err == nil && s.parent != nil && s.inode != nil {
		s.parent.setName(s.name, nil)
	}
	return err
}

func (d *Disk) rename(e Event) error {
	from, err := d.find(e.Args, at(e))
	if err != nil {
		return err
	}
	to, err := d.find(e.Args, 2*at(e)+1)
	switch {
	case err != nil || !from.inside && !to.inside:
		return err
	case from.inode == nil || to.parent == nil:
		return fmt.Errorf("the recorder does not know renames into or out of the directory")
	}
	rename(from.parent, from.name, to.parent, to.name)
	return nil
}

func (d *Disk) chmod(e Event) error {
	s, err := d.find(e.Args, at(e))
	if err == nil && s.inode != nil {
		s.inode.chmod(octal(e.Args[at(e)+1]))
	}
	return err
}

// number reads a descriptor or an offset; -1 is what is none.
func number(s string) int {
	s, _, _ = strings.Cut(s, ")")
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		return -1
	}
	return int(n)
}

func octal(s string) uint32 {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0"), 8, 32)
	if err != nil {
		return 0o600
	}
	return uint32(n)
}

func sorted(names map[string]*inode) []string { return slices.Sorted(maps.Keys(names)) }
