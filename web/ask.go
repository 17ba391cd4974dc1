package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
)

// answer takes what a handler writes, in memory. The API's answers are bounded.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	into   any  // a pointer to what is asked for, or nil
	taken  bool // it has the answer
}

// TakeAnswer implements api.Taker. An answer is taken as it is where a page names its type; all others are read from their JSON.
func (a *answer) TakeAnswer(value any) bool {
	switch into := a.into.(type) {
	case *api.RecordPage:
		*into, a.taken = value.(api.RecordPage)
	case *api.TagPage:
		*into, a.taken = value.(api.TagPage)
	case *api.HistoryPage:
		*into, a.taken = value.(api.HistoryPage)
	}
	return a.taken
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// A refusal is why a page cannot be shown: a status, and a sentence for people.
type refusal struct {
	status int
	says   string
	header http.Header
}

func (r *refusal) Error() string { return r.says }

func refusalf(status int, format string, args ...any) *refusal {
	return &refusal{status: status, says: fmt.Sprintf(format, args...)}
}

// errSignIn sends a stranger to sign in, whether what they asked for exists or not.
var errSignIn = errors.New("sign in first")

// ask asks the API a question on behalf of the one who asks for the page, and reads the answer into value. Errors: a
// *refusal in the API's words, errSignIn for a stranger who may not know.
func (pg *page) ask(path string, query url.Values, value any) error {
	return pg.read(pg.get(path, query, value), path, value)
}

// read reads the API's answer into value.
func (pg *page) read(a *answer, path string, value any) error {
	if a.taken {
		return nil
	}
	if a.status != http.StatusOK {
		return pg.refused(a)
	}
	if err := json.Unmarshal(a.body.Bytes(), value); err != nil {
		return fmt.Errorf("the answer of %s: %w", path, err)
	}
	return nil
}

// get asks the API, for an answer into value.
func (pg *page) get(path string, query url.Values, value any) *answer {
	a := &answer{header: http.Header{}, into: value}
	pg.API.ServeHTTP(a, pg.request(http.MethodGet, path, query))
	return a
}

// request is one on behalf of the one who asks for the page, from where they are. path is of our making, and escaped.
func (pg *page) request(method, path string, query url.Values) *http.Request {
	r, err := http.NewRequestWithContext(access.WithIdentity(pg.r.Context(), pg.who), method, path, http.NoBody)
	if err != nil {
		r = &http.Request{Method: method, URL: new(url.URL), Header: http.Header{}} // a bug: there is nothing at that path
	}
	r.URL.RawQuery = query.Encode()
	r.RemoteAddr, r.TLS, r.Host = pg.r.RemoteAddr, pg.r.TLS, pg.r.Host
	r.Header.Set("User-Agent", pg.r.UserAgent())
	r.Header.Set("Content-Type", "application/json")
	if pg.isStranger() {
		r.SetBasicAuth("", "") // the one who asks for a page has no login: lists are of what strangers may see
	}
	return r
}

// ociMessage is the first message of an error of the registry (OCI distribution specification, "Error Codes").
func ociMessage(body []byte) string {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return "The registry refused it"
	}
	return answer.Errors[0].Message
}

// refused turns the API's problem (RFC 9457) into a refusal.
func (pg *page) refused(a *answer) error {
	if a.status == http.StatusUnauthorized {
		return errSignIn
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(a.body.Bytes(), &problem); err != nil || problem.Detail == "" {
		problem.Detail = http.StatusText(a.status)
	}
	return &refusal{status: a.status, says: sentence(problem.Detail), header: http.Header{"Retry-After": a.header["Retry-After"]}}
}
