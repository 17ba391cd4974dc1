package archive

import (
	"bufio"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Blob is a blob that a snapshot needs.
type Blob struct {
	Size int64
	At   storage.Location // where the store says that it is; begins with the label
}

// Line is the blob in a snapshot's list.
func (b Blob) Line() string { return strconv.FormatInt(b.Size, 10) + " " + string(b.At) + "\n" }

// Label is the blob's digest as it stands in names: "sha256-…".
func (b Blob) Label() string {
	label, _, _ := strings.Cut(string(b.At), ".")
	return label
}

// hash returns the hash that the label is of.
func (b Blob) hash() (hash.Hash, error) {
	algorithm, encoded, _ := strings.Cut(b.Label(), "-")
	h := map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New}[algorithm]
	if h == nil || len(encoded) != 2*h().Size() || strings.Trim(encoded, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%w: %q names no digest", ErrDamaged, b.At)
	}
	return h(), nil
}

// readLine reads a line of a list.
func readLine(line string) (b Blob, err error) {
	size, at, _ := strings.Cut(line, " ")
	b.At = storage.Location(at)
	if b.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
		return b, fmt.Errorf("%w: a line of its list of blobs is %.100q", ErrDamaged, line)
	}
	_, err = b.hash()
	return b, err
}

// Has says whether a blob is there. What has its name is whole: see Put.
func (a *Archive) Has(b Blob) (bool, error) {
	info, err := os.Stat(a.blobPath(b.Label()))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size() == b.Size, err
}

// Put copies a blob into the archive, and compares it with its digest. It has its name when it is whole and
// on the disk: if we stop before, what there is of it is overwritten by the next one.
func (a *Archive) Put(b Blob, content io.Reader) error {
	path := a.blobPath(b.Label())
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.Write(path, 0o600, func(w io.Writer) error { return b.Copy(w, content) })
}

// Open opens a blob. Error: ErrDamaged.
func (a *Archive) Open(b Blob) (io.ReadCloser, error) {
	f, err := os.Open(a.blobPath(b.Label()))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: the blob %s is not there", ErrDamaged, b.Label())
	}
	return f, err
}

// Copy copies the content of a blob, and compares it with what the blob says. Error: ErrDamaged.
func (b Blob) Copy(w io.Writer, content io.Reader) error {
	h, err := b.hash()
	if err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(w, h), content)
	if err != nil {
		return fmt.Errorf("copy %s: %w", b.Label(), err)
	}
	if _, encoded, _ := strings.Cut(b.Label(), "-"); n != b.Size || hex.EncodeToString(h.Sum(nil)) != encoded {
		return fmt.Errorf("%w: the %d bytes of %s are not those of its digest", ErrDamaged, n, b.Label())
	}
	return nil
}

// eachBlob calls fn for each line of a list.
func eachBlob(path string, fn func(Blob) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		b, err := readLine(lines.Text())
		if err == nil {
			err = fn(b)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
