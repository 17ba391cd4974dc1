package evidence

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/template"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// A Book is where the records are. provenance.Book is one.
type Book interface {
	Find(ctx context.Context, q provenance.Query) (provenance.Page, error)
	Prover(ctx context.Context, newest uint64) (*provenance.Prover, error)
	Count(ctx context.Context) (uint64, error)
	LogEntries(ctx context.Context) ([]receipt.LogEntry, error)
	KeyEntries(ctx context.Context) ([]receipt.KeyEntry, error)
}

// An Order says what file is wanted, and what the reader may see. Anyone who gives it has checked that they may pull the image.
type Order struct {
	Registry   string // its URL
	Repository string
	Reference  string // a tag or a digest
	Layers     bool

	Book    Book
	Content Content
	Rights  func(*provenance.Query) // limits a query to the records that the reader may see

	Documents     []DocumentFile // that the reader may see
	LeftOut       []LeftOut      // of the others, and why
	Report, Image []byte         // JSON: the graded report, and what the registry says of the image
	Made          time.Time
	Program       string // with its version
}

// A DocumentFile is a document with its bytes, whose SHA-256 is the digest that records name.
type DocumentFile struct {
	Name    string
	Content []byte
}

// A Draft is a file that is ready to be written.
type Draft struct {
	cover  Cover
	order  Order
	layout *layout
	prover *provenance.Prover // nil where no record has a receipt
	keys   []DocumentFile     // in the order of their names
}

// Prepare looks at all that goes into a file, so that what can be refused is refused before its first byte. Errors: ErrMoved, and
// those of the book and the content.
func Prepare(ctx context.Context, o Order) (*Draft, error) {
	d := &Draft{order: o}
	desc, body, err := o.Content.Manifest(ctx, o.Reference)
	if err != nil {
		return nil, err
	}
	image := ref{desc: desc, body: body}
	if o.Reference != desc.Digest.String() {
		image.tag = o.Reference
	}
	if d.layout, err = gather(ctx, o.Content, image, o.Layers); err != nil {
		return nil, err
	}
	d.cover = Cover{
		Version: Version, Registry: o.Registry, Repository: o.Repository, Tag: image.tag,
		Digest: desc.Digest, MediaType: desc.MediaType, Size: desc.Size, Layers: o.Layers, Records: []uint64{},
		Says: Word{Made: provenance.At(o.Made), Program: o.Program, EveryRecord: true, StandingNow: true},
	}
	for _, f := range o.Documents {
		d.cover.Documents = append(d.cover.Documents, Document{Name: f.Name, Digest: digest.FromBytes(f.Content)})
	}
	if err := d.chooseRecords(ctx); err != nil {
		return nil, err
	}
	again, _, err := o.Content.Manifest(ctx, o.Reference)
	if err == nil && again.Digest != desc.Digest {
		err = ErrMoved
	}
	return d, err
}

// ErrMoved says that a tag moved while a file about what it means was prepared: ask again.
var ErrMoved = errors.New("the tag moved while the file was made: ask again")

// chooseRecords chooses the records and the checkpoints that prove them.
func (d *Draft) chooseRecords(ctx context.Context) error {
	c := chosen{book: d.order.Book, rights: d.order.Rights, indexes: map[uint64]bool{}}
	err := errors.Join(c.keys(ctx), c.about(ctx, &d.cover, slices.Sorted(maps.Keys(d.layout.manifests))))
	for i := range d.cover.Documents {
		err = errors.Join(err, c.inForce(ctx, &d.cover.Documents[i]))
	}
	if err != nil {
		return err
	}
	end, err := d.order.Book.Count(ctx)
	if err != nil {
		return err
	}
	d.cover.Says.NewestRecord = max(end, 1) - 1
	logs, err := d.readKeys(ctx)
	if err != nil {
		return err
	}
	first := end
	if len(logs) > 0 {
		first = *logs[0].First
	}
	indexes, unproved := c.sorted(first)
	d.cover.Records = append(d.cover.Records, indexes...)
	d.cover.Unproved = unproved
	d.cover.LeftOut = append(append(d.order.LeftOut, d.layout.leftOut...), c.leftOut()...)
	if !d.order.Layers {
		d.cover.LeftOut = append(d.cover.LeftOut, LeftOut{"the image's layers", "they were not asked for"})
	}
	if len(indexes) > 0 {
		d.prover, err = d.order.Book.Prover(ctx, indexes[len(indexes)-1])
	}
	return err
}

// readKeys reads what the registry serves under /keys/, and returns its logs.
func (d *Draft) readKeys(ctx context.Context) ([]receipt.LogEntry, error) {
	logs, err := d.order.Book.LogEntries(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := d.order.Book.KeyEntries(ctx)
	if err != nil {
		return nil, err
	}
	known := make([]receipt.Log, len(logs))
	for i, l := range logs {
		if known[i], err = l.Log(); err != nil {
			return nil, err
		}
	}
	logFile, err1 := encodeJSON(receipt.LogFile{Logs: logs})
	keyFile, err2 := encodeJSON(receipt.KeyFile{Keys: keys})
	root, err3 := receipt.TrustedRoot(known)
	d.keys = []DocumentFile{{logsName, logFile}, {receiptsName, keyFile}, {trustedRootName, root}}
	return logs, errors.Join(err1, err2, err3)
}

// Cover says what the file will hold.
func (d *Draft) Cover() Cover { return d.cover }

//go:embed README.md.tmpl
var readmeText string

var readme = template.Must(template.New(readmeName).Parse(readmeText))

// Write writes the file. It holds a page of records at a time. After an error what was written is no evidence file.
func (d *Draft) Write(ctx context.Context, w io.Writer) error {
	t := &tarWriter{w: w}
	for _, part := range []func(context.Context, *tarWriter) error{
		d.writeReadme, d.layout.write, d.writeCheckpoints, d.writeDocuments, d.writeMiddle, d.writeRecords,
	} {
		if err := part(ctx, t); err != nil {
			return err
		}
	}
	if err := t.bytes(reportName, d.order.Report); err != nil {
		return err
	}
	return t.close()
}

func (d *Draft) writeReadme(_ context.Context, t *tarWriter) error {
	text, err := readmeOf(&d.cover)
	if err != nil {
		return err
	}
	return t.bytes(readmeName, text)
}

// usedLogs are the logs that records of the file are in, by the names of their files.
func (d *Draft) usedLogs() (used []provenance.LogCheckpoint) {
	if d.prover == nil {
		return nil
	}
	for _, l := range d.prover.Checkpoints() {
		for _, index := range d.cover.Records {
			if index >= l.First && index-l.First < l.Size {
				used = append(used, l)
				break
			}
		}
	}
	return used
}

func (d *Draft) writeCheckpoints(_ context.Context, t *tarWriter) error {
	used := d.usedLogs()
	sortBy(used, func(l provenance.LogCheckpoint) string { return l.Origin })
	for _, l := range used {
		if err := t.bytes(checkpointsDir+l.Origin, []byte(l.Signed)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Draft) writeDocuments(_ context.Context, t *tarWriter) error {
	files := append([]DocumentFile(nil), d.order.Documents...)
	sortBy(files, func(f DocumentFile) string { return f.Name })
	for _, f := range files {
		if err := t.bytes(documentsDir+f.Name, f.Content); err != nil {
			return err
		}
	}
	return nil
}

// writeMiddle writes what stands between the documents and the records.
func (d *Draft) writeMiddle(_ context.Context, t *tarWriter) error {
	index, err := encodeJSON(newIndex(d.layout.roots))
	if err != nil {
		return err
	}
	for _, f := range []DocumentFile{
		{coverName, d.cover.encode()},
		{imageName, d.order.Image},
		{indexName, index},
		d.keys[0], d.keys[1], d.keys[2],
		{layoutName, []byte(layoutText)},
	} {
		if err := t.bytes(f.Name, f.Content); err != nil {
			return err
		}
	}
	return nil
}

// recordsAtOnce is how many records are read in one transaction.
const recordsAtOnce = 100

func (d *Draft) writeRecords(ctx context.Context, t *tarWriter) error {
	for rest := d.cover.Records; len(rest) > 0; {
		page := rest[:min(recordsAtOnce, len(rest))]
		rest = rest[len(page):]
		receipts, err := d.prover.Receipts(ctx, page)
		if err != nil {
			return err
		}
		for i, r := range receipts {
			if r == nil {
				return fmt.Errorf("record %d: %w", page[i], provenance.ErrNotSigned)
			}
			if err := writeRecord(t, page[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeRecord(t *tarWriter, index uint64, r *receipt.Receipt) error {
	bundle, err := r.Bundle()
	if err != nil {
		return err
	}
	if err := t.bytes(recordName(index)+receiptSuffix, bundle); err != nil {
		return err
	}
	return t.bytes(recordName(index)+proofSuffix, r.TlogProof())
}
