package registry

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What another registry says of an image comes with a proof that no witness has cosigned: it is made when the image is pushed there.
// An import can ask that registry for a newer one. That is found out after the artifact has come, and gets a record of its own, so that
// it can be asked again: witnesses come later than images. If we stop between the two, the next import asks.

// Published is what a registry publishes at a path beside its images, as /log/checkpoint.
type Published func(ctx context.Context, path string) ([]byte, error)

// A Prover is an Appraiser that has other registries' records proved anew by what those registries publish.
type Prover interface {
	Appraiser
	// WantsProof says whether any record that comes to a repository has to be proved so.
	WantsProof(repository string) bool
	// Prove asks for a proof where a record needs one and none was found before. why says what is missing. Whatever is answered is no error.
	Prove(ctx context.Context, a Attachment, from Published) (found []provenance.Finding, why string, err error)
}

// Prove has a manifest that is here proved by what the registry publishes that it comes from, if it is another registry's record and needs
// that. why says what is missing to that. Errors: those that AnswerOf knows.
func (i *Importer) Prove(ctx context.Context, repo string, d digest.Digest, from Published) (why string, err error) {
	defer i.tell(&err)
	prover, ok := i.g.appraiser.(Prover)
	if !ok || !prover.WantsProof(repo) {
		return "", nil
	}
	c, err := i.call(ctx, repo)
	if err != nil {
		return "", err
	}
	a, ok, err := i.g.otherWord(ctx, repo, d)
	if err != nil || !ok {
		return "", err
	}
	found, err := prover.Appraise(ctx, a) // as its registry was named since it came
	if err == nil {
		err = i.g.recordLater(ctx, c, a, found)
	}
	if err == nil {
		found, why, err = prover.Prove(ctx, a, from)
	}
	if err == nil {
		err = i.g.recordLater(ctx, c, a, found)
	}
	if errors.Is(err, ErrUnknown) { // it was removed meanwhile
		return "", nil
	}
	return why, err
}

// otherWord reads a manifest that may be another registry's record.
func (g *Registry) otherWord(ctx context.Context, repo string, d digest.Digest) (a Attachment, ok bool, err error) {
	desc, body, err := g.Manifest(ctx, repo, d.String())
	if err != nil {
		if errors.Is(err, ErrUnknown) {
			err = nil
		}
		return a, false, err
	}
	m, err := parseManifest(desc.MediaType, body)
	if err != nil || m.subject == nil || m.artifactType != provenance.ReferrerType {
		return a, false, nil //nolint:nilerr // what cannot be read is nobody's record
	}
	return g.attachment(repo, m.subject.Digest, d, m), true, nil
}

// recordLater records what was found of a manifest that is here, unless it was removed meanwhile.
func (g *Registry) recordLater(ctx context.Context, c *call, a Attachment, found []provenance.Finding) error {
	if len(found) == 0 {
		return nil
	}
	err := g.update(ctx, c, noReads, func(tx storage.Tx) error {
		value, err := getOrNil(tx, manifestTable, repoKey(a.Repository, digestKey(a.Manifest)))
		if err != nil || value == nil {
			return err
		}
		row, err := decodeManifestRow(value)
		if err != nil {
			return err
		}
		record, err := g.recordFindings(tx, c, a.Subject, found, &row.record)
		if err != nil {
			return err
		}
		return errors.Join(touch(tx, a.Repository, a.Subject, record.Index), g.noteMoves(tx, a.Subject))
	})
	if err == nil {
		g.changed([]digest.Digest{a.Subject})
	}
	return err
}
