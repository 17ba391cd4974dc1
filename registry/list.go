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
	names, next, err := g.Repositories(c.r.Context(), access.Lister(c.who), p.last, p.n)
	if err != nil {
		return err
	}
	return writeList(w, c, p, next, struct {
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
	next, err := g.eachTag(c.r.Context(), c.repo, p.last, p.n, func() { names = names[:0] }, func(name string, _ []byte) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}
	return writeList(w, c, p, next, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.repo, names})
}

func writeList(w http.ResponseWriter, c *call, p page, next string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if next != "" {
		setNext(w.Header(), c, url.Values{"n": {strconv.Itoa(p.n)}, "last": {next}})
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

// maxLook bounds the repositories that one page looks at and the caller may not see. It matters only to
// patterns that begin with a star: all others say where to look.
const maxLook = 10_000

// Repositories returns the names of up to n repositories that someone may pull from, in order, from those
// behind last, and what last is for the next page: empty when this is the last one. A page may be short or
// even empty, and still not be the last.
func (g *Registry) Repositories(ctx context.Context, who provenance.Identity, last string, n int) (names []string, next string, err error) {
	last = g.openCursor(last)
	prefixes := g.gate.Prefixes(who)
	err = g.store.View(ctx, func(tx storage.Reader) error {
		p := repositoryPage{tx: tx, n: n, last: last, names: []string{}}
		for _, prefix := range prefixes {
			if full, err := p.add(prefix, func(name string) bool { return g.gate.May(who, access.Pull, name) }); full || err != nil {
				names, next = p.names, g.nextCursor(p)
				return err
			}
		}
		names, next = p.names, ""
		return nil
	})
	return names, next, err
}

// repositoryPage is a page of repositories while it is read.
type repositoryPage struct {
	tx     storage.Reader
	n      int
	last   string // of those that were looked at
	looked int    // at how many that are not to be seen
	names  []string
}

// add looks at the repositories whose names have a beginning, and says whether the page is full.
func (p *repositoryPage) add(prefix string, visible func(name string) bool) (full bool, err error) {
	from := max(prefix, p.last+"\x00")
	for item, err := range p.tx.Scan(repositoryTable, []byte(from), storage.PrefixEnd([]byte(prefix))) {
		name := string(item.Key)
		show := err == nil && visible(name)
		if err != nil || p.looked == maxLook || show && len(p.names) >= p.n {
			return true, err
		}
		p.last = name
		if show {
			p.names = append(p.names, name)
		} else {
			p.looked++
		}
	}
	return false, nil
}

// A TagEntry is a tag with what it means.
type TagEntry struct {
	Name   string
	Digest digest.Digest
	Record uint64 // the record that set it
}

// Tags returns up to n tags of a repository in order, from the one behind last, and what last is for the next
// page: empty when this is the last one. While a manifest with many tags is going, a page may be short or even
// empty, and still not be the last. Error: ErrUnknown.
func (g *Registry) Tags(ctx context.Context, repo, last string, n int) (tags []TagEntry, next string, err error) {
	next, err = g.eachTag(ctx, repo, last, n, func() { tags = nil }, func(name string, value []byte) error {
		row, err := decodeTagRow(value)
		tags = append(tags, TagEntry{Name: name, Digest: row.digest, Record: row.record})
		return err
	})
	return tags, next, err
}

// eachTag calls add for up to n tags of a repository in order, from the one behind last, and returns what last
// is for the next page, as Tags does. It calls reset before it begins, each time. Error: ErrUnknown.
func (g *Registry) eachTag(ctx context.Context, repo, last string, n int, reset func(), add func(name string, value []byte) error) (next string, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		reset()
		_, err := tx.Get(repositoryTable, []byte(repo))
		if errors.Is(err, storage.ErrNotFound) {
			return errNameUnknown(repo)
		}
		if err != nil {
			return err
		}
		p := tagPage{tx: tx, n: n, add: add}
		next, err = p.fill(repo, last)
		return err
	})
	return next, err
}

// tagPage is a page of tags while it is read.
type tagPage struct {
	tx    storage.Reader
	n     int // how many more it may have
	ended int // tags that were passed over
	add   func(name string, value []byte) error
}

func (p *tagPage) fill(repo, last string) (next string, err error) {
	going, err := goingIn(p.tx, repo)
	if err != nil {
		return "", err
	}
	all := repoKey(repo)
	at := ""
	for item, err := range p.tx.Scan(tagTable, repoKey(repo, []byte(last), []byte{0}), storage.PrefixEnd(all)) {
		if err != nil || p.n <= 0 || p.ended == maxLook {
			return at, err
		}
		at = string(item.Key[len(all):])
		if len(going) > 0 && going[tagMeans(item.Value)] {
			p.ended++
			continue
		}
		if err := p.add(at, item.Value); err != nil {
			return "", err
		}
		p.n--
	}
	return "", nil
}
