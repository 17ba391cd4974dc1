package api

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
)

// listed is what lists say of an image: what the record of its arrival says of it, what is attached to it, and the grade of a
// report that was made before. Nothing is inspected for a list.
type listed struct {
	// Platforms is how many an index lists, without those of attestations.
	Platforms int `json:"platforms,omitempty"`
	// Built is what the image claims of its source; signatures are shown with the image itself.
	Built *provenance.Built `json:"built,omitempty"`
	// Grade is that of the report that is kept of the digest, absent where none is kept.
	Grade trust.Grade `json:"grade,omitempty"`
	// Attached are signatures and whatever else has been put beside the image; AttachedCut says that there is more.
	Attached    []attached `json:"attached,omitempty"`
	AttachedCut bool       `json:"attachedCut,omitempty"`
}

// attached is what has been put beside an image: a referrer, or the tag of a signing tool.
type attached struct {
	Digest       digest.Digest `json:"digest,omitempty"`
	ArtifactType string        `json:"artifactType,omitempty"`
	Tag          string        `json:"tag,omitempty"`
}

// listed looks images up. It returns the record of each one's arrival, too: nil where it is not here. What it reads is bounded by
// the number of images.
func (a *API) listed(c *call, images []registry.RepoDigest) ([]listed, []*provenance.Record, error) {
	beside, err := a.Images.Beside(c.Context(), images)
	if err != nil {
		return nil, nil, err
	}
	came, err := a.arrivals(c, beside)
	if err != nil {
		return nil, nil, err
	}
	grades, err := a.Policy.Grades(c.Context(), images)
	if err != nil {
		return nil, nil, err
	}
	list := make([]listed, len(images))
	for i, b := range beside {
		list[i] = listed{Grade: grades[i], AttachedCut: b.Cut}
		for _, tag := range b.Tags {
			list[i].Attached = append(list[i].Attached, attached{Tag: tag})
		}
		for _, r := range b.Attached {
			list[i].Attached = append(list[i].Attached, attached{Digest: r.Digest, ArtifactType: r.ArtifactType})
		}
		if came[i] != nil {
			list[i].Platforms, list[i].Built = platforms(came[i]), came[i].ClaimedSource()
		}
	}
	return list, came, nil
}

// arrivals are the records that put images here, nil where one is not here.
func (a *API) arrivals(c *call, beside []registry.Beside) ([]*provenance.Record, error) {
	var indexes []uint64
	for _, b := range beside {
		if b.Present {
			indexes = append(indexes, b.Record)
		}
	}
	found, err := a.Records.GetAll(c.Context(), indexes)
	if err != nil {
		return nil, err
	}
	came := make([]*provenance.Record, len(beside))
	for i, b := range beside {
		if b.Present {
			came[i], found = found[0], found[1:]
		}
	}
	return came, nil
}

// platforms counts those that an index lists: BuildKit lists attestations beside them, for no platform.
func platforms(r *provenance.Record) (n int) {
	for _, c := range r.Observed.Children {
		if c.Platform != "unknown" && c.Platform != "unknown/unknown" {
			n++
		}
	}
	return n
}

// Lists are in the order of names, or the newest first. Nothing sorts a whole registry: up to maxSorted entries are sorted when
// they are asked for. Beyond that the records are followed backwards, and a page is short where most of them are about
// what has moved since.
const (
	maxSorted   = 1000
	maxFollowed = 10 // pages of records that one page of a list follows
)

// newestAfter is where a page begins of a list with the newest first: behind an entry of a record, or of none.
type newestAfter struct {
	record uint64
	name   string
	known  bool // the entry has a record
	given  bool
}

// newestAfter reads a parameter that String made.
func (q *query) newestAfter(name string) (at newestAfter) {
	s := q.text(name)
	if s == "" {
		return at
	}
	number, entry, ok := strings.Cut(s, "/")
	record, err := strconv.ParseUint(number, 10, 63)
	if !ok || err != nil && number != "" {
		q.fail("%s is %.200q, and should be from the next of a page with the newest first", name, s)
	}
	return newestAfter{record, entry, number != "", true}
}

// String is how a parameter has it.
func (at newestAfter) String() string {
	if !at.known {
		return "/" + at.name
	}
	return strconv.FormatUint(at.record, 10) + "/" + at.name
}

// follow is the index of which the records before are followed, or nil for all.
func (at newestAfter) follow() *uint64 {
	if !at.given {
		return nil
	}
	behind := at.record + 1 // several entries may have one record
	return &behind
}

// compare orders entries: the newest record first, then by name, those without a record last.
func (at newestAfter) compare(other newestAfter) int {
	switch {
	case at.known != other.known && at.known:
		return -1
	case at.known != other.known:
		return 1
	}
	return cmp.Or(cmp.Compare(other.record, at.record), cmp.Compare(at.name, other.name))
}

// newest cuts entries to a page with the newest first.
func newest[T any](entries []T, at newestAfter, limit int, key func(T) newestAfter) (page []T, next string) {
	slices.SortFunc(entries, func(a, b T) int { return key(a).compare(key(b)) })
	if at.given {
		entries = slices.DeleteFunc(entries, func(e T) bool { return key(e).compare(at) <= 0 })
	}
	if len(entries) <= limit {
		return entries, ""
	}
	return entries[:limit], key(entries[limit-1]).String()
}

// followed pages through records, the newest first, until enough was found or maxFollowed pages were looked at, and returns
// where to go on, or "". add takes a page of records, and says whether there is enough and where it stopped.
func (a *API) followed(c *call, q provenance.Query, add func([]*provenance.Record) (stopped *newestAfter, err error)) (next string, err error) {
	for range maxFollowed {
		page, err := a.Records.Find(c.Context(), q)
		if err != nil {
			return "", err
		}
		stopped, err := add(page.Records)
		if err != nil {
			return "", err
		}
		if stopped != nil {
			return stopped.String(), nil
		}
		if page.Next == nil {
			return "", nil
		}
		q.After = page.Next
	}
	// Behind all entries of the record before which nothing was looked at.
	return newestAfter{record: *q.After, name: afterAll, known: true}.String(), nil
}

// afterAll is behind every name.
const afterAll = "~"
