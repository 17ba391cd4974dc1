package api

import (
	"cmp"
	"context"
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

// listedArrival is what lists say of an image, with the record of its arrival: nil where it is not here.
type listedArrival struct {
	listed
	came *provenance.Record
}

// listed looks images up, each once. It reads the records that are wanted with those of the arrivals. What it reads is bounded by the number
// of images and of records.
func (a *API) listed(c *call, images []registry.RepoDigest, records recordSet) ([]listedArrival, error) {
	each, at := distinct(images)
	beside, err := a.Images.Beside(c.Context(), each)
	if err != nil {
		return nil, err
	}
	grades, err := a.Policy.Grades(c.Context(), each)
	if err != nil {
		return nil, err
	}
	for _, b := range beside {
		if b.Present {
			records.want(b.Record)
		}
	}
	if err := records.read(c.Context(), a.Records); err != nil {
		return nil, err
	}
	list := make([]listedArrival, len(images))
	for i, n := range at {
		list[i] = newListed(beside[n], grades[n], records)
	}
	return list, nil
}

// distinct returns each of some images once, and where among these each of them is.
func distinct(images []registry.RepoDigest) (each []registry.RepoDigest, at []int) {
	known := map[registry.RepoDigest]int{}
	for _, image := range images {
		n, ok := known[image]
		if !ok {
			n = len(each)
			known[image], each = n, append(each, image)
		}
		at = append(at, n)
	}
	return each, at
}

func newListed(b registry.Beside, grade trust.Grade, records recordSet) (l listedArrival) {
	l.Grade, l.AttachedCut = grade, b.Cut
	for _, tag := range b.Tags {
		l.Attached = append(l.Attached, attached{Tag: tag})
	}
	for _, r := range b.Attached {
		l.Attached = append(l.Attached, attached{Digest: r.Digest, ArtifactType: r.ArtifactType})
	}
	if b.Present {
		l.came = records[b.Record]
		l.Platforms, l.Built = platforms(l.came), l.came.ClaimedSource()
	}
	return l
}

// recordSet holds records by index, nil while they are wanted and not read.
type recordSet map[uint64]*provenance.Record

func (s recordSet) want(index uint64) {
	if _, known := s[index]; !known {
		s[index] = nil
	}
}

// read reads those that are wanted, each once.
func (s recordSet) read(ctx context.Context, from Records) error {
	var missing []uint64
	for index, r := range s {
		if r == nil {
			missing = append(missing, index)
		}
	}
	slices.Sort(missing)
	found, err := from.GetAll(ctx, missing)
	if err != nil {
		return err
	}
	for i, index := range missing {
		s[index] = found[i]
	}
	return nil
}

// platforms counts those that an index lists.
func platforms(r *provenance.Record) (n int) {
	for _, c := range r.Observed.Children {
		if !provenance.IsUnknownPlatform(c.Platform) {
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
