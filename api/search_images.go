package api

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// searchedImage is an image with why it was found.
type searchedImage struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	Tags       []string         `json:"tags,omitempty"`
	Present    bool             `json:"present"`
	By         string           `json:"by"`              // digest, reference, source, revision
	Value      string           `json:"value,omitempty"` // the source or revision, as it was claimed or signed
	Class      provenance.Class `json:"class"`
	Record     uint64           `json:"record"`
	Time       provenance.Time  `json:"time"`
	Actor      provenance.Actor `json:"actor"`
}

// maxMeanings is how many digests, and how many commits, a beginning of one may stand for in a search. Routes of their own list more.
const maxMeanings = 5

// findImages finds images from a position of its own on, nil is the beginning, and says where it goes on, or nil.
type findImages func(after []byte, limit int) (next []byte, err error)

// imageFinder finds images by one meaning of a text. Its key stays the same while images come and go, and orders the finders.
type imageFinder struct {
	key  string
	find findImages
}

// images finds images by all that a text can mean, one finder after another. A position is the key of a finder, and where that
// goes on.
func (s *searching) images() error {
	finders, err := s.imageFinders()
	if err != nil {
		return err
	}
	finders, after := finderFrom(finders, s.after)
	for _, f := range finders {
		left := s.limit - len(s.answer.Images)
		if left == 0 {
			s.goesOn(f.position(nil))
			return nil
		}
		next, err := f.find(after, left)
		if err != nil {
			return err
		}
		if next != nil {
			s.goesOn(f.position(next))
			return nil
		}
		after = nil
	}
	return nil
}

// position is where a finder goes on.
func (f imageFinder) position(next []byte) []byte {
	position := binary.AppendUvarint(nil, uint64(len(f.key)))
	return append(append(position, f.key...), next...)
}

// finderFrom returns the finders from a position on, and where the first of them goes on. If what the first looked for is not
// there any more, it is the one behind.
func finderFrom(finders []imageFinder, position []byte) (_ []imageFinder, after []byte) {
	length, size := binary.Uvarint(position)
	if size <= 0 || length > uint64(len(position)-size) {
		return finders, nil
	}
	key, after := string(position[size:][:length]), position[size:][length:]
	at := slices.IndexFunc(finders, func(f imageFinder) bool { return f.key >= key })
	switch {
	case at < 0:
		return nil, nil
	case finders[at].key != key || len(after) == 0:
		after = nil
	}
	return finders[at:], after
}

// imageFinders are those for the meanings of the text. What the registry saw comes first, then what was signed, then what is claimed.
func (s *searching) imageFinders() ([]imageFinder, error) {
	finders := []imageFinder{{"1", s.reference}}
	text := strings.ToLower(s.text)
	bare := isHex(text) && len(text) >= leastDigits
	if _, digits, named := strings.Cut(text, ":"); bare || named && len(digits) >= provenance.MinDigest {
		whole := text
		if bare {
			whole = "sha256:" + text
		}
		digests, err := s.begin("/api/v1/digests", whole)
		if err != nil {
			return nil, err
		}
		for _, d := range digests {
			finders = append(finders, imageFinder{"2 " + d, s.arrivals(digest.Digest(d))})
		}
	}
	switch {
	case bare:
		commits, err := s.begin("/api/v1/commits", text)
		if err != nil {
			return nil, err
		}
		for _, commit := range commits {
			finders = append(finders, s.builtFrom("3 "+commit, provenance.ImageQuery{Revision: commit})...)
		}
	case isRun(s.text): // what it pushed is on record: not all that was built from its source
	case strings.ContainsAny(s.text, "/.") && !strings.ContainsAny(s.text, " "):
		finders = append(finders, s.builtFrom("3", provenance.ImageQuery{Source: s.text})...)
	}
	return finders, nil
}

// builtFrom are the finders for images of a source or a commit.
func (s *searching) builtFrom(key string, q provenance.ImageQuery) []imageFinder {
	return []imageFinder{
		{key + " attested", s.attested(provenance.Query{Source: q.Source, Revision: q.Revision})},
		{key + " claimed", s.claiming(q)},
	}
}

// begin returns the first digests or commits that begin with a text. If there are more, the answer says which route lists them.
func (s *searching) begin(route, text string) ([]string, error) {
	page, err := s.like(s.c.Context(), s.c, text, maxMeanings)
	s.answer.Partial = s.answer.Partial || page.Behind > 0
	if page.Next != "" {
		s.more(route + "?prefix=" + text)
	}
	return page.Values, err
}

// reference finds the image that REPO:TAG or REPO@DIGEST means, with or without this registry's name before it.
func (s *searching) reference([]byte, int) ([]byte, error) {
	repo, ref, ok := strings.Cut(strings.TrimPrefix(s.text, s.host()+"/"), "@")
	if !ok {
		if repo, ref, ok = strings.Cut(repo, ":"); !ok {
			return nil, nil
		}
	}
	if !s.mayPull(s.c)(repo) {
		return nil, nil
	}
	img, err := s.Images.Image(s.c.Context(), repo, ref)
	if isOne(err, registry.ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := s.Records.Get(s.c.Context(), img.Record)
	if err == nil {
		s.addImage(r, searchedImage{Digest: img.Digest, By: "reference", Class: provenance.Observed})
	}
	return nil, err
}

// arrivals finds the images of a digest, in each repository.
func (s *searching) arrivals(d digest.Digest) findImages {
	return func(after []byte, limit int) ([]byte, error) {
		found, others, err := s.Origins.Arrivals(s.c.Context(), d, s.mayPull(s.c))
		if err != nil {
			return nil, err
		}
		from, _ := binary.Uvarint(after)
		from = min(from, uint64(len(found)))
		end := min(from+uint64(limit), uint64(len(found)))
		for _, r := range found[from:end] {
			s.addImage(r, searchedImage{Digest: d, By: "digest", Class: provenance.Observed})
		}
		if end < uint64(len(found)) {
			return binary.AppendUvarint(nil, end), nil
		}
		if others { // more than are looked at; its records are all of them
			s.more("/api/v1/records?action=push&digest=" + d.String())
		}
		return nil, nil
	}
}

// attested finds images of which a signature says where they come from, the newest signature first.
func (s *searching) attested(q provenance.Query) findImages {
	return func(after []byte, limit int) (next []byte, err error) {
		q.Class, q.Descending, q.Limit, q.Visible = provenance.Attested, true, limit, s.mayPull(s.c)
		if len(after) == 8 {
			index := binary.BigEndian.Uint64(after)
			q.After = &index
		}
		page, err := s.Records.Find(s.c.Context(), q)
		for _, r := range page.Records {
			s.addAttested(r, q)
		}
		if page.Next != nil {
			next = binary.BigEndian.AppendUint64(nil, *page.Next)
		}
		return next, err
	}
}

// addAttested adds the first image of which a record says what was asked for.
func (s *searching) addAttested(r *provenance.Record, q provenance.Query) {
	by, same := provenance.FactSource, func(value string) bool { return provenance.NormalSource(value) == provenance.NormalSource(q.Source) }
	if q.Revision != "" {
		by, same = provenance.FactRevision, func(value string) bool {
			return provenance.NormalRevision(value) == provenance.NormalRevision(q.Revision)
		}
	}
	at := slices.IndexFunc(r.Attested, func(a provenance.Attestation) bool { return a.Fact == by && same(a.Value) })
	if at >= 0 {
		s.addImage(r, searchedImage{Digest: r.Attested[at].About, By: by, Value: r.Attested[at].Value, Class: provenance.Attested})
	}
}

// claiming finds images by what they claim, by repository.
func (s *searching) claiming(q provenance.ImageQuery) findImages {
	return func(after []byte, limit int) ([]byte, error) {
		q.After, q.Limit, q.Visible = after, limit, s.mayPull(s.c)
		page, err := s.Origins.Images(s.c.Context(), q)
		if isOne(err, provenance.ErrNoPage) {
			return nil, errNoPage()
		}
		by := provenance.FactSource
		if q.Revision != "" {
			by = provenance.FactRevision
		}
		for _, img := range page.Images {
			one := searchedImage{Digest: img.Digest, By: by, Class: provenance.Claimed}
			if at := slices.IndexFunc(img.Claims, func(c provenance.Claim) bool { return c.Fact == by }); at >= 0 {
				one.Value = img.Claims[at].Value
			}
			s.addImage(img.Record, one)
		}
		return page.Next, err
	}
}

func (s *searching) addImage(r *provenance.Record, img searchedImage) {
	img.Repository, img.Record, img.Time, img.Actor = r.Repository, r.Index, r.Time, r.Actor
	s.actors = append(s.actors, r.Actor)
	s.answer.Images = append(s.answer.Images, img)
}

// isRun says that a text is the address of a run of CI.
func isRun(text string) bool {
	_, is := provenance.RunAt(text)
	return is
}
