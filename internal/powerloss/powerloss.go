// Package powerloss shows tests what a power loss may leave of a directory.
//
// Command runs a process under strace, which records each call that changes a file or a name, or
// flushes one. Read reads the calls back. A Disk applies them one by one, and keeps apart what is flushed and what is not:
// a file's bytes, length and mode are durable once the file was flushed, and a name once the directory that holds it
// was. At any moment Build makes a directory of what a power loss may leave then:
//
//	Strict   nothing but what was flushed
//	Random   also each other part or not, at random
//	AllBut   everything but one part
//
// A rename is one part: file systems with a journal, on which it is not, would lose files all the time. If a call
// changes a file and the Disk does not know the call, that is an error. bbolt maps its file only to read it,
// so all writes are calls.
package powerloss

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inode is a file or a directory, with what is durable of it and what has happened since.
type inode struct {
	dir  bool
	mode uint32

	data  []byte            // a file's, as processes see it
	names map[string]*inode // a directory's

	flushed state
	pending []*change // since then, in order
	begun   *int      // how many of them a flush covers that has begun and not ended
}

// state is what a flush makes durable.
type state struct {
	data  []byte
	names map[string]*inode
	mode  uint32
}

// change is one part that the power may take: the closure applies it to a state. A rename between directories is
// one change that is pending in both.
type change struct {
	apply map[*inode]func(*state)
}

// Disk is a directory as processes see it, and as a power loss would leave it.
type Disk struct {
	path  string
	root  *inode
	files map[int]*openFile // by descriptor
}

type openFile struct {
	*inode
	at       int64
	atTheEnd bool // O_APPEND
}

// NewDisk returns the disk of a directory that is empty, or not there: its own name is taken as durable.
func NewDisk(path string) *Disk { return &Disk{path: path, root: newDir(), files: map[int]*openFile{}} }

func newDir() *inode {
	return &inode{dir: true, mode: 0o700, names: map[string]*inode{}, flushed: state{names: map[string]*inode{}, mode: 0o700}}
}

// Load returns the disk of a directory as it is, all of it durable.
func Load(path string) (*Disk, error) {
	d := NewDisk(path)
	return d, d.root.load(path)
}

func (i *inode) load(path string) error {
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if !e.IsDir() && !e.Type().IsRegular() {
			continue // a socket
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		child := newDir()
		if e.IsDir() {
			err = child.load(filepath.Join(path, e.Name()))
		} else {
			child = &inode{mode: uint32(info.Mode().Perm())}
			child.data, err = os.ReadFile(filepath.Join(path, e.Name()))
			child.flushed = state{data: append([]byte(nil), child.data...), mode: child.mode}
		}
		if err != nil {
			return err
		}
		i.names[e.Name()], i.flushed.names[e.Name()] = child, child
	}
	return err
}

// Clone returns a disk of its own with the same content, all of it durable. It is to be called before any event.
func (d *Disk) Clone() *Disk {
	return &Disk{path: d.path, root: d.root.clone(), files: map[int]*openFile{}}
}

func (i *inode) clone() *inode {
	c := &inode{dir: i.dir, mode: i.mode, data: append([]byte(nil), i.data...)}
	c.flushed = state{data: append([]byte(nil), i.data...), mode: i.mode}
	if i.dir {
		c.names, c.flushed.names = map[string]*inode{}, map[string]*inode{}
	}
	for name, child := range i.names {
		c.names[name] = child.clone()
		c.flushed.names[name] = c.names[name]
	}
	return c
}

// record makes a change to one inode that is not durable yet.
func (i *inode) record(apply func(*state)) {
	i.pending = append(i.pending, &change{map[*inode]func(*state){i: apply}})
}

func (i *inode) setName(name string, to *inode) {
	i.record(setName(i.names, name, to))
}

func setName(names map[string]*inode, name string, to *inode) func(*state) {
	set := func(names map[string]*inode) {
		if delete(names, name); to != nil {
			names[name] = to
		}
	}
	set(names)
	return func(s *state) { set(s.names) }
}

func rename(from *inode, name string, to *inode, newName string) {
	i := from.names[name]
	c := &change{map[*inode]func(*state){}}
	gone, come := setName(from.names, name, nil), setName(to.names, newName, i)
	if from == to {
		c.apply[to] = func(s *state) { gone(s); come(s) }
	} else {
		c.apply[from], c.apply[to] = gone, come
		to.pending = append(to.pending, c)
	}
	from.pending = append(from.pending, c)
}

func (i *inode) write(at int64, b []byte) {
	put := func(data []byte) []byte {
		if short := at + int64(len(b)) - int64(len(data)); short > 0 {
			data = append(data, make([]byte, short)...)
		}
		copy(data[at:], b)
		return data
	}
	i.data = put(i.data)
	i.record(func(s *state) { s.data = put(s.data) })
}

func (i *inode) truncate(size int64) {
	cut := func(data []byte) []byte {
		if short := size - int64(len(data)); short > 0 {
			return append(data, make([]byte, short)...)
		}
		return data[:size:size]
	}
	i.data = cut(i.data)
	i.record(func(s *state) { s.data = cut(s.data) })
}

func (i *inode) chmod(mode uint32) {
	i.mode = mode
	i.record(func(s *state) { s.mode = mode })
}

func (i *inode) beginFlush() {
	n := len(i.pending)
	i.begun = &n
}

// endFlush makes durable what there was when the flush began, and returns whether that was anything.
func (i *inode) endFlush() bool {
	n := i.begun
	if i.begun = nil; n == nil {
		return false
	}
	for _, c := range i.pending[:*n] {
		c.apply[i](&i.flushed)
	}
	i.pending = slices.Clone(i.pending[*n:])
	return *n > 0
}

// Keep says which parts that were not flushed a power loss leaves.
type Keep func(parts int) func(part int) bool

// Strict keeps none.
func Strict(int) func(int) bool { return func(int) bool { return false } }

// Random keeps each by the throw of a coin.
func Random(seed uint64) Keep {
	return func(int) func(int) bool {
		coin := rand.New(rand.NewPCG(seed, 1))
		return func(int) bool { return coin.IntN(2) == 0 }
	}
}

// AllBut keeps all but one, which a throw of dice chooses.
func AllBut(seed uint64) Keep {
	return func(parts int) func(int) bool {
		lost := 0
		if parts > 0 {
			lost = rand.New(rand.NewPCG(seed, 2)).IntN(parts)
		}
		return func(part int) bool { return part != lost }
	}
}

// All keeps all: what a killed process leaves.
func All(int) func(int) bool { return func(int) bool { return true } }

// Build makes the directory path of what a power loss leaves now.
func (d *Disk) Build(path string, keep Keep) error {
	kept, count := map[*change]bool{}, 0
	d.root.each(map[*inode]bool{}, func(c *change) {
		if _, met := kept[c]; !met {
			kept[c] = false
			count++
		}
	})
	keeps, n := keep(count), 0
	met := map[*change]bool{}
	d.root.each(map[*inode]bool{}, func(c *change) {
		if !met[c] {
			met[c], kept[c] = true, keeps(n)
			n++
		}
	})
	return d.root.build(path, kept)
}

// each calls fn for every change to what is below, in an order that is always the same.
func (i *inode) each(met map[*inode]bool, fn func(*change)) {
	if met[i] {
		return
	}
	met[i] = true
	for _, c := range i.pending {
		fn(c)
	}
	for _, names := range []map[string]*inode{i.flushed.names, i.names} {
		for _, name := range sorted(names) {
			names[name].each(met, fn)
		}
	}
}

func (i *inode) build(path string, kept map[*change]bool) error {
	s := state{append([]byte(nil), i.flushed.data...), maps.Clone(i.flushed.names), i.flushed.mode}
	for _, c := range i.pending {
		if kept[c] {
			c.apply[i](&s)
		}
	}
	if !i.dir {
		if err := os.WriteFile(path, s.data, 0o600); err != nil {
			return err
		}
		return os.Chmod(path, os.FileMode(s.mode))
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	for _, name := range sorted(s.names) {
		if err := s.names[name].build(filepath.Join(path, name), kept); err != nil {
			return err
		}
	}
	return nil
}

// NotDurable lists what a power loss would take now, for people: paths whose name, bytes or mode were not flushed.
func (d *Disk) NotDurable() (lost []string) {
	d.root.notDurable("", &lost)
	return lost
}

func (i *inode) notDurable(path string, lost *[]string) {
	if !i.dir && (string(i.data) != string(i.flushed.data) || i.mode != i.flushed.mode) {
		*lost = append(*lost, path+": its content")
	}
	for _, name := range sorted(i.names) {
		if i.flushed.names[name] != i.names[name] {
			*lost = append(*lost, path+"/"+name+": its name")
		}
		i.names[name].notDurable(path+"/"+name, lost)
	}
}

// Compare says where the directory is not what the disk thinks that processes see: then the recorder is wrong.
func (d *Disk) Compare() error {
	now, err := Load(d.path)
	if err != nil {
		return err
	}
	var differ []string
	compare("", d.root, now.root, &differ)
	if len(differ) > 0 {
		return fmt.Errorf("the recorder and the directory differ in %s", strings.Join(differ, ", "))
	}
	return nil
}

func compare(path string, a, b *inode, differ *[]string) {
	switch {
	case a == nil || b == nil || a.dir != b.dir:
		*differ = append(*differ, path)
		return
	case !a.dir && (string(a.data) != string(b.data) || a.mode != b.mode):
		*differ = append(*differ, path)
	}
	all := maps.Clone(a.names)
	if all == nil {
		return
	}
	maps.Copy(all, b.names)
	for _, name := range sorted(all) {
		compare(path+"/"+name, a.names[name], b.names[name], differ)
	}
}
