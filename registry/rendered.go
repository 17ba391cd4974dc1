package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// An image that gets a tag has the record of its arrival beside it, as an artifact that refers to it: a
// manifest whose layers are the signed statement, its receipt, and the receipts by which its key came into force. Nothing of it is kept but rows that say which record it
// is rendered from. The same record gives the same bytes, so its digest is stable: the receipt is the one at the record's
// own size, with the checkpoint's signature that was kept with the record.
//
// It is the registry's own: no client can replace or delete it, it goes with its image, and an image that
// arrives anew has a new one. It is no manifest of the repository: it keeps none alive, and has no record.

// receiptType is that of the second layer: byte for byte a sigstore bundle, under a type that no tool takes for a signature of
// the image. cosign takes every layer of a bundle's own type for one.
const receiptType = receipt.LayerType

// rendering is the provenance of an image as an artifact.
type rendering struct {
	record     uint64
	manifest   []byte
	descriptor ocispec.Descriptor
	layers     []renderedLayer
}

type renderedLayer struct {
	renderedDescriptor
	content []byte
}

func newLayer(mediaType string, content []byte) renderedLayer {
	return renderedLayer{renderedDescriptor{mediaType, digest.FromBytes(content), int64(len(content))}, content}
}

// row is what is kept of it.
func (out *rendering) row() provenanceRow {
	row := provenanceRow{record: out.record, manifest: digestKey(out.descriptor.Digest)}
	for _, l := range out.layers {
		row.layers = append(row.layers, digestKey(l.Digest))
	}
	return row
}

// renderedManifest is an OCI image manifest with what this one has. It is declared here, because its digest
// must not change with somebody else's declaration.
type renderedManifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        renderedDescriptor   `json:"config"`
	Layers        []renderedDescriptor `json:"layers"`
	Subject       renderedDescriptor   `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

type renderedDescriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
}

// render makes the provenance artifact of a record with its receipt, of which forms without one need statement and signature.
// Behind it come the receipts of the records by which its key came into force.
func (f form) render(r *provenance.Record, proved *receipt.Receipt, steps ...*receipt.Receipt) (*rendering, error) {
	out := &rendering{record: r.Index, layers: []renderedLayer{newLayer(provenance.EnvelopeType, receipt.Envelope(proved.Payload, proved.Signature))}}
	for _, p := range f.receipts(proved, steps) {
		bundle, err := p.Bundle()
		if err != nil {
			return nil, err
		}
		out.layers = append(out.layers, newLayer(receiptType, bundle))
	}
	m := renderedManifest{
		SchemaVersion: 2, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: provenance.ReferrerType,
		Config:      renderedDescriptor{ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Digest, ocispec.DescriptorEmptyJSON.Size},
		Subject:     renderedDescriptor{r.Observed.MediaType, r.Digest, r.Observed.Size},
		Annotations: f.annotationsOf(r),
	}
	for _, l := range out.layers {
		m.Layers = append(m.Layers, l.renderedDescriptor)
	}
	var err error
	if out.manifest, err = json.Marshal(m); err != nil {
		return nil, err
	}
	out.descriptor = ocispec.Descriptor{
		MediaType: m.MediaType, ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		Digest: digest.FromBytes(out.manifest), Size: int64(len(out.manifest)),
	}
	return out, nil
}

// annotationsOf are what a list of referrers shows of a record.
func (f form) annotationsOf(r *provenance.Record) map[string]string {
	a := provenance.Notes(r)
	for _, c := range r.Claimed {
		if name := provenance.NamesOfFacts[c.Fact]; name != "" && a[name] == "" {
			a[name] = c.Value
			if f >= withClass { // a login says nothing of a source, and signatures come later
				a[provenance.NoteClass] = string(provenance.Claimed)
			}
		}
	}
	return a
}

// renderRecord renders what a record in the store gives, as it is rendered now.
func renderRecord(tx storage.Reader, index uint64) (*rendering, error) {
	return newestForm.renderRecord(tx, index)
}

func (f form) renderRecord(tx storage.Reader, index uint64) (*rendering, error) {
	proved, err := f.prove(tx, index)
	if err != nil {
		return nil, err
	}
	r, err := provenance.ReadRecord(tx, index)
	if err != nil {
		return nil, err
	}
	return f.renderProved(tx, r, proved)
}

// renderProved renders a record with its receipt, and reads no more than how its key came into force.
func (f form) renderProved(tx storage.Reader, r *provenance.Record, proved *receipt.Receipt) (*rendering, error) {
	steps, err := f.keySteps(tx, r.Index, proved)
	if err != nil {
		return nil, err
	}
	return f.render(r, proved, steps...)
}

// receipts are those that a form has as layers.
func (f form) receipts(proved *receipt.Receipt, steps []*receipt.Receipt) []*receipt.Receipt {
	if f < withReceipt {
		return nil
	}
	return append([]*receipt.Receipt{proved}, steps...)
}

// keySteps reads how a record's key came into force, as far as a form tells.
func (f form) keySteps(tx storage.Reader, index uint64, proved *receipt.Receipt) ([]*receipt.Receipt, error) {
	if f < withReceipt {
		return nil, nil
	}
	return provenance.ReadKeySteps(tx, index, proved.Leaf)
}

// prove reads what a form needs of a record's receipt.
func (f form) prove(tx storage.Reader, index uint64) (*receipt.Receipt, error) {
	if f >= withReceipt {
		return provenance.ReadReceipt(tx, index)
	}
	signed, err := provenance.ReadSignedRecord(tx, index)
	return &receipt.Receipt{Payload: signed.Payload, Signature: signed.Signature}, err
}

// putRendered gives an image that got a tag its provenance, unless it has it, or is itself about another one. The record was just
// made, and proved is its receipt: to read it back costs half of a push's transaction.
func (p *push) putRendered(tx storage.Tx, r *provenance.Record, proved *receipt.Receipt) error {
	if len(p.tags) == 0 || p.manifest.subject != nil || r.Digest == "" { // without a digest there is no record: `make bench` tries that
		return nil
	}
	subject := digestKey(p.digest)
	there, err := getOrNil(tx, provenanceTable, repoKey(p.repo, subject))
	if err != nil || there != nil {
		return err
	}
	out, err := newestForm.renderProved(tx, r, proved)
	if err != nil {
		return err
	}
	return errors.Join(markForm(tx, newestForm, r.Index), out.put(tx, p.repo, subject))
}

// put writes the rows of a rendering.
func (out *rendering) put(tx storage.Tx, repo string, subject []byte) error {
	listed, err := json.Marshal(out.descriptor)
	if err != nil {
		return err
	}
	row := out.row()
	tx.Put(provenanceTable, repoKey(repo, subject), row.encode())
	for _, part := range row.parts() {
		tx.Put(renderedTable, repoKey(repo, part, subject), nil)
	}
	tx.Put(referrerTable, repoKey(repo, subject, row.manifest), referrerRow{provenance.ReferrerType, listed}.encode())
	return nil
}

// removeRendered takes away the provenance of an image that goes.
func removeRendered(tx storage.Tx, repo string, subject []byte) error {
	value, err := getOrNil(tx, provenanceTable, repoKey(repo, subject))
	if err != nil || value == nil {
		return err
	}
	row, err := decodeProvenanceRow(value)
	if err != nil {
		return err
	}
	tx.Delete(provenanceTable, repoKey(repo, subject))
	for _, part := range row.parts() {
		tx.Delete(renderedTable, repoKey(repo, part, subject))
		older, err := getOrNil(tx, renderedTable, repoKey(repo, part))
		if err != nil {
			return err
		}
		if bytes.Equal(older, subject) {
			tx.Delete(renderedTable, repoKey(repo, part))
		}
	}
	tx.Delete(referrerTable, repoKey(repo, subject, row.manifest))
	return nil
}

// recordListedBy returns a manifest that names a part of an image's record which would go with the image, or "" where there is none.
// The list of referrers that an older client keeps does not count, and neither does what goes with the image.
func (g *Registry) recordListedBy(tx storage.Reader, repo string, image digest.Digest, with ...[]byte) (by digest.Digest, err error) {
	subject := digestKey(image)
	value, err := getOrNil(tx, provenanceTable, repoKey(repo, subject))
	if err != nil || value == nil {
		return "", err
	}
	row, err := decodeProvenanceRow(value)
	if err != nil {
		return "", err
	}
	list, err := g.fallbackList(tx, repo, image)
	if err != nil {
		return "", err
	}
	goes := slices.Concat(with, [][]byte{subject})
	for _, part := range row.parts() {
		by, err := listedBy(tx, repo, part, slices.Concat(goes, [][]byte{list})...)
		if err != nil {
			return "", err
		}
		if by == "" {
			continue
		}
		if stays, err := staysWithout(tx, repo, part, goes); err != nil || !stays {
			return by, err
		}
	}
	return "", nil
}

// staysWithout says whether a part of an image's record can be read when the image is gone, with what goes with it: it is a blob or a
// manifest by itself, or a part of another image's record.
func staysWithout(tx storage.Reader, repo string, part []byte, goes [][]byte) (bool, error) {
	for _, table := range []storage.Table{linkTable, manifestTable} {
		if row, err := getOrNil(tx, table, repoKey(repo, part)); err != nil || row != nil {
			return row != nil, err
		}
	}
	from := repoKey(repo, part)
	for item, err := range tx.Scan(renderedTable, from, storage.PrefixEnd(from)) {
		if err != nil {
			return false, err
		}
		subject := renderedSubject(item, len(from))
		if !slices.ContainsFunc(goes, func(d []byte) bool { return bytes.Equal(d, subject) }) {
			return true, nil
		}
	}
	return false, nil
}

// findRendered renders the artifact that a digest is the manifest or a layer of, or returns nil.
func findRendered(tx storage.Reader, repo string, d digest.Digest) (*rendering, error) {
	subject, err := renderedFor(tx, repo, digestKey(d))
	if err != nil || subject == nil {
		return nil, err
	}
	value, err := tx.Get(provenanceTable, repoKey(repo, subject))
	if errors.Is(err, storage.ErrNotFound) {
		err = damaged("%s@%s is said to be an image's provenance, and the image has none", repo, d)
	}
	if err != nil {
		return nil, err
	}
	row, err := decodeProvenanceRow(value)
	if err != nil {
		return nil, err
	}
	return renderRow(tx, row)
}

// renderedFor returns an image of whose provenance a digest is a part, or nil: the parts that several images share are the
// same bytes, whichever of them it is.
func renderedFor(tx storage.Reader, repo string, part []byte) ([]byte, error) {
	from := repoKey(repo, part)
	for item, err := range tx.Scan(renderedTable, from, storage.PrefixEnd(from)) {
		if err != nil {
			return nil, err
		}
		return bytes.Clone(renderedSubject(item, len(from))), nil
	}
	return nil, nil
}

// renderedSubject is the image of a row whose key names the part in its first bytes.
func renderedSubject(item storage.Item, part int) []byte {
	if len(item.Key) > part {
		return item.Key[part:]
	}
	return item.Value // of an older version
}

// renderedAsManifest is a manifest that is rendered here, as a reader gets it, or nil.
func renderedAsManifest(tx storage.Reader, repo string, d digest.Digest) (*found, error) {
	out, err := findRendered(tx, repo, d)
	if err != nil || out == nil || out.descriptor.Digest != d {
		return nil, err
	}
	row := manifestRow{record: out.record, mediaType: out.descriptor.MediaType, size: out.descriptor.Size, content: out.manifest}
	return &found{manifestRow: row, digest: d, record: out.record, rendered: true}, nil
}

// emptyJSON is the config of artifacts without one. It can be read in every repository that has a manifest.
var emptyJSON = ocispec.DescriptorEmptyJSON

// renderedAsBlob returns a blob that is rendered here, or storage.ErrNotFound.
func renderedAsBlob(tx storage.Reader, repo string, d digest.Digest) (storage.Blob, error) {
	if d == emptyJSON.Digest {
		_, err := tx.Get(repositoryTable, []byte(repo))
		if err != nil {
			return nil, err
		}
		return memory{bytes.NewReader(emptyJSON.Data)}, nil
	}
	out, err := findRendered(tx, repo, d)
	if err != nil {
		return nil, err
	}
	if out != nil {
		for _, l := range out.layers {
			if l.Digest == d {
				return memory{bytes.NewReader(l.content)}, nil
			}
		}
	}
	return nil, storage.ErrNotFound
}

// keepRendered makes a blob of the call's repository of what is rendered in one that it may pull from: for a mount,
// or for a manifest of a client's that needs it, because to a HEAD it was there, so the client did not send it. It
// returns its size, or 0 where there is nothing to keep.
func (g *Registry) keepRendered(ctx context.Context, c *call, from string, d digest.Digest) (size int64, err error) {
	var content storage.Blob
	err = g.store.View(ctx, func(tx storage.Reader) error {
		if content, err = renderedAsBlob(tx, from, d); err == nil && c.from != "" {
			err = g.mayTake(tx, c)
		}
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	up, err := g.blobs.Create(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(up, content); err != nil {
		return 0, errors.Join(err, up.Cancel())
	}
	return content.Size(), g.storeBlob(ctx, c, d, up)
}

// errRendered is the answer to who would change what the registry renders.
func errRendered(d digest.Digest) error {
	return errDenied("%s is the registry's own record of an image: it goes with the image, and nobody can change it", d)
}

// acceptRendered says whether a manifest that comes is one that is rendered here, as when somebody copies an
// image with all that refers to it to where it came from. It is taken, and not kept. A tag it cannot have.
func (g *Registry) acceptRendered(ctx context.Context, p *push) (f *found, err error) {
	if p.manifest.artifactType != provenance.ReferrerType {
		return nil, nil
	}
	err = g.firstView(p.call)(ctx, noReads, func(tx storage.Reader) error {
		f, err = renderedAsManifest(tx, p.repo, p.digest)
		return err
	})
	if err == nil && f != nil && len(p.tags) > 0 {
		err = errRendered(p.digest)
	}
	return f, err
}

// listedAnnotations are those that a list of referrers shows of what a client pushed.
func listedAnnotations(annotations map[string]string) map[string]string {
	var shown map[string]string
	for name, value := range annotations {
		if strings.HasPrefix(name, provenance.OwnAnnotations) {
			continue
		}
		if shown == nil {
			shown = make(map[string]string, len(annotations))
		}
		shown[name] = value
	}
	return shown
}
