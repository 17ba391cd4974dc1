package api

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// searchAnswer is what a text finds, by kind: by everything that it can mean.
type searchAnswer struct {
	Query        string               `json:"query"`
	Records      []*provenance.Record `json:"records,omitempty"`      // the one with this number, or those of an identity or of a run of CI, the newest first
	Images       []searchedImage      `json:"images,omitempty"`       // with this reference, digest, source or commit
	Repositories []string             `json:"repositories,omitempty"` // with words that begin like this
	Tags         []searchedTag        `json:"tags,omitempty"`         // with words that begin like this
	People       []searchedActor      `json:"people,omitempty"`       // with this name
	// Partial says that older records were not looked at: after an update, until the server has indexed them.
	Partial bool `json:"partial,omitempty"`
	// More has, for each list here that is not whole, where it goes on. Such a list may be short, and even empty.
	More map[string]string `json:"more,omitempty"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	// Next is where the list goes on, of one kind.
	Next string `json:"next,omitempty"`
}

func (a searchAnswer) nextPage() string { return a.Next }

// The bounds of a search.
const (
	maxSearch   = 512 // bytes of what is searched for
	maxHits     = 100 // entries of a list, also where more are asked for
	defaultHits = 20
	leastDigits = 6 // of a digest or a commit that does not say that it is one
)

// searchKinds are the lists of an answer, with what looks for each.
var searchKinds = map[string]func(*searching) error{
	"images": (*searching).images, "repositories": (*searching).repositories, "tags": (*searching).tags,
	"people": (*searching).people, "records": (*searching).records,
}

// searching is one search on its way.
type searching struct {
	*API
	c      *call
	text   string
	kind   string // of the list that is looked for now
	one    bool   // it is the only one
	after  []byte // where it begins
	limit  int
	answer searchAnswer
	actors []provenance.Actor
}

// search answers GET /api/v1/search: what q looks like decides where it is looked for.
func (a *API) search(c *call) (any, error) {
	s, err := a.parseSearch(c)
	if err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	if s.one {
		return s.end(searchKinds[s.kind](s))
	}
	for _, s.kind = range []string{"records", "people", "images", "repositories", "tags"} {
		if err := searchKinds[s.kind](s); err != nil {
			return nil, err
		}
	}
	return s.end(nil)
}

func (a *API) parseSearch(c *call) (*searching, error) {
	q := c.query()
	s := &searching{API: a, c: c, text: strings.TrimSpace(q.words("q"))}
	switch {
	case s.text == "":
		q.fail("q is missing: what to search for")
	case len(s.text) > maxSearch:
		q.fail("q has %d bytes, and may have %d", len(s.text), maxSearch)
	}
	s.kind = q.oneOf("kind", "images", "repositories", "tags", "people", "records")
	s.one = s.kind != ""
	if s.limit = min(q.limit(), maxHits); !q.values.Has("limit") {
		s.limit = defaultHits
	}
	s.after = a.position(q, searchQuestion(s.kind, s.text))
	if s.after != nil && !s.one {
		q.fail("after is of a list of one kind: name it")
	}
	s.answer.Query = s.text
	return s, q.end()
}

// searchQuestion is what a page of a search belongs to.
func searchQuestion(kind, text string) string { return "search " + kind + " " + text }

// goesOn says where the list that is looked for goes on, if it does.
func (s *searching) goesOn(position []byte) {
	if position == nil {
		return
	}
	next := s.c.nextURL(map[string]string{"kind": s.kind, "after": s.hidden(searchQuestion(s.kind, s.text), position)})
	if s.one {
		s.answer.Next = next
	}
	s.more(next)
}

// more says where else there is more than the list that is looked for has.
func (s *searching) more(where string) {
	if s.answer.More == nil {
		s.answer.More = map[string]string{}
	}
	s.answer.More[s.kind] = where
}

// end says how what was found stands now.
func (s *searching) end(err error) (any, error) {
	if err == nil {
		err = s.stand(s.c.Context())
	}
	if err == nil {
		s.answer.Namesakes, err = s.namesakes(s.c.Context(), s.actors)
	}
	if err != nil {
		return nil, err
	}
	return s.answer, nil
}

// records finds the record with a number, and what somebody or a run of CI did lately.
func (s *searching) records() error {
	if s.after == nil {
		if err := s.numbered(); err != nil {
			return err
		}
	}
	q := s.acts()
	if len(s.after) == 8 {
		after := binary.BigEndian.Uint64(s.after)
		q.After = &after
	}
	page, err := s.Records.Find(s.c.Context(), q)
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		s.addRecord(r)
	}
	if page.Next != nil {
		s.goesOn(binary.BigEndian.AppendUint64(nil, *page.Next))
	}
	return nil
}

// acts asks for what somebody did, or a run of CI.
func (s *searching) acts() provenance.Query {
	q := provenance.Query{
		Descending: true, Limit: s.limit, Visible: s.mayPull(s.c),
		Administers: func(pattern string) bool { return s.Gate.AdministersAll(s.c.who, pattern) },
	}
	if run, is := provenance.RunAt(s.text); is {
		q.Kind, q.Identity, q.Run = provenance.CI, run.Handle, run
	} else {
		q.Kind, q.Identity = splitActor(s.text)
	}
	return q
}

// numbered finds the record with a number.
func (s *searching) numbered() error {
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

// stand says of each image whether it is here now, and which tags mean it.
func (s *searching) stand(ctx context.Context) error {
	var images []registry.RepoDigest
	for _, img := range s.answer.Images {
		images = append(images, registry.RepoDigest{Repository: img.Repository, Digest: img.Digest})
	}
	found, err := s.Images.Presences(ctx, images)
	if err != nil {
		return err
	}
	for i, p := range found {
		s.answer.Images[i].Present, s.answer.Images[i].Tags = p.Present, p.Tags
	}
	return nil
}
