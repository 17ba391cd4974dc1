package signature

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// A statement without a signature of its own, as BuildKit's, is attested where the manifest that holds it is signed: a
// signature over a manifest is one over all that it holds. It counts for the kinds that its signer vouches for, and where the
// statement or the manifest itself names the image: what an index says about a manifest is the word of the one who made the index.

// BareStatement is the media type of a layer that is a statement without a signature.
const BareStatement = "application/vnd.in-toto+json"

// A Carried is such a statement, as far as it is about one image.
type Carried struct {
	Manifest      digest.Digest // that holds it
	Layer         digest.Digest
	PredicateType string
	About         digest.Digest      // an image that the statement or the manifest names
	Claims        []provenance.Claim // that it makes, about any
}

// Over returns what is found of a carried statement for a signature over its manifest, and false where the signature does not
// count for it.
func (t *Trust) Over(signed *provenance.Verdict, c Carried, repository string, now time.Time) (f provenance.Finding, ok bool) {
	v := *signed
	v.Kind, v.Manifest = provenance.KindOf(c.PredicateType), c.Manifest
	v.Evidence = provenance.Evidence{Digest: c.Layer, PredicateType: provenance.Bounded(c.PredicateType)}
	if why, _ := t.Standing(&v, repository, now); why != "" {
		return f, false
	}
	f.Verdict = v
	for _, claim := range c.Claims {
		if claim.About == c.About {
			f.Attested = append(f.Attested, claim.Attested(&v))
		}
	}
	return f, true
}

// maxCarried bounds the bytes of carried statements that are read when a signature comes.
const maxCarried = 2 * provenance.MaxBare

// attestCarried adds to the good signatures over a manifest what the statements attest that it carries. What is beyond a bound, or
// comes later than the signature, is not on record; reports look at it all the same.
func (t *Trust) attestCarried(ctx context.Context, to registry.Attachment, findings []provenance.Finding, now time.Time) error {
	counts := func(f provenance.Finding) bool {
		why, _ := t.Standing(&f.Verdict, to.Repository, now)
		return f.Verdict.Is(provenance.ImageKind) && why == ""
	}
	if !slices.ContainsFunc(findings, counts) {
		return nil
	}
	signed, err := to.Signed(ctx)
	if errors.Is(err, registry.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	carried, err := statementsIn(ctx, to, signed)
	if err != nil {
		return err
	}
	for i := range findings {
		f := &findings[i]
		for _, c := range carried {
			if over, ok := t.Over(&f.Verdict, c, to.Repository, now); ok && counts(*f) {
				f.Attested = append(f.Attested, over.Attested...)
			}
		}
	}
	return nil
}

// statementsIn reads the statements that a manifest carries.
func statementsIn(ctx context.Context, to registry.Attachment, signed registry.Signed) (all []Carried, err error) {
	left := int64(maxCarried)
	bare := slices.DeleteFunc(slices.Clone(signed.Layers), func(l ocispec.Descriptor) bool { return l.MediaType != BareStatement })
	for _, layer := range bare[:min(len(bare), maxLayers)] {
		found, size, err := readCarried(ctx, to, signed, layer, min(provenance.MaxBare, left))
		if err != nil {
			return nil, err
		}
		all, left = append(all, found...), left-size
	}
	return all, nil
}

func readCarried(ctx context.Context, to registry.Attachment, signed registry.Signed, layer ocispec.Descriptor, most int64) (all []Carried, size int64, err error) {
	on := desk.Sit(ctx)
	defer on.Leave()
	body, err := to.Blob(ctx, layer.Digest, most, on.Whole)
	if large := new(registry.TooLargeError); errors.As(err, &large) || errors.Is(err, registry.ErrUnknown) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, errors.Join(err, ctx.Err())
	}
	for _, st := range provenance.OpenAttestationIn(on.Packed, body, signed.Subject) {
		if st.Sealed { // it has a signature of its own
			continue
		}
		for _, about := range st.About(signed.Subject) {
			all = append(all, Carried{to.Subject, layer.Digest, st.PredicateType, about, st.Claims(layer.Digest, signed.Subject)})
		}
	}
	return all, int64(len(body)), nil
}
