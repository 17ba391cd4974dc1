package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/provenance"
)

// expectation is a file that says who may push what.
type expectation struct {
	Pushes []expected `yaml:"pushes"`
}

// expected says who may push to the repositories of a pattern.
type expected struct {
	Repositories string   `yaml:"repositories"`
	By           []string `yaml:"by"`

	pattern access.Pattern
	by      []access.Subject
}

func readExpectation(path string) (*expectation, error) {
	const most = 1 << 20
	e := new(expectation)
	data, err := yamlfile.Read(path, most)
	if err == nil {
		err = yamlfile.Load(path, data, e)
	}
	for i := 0; err == nil && i < len(e.Pushes); i++ {
		err = e.Pushes[i].parse()
	}
	if err != nil {
		return nil, usagef("--expect: %w", err)
	}
	return e, nil
}

func (e *expected) parse() (err error) {
	if e.pattern, err = access.ParsePattern(e.Repositories); err != nil {
		return err
	}
	for _, text := range e.By {
		s, err := access.ParseSubject(text)
		if err != nil {
			return err
		}
		if s.Kind == access.TeamSubject || s.Kind == access.AnonymousSubject {
			return fmt.Errorf("%s cannot be told from a record: name users, robots and CI jobs", text)
		}
		e.by = append(e.by, s)
	}
	return nil
}

// forbids says whether a record is of a push, or of a tag that was set, by somebody who is not expected to.
func (e *expectation) forbids(r *provenance.Record) bool {
	if e == nil || !sets(r) {
		return false
	}
	who := provenance.Identity{Actor: r.Actor, Login: r.Authenticated}
	return !slices.ContainsFunc(e.Pushes, func(x expected) bool {
		return x.pattern.Matches(r.Repository) && slices.ContainsFunc(x.by, func(s access.Subject) bool { return s.Names(who) })
	})
}

// sets says whether something came into a repository, or was given a tag.
func sets(r *provenance.Record) bool {
	return r.Action == provenance.Push || r.Manifest == provenance.ManifestAdded || r.Manifest == provenance.ManifestAgain ||
		slices.ContainsFunc(r.Tags, func(t provenance.TagMove) bool { return r.Meaning(t) != "" })
}

// isBy says whether somebody did something, by handle, as user:alice or alice, or by account.
func isBy(identity string, a provenance.Actor) bool {
	return identity != "" && slices.Contains([]string{a.Account, a.Handle, string(a.Kind) + ":" + a.Handle}, identity)
}

// printActs writes what was done in somebody's name, with the secret that was used.
func printActs(w io.Writer, acts []*provenance.Record) error {
	tab := newTable(w, "RECORD", "TIME", "ACTION", "ABOUT", "TAG", "WHO", "ACCOUNT", "CREDENTIAL")
	for _, r := range acts {
		credential := ""
		if r.Authenticated != nil {
			credential = r.Authenticated.Credential
		}
		tab.row(strconv.FormatUint(r.Index, 10), local(r.Time), string(r.Action), topic(r), tagNames(r.Tags), who(r.Actor), r.Actor.Account, credential)
	}
	return tab.flush()
}

// saysUnexpected is a sentence about what somebody did who is not expected to.
func saysUnexpected(r *provenance.Record) string {
	about := r.Repository + "@" + r.Digest.String()
	if len(r.Tags) > 0 {
		about = r.Repository + ":" + tagNames(r.Tags)
	}
	return fmt.Sprintf("record %d: %s:%s pushed %s, and is not expected to", r.Index, r.Actor.Kind, r.Actor.Handle, about)
}
