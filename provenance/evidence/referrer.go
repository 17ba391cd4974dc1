package evidence

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// maxReferrerLayers bounds the layers that are read: the envelope, its receipt, and those of changes of keys.
const maxReferrerLayers = 16

// Carried is what a provenance referrer proves.
type Carried struct {
	Subject digest.Digest // the image that it is about
	Record  *provenance.Record
	Key     string
	Signed  *receipt.Signed   // where it has the statement alone
	Receipt *receipt.Verified // where it has a receipt
	By      *uint64           // the record that put the key in force, where that is how it is known
	Unknown []string          // its annotations that nothing proves, as provenance.UnknownNotes has them
}

// referrer has the fields of such a manifest.
type referrer struct {
	manifest
	Annotations map[string]string `json:"annotations"`
}

// IsReferrer says whether a manifest is to be a provenance referrer.
func IsReferrer(body []byte) bool {
	m, err := parseManifest(body)
	return err == nil && m.ArtifactType == provenance.ReferrerType
}

// VerifyReferrer checks a provenance referrer, in whatever registry it is: its envelope, its receipt where it has one, that they
// are about its subject, and that its annotations say what the record says. layer returns the bytes of a layer, whose digest was
// checked. Errors: ErrRefused, and that of layer.
func VerifyReferrer(body []byte, layer func(ocispec.Descriptor) ([]byte, error), trust receipt.Trust) (*Carried, error) {
	var m referrer
	if err := strictjson.Unmarshal(body, &m); err != nil {
		return nil, refusef("it is no manifest that all readers read alike: %w", err)
	}
	if m.ArtifactType != provenance.ReferrerType || m.Subject == nil || len(m.Layers) == 0 || len(m.Layers) > maxReferrerLayers ||
		m.Layers[0].MediaType != provenance.EnvelopeType {
		return nil, refusef("it is no provenance referrer: an artifact of the type %s with a subject, and a signed statement as its first layer", provenance.ReferrerType)
	}
	envelope, err := layer(m.Layers[0])
	if err != nil {
		return nil, err
	}
	var receipts [][]byte
	for _, d := range m.Layers[1:] {
		if d.MediaType != receipt.LayerType {
			return nil, refusef("it has a layer of the type %q, which no provenance referrer has", d.MediaType)
		}
		bundle, err := layer(d)
		if err != nil {
			return nil, err
		}
		receipts = append(receipts, bundle)
	}
	c := &Carried{Subject: m.Subject.Digest}
	if err := c.verify(envelope, receipts, provenance.NewKeyring(trust)); err != nil {
		return nil, err
	}
	return c, c.agrees(m)
}

// verify checks the envelope, and the receipts: that of the record, and behind it those of the records by which its key came
// into force, the oldest first.
func (c *Carried) verify(envelope []byte, receipts [][]byte, keys *provenance.Keyring) (err error) {
	var statement []byte
	if len(receipts) == 0 {
		if c.Signed, err = receipt.VerifyEnvelope(envelope, keys.Trust); err != nil {
			return err
		}
		statement, c.Key = c.Signed.Statement, c.Signed.Key.Hint()
	} else {
		if !receipt.SameEnvelope(receipts[0], envelope) {
			return refusef("its receipt is not of its statement")
		}
		if err := keys.Steps(receipts); err != nil {
			return err
		}
		if c.Receipt, err = receipt.Verify(receipts[0], keys.Trust); err != nil {
			return err
		}
		statement, c.Key = c.Receipt.Statement, c.Receipt.Key.Hint()
	}
	c.By = keys.By(c.Key)
	if c.Record, err = provenance.ParseStatement(statement); err != nil {
		return refusef("%w", err)
	}
	return nil
}

// agrees wants the artifact to say what the record says: its subject, and each annotation that only a registry may give.
func (c *Carried) agrees(m referrer) error {
	r := c.Record
	if c.Subject != r.Digest {
		return refusef("it refers to %s, and its record %d is about %s", c.Subject, r.Index, r.Digest)
	}
	c.Unknown = provenance.UnknownNotes(m.Annotations)
	switch name, want, wrong := provenance.WrongNote(r, m.Annotations); {
	case wrong && want == "":
		return refusef("its annotation %s is %q, which its record does not say", name, m.Annotations[name])
	case wrong:
		return refusef("its annotation %s is %q, and by its record it is %q", name, m.Annotations[name], want)
	}
	return nil
}
