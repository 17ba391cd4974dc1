package api

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// searchAnswer is what a text finds, by what it can mean. Each list has at most maxHits entries.
type searchAnswer struct {
	Query        string               `json:"query"`
	Records      []*provenance.Record `json:"records,omitempty"`      // the one with this number, or those of an identity
	Images       []searchedImage      `json:"images,omitempty"`       // with this digest, reference, source or commit
	Repositories []string             `json:"repositories,omitempty"` // with a word that begins like this
	// Looked is how many names of repositories were compared; Partial says that there are others.
	Looked  int  `json:"looked"`
	Partial bool `json:"partial,omitempty"`
	// More are the lists here that are not whole.
	More []string `json:"more,omitempty"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
}

// searchedImage is an image with why it was found.
type searchedImage struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	Tags       []string         `json:"tags,omitempty"`
	Present    bool             `json:"present"`
	By         string           `json:"by"` // digest, reference, source, revision
	Class      provenance.Class `json:"class"`
	Record     uint64           `json:"record"`
	Time       provenance.Time  `json:"time"`
	Actor      provenance.Actor `json:"actor"`
}

// The bounds of a search.
const (
	maxHits       = 20
	maxSearch     = 512   // bytes of what is searched for
	maxNames      = 5_000 // names of repositories that one search compares
	searchedNames = 1_000 // of these in one read
	leastDigits   = 6     // of a digest or a commit that does not say that it is one
)

// search answers GET /api/v1/search: what q looks like decides where it is looked for.
func (a *API) search(c *call) (any, error) {
	q := c.query()
	text := strings.TrimSpace(q.words("q"))
	if text == "" {
		q.fail("q is missing: what to search for")
	}
	if len(text) > maxSearch {
		q.fail("q has %d bytes, and may have %d", len(text), maxSearch)
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	s := &searching{API: a, c: c, text: text, answer: searchAnswer{Query: text}}
	for _, look := range []func() error{s.record, s.digest, s.reference, s.origin, s.identity, s.names} {
		if err := look(); err != nil {
			return nil, err
		}
	}
	return s.end()
}

// searching is one search on its way.
type searching struct {
	*API
	c      *call
	text   string
	answer searchAnswer
	actors []provenance.Actor
}

// record finds the record with a number.
func (s *searching) record() error {
	index, err := strconv.ParseUint(strings.TrimPrefix(s.text, "#"), 10, 63)
	if err != nil || len(s.text) > 12 {
		return nil
	}
	r, err := s.Records.Get(s.c.Context(), index)
	if isOne(err, provenance.ErrNoRecord) || err == nil && !s.mayKnow(s.c, r) {
		return nil
	}
	if err == nil {
		s.addRecord(r)
	}
	return err
}

func (s *searching) addRecord(r *provenance.Record) {
	s.answer.Records = append(s.answer.Records, r)
	s.actors = append(s.actors, r.Actor)
}

// digest finds images by their digest or how it begins, with or without the algorithm.
func (s *searching) digest() error {
	text := strings.ToLower(s.text)
	if isHex(text) && len(text) >= leastDigits {
		text = "sha256:" + text
	}
	_, digits, named := strings.Cut(text, ":")
	if !named || len(digits) < provenance.MinDigest {
		return nil
	}
	found, err := s.begin(text)
	for _, d := range found {
		if err == nil {
			err = s.arrivals(digest.Digest(d))
		}
	}
	return err
}

// begin returns the digests or commits that begin with a text.
func (s *searching) begin(text string) ([]string, error) {
	page, err := s.like(s.c.Context(), s.c, text, maxDigests)
	s.cut("images", page.Next != "")
	s.answer.Partial = s.answer.Partial || page.Behind > 0
	return page.Values, err
}

func (s *searching) arrivals(d digest.Digest) error {
	found, more, err := s.Origins.Arrivals(s.c.Context(), d, s.mayPull(s.c))
	if err != nil {
		return err
	}
	for _, r := range found {
		s.addImage(r, d, "digest", provenance.Observed)
	}
	s.cut("images", more)
	return nil
}

// reference finds the image that REPO:TAG or REPO@DIGEST means, with or without this registry's name before it.
func (s *searching) reference() error {
	repo, ref, ok := strings.Cut(strings.TrimPrefix(s.text, s.host()+"/"), "@")
	if !ok {
		if repo, ref, ok = strings.Cut(repo, ":"); !ok {
			return nil
		}
	}
	if !s.mayPull(s.c)(repo) {
		return nil
	}
	img, err := s.Images.Image(s.c.Context(), repo, ref)
	if isOne(err, registry.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := s.Records.Get(s.c.Context(), img.Record)
	if err == nil {
		s.addImage(r, img.Digest, "reference", provenance.Observed)
	}
	return err
}

// origin finds images by the source or the commit that they claim. What is attested of them is not looked through.
func (s *searching) origin() error {
	switch text := strings.ToLower(s.text); {
	case isHex(text) && len(text) >= leastDigits:
		commits, err := s.begin(text)
		for _, commit := range commits {
			if err == nil {
				err = s.claiming(provenance.ImageQuery{Revision: commit}, "revision")
			}
		}
		return err
	case strings.ContainsAny(s.text, "/.") && !strings.ContainsAny(s.text, " "):
		return s.claiming(provenance.ImageQuery{Source: s.text}, "source")
	}
	return nil
}

// claiming finds images by what they claim.
func (s *searching) claiming(find provenance.ImageQuery, by string) error {
	find.Limit, find.Visible = maxHits+1, s.mayPull(s.c)
	page, err := s.Origins.Images(s.c.Context(), find)
	if err != nil {
		return err
	}
	for _, img := range page.Images {
		s.addImage(img.Record, img.Digest, by, provenance.Claimed)
	}
	s.cut("images", page.Next != nil)
	return nil
}

func (s *searching) addImage(r *provenance.Record, d digest.Digest, by string, class provenance.Class) {
	s.actors = append(s.actors, r.Actor)
	s.answer.Images = append(s.answer.Images, searchedImage{
		Repository: r.Repository, Digest: d, By: by, Class: class, Record: r.Index, Time: r.Time, Actor: r.Actor,
	})
}

// identity finds what somebody did lately.
func (s *searching) identity() error {
	page, err := s.Records.Find(s.c.Context(), provenance.Query{
		Identity: s.text, Descending: true, Limit: maxHits + 1, Visible: s.mayPull(s.c),
		Administers: func(pattern string) bool { return s.Gate.AdministersAll(s.c.who, pattern) },
	})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		s.addRecord(r)
	}
	s.cut("records", page.Next != nil && len(page.Records) > 0)
	return nil
}

// names finds repositories that have a word which begins like the text, among the first that the caller may see.
func (s *searching) names() error {
	want := strings.ToLower(strings.TrimPrefix(s.text, s.host()+"/"))
	for after := ""; s.answer.Looked < maxNames; {
		found, next, err := s.Images.Repositories(s.c.Context(), access.Lister(s.c.who), after, searchedNames)
		if err != nil {
			return err
		}
		for _, name := range found {
			if hasWord(name, want) {
				s.answer.Repositories = append(s.answer.Repositories, name)
			}
		}
		s.answer.Looked += len(found)
		if next == "" {
			return nil
		}
		after = next
	}
	s.answer.Partial = true
	return nil
}

// hasWord says whether a word of a name begins like want, or the name from such a word on.
func hasWord(name, want string) bool {
	for at := 0; at >= 0 && at < len(name); {
		if strings.HasPrefix(name[at:], want) {
			return true
		}
		next := strings.IndexAny(name[at:], "/-_.")
		if next < 0 {
			return false
		}
		at += next + 1
	}
	return false
}

// cut says that a list is not whole, where it is not.
func (s *searching) cut(list string, more bool) {
	if more && !slices.Contains(s.answer.More, list) {
		s.answer.More = append(s.answer.More, list)
	}
}

// end bounds the lists and says how the images stand now.
func (s *searching) end() (any, error) {
	ans := &s.answer
	s.cut("repositories", len(ans.Repositories) > maxHits)
	s.cut("images", len(ans.Images) > maxHits)
	s.cut("records", len(ans.Records) > maxHits)
	ans.Repositories = ans.Repositories[:min(len(ans.Repositories), maxHits)]
	ans.Images = ans.Images[:min(len(ans.Images), maxHits)]
	ans.Records = ans.Records[:min(len(ans.Records), maxHits)]
	if err := s.stand(s.c.Context()); err != nil {
		return nil, err
	}
	var err error
	ans.Namesakes, err = s.namesakes(s.c.Context(), s.actors)
	return *ans, err
}

// stand says of each image whether it is here now, and which tags mean it.
func (s *searching) stand(ctx context.Context) error {
	var images []registry.RepoDigest
	for _, img := range s.answer.Images {
		images = append(images, registry.RepoDigest{Repository: img.Repository, Digest: img.Digest})
	}
	presences, err := s.Images.Presences(ctx, images)
	if err != nil {
		return err
	}
	for i, st := range presences {
		s.answer.Images[i].Present, s.answer.Images[i].Tags = st.Present, st.Tags
	}
	return nil
}
