package api

import (
	"bytes"
	"encoding"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	queries "github.com/seed-260924e6/hallmark/internal/query"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
)

// query reads a query string. Each parameter is asked for by its name; then end refuses all others,
// because a mistyped filter would silently find everything.
type query struct {
	values url.Values // where a plus is a plus
	form   url.Values // where it is a space
	asked  []string
	err    error // the first that was wrong
}

func (c *call) query() *query {
	values, err := queries.Parse(c.URL.RawQuery)
	q := &query{values: values}
	q.form, _ = queries.ParseForm(c.URL.RawQuery) // it fails where the other does
	if err != nil {
		q.fail("the query string is malformed")
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = problemf(http.StatusBadRequest, format, args...)
	}
}

// text returns a parameter that never holds a space, or "".
func (q *query) text(name string) string { return q.one(q.values, name) }

// words returns a parameter that may hold spaces, as forms write them, or "".
func (q *query) words(name string) string { return q.one(q.form, name) }

// either returns what a parameter that may hold spaces and pluses can mean: nothing where it is absent.
func (q *query) either(name string) []string {
	plain := q.text(name)
	if plain == "" {
		return nil
	}
	return []string{plain, q.form.Get(name)}
}

func (q *query) one(values url.Values, name string) string {
	q.asked = append(q.asked, name)
	switch v := values[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	default:
		q.fail("%s is given %d times", name, len(v))
		return ""
	}
}

// needed returns a parameter that may not be absent.
func (q *query) needed(name string) string {
	s := q.text(name)
	if s == "" {
		q.fail("%s is missing", name)
	}
	return s
}

// parsed reads a parameter that may not be absent, and never holds a space, into value.
func (q *query) parsed(name string, value encoding.TextUnmarshaler) {
	if s := q.needed(name); s == "" {
		return
	} else if err := value.UnmarshalText([]byte(s)); err != nil {
		q.fail("%s: %s", name, err)
	}
}

// oneOf returns a parameter that has one of a few values, or "".
func (q *query) oneOf(name string, values ...string) string {
	s := q.text(name)
	if s != "" && !slices.Contains(values, s) {
		q.fail("%s is %q, and should be one of %s", name, s, strings.Join(values, ", "))
	}
	return s
}

// index returns a parameter that is the index of a record, or nil.
func (q *query) index(name string) *uint64 {
	s := q.text(name)
	if s == "" {
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		q.fail("%s is %q, and should be a number", name, s)
	}
	return &n
}

// limit returns the size of a page.
func (q *query) limit() int {
	s := q.text("limit")
	if s == "" {
		return defaultPage
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > provenance.MaxPage {
		q.fail("limit is %q, and should be a number from 1 to %d", s, provenance.MaxPage)
	}
	return n
}

// defaultPage is how many entries a page has where no limit is asked for. Of the time that a page takes nearly all
// goes into reading and writing the JSON of its records.
const defaultPage = 50

// time returns a parameter that is a moment, or the zero time.
func (q *query) time(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	q.fail("%s is %q, and should be a time as 2006-01-02T15:04:05Z, or a day as 2006-01-02 (UTC)", name, s)
	return time.Time{}
}

// endOf returns a parameter that is a moment at which something is looked at, or the zero time. Anyone who gives a second
// without a fraction means its end: what happened within it, and is shown with that time elsewhere, has happened.
func (q *query) endOf(name string) time.Time {
	t, s := q.time(name), q.values.Get(name)
	if t.IsZero() || !strings.Contains(s, "T") || strings.Contains(s, ".") {
		return t
	}
	return t.Add(time.Second - time.Microsecond)
}

// end returns the first thing that was wrong with the query.
func (q *query) end() error {
	for name := range q.values {
		if !slices.Contains(q.asked, name) {
			q.fail("there is no parameter %q here; there are %s", name, strings.Join(q.asked, ", "))
		}
	}
	return q.err
}

// nextURL returns the call's own path and query with some parameters changed.
func (c *call) nextURL(set map[string]string) string {
	parts := c.without(slices.Collect(maps.Keys(set))...)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		parts = append(parts, url.QueryEscape(name)+"="+url.QueryEscape(set[name]))
	}
	return c.URL.EscapedPath() + "?" + strings.Join(parts, "&")
}

// pageOf cuts what was found, one more than wanted, to a page, and returns the URL of the next one, or "". after is where that begins.
func pageOf[T any](c *call, found []T, limit int, after func(T) string) (page []T, next string) {
	if len(found) <= limit {
		return append([]T{}, found...), "" // and not null
	}
	return found[:limit], c.nextURL(map[string]string{"after": after(found[limit-1])})
}

// without returns the parts of the query but some parameters', as the client wrote them: how it writes a plus, a space or a
// semicolon is a part of what it asks for.
func (c *call) without(names ...string) (parts []string) {
	for part := range strings.SplitSeq(c.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil && part != "" && !slices.Contains(names, plain) {
			parts = append(parts, part)
		}
	}
	return parts
}

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// body reads a JSON object into value. Unknown fields are refused.
func (c *call) body(value any) error { return c.bodyUpTo(maxBody, value) }

// bodyUpTo is body for one that may have another size.
func (c *call) bodyUpTo(most int64, value any) error {
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, most))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return problemf(http.StatusRequestEntityTooLarge, "the body may have %d bytes", most)
	}
	if err != nil {
		return problemf(http.StatusBadRequest, "the body did not arrive whole")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) { // null would be taken for an empty object
		return problemf(http.StatusBadRequest, "the body is not what is wanted here: it should be a JSON object")
	}
	if err := strictjson.UnmarshalKnown(data, value); err != nil {
		return problemf(http.StatusBadRequest, "the body is not what is wanted here: %v", err)
	}
	return nil
}
