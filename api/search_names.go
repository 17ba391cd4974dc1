package api

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/registry"
)

// searchedTag is a tag, with what it means.
type searchedTag struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Digest     digest.Digest `json:"digest"`
	Record     uint64        `json:"record"` // that set it
}

// searchedActor is who did something that the caller may see; or, for administrators, a team.
type searchedActor struct {
	Name    string   `json:"name"` // as --identity and grants take it: alice, robot:builder, team:crew
	Kind    string   `json:"kind"` // user, robot, ci or team
	Members []string `json:"members,omitempty"`
}

// maxWords is how many words of a text are looked for in names.
const maxWords = 4

// named finds names by words.
func (s *searching) named(tags bool) (registry.NamePage, error) {
	text := strings.TrimPrefix(s.text, s.host()+"/")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ':' || r == '@' })
	if len(words) > maxWords {
		return registry.NamePage{}, nil
	}
	page, err := s.Images.Named(s.c.Context(), registry.NameQuery{Who: access.Lister(s.c.who), Tags: tags, Words: words, After: s.after, Limit: s.limit})
	s.answer.Partial = s.answer.Partial || page.Behind > 0
	s.goesOn(page.Next)
	return page, err
}

// repositories finds those with words in their names that begin like those of the text.
func (s *searching) repositories() error {
	page, err := s.named(false)
	for _, n := range page.Names {
		s.answer.Repositories = append(s.answer.Repositories, n.Repository)
	}
	return err
}

// tags finds those with words in their names that begin like those of the text.
func (s *searching) tags() error {
	page, err := s.named(true)
	for _, n := range page.Names {
		s.answer.Tags = append(s.answer.Tags, searchedTag{n.Repository, n.Name, n.Digest, n.Record})
	}
	return err
}

// people finds who is called so: as they acted where the caller may see, and, for administrators, the teams.
func (s *searching) people() error {
	if team, ok := strings.CutPrefix(s.text, "team:"); ok {
		return s.team(team)
	}
	records := s.answer.Records // which were looked for before, where all kinds are
	if s.one {
		page, err := s.Records.Find(s.c.Context(), s.acts())
		if err != nil {
			return err
		}
		records = page.Records
	}
	kind, name := splitActor(s.text)
	for _, r := range records {
		if r.Actor.Handle != name && r.Actor.Account != name || kind != "" && r.Actor.Kind != kind {
			continue // the one with this number
		}
		one := searchedActor{Name: r.Actor.Known(), Kind: string(r.Actor.Kind)}
		if !slices.ContainsFunc(s.answer.People, func(other searchedActor) bool { return other.Name == one.Name }) {
			s.answer.People = append(s.answer.People, one)
			s.actors = append(s.actors, r.Actor)
		}
	}
	return nil
}

// team finds a team with its members.
func (s *searching) team(name string) error {
	if !s.Gate.Administers(s.c.who) || name == "" {
		return nil
	}
	found, err := s.Teams.Team(s.c.Context(), name)
	if isOne(err, access.ErrUnknownTeam) {
		return nil
	}
	if err == nil {
		s.answer.People = append(s.answer.People, searchedActor{Name: "team:" + name, Kind: "team", Members: found.Members})
	}
	return err
}
