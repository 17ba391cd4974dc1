package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// maxCarried bounds the provenance referrers of an image that are checked.
const maxCarried = 20

// elsewhere checks what a registry of any kind has of a reference: a provenance referrer, or an image that has some. It is
// not done where the registry is a Hallmark and the reference is one of its images: then that is asked for all records. But where
// the logs that were kept are none of its own, they are to prove what came with the image.
func (e *env) elsewhere(ctx context.Context, t *target, ref reference, v *verification) (done bool, err error) {
	if ref.host == "" || ref.prefix != "" || t.server != "https://"+ref.host || t.data != "" {
		return false, nil
	}
	cl, err := e.connectRemote(ctx, t, t.server)
	if err != nil {
		return false, err
	}
	defer cl.close() //nolint:errcheck // what was asked is answered
	ours := cl.isHallmark(ctx) && v.isOf(ctx, cl)
	if ours && ref.digest == "" {
		return false, nil
	}
	from, err := e.openRemote(ctx, t, ref)
	if err != nil {
		return false, err
	}
	desc, body, err := from.Manifest(ctx, firstOf(ref.digest.String(), ref.tag, "latest"))
	isReferrer := err == nil && evidence.IsReferrer(body)
	switch {
	case ours && !isReferrer: // where it cannot be read, it may be in the records all the same
		return false, nil //nolint:nilerr // see above
	case err != nil:
		return false, remoteError(ref, err)
	case !ours && !v.kept:
		return false, usagef("%s has no keys to ask for: give those of the registry that recorded the image, with --trusted-root logs.json and --key receipts.json", ref.host)
	}
	if err := v.fetchTrust(ctx, cl); err != nil {
		return false, err
	}
	v.Image, v.Digest = ref.host+"/"+ref.repository, desc.Digest
	if isReferrer {
		_, err := v.carried(ctx, from, body)
		return true, err
	}
	return true, v.attached(ctx, from, ref, desc)
}

// isOf says whether a registry has one of the logs that were kept, where any were.
func (v *verification) isOf(ctx context.Context, cl *client) bool {
	if !v.kept {
		return true
	}
	data, err := cl.fetch(ctx, "/keys/logs.json", maxKeyFile)
	if err != nil {
		return true
	}
	logs, err := receipt.ParseLogs(data)
	return err != nil || slices.ContainsFunc(logs, func(its receipt.LogEntry) bool {
		return slices.ContainsFunc(v.trust.Logs, func(kept receipt.LogEntry) bool { return kept.Origin == its.Origin })
	})
}

func (e *env) openRemote(ctx context.Context, t *target, ref reference) (*image.Remote, error) {
	ask, err := e.registryClient(ctx, t, ref.host)
	if err != nil {
		return nil, err
	}
	from, err := image.NewRemote(ref.host+"/"+ref.repository, ask)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return from, nil
}

// remoteError is why a registry gave no manifest.
func remoteError(ref reference, err error) error {
	if errors.Is(err, image.ErrNotFound) {
		return nof("%s/%s: %w", ref.host, ref.repository, err)
	}
	return explain("https://"+ref.host, err)
}

// attached checks the provenance referrers of an image, of which one has to be good: anybody may attach others.
func (v *verification) attached(ctx context.Context, from *image.Remote, ref reference, desc ocispec.Descriptor) error {
	list, err := from.Referrers(ctx, desc)
	if err != nil {
		return remoteError(ref, err)
	}
	refused, good := error(nil), false
	for _, d := range list {
		if d.ArtifactType != provenance.ReferrerType || len(v.Receipts) == maxCarried {
			continue
		}
		_, body, err := from.Manifest(ctx, d.Digest.String())
		if err != nil {
			return remoteError(ref, err)
		}
		found, err := v.carried(ctx, from, body)
		if err == nil && found.Subject != desc.Digest {
			err = v.refuse("it refers to %s", found.Subject)
		}
		switch {
		case err == nil:
			good = true
		case !errors.Is(err, receipt.ErrRefused):
			return err
		case refused == nil:
			refused = err
		}
	}
	switch {
	case good:
		return nil
	case refused != nil:
		return refused
	default:
		return fmt.Errorf("%w: nothing of the type %s refers to it in %s; an image is copied with what refers to it by `oras cp -r`", receipt.ErrRefused, provenance.ReferrerType, ref.host)
	}
}

// refuse notes why the last receipt is refused.
func (v *verification) refuse(format string, args ...any) error {
	err := fmt.Errorf("%w: "+format, append([]any{receipt.ErrRefused}, args...)...)
	v.Receipts[len(v.Receipts)-1].Error = err.Error()
	return err
}

// carried checks a provenance referrer, and notes what it proves.
func (v *verification) carried(ctx context.Context, from *image.Remote, body []byte) (*evidence.Carried, error) {
	r := &verified{}
	v.Receipts = append(v.Receipts, r)
	found, err := evidence.VerifyReferrer(body, func(d ocispec.Descriptor) ([]byte, error) {
		data, err := from.Blob(ctx, d, receipt.MaxBundle, func(n int) ([]byte, error) { return make([]byte, n), nil })
		if err != nil {
			return nil, askf("the layer %s: %w", d.Digest, err)
		}
		return data, nil
	}, v.trust)
	if err != nil {
		r.Error = err.Error()
		return nil, err
	}
	r.UnknownNotes = found.Unknown
	r.Record, r.Key, r.record = found.Record.Index, found.Key, found.Record
	if p := found.Receipt; p != nil {
		r.Log, r.Leaf, r.Size, r.RootHash = p.Checkpoint.Origin, p.Leaf, p.Checkpoint.Size, p.Checkpoint.Root.String()
		r.Cosigned, r.Unchecked, r.Statement = p.Cosigned, p.Unchecked, p.Statement
	} else {
		r.Statement = found.Signed.Statement
	}
	return found, nil
}
