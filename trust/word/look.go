package word

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// The bounds of what is read of one artifact.
const (
	MaxLayers = 9                 // its envelope, its receipt, and changes of keys
	MaxLayer  = receipt.MaxBundle // bytes of each
	maxSaying = 8 << 10           // bytes of what a record says, as JSON
	maxProof  = 16 << 10          // bytes of a checkpoint with its cosignatures
)

// An Artifact is another registry's record of an image, as it came.
type Artifact struct {
	Subject     digest.Digest // the image that it is attached to
	Manifest    digest.Digest
	Annotations map[string]string
	Layers      []Layer
	Unread      string // why the manifest itself was not read; "" where it was
}

// A Layer is one of its documents.
type Layer struct {
	MediaType string
	Digest    digest.Digest
	Body      []byte // at most MaxLayer
	Unread    string // why the body was not read; "" where it was
}

// TooMany is why layers behind the first MaxLayers are not read.
var TooMany = fmt.Sprintf("it carries more than %d documents, and those behind are not read", MaxLayers)

// ReadLayers reads those layers of an artifact that are looked at, of which there are at most MaxLayers. blob returns a layer of at most
// MaxLayer bytes, or why it was not read. Errors: blob's.
func ReadLayers(list []ocispec.Descriptor, blob func(ocispec.Descriptor) (body []byte, unread string, err error)) (layers []Layer, err error) {
	for _, d := range list {
		if d.MediaType != receipt.LayerType && d.MediaType != provenance.EnvelopeType {
			continue
		}
		layer := Layer{MediaType: d.MediaType, Digest: d.Digest}
		if len(layers) == MaxLayers {
			layer.Unread = TooMany
			return append(layers, layer), nil
		}
		if layer.Body, layer.Unread, err = blob(d); err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// Holds says whether the log of an origin is one of this registry's, and whether it holds a statement as its record.
type Holds func(ctx context.Context, origin string, index uint64, payload []byte) (ours, held bool, err error)

// Look finds out whose word an artifact is. Whatever is in it is no error; one is holds's.
func (t *Trust) Look(ctx context.Context, a Artifact, holds Holds) (w provenance.Word, err error) {
	w = provenance.Word{Result: provenance.Foreign, Manifest: a.Manifest}
	receipts, unread := a.of(receipt.LayerType), a.unread()
	if len(receipts) == 0 {
		w.Reason, w.Detail = provenance.NoReceipt, "it carries no receipt, so nothing proves that its record is in a log"
		for _, l := range a.of(provenance.EnvelopeType) {
			w.Evidence.Digest = l.Digest
		}
		return leaveOpen(w, unread), nil
	}
	own := receipts[0]
	if own.Unread != "" {
		w.Evidence.Digest = own.Digest
		return leaveOpen(w, unread), nil
	}
	w.Evidence = provenance.Evidence{Digest: own.Digest, PredicateType: receipt.PredicateType}
	origin := receipt.OriginOf(own.Body)
	if w, is, err := ownWord(ctx, w, a, own.Body, origin, holds); is || err != nil {
		return leaveOpen(w, unread), err
	}
	r := t.find(func(r *Registry) bool { return r.log(origin) != nil })
	if r == nil {
		w.Reason, w.Detail = provenance.NotTrusted, "its log is not one of those that are kept here of other registries"
		if origin != "" {
			w.Detail = fmt.Sprintf("it is in the log %.80s, which is not one of those that are kept here of other registries", origin)
		}
		return w, nil
	}
	w.Registry = r.name
	conclude(&w, r.verify(&w, a, receipts))
	return leaveOpen(w, unread), nil
}

// of are the layers of a media type.
func (a *Artifact) of(mediaType string) (layers []Layer) {
	for _, l := range a.Layers {
		if l.MediaType == mediaType {
			layers = append(layers, l)
		}
	}
	return layers
}

// unread says why some of the artifact was not read, or "".
func (a *Artifact) unread() string {
	if a.Unread != "" {
		return a.Unread
	}
	what := map[string]string{receipt.LayerType: "a receipt of it", provenance.EnvelopeType: "its envelope"}
	for _, l := range a.Layers {
		if l.Unread != "" {
			return fmt.Sprintf("%s was not read: %s", what[l.MediaType], l.Unread)
		}
	}
	return ""
}

// leaveOpen is a word of which some was not read: where what was read does not refute it, nothing is known. That its log has signed its
// checkpoint is known all the same, and shows a fork.
func leaveOpen(w provenance.Word, unread string) provenance.Word {
	refuted := w.Result == provenance.Failed && w.Reason != provenance.UnknownKey || w.Reason == provenance.NotTrusted
	if unread == "" || refuted {
		return w
	}
	w.Result, w.Reason, w.Detail = provenance.Unread, provenance.NotRead, provenance.Bounded(unread)
	if w.Said != nil && !w.Own {
		w.Leaf = &w.Said.Log.Leaf
	}
	w.Said = nil
	return w
}

// A refusal says why a word does not hold.
type refusal struct {
	why    provenance.Reason
	detail string
}

func (r refusal) Error() string { return r.detail }

func refusef(why provenance.Reason, format string, args ...any) error {
	return refusal{why, fmt.Sprintf(format, args...)}
}

// ownWord recognises what this registry said itself. It is held against our own log and nothing else: anyone who has our keys can
// make more, and only what the log holds did we say.
func ownWord(ctx context.Context, w provenance.Word, a Artifact, body []byte, origin string, holds Holds) (_ provenance.Word, is bool, err error) {
	if holds == nil || origin == "" {
		return w, false, nil
	}
	payload, leaf := receipt.StatementIn(body)
	rec, parsed := provenance.ParseStatement(payload)
	if parsed != nil {
		rec = &provenance.Record{}
	}
	ours, held, err := holds(ctx, origin, rec.Index, payload)
	if err != nil || !ours {
		return w, false, err
	}
	w.Own = true
	wrong := isAbout(rec, a, payload)
	if parsed != nil || !held {
		wrong = refusef(provenance.NotInOurLog, "it says to be in this registry's own log %.80s, which does not hold it", origin)
	}
	conclude(&w, wrong)
	if wrong == nil {
		w.Said = provenance.SayingOf(rec, provenance.LeafID{Origin: origin, Leaf: leaf})
	}
	return w, true, nil
}

// conclude notes that a word holds, or why not.
func conclude(w *provenance.Word, wrong error) {
	w.Result = provenance.Good
	var refused refusal
	if errors.As(wrong, &refused) {
		w.Result, w.Reason, w.Detail = provenance.Failed, refused.why, provenance.Bounded(refused.detail)
	}
}

// verify checks a record by what was kept of its registry, and notes what it says.
func (r *Registry) verify(w *provenance.Word, a Artifact, receipts []Layer) error {
	v, err := receipt.Verify(receipts[0].Body, r.follow(receipts))
	switch {
	case errors.Is(err, receipt.ErrUnknownKey):
		return refusef(provenance.UnknownKey, "the registry %s has this log, and its record is signed with a key that is not known here: keep its /keys/receipts.json anew, "+
			"or attach the receipt of the record of its key change", r.name)
	case err != nil:
		return refusef(provenance.NoReceipt, "%s", strings.TrimPrefix(err.Error(), receipt.ErrRefused.Error()+": "))
	}
	rec, err := provenance.ParseStatement(v.Statement)
	if err != nil {
		return refusef(provenance.OtherStatement, "its statement is no record of an image: %v", err)
	}
	if err := isAbout(rec, a, v.Statement); err != nil {
		return err
	}
	said := provenance.SayingOf(rec, provenance.LeafID{Origin: v.Log.Origin, Leaf: v.Leaf})
	if text, err := json.Marshal(said); err != nil || len(text) > maxSaying || len(v.Signed) > maxProof {
		return refusef(provenance.OtherStatement, "what it says, or its checkpoint, is longer than is kept here")
	}
	w.Said, w.Checkpoint, w.Key = said, v.Signed, v.Key.Hint()
	w.Entry, w.Proof = &v.Entry, v.Proof
	if unknown := provenance.UnknownNotes(a.Annotations); len(unknown) > 0 {
		w.Detail = provenance.Bounded("annotations that are not known here, and that nothing proves: " + strings.Join(unknown, ", "))
	}
	return nil
}

// isAbout wants a record to be about the image that it is attached to, with the same statement beside its receipt, and with
// annotations that do not say something else.
func isAbout(rec *provenance.Record, a Artifact, payload []byte) error {
	if rec.Digest != a.Subject {
		return refusef(provenance.OtherDigest, "its record %d is about %s, and not about this image", rec.Index, rec.Digest)
	}
	for _, l := range a.of(provenance.EnvelopeType) {
		if l.Unread != "" {
			continue // so the word is left open
		}
		var e struct {
			Payload []byte `json:"payload"`
		}
		if strictjson.Unmarshal(l.Body, &e) != nil || !bytes.Equal(e.Payload, payload) {
			return refusef(provenance.OtherEnvelope, "the statement in its envelope is not the one that its receipt proves")
		}
	}
	switch name, want, wrong := provenance.WrongNote(rec, a.Annotations); {
	case wrong && want == "":
		return refusef(provenance.OtherNotes, "its annotation %s says %q, which its statement does not", name, a.Annotations[name])
	case wrong:
		return refusef(provenance.OtherNotes, "its annotation %s says %q, and its statement %q", name, a.Annotations[name], want)
	}
	return nil
}

// follow is the trust in a registry with the keys that its records have put in force since they were kept, of which the receipts come
// behind the image's.
func (r *Registry) follow(receipts []Layer) receipt.Trust {
	keys := provenance.NewKeyring(r.trust(r.keys))
	bundles := make([][]byte, len(receipts))
	for i, l := range receipts {
		bundles[i] = l.Body
	}
	_ = keys.Steps(bundles) // where a step is missing the image's receipt is refused, and says why
	return keys.Trust
}
