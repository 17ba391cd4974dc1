package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/replay"
)

const (
	// provenanceName stands for the digest of an image's provenance, which no record states.
	provenanceName = "provenance"
)

// referrers asks for what refers to some digests of a repository: each manifest that has one as its subject, and the
// provenance of each image that had a tag. What is listed has to be what is pulled.
func (r *run) referrers(repo string, subjects map[digest.Digest]bool) *question {
	return &question{
		byRecords: func(s *replay.State) view { return referrersOf(s, repo, subjects) },
		served: func(ctx context.Context) (view, error) {
			all := make(view)
			for _, subject := range slices.Sorted(maps.Keys(subjects)) {
				if err := r.referrersServed(ctx, repo, subject, all); err != nil {
					return nil, err
				}
			}
			return all, nil
		},
		says: func(name string, served, byRecords *meaning) string {
			subject, referrer, _ := strings.Cut(name, " ")
			if referrer == provenanceName {
				return saysProvenance(manifestName(repo, subject), served, byRecords)
			}
			return saysReferrer(manifestName(repo, referrer), subject, served)
		},
		called: func(name string) string {
			subject, referrer, _ := strings.Cut(name, " ")
			if referrer == provenanceName {
				return manifestName(repo, subject)
			}
			return manifestName(repo, referrer)
		},
	}
}

func referrerName(subject digest.Digest, referrer string) string {
	return subject.String() + " " + referrer
}

// referrersOf are the referrers by the records. Those from before records stated their effects are not among them: a
// registry that is older may not list them.
func referrersOf(s *replay.State, repo string, subjects map[digest.Digest]bool) view {
	all := make(view)
	in := s.Repositories[repo]
	if in == nil {
		return all
	}
	for d, m := range in.Manifests {
		if m.Added >= s.States && subjects[m.Subject] {
			all[referrerName(m.Subject, d.String())] = meaning{digest: d}
		}
		if m.Added >= s.States && subjects[d] && m.HadTag && m.Subject == "" {
			all[referrerName(d, provenanceName)] = meaning{digest: d, since: m.Tagged}
		}
	}
	return all
}

// referrersServed adds what is listed for one digest.
func (r *run) referrersServed(ctx context.Context, repo string, subject digest.Digest, all view) error {
	path := "/v2/" + repo + "/referrers/" + subject.String() + "?n=1000"
	return r.eachPage(ctx, path, func(data []byte) (string, error) {
		var page struct{ Manifests []ocispec.Descriptor }
		if err := json.Unmarshal(data, &page); err != nil || len(page.Manifests) == 0 {
			return "", err
		}
		for _, listed := range page.Manifests {
			if err := r.referrer(ctx, repo, subject, listed, all); err != nil {
				return "", err
			}
		}
		return path + "&last=" + page.Manifests[len(page.Manifests)-1].Digest.String(), nil
	})
}

// referrer adds one that is listed, with what of it is not so.
func (r *run) referrer(ctx context.Context, repo string, subject digest.Digest, listed ocispec.Descriptor, all view) error {
	var pushed, image *replay.Manifest
	if in := r.memory.State.Repositories[repo]; in != nil {
		pushed, image = in.Manifests[listed.Digest], in.Manifests[subject]
	}
	if pushed != nil && pushed.Added < r.memory.State.States || image != nil && pushed == nil && image.Added < r.memory.State.States {
		return nil
	}
	m, why, err := r.listedManifest(ctx, repo, subject, listed, pushed == nil)
	if err != nil && !errors.Is(err, errKept) { // a rule may keep it from the one who asks: then it counts as what it is listed as
		return err
	}
	// The image's provenance is what is listed as that, or is that: anything else that no record has may be listed before it.
	own := referrerName(subject, provenanceName)
	other := listed.ArtifactType != provenance.ReferrerType && m.ArtifactType != provenance.ReferrerType
	if _, has := all[own]; pushed != nil || image == nil || has || other {
		all[referrerName(subject, listed.Digest.String())] = meaning{digest: listed.Digest, as: why}
		return nil
	}
	record := image.Tagged
	if err == nil && why == "" {
		record, why, err = r.provenanceOf(ctx, repo, subject, m)
	}
	if err != nil && !errors.Is(err, errKept) {
		return err
	}
	if record == image.First { // an older version renders the record of its arrival, whenever its first tag came
		record = image.Tagged
	}
	all[own] = meaning{digest: subject, since: record, as: why}
	return nil
}

// listedManifest pulls what is listed, and says what of its descriptor is not so. own says that no record is of it.
func (r *run) listedManifest(ctx context.Context, repo string, subject digest.Digest, listed ocispec.Descriptor, own bool) (m ocispec.Manifest, why string, err error) {
	path := "/v2/" + repo + "/manifests/" + listed.Digest.String()
	body, err := r.pullBody(ctx, path)
	if err != nil {
		return m, "", err
	}
	if digest.FromBytes(body) != listed.Digest && listed.Digest.Algorithm() == digest.SHA256 || json.Unmarshal(body, &m) != nil {
		return m, "cannot be pulled", nil
	}
	is := ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Size: int64(len(body)), Annotations: m.Annotations}
	if is.ArtifactType == "" {
		is.ArtifactType = m.Config.MediaType
	}
	if !own {
		maps.DeleteFunc(is.Annotations, func(name, _ string) bool { return strings.HasPrefix(name, provenance.OwnAnnotations) })
	}
	switch {
	case m.Subject == nil || m.Subject.Digest != subject:
		why = "has another subject"
	case listed.ArtifactType != is.ArtifactType:
		why = fmt.Sprintf("is listed with the type %s, and has %s", listed.ArtifactType, is.ArtifactType)
	case is.MediaType != "" && listed.MediaType != is.MediaType:
		why = fmt.Sprintf("is listed with the media type %s, and has %s", listed.MediaType, is.MediaType)
	case listed.Size != is.Size:
		why = fmt.Sprintf("is listed with the size %d, and has %d", listed.Size, is.Size)
	case !maps.Equal(listed.Annotations, is.Annotations):
		why = fmt.Sprintf("is listed with the annotations %q, and has %q", listed.Annotations, is.Annotations)
	}
	return m, why, nil
}

// pullBody returns the bytes that are there, or none.
func (r *run) pullBody(ctx context.Context, path string) ([]byte, error) {
	answer, err := r.Ask(ctx, http.MethodGet, path)
	switch {
	case err != nil:
		return nil, err
	case answer.Status == http.StatusNotFound || answer.Status == http.StatusInternalServerError:
		return nil, nil
	case answer.Status != http.StatusOK:
		return nil, answer.error(path)
	}
	return answer.Body, nil
}

// provenanceOf returns the record whose statement an image's provenance holds, and what of it is not so.
func (r *run) provenanceOf(ctx context.Context, repo string, image digest.Digest, m ocispec.Manifest) (record uint64, why string, err error) {
	if m.ArtifactType != provenance.ReferrerType || len(m.Layers) == 0 {
		return 0, "holds no statement", nil
	}
	body, err := r.pullBody(ctx, "/v2/"+repo+"/blobs/"+m.Layers[0].Digest.String())
	if err != nil {
		return 0, "", err
	}
	var envelope struct {
		Payload    []byte
		Signatures []struct{ Sig []byte }
	}
	if digest.FromBytes(body) != m.Layers[0].Digest || json.Unmarshal(body, &envelope) != nil || len(envelope.Signatures) != 1 {
		return 0, "holds no statement that can be read", nil
	}
	stated, err := provenance.ParseStatement(envelope.Payload)
	switch {
	case err != nil:
		why = "holds no statement of a record"
	case stated.Repository != repo || stated.Digest != image:
		why = fmt.Sprintf("holds record %d, which is about another image", stated.Index)
	case !r.keys.signed(stated.Index, envelope.Payload, envelope.Signatures[0].Sig):
		why = fmt.Sprintf("holds a statement of record %d that its key did not sign", stated.Index)
	}
	if why != "" {
		return 0, why, nil //nolint:nilerr // what cannot be read is an answer: why says so
	}
	return stated.Index, "", nil
}

func saysReferrer(what, subject string, served *meaning) string {
	switch {
	case served == nil:
		return fmt.Sprintf("%s is not among the referrers of %s; by the records it refers to it", what, subject)
	case served.as != "":
		return fmt.Sprintf("%s, a referrer of %s, %s", what, subject, served.as)
	}
	return fmt.Sprintf("%s is listed as a referrer of %s; by the records it is not", what, subject)
}

func saysProvenance(what string, served, byRecords *meaning) string {
	switch {
	case served == nil:
		return fmt.Sprintf("%s has no provenance among its referrers; by the records it has had a tag since record %d", what, byRecords.since)
	case served.as != "":
		return fmt.Sprintf("the provenance of %s %s", what, served.as)
	case byRecords == nil:
		return fmt.Sprintf("%s has record %d as its provenance; by the records it has had no tag", what, served.since)
	}
	return fmt.Sprintf("%s has record %d as its provenance; by the records it had its first tag with record %d", what, served.since, byRecords.since)
}
