package powerloss

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func hex(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		b.WriteString(`\x`)
		b.WriteByte("0123456789abcdef"[c>>4])
		b.WriteByte("0123456789abcdef"[c&15])
	}
	b.WriteByte('"')
	return b.String()
}

// trace reads lines as strace writes them; 'text' in them stands for a string in hexadecimal.
func trace(t *testing.T, lines string) []Event {
	t.Helper()
	parts := strings.Split(lines, "'")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = hex(parts[i])
	}
	path := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(path, []byte(strings.Join(parts, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func applied(t *testing.T, lines string) *Disk {
	t.Helper()
	d := NewDisk("/data")
	events := trace(t, lines)
	for _, e := range events[:len(events)-1] { // the process goes on
		if err := d.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// left lists what a loss leaves, as "path=content", and directories as "path/".
func left(t *testing.T, d *Disk, keep Keep) (list []string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "left")
	if err := d.Build(root, keep); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root+"/")
		switch {
		case err != nil || path == root:
			return err
		case e.IsDir():
			list = append(list, name+"/")
			return nil
		}
		content, err := os.ReadFile(path)
		list = append(list, name+"="+string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const written = `7 1.0 openat(AT_FDCWD, '/data/f', O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 5
7 1.1 write(5, 'one', 3) = 3
7 1.2 pwrite64(5, 'ONE', 3, 3) = 3
7 1.3 write(5, '!', 1) = -1 ENOSPC (No space left on device)
`

const flushed = `7 2.0 fsync(5)                          = 0
7 2.1 openat(AT_FDCWD, '/data', O_RDONLY|O_CLOEXEC) = 6
7 2.2 fsync(6 <unfinished ...>
8 2.3 close(9 <unfinished ...>
7 2.4 <... fsync resumed>) = 0
`

func TestStrict(t *testing.T) {
	for _, c := range []struct {
		name, lines string
		strict, all []string
	}{
		{"nothing flushed", written, nil, []string{"f=oneONE"}},
		{"bytes and no name", written + "7 2.0 fsync(5) = 0\n", nil, []string{"f=oneONE"}},
		{"all flushed", written + flushed, []string{"f=oneONE"}, []string{"f=oneONE"}},
		{"written behind the flush", written + flushed + "7 3 ftruncate(5, 1) = 0\n7 4 pwrite64(5, 'x', 1, 2) = 1\n", []string{"f=oneONE"}, []string{"f=o\x00x"}},
		{"written beside the flush", written + strings.Replace(flushed, "7 2.0 fsync(5)                          = 0\n",
			"7 2.0 fsync(5 <unfinished ...>\n8 2.05 pwrite64(5, 'x', 1, 0) = 1\n7 2.06 <... fsync resumed>) = 0\n", 1), []string{"f=oneONE"}, []string{"f=xneONE"}},
		{"a flush that failed", written + strings.Replace(flushed, "fsync(5)                          = 0", "fsync(5) = -1 EIO (Input/output error)", 1), []string{"f="}, []string{"f=oneONE"}},
		{"renamed", written + flushed + "7 3 renameat(AT_FDCWD, '/data/f', AT_FDCWD, '/data/g') = 0\n", []string{"f=oneONE"}, []string{"g=oneONE"}},
		{"removed", written + flushed + "7 3 unlinkat(AT_FDCWD, '/data/f', 0) = 0\n", []string{"f=oneONE"}, nil},
		{"removed from within", written + flushed + "7 3 unlinkat(6, 'f', 0) = 0\n", []string{"f=oneONE"}, nil},
		{"a name in a directory without one", "7 1 mkdirat(AT_FDCWD, '/data/d', 0700) = 0\n" +
			"7 1 openat(AT_FDCWD, '/data/d/f', O_RDWR|O_CREAT, 0600) = 5\n7 1 openat(AT_FDCWD, '/data/d', O_RDONLY) = 6\n7 1 fsync(6) = 0\n", nil, []string{"d/", "d/f="}},
		{"elsewhere", "7 1 mkdirat(AT_FDCWD, '/dat', 0700) = 0\n7 1 openat(AT_FDCWD, '/etc/f', O_RDWR|O_CREAT, 0600) = 5\n7 1 write(5, 'x', 1) = 1\n", nil, nil},
	} {
		d := applied(t, c.lines)
		if got := left(t, d, Strict); !slices.Equal(got, c.strict) {
			t.Errorf("%s: a strict loss leaves %q, want %q", c.name, got, c.strict)
		}
		if got := left(t, d, All); !slices.Equal(got, c.all) {
			t.Errorf("%s: a killed process leaves %q, want %q", c.name, got, c.all)
		}
	}
}

// TestLoose throws dice often enough that each part is lost once, and kept once; a rename is one part.
func TestLoose(t *testing.T) {
	d := applied(t, written+flushed+"7 3 pwrite64(5, 'x', 1, 0) = 1\n7 3 renameat(AT_FDCWD, '/data/f', AT_FDCWD, '/data/g') = 0\n")
	for name, c := range map[string]struct {
		keep func(uint64) Keep
		want []string
	}{
		"random":      {Random, []string{"f=oneONE", "f=xneONE", "g=oneONE", "g=xneONE"}},
		"all but one": {AllBut, []string{"f=xneONE", "g=oneONE"}},
	} {
		found := map[string]bool{}
		for seed := range uint64(50) {
			found[strings.Join(left(t, d, c.keep(seed)), " ")] = true
		}
		var got []string
		for one := range found {
			got = append(got, one)
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s leaves %q, want %q", name, got, c.want)
		}
	}
}

// TestUnknown refuses calls that would change the directory past the recorder.
func TestUnknown(t *testing.T) {
	for _, line := range []string{
		"7 3 linkat(AT_FDCWD, '/data/f', AT_FDCWD, '/data/g', 0) = 0\n", "7 3 fallocate(5, 0, 0, 100) = 0\n",
		"7 3 copy_file_range(5, NULL, 8, NULL, 10, 0) = 10\n", "7 3 dup2(5, 8) = 8\n", "7 3 truncate('/data/f', 0) = 0\n",
	} {
		d := applied(t, written)
		if err := d.Apply(trace(t, line)[0]); err == nil {
			t.Errorf("it took %s", line)
		}
	}
}

// TestCut kills a process within a write, of which strace sees no end: what the directory has of it was written.
func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		line, now string
	}{
		"never resumed":   {"7 3 pwrite64(5, 'xyz', 3, 1 <unfinished ...>\n", "oxyz"},
		"no result":       {"7 3 pwrite64(5, 'xyz', 3, 1) = ?\n", "oxyz"},
		"resumed, killed": {"7 3 pwrite64(5, 'xyz', 3, 1 <unfinished ...>\n8 3 close(9) = 0\n7 4 <... pwrite64 resumed>) = ?\n", "oxyz"},
		"in part":         {"7 3 pwrite64(5, 'xyz', 3, 1) = ?\n", "oxy"},
		"in its middle":   {"7 3 pwrite64(5, 'xyz', 3, 1) = ?\n", "oxe"},
		"not at all":      {"7 3 pwrite64(5, 'xyz', 3, 1) = ?\n", "one"},
		"at the end":      {"7 3 write(5, 'xyz', 3) = ?\n", "onexyz"},
		"another process": {"7 3 pwrite64(6, 'xyz', 3, 1) = ?\n", "one"},
		"no longer named": {"7 3 unlinkat(AT_FDCWD, '%s/f', 0) = 0\n7 3 pwrite64(5, 'xyz', 3, 1) = ?\n", ""},
	} {
		dir := t.TempDir()
		if c.now != "" {
			if err := os.WriteFile(filepath.Join(dir, "f"), []byte(c.now), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		lines := "7 1 openat(AT_FDCWD, '%s/f', O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 5\n7 2 write(5, 'one', 3) = 3\n" + c.line
		d := NewDisk(dir)
		for _, e := range trace(t, strings.ReplaceAll(lines, "%s", dir)) {
			settled, err := d.Settle(e)
			if err == nil {
				err = d.Apply(settled)
			}
			if err != nil || settled.Cut {
				t.Fatalf("%s: %+v, %v", name, settled, err)
			}
		}
		if err := d.Compare(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
