package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Manifests are ours from the start, and not distribution's: its PUT knows no transaction over manifest,
// tag and record, no sha512 and no 413, and its GET negotiates types that clients no longer ask for.

// found is a manifest as a reader asked for it.
type found struct {
	manifestRow
	repo   string
	digest digest.Digest
	record uint64 // by tag the record that set the tag, by digest the one that put the digest here
	blob   blobRow

	rendered bool // made from a record, and not kept
	loaded   bool // its content was read, and compared with its digest
}

// getManifest serves a manifest by tag or digest.
func (g *Registry) getManifest(w http.ResponseWriter, c *call) error {
	f, warnings, err := g.findAllowed(c)
	if err == nil {
		err = g.mayHave(c, f.digest)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	addWarnings(h, warnings)
	body, err := g.openManifest(c.r.Context(), f)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was only read
	h.Set("Docker-Content-Digest", f.digest.String())
	h.Set("Etag", `"`+f.digest.String()+`"`)
	setRecord(h, f.record)
	if clientHas(c.r, f.digest) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	g.notePull(c, f) // before the client has it
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.FormatInt(body.Size(), 10))
	w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		out := &copier{ResponseWriter: w}
		_, _ = out.ReadFrom(io.NewSectionReader(body, 0, body.Size())) // a client that left does not matter any more
	}
	return nil
}

// openManifest opens the bytes of a manifest, once they were compared with its digest. Of one that is too large for the store they stay in
// its file: a client that reads slowly must not keep megabytes in memory.
func (g *Registry) openManifest(ctx context.Context, f *found) (storage.Blob, error) {
	if f.blob == (blobRow{}) {
		err := g.loadContent(ctx, f)
		return memory{bytes.NewReader(f.content)}, err
	}
	f.content = nil // a rule may have read it
	file, err := g.openBlob(ctx, f.digest, f.blob)
	if err != nil {
		return nil, f.lostOr(err)
	}
	if err = newCompared(f.digest, file).end(ctx); err == nil && file.Size() != f.size {
		err = damaged("it has %d bytes, and its row says %d", file.Size(), f.size)
	}
	if err != nil {
		return nil, f.lostOr(g.lost(ctx, f.digest, f.blob, errors.Join(err, file.Close())))
	}
	return watched{file, func(err error) { _ = g.lost(ctx, f.digest, blobRow{}, err) }}, nil
}

// lostOr is the answer where the file of a manifest is not there, or other errors.
func (f *found) lostOr(err error) error {
	switch {
	case errors.Is(err, errMoved): // it was deleted, and its lease is over
		return errManifestUnknown(f.repo, f.digest.String())
	case errors.Is(err, ErrUnknown):
		return errManifestLost(f.digest)
	}
	return err
}

// clientHas says whether If-None-Match names the digest (RFC 9110, section 13.1.2).
func clientHas(r *http.Request, d digest.Digest) bool {
	for _, header := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(header, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == "*" || strings.Trim(tag, `"`) == d.String() {
				return true
			}
		}
	}
	return false
}

// setRecord names the record that belongs to an answer.
func setRecord(h http.Header, index uint64) {
	n := strconv.FormatUint(index, 10)
	h.Set("Hallmark-Record", n)
	h.Set("Link", "</api/v1/records/"+n+`>; rel="describedby"`)
}

// findManifest looks a manifest up by a tag, or by its digest when d is set.
func (g *Registry) findManifest(ctx context.Context, in view, repo, ref string, d digest.Digest) (f *found, err error) {
	err = in(ctx, manifestReads(repo, ref, d), func(tx storage.Reader) error {
		f, err = readManifest(tx, repo, ref, d)
		return err
	})
	return f, err
}

// manifestReads are what readManifest begins with.
func manifestReads(repo, ref string, d digest.Digest) func() []storage.Read {
	return func() []storage.Read {
		if d == "" {
			return []storage.Read{storage.Row(tagTable, repoKey(repo, []byte(ref)))}
		}
		return []storage.Read{storage.Row(manifestTable, repoKey(repo, digestKey(d)))}
	}
}

// readManifest copies what it returns: it is sent when the transaction is over.
func readManifest(tx storage.Reader, repo, ref string, d digest.Digest) (*found, error) {
	f := &found{repo: repo, digest: d}
	if d == "" {
		tag, err := readTag(tx, repo, ref)
		if err != nil {
			return nil, err
		}
		f.digest, f.record = tag.digest, tag.record
	}
	value, err := tx.Get(manifestTable, repoKey(repo, digestKey(f.digest)))
	if errors.Is(err, storage.ErrNotFound) {
		out, err := renderedAsManifest(tx, repo, f.digest)
		if err == nil && out == nil {
			err = errManifestUnknown(repo, ref)
		}
		return out, err
	}
	if err != nil {
		return nil, err
	}
	if f.manifestRow, err = decodeManifestRow(value); err != nil {
		return nil, err
	}
	if d != "" {
		f.record = f.manifestRow.record
	}
	if len(f.content) > 0 {
		f.content = append([]byte(nil), f.content...)
		return f, nil
	}
	f.blob, err = readBlobRow(tx, f.digest)
	return f, err
}

func readTag(tx storage.Reader, repo, tag string) (tagRow, error) {
	value, err := tx.Get(tagTable, repoKey(repo, []byte(tag)))
	if errors.Is(err, storage.ErrNotFound) {
		return tagRow{}, errManifestUnknown(repo, tag)
	}
	if err != nil {
		return tagRow{}, err
	}
	return decodeTagRow(value)
}

// loadContent reads a manifest that is too large for the store from its file, and compares every manifest with its
// digest: a damaged one is told as an unknown one, also to HEAD, so that a push of it sends it.
func (g *Registry) loadContent(ctx context.Context, f *found) (err error) {
	if f.loaded {
		return nil
	}
	err = g.load(ctx, f)
	f.loaded = err == nil
	return err
}

func (g *Registry) load(ctx context.Context, f *found) (err error) {
	if len(f.content) == 0 {
		f.content, err = g.readSmall(ctx, f.digest, f.blob, f.size)
		if err == nil && len(f.content) == 0 { // it is longer than its row says
			return errManifestLost(f.digest)
		}
		return f.lostOr(err)
	}
	if f.rendered {
		return nil
	}
	if err := compare(f.digest, f.content); err != nil {
		g.suspect(f.repo, f.digest)
		g.log.Error("a manifest in the store is damaged: push it again", "digest", f.digest, "repository", f.repo, "err", err)
		return errManifestLost(f.digest)
	}
	return nil
}

// errManifestLost is the answer to who wants a manifest that is lost or damaged.
func errManifestLost(d digest.Digest) error {
	return newFailure(http.StatusNotFound, "MANIFEST_UNKNOWN", "the registry's copy of the manifest %s is lost or damaged; push it again, and it is whole", d)
}

// putManifest takes a manifest in. It, its references, its tag and the record of it all are committed in
// one transaction before the client is told.
func (g *Registry) putManifest(w http.ResponseWriter, c *call) error {
	ctx := c.r.Context()
	if err := g.room(); err != nil {
		return err
	}
	body, err := g.readManifestBody(c.r)
	if err != nil {
		return err
	}
	p := &push{call: c, digest: digestOf(body, c.digest), body: body}
	if c.digest != "" && c.digest != p.digest {
		return newFailure(http.StatusBadRequest, "DIGEST_INVALID", "the manifest that came has digest %s, which is not the one named", p.digest)
	}
	if p.tags, err = c.tagsToSet(); err != nil {
		return err
	}
	if p.manifest, err = parseManifest(c.r.Header.Get("Content-Type"), body); err != nil {
		return err
	}
	record, err := g.pushOrAccept(ctx, p)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", p.digest.String())
	h.Set("Location", "/v2/"+c.repo+"/manifests/"+p.digest.String())
	if p.manifest.subject != nil {
		h.Set("Oci-Subject", p.manifest.subject.Digest.String())
	}
	if c.digest != "" && len(p.tags) > 0 {
		h.Set("Oci-Tag", strings.Join(p.tags, ", "))
	}
	h.Set("Content-Length", "0")
	setRecord(h, record)
	g.warn(h, p)
	w.WriteHeader(http.StatusCreated)
	return nil
}

// warn tells who has pushed of soft limits and rules.
func (g *Registry) warn(h http.Header, p *push) {
	if len(p.full) > 0 {
		g.warned.Add(1)
	}
	addWarnings(h, append(p.full, p.warnings...))
}

// pushOrAccept pushes a manifest, unless it is one that the registry renders itself, and returns the record
// that belongs to it.
func (g *Registry) pushOrAccept(ctx context.Context, p *push) (record uint64, err error) {
	f, err := g.acceptRendered(ctx, p)
	if err != nil {
		return 0, err
	}
	if f != nil {
		return f.record, nil
	}
	r, err := g.push(ctx, p)
	if err != nil {
		return 0, err
	}
	return r.Index, nil
}

// tagsToSet are the tag of the path, or those of the parameters `tag` beside a digest (OCI distribution
// specification, development version, "Pushing Manifests").
func (c *call) tagsToSet() ([]string, error) {
	if c.digest == "" {
		return []string{c.ref}, nil
	}
	tags := slices.Compact(slices.Sorted(slices.Values(c.query["tag"])))
	for _, tag := range tags {
		if err := mayBeSet(tag); err != nil {
			return nil, err
		}
	}
	if len(tags) > provenance.MaxTags {
		return nil, errManifestInvalid("one push can set %d tags, and this one names %d", provenance.MaxTags, len(tags))
	}
	return tags, nil
}

// readManifestBody reads a body that is not larger than a manifest may be.
func (g *Registry) readManifestBody(r *http.Request) ([]byte, error) {
	most := int64(g.c.MaxManifest)
	tooLarge := newFailure(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a manifest may have %d bytes here", most)
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	switch {
	case err != nil:
		return nil, newFailure(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest did not arrive whole")
	case int64(len(body)) > most:
		return nil, tooLarge
	case len(body) == 0:
		return nil, errManifestInvalid("the body is empty")
	}
	return body, nil
}

// childrenOf describes the children of an index for its record.
func childrenOf(descriptors []ocispec.Descriptor) (children []provenance.Child) {
	for _, d := range descriptors {
		children = append(children, provenance.Child{Digest: d.Digest, Platform: platform(d.Platform)})
	}
	return children
}
