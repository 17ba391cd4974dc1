package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// An image from elsewhere comes in as a push does: blob by blob, each hashed while it streams, then its manifest, in the transaction
// of a push, with the same checks and a record of the action import. Small blobs are linked in that transaction, large ones before it,
// with a lease: loose.go. Nothing else is kept about an import: one that stopped is run again, and finds what is there. If we stop
// between the blobs and their manifest, the next start removes what no row names, and the leases of the others end.

// An Importer brings in images from elsewhere, in somebody's name. It is safe for concurrent use.
type Importer struct {
	g   *Registry
	who provenance.Identity
	r   *http.Request

	reason *provenance.RuleReason // by which rule of mirrors it acts, or nil
}

// Importer returns one that acts for who asked for it with a request.
func (g *Registry) Importer(who provenance.Identity, r *http.Request) *Importer {
	return &Importer{g: g, who: who, r: r}
}

// A ForeignManifest is a manifest from elsewhere on its way in.
type ForeignManifest struct {
	Repository string
	Tags       []string // that it gets: at most provenance.MaxTags
	MediaType  string   // "" where the document says it
	Body       []byte
	Origin     provenance.Origin
	Claimed    []provenance.Claim // what its origin says of it
	Arrived    []*LooseBlob       // its blobs that no repository has yet
	Withheld   bool               // it is held until it is let through, unless it is here
}

// Accepts returns why nothing may be imported into a repository by this name, or nil. Errors: those that AnswerOf knows.
func (i *Importer) Accepts(ctx context.Context, repo string) (err error) {
	defer i.tell(&err)
	_, err = i.call(ctx, repo)
	return err
}

// call is a request to push to a repository.
func (i *Importer) call(ctx context.Context, repo string) (*call, error) {
	if !validName(repo) {
		return nil, errName(repo)
	}
	c := &call{request: request{repo: repo, right: access.Push}, who: i.who, r: i.r.WithContext(ctx), reason: i.reason}
	return c, i.g.authorize(c)
}

// Lacking returns which of some blobs a repository does not have.
func (i *Importer) Lacking(ctx context.Context, repo string, blobs []digest.Digest) (lacking []digest.Digest, err error) {
	defer i.tell(&err)
	err = i.g.store.View(ctx, func(tx storage.Reader) error {
		lacking = nil
		for _, d := range blobs {
			row, err := readLinked(tx, repo, d)
			switch {
			case errors.Is(err, storage.ErrNotFound), err == nil && row.damaged:
				lacking = append(lacking, d)
			case err != nil:
				return err
			}
		}
		return nil
	})
	return lacking, err
}

// A Meaning is what a tag means here.
type Meaning struct {
	Digest   digest.Digest // or "" where it means nothing
	Imported bool          // an import set it
}

// Meanings returns what tags mean, each at its own place.
func (i *Importer) Meanings(ctx context.Context, repo string, tags []string) (meanings []Meaning, err error) {
	defer i.tell(&err)
	err = i.g.store.View(ctx, func(tx storage.Reader) error {
		meanings = make([]Meaning, len(tags))
		for n, tag := range tags {
			row, err := readTag(tx, repo, tag)
			if errors.Is(err, ErrUnknown) {
				continue
			}
			if err != nil {
				return err
			}
			record, err := provenance.ReadRecord(tx, row.record)
			if err != nil {
				return err
			}
			meanings[n] = Meaning{row.digest, record.Action == provenance.Import}
		}
		return nil
	})
	return meanings, err
}

// errTooLong: more bytes come than were announced.
func errTooLong(d digest.Digest, size int64) error {
	return newFailure(http.StatusBadRequest, "SIZE_INVALID", "the source sends more than the %d bytes that it announced of %s", size, d)
}

// Blob takes in a blob that open gives, and what it has of bytes at most, once its bytes were compared with its digest. It is linked in
// the repository, or with its manifest where it is returned as a LooseBlob. Errors: those of open; that the bytes are others; those that
// AnswerOf knows.
func (i *Importer) Blob(ctx context.Context, repo string, d digest.Digest, open func(context.Context) (io.ReadCloser, int64, error)) (n int64, arrived *LooseBlob, err error) {
	defer i.tell(&err)
	c, err := i.call(ctx, repo)
	if err != nil {
		return 0, nil, err
	}
	if _, ok := parseDigest(d.String()); !ok {
		return 0, nil, errDigest(d.String())
	}
	if err := i.g.room(); err != nil {
		return 0, nil, err
	}
	from, size, err := open(ctx)
	if err != nil {
		return 0, nil, fromSource{err}
	}
	defer from.Close() //nolint:errcheck // it was only read
	var held reservation
	defer func() { i.g.unreserve(&held) }()
	if err := i.g.reserve(ctx, repo, &held, d, size); err != nil {
		return 0, nil, err
	}
	file, err := i.adopt(ctx, from, size)
	if errors.Is(err, errors.ErrUnsupported) {
		file, err = i.g.blobs.Create(ctx)
	}
	if err != nil {
		return 0, nil, err
	}
	if n, err = i.g.takeForeign(file, d, from, size); err != nil {
		return n, nil, errors.Join(err, file.Cancel())
	}
	if arrived, err = i.arrive(ctx, c, d, file); arrived != nil {
		arrived.held, held = held, reservation{}
	}
	return n, arrived, err
}

// minAdopt is how large a file is at least, in bytes, that shares its blocks: a smaller one is copied sooner.
const minAdopt = 1 << 20

// adopt begins an upload that has the bytes of a large file on this machine. Error: errors.ErrUnsupported.
func (i *Importer) adopt(ctx context.Context, from io.Reader, size int64) (storage.Upload, error) {
	file, isFile := from.(*os.File)
	adopter, can := i.g.blobs.(storage.Adopter)
	if !isFile || !can || size < minAdopt {
		return nil, errors.ErrUnsupported
	}
	return adopter.Adopt(ctx, file)
}

// takeForeign writes what is read into an upload, and compares it with a digest. One that has its bytes already, as adopt begins it, is
// read whole.
func (g *Registry) takeForeign(file storage.Upload, d digest.Digest, from io.Reader, size int64) (n int64, err error) {
	into := io.Writer(file)
	if has, ok := file.(storage.Readable); ok && has.Size() > 0 {
		from, into = io.NewSectionReader(has, 0, has.Size()), io.Discard
	}
	pool := bodyBuffers(size)
	buf := pool.Get().(*[]byte)
	defer pool.Put(buf)
	hash := d.Algorithm().Hash()
	limited := &io.LimitedReader{R: from, N: min(size, math.MaxInt64-1) + 1}
	for unlooked := int64(0); ; {
		read, readErr := io.ReadFull(limited, *buf)
		hash.Write((*buf)[:read])
		if _, err := into.Write((*buf)[:read]); err != nil {
			return n, err
		}
		if n += int64(read); n > size {
			return n, errTooLong(d, size)
		}
		if readErr == io.EOF || readErr == io.ErrUnexpectedEOF { // ReadFull's own: a source that broke off wraps it
			break
		}
		if readErr != nil {
			return n, fromSource{readErr}
		}
		if unlooked += int64(read); unlooked >= roomEvery {
			unlooked = 0
			if err := g.room(); err != nil {
				return n, err
			}
		}
	}
	if got := digest.NewDigest(d.Algorithm(), hash); got != d {
		return n, newFailure(http.StatusBadRequest, "DIGEST_INVALID", "what the source has as %s has the digest %s: it is damaged there, or cut off after %d bytes", d, got, n)
	}
	return n, nil
}

// Manifest takes in a manifest whose blobs are here, and links those that arrived for it, or drops them where it is refused. Error:
// those that AnswerOf knows.
func (i *Importer) Manifest(ctx context.Context, m ForeignManifest) (record *provenance.Record, err error) {
	defer i.tell(&err)
	p, err := i.pushOf(ctx, m)
	if err == nil && p != nil && p.attachedTo() != "" { // who looks at signatures reads them out of the repository
		err = i.Keep(ctx, p.repo, m.Arrived)
		m.Arrived = nil
	}
	if err != nil || p == nil {
		return nil, errors.Join(err, i.Drop(ctx, m.Arrived))
	}
	err = i.link(ctx, p.repo, m.Arrived, func(link func(storage.Tx) error) error {
		p.coming, p.link = m.Arrived, link
		record, err = i.g.push(ctx, p)
		return err
	})
	return record, err
}

// Takes returns why Manifest would not take a manifest in, as far as that shows without its blobs, or nil.
func (i *Importer) Takes(ctx context.Context, m ForeignManifest) error {
	p, err := i.pushOf(ctx, m)
	if err != nil || p == nil {
		return err
	}
	return i.g.store.View(ctx, func(tx storage.Reader) error {
		_, err := i.g.tagMoves(tx, p)
		return err
	})
}

// pushOf is the push that a manifest from elsewhere is, or nil where it is one that the registry made itself and has.
func (i *Importer) pushOf(ctx context.Context, m ForeignManifest) (*push, error) {
	c, err := i.call(ctx, m.Repository)
	if err != nil {
		return nil, err
	}
	if err := i.g.room(); err != nil {
		return nil, err
	}
	switch most := int64(i.g.c.MaxManifest); {
	case int64(len(m.Body)) > most:
		return nil, newFailure(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a manifest may have %d bytes here", most)
	case len(m.Tags) > provenance.MaxTags:
		return nil, fmt.Errorf("%d tags for one record", len(m.Tags)) // a fault of the caller
	}
	for _, tag := range m.Tags {
		if err := mayBeSet(tag); err != nil {
			return nil, err
		}
	}
	c.digest = digestOf(m.Body, m.Origin.Digest)
	if c.digest != m.Origin.Digest {
		return nil, newFailure(http.StatusBadRequest, "DIGEST_INVALID", "what the source has as %s has the digest %s", m.Origin.Digest, c.digest)
	}
	p := &push{call: c, digest: c.digest, body: m.Body, tags: m.Tags, origin: &m.Origin, said: m.Claimed, withheld: m.Withheld}
	if p.manifest, err = parseManifest(m.MediaType, m.Body); err != nil {
		return nil, err
	}
	if f, err := i.g.acceptRendered(ctx, p); err != nil || f != nil {
		return nil, err // one that the registry made itself came back: it is here
	}
	return p, nil
}

// Names are what a manifest names.
type Names struct {
	Blobs     []NamedBlob     // config, layers, and what other kinds call blobs, in their order
	Manifests []digest.Digest // that it lists
	Subject   digest.Digest   // or ""
}

// A NamedBlob is a blob that a manifest names.
type NamedBlob struct {
	Digest digest.Digest
	Size   int64 // as the manifest has it, which may be wrong
	// MayLack says that the manifest is taken without it: a layer that is not distributed.
	MayLack bool
}

// NamesIn reads what a manifest names. It checks all that a push is checked for, but for what the repository has. Errors: those that AnswerOf knows.
func NamesIn(mediaType string, body []byte) (names Names, err error) {
	m, err := parseManifest(mediaType, body)
	if err != nil {
		return names, err
	}
	for _, b := range m.blobs() {
		names.Blobs = append(names.Blobs, NamedBlob{b.Digest, b.Size, m.mayLack(b)})
	}
	names.Manifests = digestsOf(m.children)
	if m.subject != nil {
		names.Subject = m.subject.Digest
	}
	return names, nil
}

// Presences is that of the registry.
func (i *Importer) Presences(ctx context.Context, of []RepoDigest) (all []Presence, err error) {
	defer i.tell(&err)
	return i.g.Presences(ctx, of)
}

// Link gives a repository a blob that is here, and says whether it is.
func (i *Importer) Link(ctx context.Context, repo string, d digest.Digest) (linked bool, err error) {
	defer i.tell(&err)
	c, err := i.call(ctx, repo)
	if err != nil {
		return false, err
	}
	var late bool
	err = i.g.update(ctx, c, func() []storage.Read { return i.g.linkReads(repo, d) }, func(tx storage.Tx) error {
		row, err := readBlobRow(tx, d)
		if linked = err == nil && !row.damaged; !linked {
			if errors.Is(err, storage.ErrNotFound) {
				err = nil
			}
			return err
		}
		late, err = i.g.putLink(tx, repo, d, "")
		return err
	})
	i.g.arrived(d, late)
	return linked && err == nil, err
}
