package registry

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/query"
	"github.com/seed-260924e6/hallmark/storage"
)

// Referrers are ours because distribution v3.1 has no route for them and does not look at `subject`
// (OCI distribution specification 1.1, "Listing Referrers").
//
// Clients of older registries keep the list themselves, in an index under a tag that is made from the subject's
// digest ("Referrers Tag Schema"). It is not read: a manifest that has a subject is listed because it says so, in
// whatever way it came, and one that has none is no referrer. What is under such a tag may be something else:
// `cosign copy` tags each manifest of an index so.

// The bounds of a page. Descriptors carry annotations, so their number alone bounds nothing.
const (
	maxReferrers     = 1000    // rows looked at
	maxReferrerBytes = 2 << 20 // of descriptors; the last one may go beyond
)

// referrerRow is a manifest that has a subject, as the list of referrers shows it.
type referrerRow struct {
	artifactType string
	descriptor   []byte // JSON
}

func (r referrerRow) encode() []byte {
	return append(appendString(nil, r.artifactType), r.descriptor...)
}

// decodeReferrerRow reads a row. Its descriptor is a part of value, not a copy.
func decodeReferrerRow(value []byte) (referrerRow, error) {
	f := fields{rest: value}
	r := referrerRow{artifactType: f.string(), descriptor: f.rest}
	return r, f.err("referrer")
}

// putReferrer lists a manifest under its subject, which need not be there.
func (p *push) putReferrer(tx storage.Tx) error {
	if p.manifest.subject == nil {
		return nil
	}
	d := p.manifest.listed(p.digest, int64(len(p.body)))
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	subject, manifest := digestKey(p.manifest.subject.Digest), digestKey(p.digest)
	return errors.Join(
		putMissing(tx, referrerTable, repoKey(p.repo, subject, manifest), referrerRow{d.ArtifactType, text}.encode()),
		putMissing(tx, subjectTable, repoKey(p.repo, manifest), subject),
	)
}

// listed is a manifest as the list of referrers shows it.
func (m *manifest) listed(d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: m.mediaType, Digest: d, Size: size,
		ArtifactType: m.referrerType(), Annotations: listedAnnotations(m.annotations),
	}
}

// removeReferrer takes a manifest that goes away out of the list of its subject, which it may have kept.
func (g *Registry) removeReferrer(tx storage.Tx, repo string, manifest []byte, keep bool) error {
	subject, err := getOrNil(tx, subjectTable, repoKey(repo, manifest))
	if err == nil && subject != nil && keep {
		err = putHold(tx, repo, manifest, subject, holdSubject)
	}
	if err != nil || subject == nil {
		return err
	}
	tx.Delete(referrerTable, repoKey(repo, subject, manifest))
	tx.Delete(subjectTable, repoKey(repo, manifest))
	return g.release(tx, repo, subject, manifest)
}

// referrers lists the manifests whose subject is a digest. A digest without any, or that nobody knows, has
// an empty list.
func (g *Registry) referrers(w http.ResponseWriter, c *call) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	list := &referrerList{repo: c.repo, subject: c.digest, want: query.Readings(c.r.URL.RawQuery, "artifactType"), page: p, hold: referrersAtOnce}
	if err := c.view(c.r.Context(), func() []storage.Read { return []storage.Read{list.rows()} }, list.begin); err != nil {
		return err
	}
	if list.next != "" {
		values := url.Values{"n": {strconv.Itoa(p.n)}, "last": {list.next.String()}}
		if len(list.want) > 0 {
			values.Set("artifactType", list.want[len(list.want)-1]) // which can mean the same again
		}
		setNext(w.Header(), c, values)
	}
	if len(list.want) > 0 {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	const head, tail = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[`, "]}"
	if list.whole {
		writeBody(w, ocispec.MediaTypeImageIndex, slices.Concat([]byte(head), list.text, []byte(tail)))
		return nil
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	if c.r.Method == http.MethodHead {
		return nil
	}
	rows := &referrerReader{ctx: c.r.Context(), store: g.store, list: list}
	if _, err := io.Copy(&copier{ResponseWriter: w}, io.MultiReader(strings.NewReader(head), rows, strings.NewReader(tail))); err != nil {
		panic(http.ErrAbortHandler) // so that the client sees that it has a part of the list
	}
	return nil
}
