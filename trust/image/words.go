package image

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust/word"
)

// maxWords bounds the records of other registries that are read of one image.
const maxWords = 16

// A Listener reads what other registries say of images in a repository.
type Listener struct {
	From       Source
	Repository string
	Trust      *word.Trust // whose word counts; nil: nobody's
	Holds      word.Holds  // recognises this registry's own; nil where there is none
}

// Words returns what other registries' records that are attached to an image say, each with what it is worth now, as they are
// verified now. cut says that there are more than are read.
func (l Listener) Words(ctx context.Context, on digest.Digest) (words []provenance.WeighedWord, cut bool, err error) {
	list, err := l.From.Referrers(ctx, ocispec.Descriptor{Digest: on})
	if err != nil {
		return nil, false, err
	}
	for _, d := range list {
		if d.ArtifactType != provenance.ReferrerType || l.isOurs(d) {
			continue
		}
		if cut = len(words) == maxWords; cut {
			break
		}
		w, err := l.listen(ctx, on, d)
		if err != nil {
			return nil, false, err
		}
		words = append(words, w)
	}
	return words, cut || len(list) > maxDocuments, nil
}

// isOurs says whether an artifact is what this registry renders of its own record. In its lists nobody else's has such
// annotations.
func (l Listener) isOurs(d ocispec.Descriptor) bool {
	_, marked := d.Annotations[provenance.NoteRecord]
	_, local := l.From.(interface{ IsLocal() })
	return marked && local
}

// listen reads one artifact. Of what cannot be read nothing is known, and it says why.
func (l Listener) listen(ctx context.Context, on digest.Digest, d ocispec.Descriptor) (w provenance.WeighedWord, err error) {
	a := word.Artifact{Subject: on, Manifest: d.Digest}
	_, body, err := l.From.Manifest(ctx, d.Digest.String())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return w, err
	}
	var m manifest
	switch {
	case err != nil:
		a.Unread = "its manifest is not there"
	case strictjson.Unmarshal(body, &m) != nil || m.Subject == nil || m.Subject.Digest != on:
		a.Unread = "its manifest is not one that is about this image"
	default:
		a.Annotations = m.Annotations
		if a.Layers, err = l.layers(ctx, m.Layers); err != nil {
			return w, err
		}
	}
	found, err := l.Trust.Look(ctx, a, l.Holds)
	return l.Trust.Weigh(found, l.Repository), err
}

func (l Listener) layers(ctx context.Context, list []ocispec.Descriptor) ([]word.Layer, error) {
	return word.ReadLayers(list, func(d ocispec.Descriptor) ([]byte, string, error) {
		body, err := l.From.Blob(ctx, d, word.MaxLayer, newRoom)
		switch {
		case ctx.Err() != nil:
			return nil, "", ctx.Err()
		case err != nil:
			return nil, err.Error(), nil
		}
		return body, "", nil
	})
}

// Remember notes when words were first verified here, as the records about the image say, newest first; and takes from them the proofs
// that were fetched from the registries that speak.
func (l Listener) Remember(words []provenance.WeighedWord, records []*provenance.Record) {
	for i := range words {
		for _, r := range records {
			if r.Word != nil && r.Word.Result == provenance.Good && r.Word.Evidence.Digest == words[i].Evidence.Digest {
				words[i] = l.Trust.Recall(words[i], r.Word, l.Repository)
				words[i].Before = &provenance.Verified{Record: r.Index, Time: r.Time}
			}
		}
	}
}

// readWords reads what other registries say of the image.
func (s *subject) readWords(ctx context.Context, d *docReader) error {
	l := Listener{From: s.from, Repository: s.Repository, Trust: s.Trust.Words(), Holds: s.Holds}
	words, cut, err := l.Words(ctx, s.desc.Digest)
	if err != nil {
		d.miss("what other registries say of it could not be read", err)
		return ctx.Err()
	}
	if cut {
		d.miss("there are more records of other registries than are read", errors.New("a bound was reached"))
	}
	l.Remember(words, s.about)
	s.words = words
	return nil
}

// wordFacts are what the registries attest whose word counts.
func (s *subject) wordFacts() (all []fact) {
	for _, w := range s.words {
		facts := w.Facts()
		for _, name := range slices.Sorted(maps.Keys(facts)) {
			f := facts[name]
			all = append(all, fact{Fact: Fact{Name: name, Value: f.Value, Class: f.Class, From: f.From, By: w.Registry}})
		}
	}
	return all
}
