package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
)

// problem is an error as RFC 9457 has it. Its type is always about:blank, so its title is the status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	header http.Header
	more   map[string]any // further members (RFC 9457, section 3.2)
}

// MarshalJSON implements json.Marshaler.
func (p *problem) MarshalJSON() ([]byte, error) {
	type plain problem
	if len(p.more) == 0 {
		return json.Marshal((*plain)(p))
	}
	members := map[string]any{"title": p.Title, "status": p.Status, "detail": p.Detail}
	maps.Copy(members, p.more)
	return json.Marshal(members)
}

func (p *problem) Error() string { return p.Detail }

func problemf(status int, format string, args ...any) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

func (p *problem) retryAfter(seconds int) *problem {
	p.header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

// WriteProblem answers with a problem: for routes beside the API that fail in the same way.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	problemf(status, "%s", detail).write(w)
}

// WriteProblemWith is WriteProblem with further members.
func WriteProblemWith(w http.ResponseWriter, status int, detail string, more map[string]any) {
	p := problemf(status, "%s", detail)
	p.more = more
	p.write(w)
}

// created is an answer of status 201.
type created struct{ value any }

// done is an answer with nothing to say.
type done struct{}

// streamed is an answer that was written already.
type streamed struct{}

// paged is an answer that may go on elsewhere.
type paged interface{ nextPage() string }

// A Taker takes the answer to a question from within this process as the value that it is: to write and read the JSON of 50 records takes
// longer than to find them. It says whether it did.
type Taker interface {
	TakeAnswer(value any) bool
}

func (a *API) answer(w http.ResponseWriter, value any) {
	if t, ok := w.(Taker); ok && t.TakeAnswer(value) {
		return
	}
	switch v := value.(type) {
	case streamed:
		return
	case done:
		w.WriteHeader(http.StatusNoContent)
		return
	case raw:
		v.write(w)
		return
	case *exportPage:
		v.send(w)
		return
	case created:
		writeJSON(w, http.StatusCreated, "application/json", v.value)
		return
	case paged:
		if next := v.nextPage(); next != "" {
			w.Header().Set("Link", "<"+next+`>; rel="next"`)
		}
	}
	writeJSON(w, http.StatusOK, "application/json", value)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError) // a bug
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // a client that left does not matter any more
}
