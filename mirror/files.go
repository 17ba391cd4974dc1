package mirror

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// files are what a source reads from a disk, by paths with slashes. Error: fs.ErrNotExist.
type files interface {
	open(name string) (io.ReadCloser, int64, error)
	Close() error
}

// readFile reads a small file.
func readFile(in files, name string, most int64) ([]byte, error) {
	f, size, err := in.open(name)
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, errors.Join(errTooLarge(path.Base(name), most), f.Close())
	}
	return readBounded(f, path.Base(name), most)
}

// directory is files under a directory. Links that lead out of it are not followed.
type directory struct{ *os.Root }

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path.Base(name))
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// in is the files under a directory of d.
func (d directory) in(dir string) files { return below{d, dir} }

// below is files under a directory of another files. Closing it closes nothing.
type below struct {
	files
	dir string
}

func (b below) open(name string) (io.ReadCloser, int64, error) {
	return b.files.open(path.Join(b.dir, name))
}
func (below) Close() error { return nil }

// maxMembers bounds the files of an archive: where each begins is kept in memory.
const maxMembers = 1 << 20

// archive is the files of a tar file, which are read where they lie.
type archive struct {
	file    *os.File
	members map[string]member
}

type member struct{ at, size int64 }

// openArchive reads where the files of a tar file begin. Error: ErrSource.
func openArchive(file *os.File) (*archive, error) {
	a := &archive{file: file, members: map[string]member{}}
	begin := make([]byte, 6)
	if n, _ := file.ReadAt(begin, 0); n < len(begin) {
		return nil, fmt.Errorf("%w: the file is empty", ErrSource)
	}
	if packed := packedAs(begin); packed != "" {
		return nil, fmt.Errorf("%w: the archive is packed with %s; unpack it first, as with `%s -dk FILE`", ErrSource, packed, packed)
	}
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it is no whole tar file: %w", ErrSource, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		at, err := file.Seek(0, io.SeekCurrent) // the reader stands where the member begins: it reads nothing ahead
		if err != nil {
			return nil, err
		}
		if len(a.members) == maxMembers {
			return nil, fmt.Errorf("%w: the archive has more than %d files", ErrSource, maxMembers)
		}
		a.members[path.Clean("/" + h.Name)[1:]] = member{at, h.Size}
	}
}

// packedAs names the command that packed a file that begins so, or "".
func packedAs(begin []byte) string {
	for magic, command := range map[string]string{"\x1f\x8b": "gzip", "\x28\xb5\x2f\xfd": "zstd", "\xfd7zXZ\x00": "xz", "BZh": "bzip2"} {
		if strings.HasPrefix(string(begin), magic) {
			return command
		}
	}
	return ""
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, ok := a.members[path.Clean(name)]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return io.NopCloser(io.NewSectionReader(a.file, m.at, m.size)), m.size, nil
}

func (a *archive) Close() error { return a.file.Close() }

// absentOr is ErrAbsent where a file is not there, or the error.
func absentOr(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}

// openBlob opens a blob of an image layout.
func openBlob(in files, d digest.Digest) (io.ReadCloser, int64, error) {
	if err := d.Validate(); err != nil {
		return nil, 0, err
	}
	f, size, err := in.open(path.Join("blobs", d.Algorithm().String(), d.Encoded()))
	return f, size, absentOr(err)
}
