package signature

import (
	"context"
	"errors"
	"fmt"
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
	Unread        string             // why not all of it was read, or ""
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
	if c.Unread != "" {
		f.LeaveUnread(provenance.UnreadDocument{Document: c.Layer, About: c.About, Why: c.Unread})
	}
	return f, true
}

// The bounds of what is carried, when a signature comes: the bytes that are read, and the documents that are remembered because
// they were not. A record names fewer.
const (
	maxCarried = 2 * provenance.MaxBare
	maxUnread  = 64
)

// attestCarried adds to the good signatures over a manifest what the statements attest that it carries, and what of them is beyond a
// bound. What comes later than the signature is not on record; reports look at it all the same.
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
	carried, unread, err := statementsIn(ctx, to, signed)
	if err != nil {
		return err
	}
	for i := range findings {
		if counts(findings[i]) {
			t.attestBy(&findings[i], to.Repository, carried, unread, now)
		}
	}
	return nil
}

// attestBy adds to a signature over a manifest what it attests of what that carries.
func (t *Trust) attestBy(f *provenance.Finding, repository string, carried []Carried, unread []provenance.UnreadDocument, now time.Time) {
	for _, c := range carried {
		over, ok := t.Over(&f.Verdict, c, repository, now)
		if !ok {
			continue
		}
		f.Attested = append(f.Attested, over.Attested...)
		unread = append(unread, over.Unread...)
	}
	for _, u := range unread {
		f.LeaveUnread(u)
	}
}

// statementsIn reads the statements that a manifest carries, and says what may be one and was not read to its end. Nobody knows what
// that is about, where the manifest does not say it.
func statementsIn(ctx context.Context, to registry.Attachment, signed registry.Signed) (all []Carried, unread []provenance.UnreadDocument, err error) {
	left := int64(maxCarried)
	bare := slices.DeleteFunc(slices.Clone(signed.Layers), func(l ocispec.Descriptor) bool { return l.MediaType != BareStatement })
	for i, layer := range bare[:min(len(bare), maxLayers+maxUnread)] {
		found, size, why := []Carried(nil), int64(0), fmt.Sprintf("its manifest holds more than %d statements, and those behind are not read", maxLayers)
		if i < maxLayers {
			if found, size, why, err = readCarried(ctx, to, signed, layer, min(provenance.MaxBare, left)); err != nil {
				return nil, nil, err
			}
		}
		if said := provenance.StatedPredicate(layer.Annotations); why != "" && (said == "" || provenance.ReadsPredicate(said)) {
			unread = append(unread, provenance.UnreadDocument{Document: layer.Digest, About: signed.Subject, Why: why})
		}
		all, left = append(all, found...), left-size
	}
	return all, unread, nil
}

// readCarried reads the statements of a layer. unread says why there may be more, or is "".
func readCarried(ctx context.Context, to registry.Attachment, signed registry.Signed, layer ocispec.Descriptor, most int64) (all []Carried, size int64, unread string, err error) {
	on := desk.Sit(ctx)
	defer on.Leave()
	body, err := to.Blob(ctx, layer.Digest, most, on.Whole)
	large := new(registry.TooLargeError)
	switch {
	case errors.As(err, &large):
		return nil, 0, provenance.TooLarge(large.Size, most), nil
	case errors.Is(err, registry.ErrUnknown):
		return nil, 0, "", nil
	case err != nil:
		return nil, 0, "", errors.Join(err, ctx.Err())
	}
	lines, more := provenance.Lines(body)
	for _, st := range provenance.OpenLines(on.Packed, lines, signed.Subject) {
		if st.Sealed { // it has a signature of its own
			continue
		}
		for _, about := range st.About(signed.Subject) {
			all = append(all, Carried{to.Subject, layer.Digest, st.PredicateType, about, st.Claims(layer.Digest, signed.Subject), st.Unread()})
		}
	}
	if more {
		unread = provenance.TooManyLines()
	}
	return all, int64(len(body)), unread, nil
}
