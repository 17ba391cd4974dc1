package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/receipt"

	_ "crypto/sha512" // digests may be of it
)

// maxFile bounds the files that are read whole, in bytes. Blobs are not, but for manifests.
const maxFile = 16 << 20

// A File is an evidence file whose bytes are as they have to be: nothing is said of its signatures yet.
type File struct {
	Cover Cover

	r       io.ReaderAt
	entries []entry
	parts   map[digest.Digest]bool // the image, what it lists, and what is attached to it
}

// Open reads an evidence file of a size in bytes, and compares every byte of it with what it has to be: headers with names and
// sizes, contents with the sums in it, blobs with their digests, the layout and the list of files with evidence.json. Error:
// ErrRefused, with the first thing that is wrong.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r}
	var err error
	if f.entries, err = readTar(r, size); err != nil {
		return nil, err
	}
	for _, step := range []func() error{f.checkSums, f.readCover, f.checkNames, f.checkFixed, f.checkLayout, f.checkDocuments} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// IsFile says whether what begins with these bytes, 512 of them or more, is to be an evidence file: a tar, also one that was
// compressed.
func IsFile(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || len(head) >= blockSize && bytes.HasPrefix(head[257:], []byte("ustar"))
}

// find returns a file's place.
func (f *File) find(name string) (entry, bool) {
	i, ok := slices.BinarySearchFunc(f.entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return entry{}, false
	}
	return f.entries[i], true
}

func (f *File) open(e entry) *io.SectionReader { return io.NewSectionReader(f.r, e.offset, e.size) }

// read returns the content of a file of at most most bytes.
func (f *File) read(name string, most int64) ([]byte, error) {
	e, ok := f.find(name)
	if !ok {
		return nil, refusef("there is no %s in it", name)
	}
	if e.size > most {
		return nil, refusef("%s has %d bytes, and may have %d", name, e.size, most)
	}
	return io.ReadAll(f.open(e))
}

// checkSums hashes everything: a blob has its digest as its name, and the sums of all else are in the last file.
func (f *File) checkSums() error {
	if len(f.entries) == 0 || f.entries[len(f.entries)-1].name != sumsName {
		return refusef("its last file is not %s: it is no evidence file", sumsName)
	}
	var sums bytes.Buffer
	buffer := make([]byte, copyBuffer)
	for _, e := range f.entries[:len(f.entries)-1] {
		if isBlob(e.name) {
			if err := f.checkBlob(e, buffer); err != nil {
				return err
			}
			continue
		}
		h := sha256.New()
		if _, err := io.CopyBuffer(h, f.open(e), buffer); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", h.Sum(nil), e.name)
	}
	given, err := f.read(sumsName, int64(sums.Len()))
	if err != nil {
		return err
	}
	if !bytes.Equal(given, sums.Bytes()) {
		return refusef("%s", differingSum(given, sums.Bytes()))
	}
	return nil
}

// differingSum says where two lists of sums differ.
func differingSum(given, made []byte) string {
	want := strings.Split(string(given), "\n")
	for i, line := range strings.Split(string(made), "\n") {
		_, name, _ := strings.Cut(line, "  ")
		if name != "" && (i >= len(want) || want[i] != line) {
			return fmt.Sprintf("%s was changed: it has another SHA-256 than %s says", name, sumsName)
		}
	}
	return sumsName + " says more than the sums of the files"
}

// copyBuffer is how much is read at once, in bytes.
const copyBuffer = 64 << 10

// checkBlob hashes a blob.
func (f *File) checkBlob(e entry, buffer []byte) error {
	d := blobDigest(e.name)
	if d.Validate() != nil || blobName(d) != e.name {
		return refusef("%s is not named by a digest", e.name)
	}
	v := d.Verifier()
	if _, err := io.CopyBuffer(v, f.open(e), buffer); err != nil {
		return err
	}
	if !v.Verified() {
		return refusef("the blob %s was changed: it has another digest", d)
	}
	return nil
}

// blobDigest is the digest in the name of a blob.
func blobDigest(name string) digest.Digest {
	return digest.Digest(strings.Replace(strings.TrimPrefix(name, blobsDir), "/", ":", 1))
}

// readCover reads evidence.json, which has one spelling.
func (f *File) readCover() error {
	text, err := f.read(coverName, maxFile)
	if err != nil {
		return err
	}
	var version struct{ Version int }
	if err := json.Unmarshal(text, &version); err == nil && version.Version != Version {
		return refusef("it is of version %d of the format, and this program reads version %d: take a newer one", version.Version, Version)
	}
	if err := strictjson.UnmarshalKnown(text, &f.Cover); err != nil {
		return refusef("%s: %w", coverName, err)
	}
	c := &f.Cover
	switch {
	case !bytes.Equal(c.encode(), text):
		return refusef("%s is spelled otherwise than its content is", coverName)
	case c.Digest.Validate() != nil:
		return refusef("%s names no image: %q is no digest", coverName, c.Digest)
	case !slices.IsSorted(c.Records) || len(slices.Compact(slices.Clone(c.Records))) != len(c.Records):
		return refusef("%s names records out of order, or twice", coverName)
	}
	return nil
}

// checkNames wants the files that evidence.json implies, and no others. Which blobs and checkpoints there may be is checked with
// those who name them.
func (f *File) checkNames() error {
	want := []string{readmeName, coverName, imageName, indexName, logsName, receiptsName, trustedRootName, layoutName, reportName, sumsName}
	for _, d := range f.Cover.Documents {
		want = append(want, documentsDir+d.Name)
	}
	for _, index := range f.Cover.Records {
		want = append(want, recordName(index)+receiptSuffix, recordName(index)+proofSuffix)
	}
	slices.Sort(want)
	for _, e := range f.entries {
		if _, ok := slices.BinarySearch(want, e.name); !ok && !isBlob(e.name) && !strings.HasPrefix(e.name, checkpointsDir) {
			return refusef("%s is in it, and %s does not name it", e.name, coverName)
		}
	}
	for _, name := range want {
		if _, ok := f.find(name); !ok {
			return refusef("%s is not in it", name)
		}
	}
	return nil
}

// checkFixed looks at the files that say something by themselves.
func (f *File) checkFixed() error {
	if text, err := f.read(layoutName, maxFile); err != nil || string(text) != layoutText {
		return orRefuse(err, "%s is not that of an OCI image layout 1.0.0", layoutName)
	}
	for _, of := range []struct {
		name  string
		check func([]byte) error
	}{
		{imageName, strictjson.Check},
		{logsName, func(b []byte) error { _, err := receipt.ParseLogs(b); return err }},
		{receiptsName, func(b []byte) error { _, err := receipt.ParseKeyFile(b); return err }},
		{trustedRootName, func(b []byte) error { _, err := receipt.ParseTrustedRoot(b); return err }},
		{reportName, strictjson.Check},
	} {
		text, err := f.read(of.name, maxFile)
		if err != nil {
			return err
		}
		if err := of.check(text); err != nil {
			return refusef("%s: %w", of.name, err)
		}
	}
	return nil
}

// orRefuse is an error, or a refusal where there is none.
func orRefuse(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return refusef(format, args...)
}

// checkDocuments wants the documents to have the digests that evidence.json says.
func (f *File) checkDocuments() error {
	for _, d := range f.Cover.Documents {
		text, err := f.read(documentsDir+d.Name, maxFile)
		if err != nil {
			return err
		}
		if digest.FromBytes(text) != d.Digest {
			return refusef("the document %s has not the digest that %s says", d.Name, coverName)
		}
	}
	return nil
}

// Own are the logs and keys in the file: the word of who made it.
func (f *File) Own() (trust receipt.Trust, err error) {
	logs, err := f.read(logsName, maxFile)
	if err != nil {
		return trust, err
	}
	keys, err := f.read(receiptsName, maxFile)
	if err != nil {
		return trust, err
	}
	if trust.Logs, err = receipt.ParseLogs(logs); err != nil {
		return trust, err
	}
	trust.Keys, err = receipt.ParseKeyFile(keys)
	return trust, err
}

// checkpoints are the signed checkpoints in the file, by origin.
func (f *File) checkpoints() (all map[string]string, err error) {
	all = map[string]string{}
	for _, e := range f.entries {
		origin, ok := strings.CutPrefix(e.name, checkpointsDir)
		if !ok {
			continue
		}
		signed, err := f.read(e.name, checkpoint.MaxText)
		if err != nil {
			return nil, err
		}
		if c, err := checkpoint.Parse(string(signed)); err != nil || c.Origin != origin {
			return nil, refusef("%s is no checkpoint of that log", e.name)
		}
		all[origin] = string(signed)
	}
	return all, nil
}

// Report and Image are what the registry thought of the image, and said of it, as JSON: the word of who made the file.
func (f *File) Report() ([]byte, error) { return f.read(reportName, maxFile) }

// Image is what the registry said of the image, as GET /api/v1/image does.
func (f *File) Image() ([]byte, error) { return f.read(imageName, maxFile) }
