package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// The tar of an evidence file is canonical (docs/design/evidence.md): files alone, sorted by their names, each with a header that
// follows from its name and size, zeros up to the next block, two blocks of zeros at the end, and nothing behind them. So a
// reader makes each header again and compares: there is no byte in which something could be hidden, or changed unseen.

const (
	blockSize = 512
	// maxName is the longest name that fits into a header; longer ones have a PAX record before it.
	maxName = 100
	// maxPath is the longest name of all, in bytes: that of a blob with a SHA-512 digest is shorter.
	maxPath = 200
	// maxEntry is the largest file that a header can be of.
	maxEntry = 1<<33 - 1
	// maxEntries bounds the files in an evidence file.
	maxEntries = 100_000
)

var zeros [blockSize]byte

// header returns the blocks before a file of a name and size.
func header(name string, size int64) []byte {
	if len(name) <= maxName {
		return ustar(name, size, '0')
	}
	record := paxPath(name)
	h := ustar("PaxHeader", int64(len(record)), 'x')
	h = append(append(h, record...), zeros[:padding(int64(len(record)))]...)
	return append(h, ustar(name[:maxName], size, '0')...)
}

// plainHeader is a header block (POSIX.1-1988) without a name, a size and a kind, as archive/tar writes it.
var plainHeader = func() (b [blockSize]byte) {
	for at, field := range map[int]string{
		100: "0000644", 108: "0000000", 116: "0000000", 136: "00000000000", 148: "        ", 257: "ustar\x0000", 329: "0000000", 337: "0000000",
	} {
		copy(b[at:], field)
	}
	return b
}()

// ustar returns the header block of a name, a size and a kind.
func ustar(name string, size int64, kind byte) []byte {
	b := bytes.Clone(plainHeader[:])
	copy(b, name)
	putOctal(b[124:135], size)
	b[156] = kind
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	putOctal(b[148:154], sum)
	b[154] = 0
	return b
}

// putOctal writes a number with zeros before it.
func putOctal(field []byte, n int64) {
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = '0' + byte(n&7)
		n >>= 3
	}
}

// paxPath is the PAX record of a long name: its own length counts.
func paxPath(name string) string {
	size := len(" path=\n") + len(name)
	for n := len(fmt.Sprint(size)); ; n++ {
		if record := fmt.Sprintf("%d path=%s\n", size+n, name); len(record) == size+n {
			return record
		}
	}
}

// padding is how many zeros follow a file of a size.
func padding(size int64) int64 { return -size & (blockSize - 1) }

// A tarWriter writes files in the order of their names, and notes the sum of each that is not named by its digest.
type tarWriter struct {
	w    io.Writer
	last string
	sums bytes.Buffer // what `sha256sum` prints of the files so far
}

// add writes a file, whose content has that size.
func (t *tarWriter) add(name string, size int64, content io.Reader) error {
	if name <= t.last || size > maxEntry {
		return fmt.Errorf("an evidence file cannot have %s of %d bytes behind %s", name, size, t.last) // a bug
	}
	t.last = name
	if _, err := t.w.Write(header(name, size)); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(t.w, sum), io.LimitReader(content, size))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n != size {
		return fmt.Errorf("%s has %d bytes, and should have %d", name, n, size)
	}
	if !isBlob(name) {
		fmt.Fprintf(&t.sums, "%x  %s\n", sum.Sum(nil), name)
	}
	_, err = t.w.Write(zeros[:padding(size)])
	return err
}

// bytes is add for what is in memory.
func (t *tarWriter) bytes(name string, content []byte) error {
	return t.add(name, int64(len(content)), bytes.NewReader(content))
}

// close writes the sums, which are the last file, and the end.
func (t *tarWriter) close() error {
	if err := t.bytes(sumsName, bytes.Clone(t.sums.Bytes())); err != nil {
		return err
	}
	_, err := t.w.Write(append(zeros[:], zeros[:]...))
	return err
}

// An entry is a file in the tar.
type entry struct {
	name         string
	offset, size int64 // of its content
}

// readTar lists the files of a canonical tar. It reads headers and padding, and no content. Error: ErrRefused, with the first
// thing that is wrong.
func readTar(r io.ReaderAt, size int64) (entries []entry, err error) {
	t := tarReader{r: r, size: size}
	for {
		e, ok, err := t.next()
		if err != nil || !ok {
			return t.entries, err
		}
		if t.entries = append(t.entries, e); len(t.entries) > maxEntries {
			return nil, refusef("it has more than %d files", maxEntries)
		}
	}
}

type tarReader struct {
	r        io.ReaderAt
	at, size int64
	entries  []entry
}

// read returns bytes from where the reader is.
func (t *tarReader) read(n int64) ([]byte, error) {
	if n > t.size-t.at {
		return nil, refusef("the file ends too early, at %d bytes", t.size)
	}
	b := make([]byte, n)
	if got, err := t.r.ReadAt(b, t.at); got < len(b) { // a whole read at the end may come with io.EOF
		return nil, err
	}
	t.at += n
	return b, nil
}

// next reads a header and passes over the content; not ok is the end.
func (t *tarReader) next() (e entry, ok bool, err error) {
	begin := t.at
	b, err := t.read(blockSize)
	if err != nil {
		return e, false, err
	}
	if begin == 0 && bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return e, false, refusef("it is compressed; an evidence file is not: unpack it with gunzip")
	}
	if bytes.Equal(b, zeros[:]) {
		return e, false, t.end()
	}
	if e, err = t.named(b); err != nil {
		return e, false, err
	}
	if err := t.inOrder(e.name); err != nil {
		return e, false, err
	}
	want := header(e.name, e.size)
	t.at = begin
	given, err := t.read(int64(len(want)))
	if err != nil {
		return e, false, err
	}
	if !bytes.Equal(given, want) {
		return e, false, refusef("the header of %s says more than its name and size: its mode, its owner, its time or its kind is not that of an evidence file", e.name)
	}
	e.offset = t.at
	if e.size > t.size-t.at {
		return e, false, refusef("%s is to have %d bytes, and the file ends before", e.name, e.size)
	}
	t.at += e.size
	rest, err := t.read(padding(e.size))
	if err == nil && !bytes.Equal(rest, zeros[:len(rest)]) {
		err = refusef("behind %s there is something else than zeros", e.name)
	}
	return e, true, err
}

// end wants another block of zeros, and nothing behind it.
func (t *tarReader) end() error {
	b, err := t.read(blockSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, zeros[:]) {
		return refusef("there is one block of zeros within the tar, where its end should be")
	}
	if t.at != t.size {
		return refusef("%d bytes follow its end", t.size-t.at)
	}
	return nil
}

// named reads the name and the size of a file from its header, or from the PAX record before it.
func (t *tarReader) named(b []byte) (e entry, err error) {
	if kind := b[156]; kind == 'x' {
		record, err := t.pax(b)
		if err != nil {
			return e, err
		}
		_, name, _ := strings.Cut(record, " path=")
		e.name = strings.TrimSuffix(name, "\n")
		if b, err = t.read(blockSize); err != nil {
			return e, err
		}
	} else {
		e.name = text(b[:maxName])
	}
	if err := wantName(e.name); err != nil {
		return e, err
	}
	if b[156] != '0' {
		return e, refusef("%s is %s, and an evidence file holds files alone", e.name, kindOf(b[156]))
	}
	if e.size, err = strconv.ParseInt(text(b[124:136]), 8, 64); err != nil || e.size < 0 || e.size > maxEntry {
		return e, refusef("the size of %s is no octal number of 11 digits", e.name)
	}
	return e, nil
}

// pax returns the record in the content of a PAX header.
func (t *tarReader) pax(b []byte) (string, error) {
	size, err := strconv.ParseInt(text(b[124:136]), 8, 64)
	if err != nil || size <= 0 || size > maxPath+blockSize {
		return "", refusef("a PAX header has records of another size than a long name has")
	}
	record, err := t.read(size)
	if err == nil {
		_, err = t.read(padding(size))
	}
	return string(record), err
}

// goodName is the grammar of names: that of paths that lead into a directory, and nowhere else.
var goodName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

func wantName(name string) error {
	switch {
	case strings.HasPrefix(name, "/"):
		return refusef("the name %q is absolute", name)
	case strings.HasSuffix(name, "/"):
		return refusef("%q is a directory, and an evidence file holds files alone", name)
	case len(name) > maxPath || !goodName.MatchString(name):
		return refusef("%.*q is no name of a file in an evidence file", maxPath, name)
	}
	return nil
}

// inOrder wants a name to be behind that of the file before.
func (t *tarReader) inOrder(name string) error {
	if len(t.entries) == 0 {
		return nil
	}
	switch last := t.entries[len(t.entries)-1].name; {
	case name == last:
		return refusef("%s is there twice", name)
	case name < last:
		return refusef("%s comes behind %s: the files are to be sorted by their names", name, last)
	}
	return nil
}

// text is a field of a header up to its first zero.
func text(field []byte) string {
	s, _, _ := strings.Cut(string(field), "\x00")
	return s
}

// kindOf names what is no file.
func kindOf(kind byte) string {
	switch kind {
	case '1', '2':
		return "a link"
	case '3', '4':
		return "a device"
	case '5':
		return "a directory"
	case '6':
		return "a named pipe"
	case 'S', 'g', 'L', 'K':
		return "an extension of tar (sparse files, long names or global headers)"
	default:
		return fmt.Sprintf("of the kind %q", kind)
	}
}
