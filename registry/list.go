package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Lists are ours because distribution's walk directories, and without `n` return everything.

// maxList bounds a page, also one that was asked to be larger.
const maxList = 1000

// page is what a list request asks for (OCI distribution specification, "Listing Tags").
type page struct {
	n    int
	last string // the entry behind which the page begins
}

func (c *call) page() (page, error) {
	p := page{n: maxList, last: c.query.Get("last")}
	if s := c.query.Get("n"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return p, newFailure(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is %.20q, and should be a number", s)
		}
		p.n = min(n, maxList)
	}
	return p, nil
}

// catalog lists the repositories that the caller may pull from.
func (g *Registry) catalog(w http.ResponseWriter, c *call) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	names, more, err := g.Repositories(c.r.Context(), c.who, p.last, p.n)
	if err != nil {
		return err
	}
	return writeList(w, c, p, more, names, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// tags lists the tags of a repository.
func (g *Registry) tags(w http.ResponseWriter, c *call) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	names := []string{}
	more, err := g.eachTag(c.r.Context(), c.repo, p.last, p.n, func() { names = names[:0] }, func(name string, _ []byte) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}
	return writeList(w, c, p, more, names, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.repo, names})
}

func writeList(w http.ResponseWriter, c *call, p page, more bool, names []string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if more && len(names) > 0 {
		setNext(w.Header(), c, url.Values{"n": {strconv.Itoa(p.n)}, "last": {names[len(names)-1]}})
	}
	writeBody(w, "application/json", append(data, '\n'))
	return nil
}

// setNext says where the next page is (RFC 8288).
func setNext(h http.Header, c *call, query url.Values) {
	h.Set("Link", "<"+c.r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
}

func writeBody(w http.ResponseWriter, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that left does not matter any more
}

// Repositories returns the names of up to n repositories that someone may pull from, in order, from the
// one behind last, and whether there are more.
func (g *Registry) Repositories(ctx context.Context, who provenance.Identity, last string, n int) (names []string, more bool, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		names, more = []string{}, false
		for item, err := range tx.Scan(repositoryTable, append([]byte(last), 0), nil) {
			if err != nil {
				return err
			}
			name := string(item.Key)
			if !g.gate.May(who, access.Pull, name) {
				continue
			}
			if more = len(names) >= n; more {
				return nil
			}
			names = append(names, name)
		}
		return nil
	})
	return names, more, err
}

// A TagEntry is a tag with what it means.
type TagEntry struct {
	Name   string
	Digest digest.Digest
	Record uint64 // the record that set it
}

// Tags returns up to n tags of a repository in order, from the one behind last, and whether there are
// more. Error: ErrUnknown.
func (g *Registry) Tags(ctx context.Context, repo, last string, n int) (tags []TagEntry, more bool, err error) {
	more, err = g.eachTag(ctx, repo, last, n, func() { tags = nil }, func(name string, value []byte) error {
		row, err := decodeTagRow(value)
		tags = append(tags, TagEntry{Name: name, Digest: row.digest, Record: row.record})
		return err
	})
	return tags, more, err
}

// eachTag calls add for up to n tags of a repository in order, from the one behind last, and says whether
// there are more. It calls reset before it begins, each time. Error: ErrUnknown.
func (g *Registry) eachTag(ctx context.Context, repo, last string, n int, reset func(), add func(name string, value []byte) error) (more bool, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		reset()
		more = false
		_, err := tx.Get(repositoryTable, []byte(repo))
		if errors.Is(err, storage.ErrNotFound) {
			return errNameUnknown(repo)
		}
		if err != nil {
			return err
		}
		all := repoKey(repo)
		listed := 0
		for item, err := range tx.Scan(tagTable, repoKey(repo, []byte(last), []byte{0}), storage.PrefixEnd(all)) {
			if err != nil {
				return err
			}
			if more = listed >= n; more {
				return nil
			}
			if err := add(string(item.Key[len(all):]), item.Value); err != nil {
				return err
			}
			listed++
		}
		return nil
	})
	return more, err
}
