package access

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/seed-260924e6/hallmark/internal/fault"
)

// A Trouble is what a request is answered with that failed for a reason that is not the business of its route: who
// asked, how often, and what became of the disk. Every room over this one answers the same, each in the shape of its
// own.
type Trouble struct {
	Status     int
	RetryAfter int    // seconds; 0 where trying again is of no use, or nobody knows when
	Says       string // what was wrong, and what to do
	Challenge  bool   // the client is to be asked for a login
	Operator   bool   // only the operator can mend it: the error is for the log, with the number of the request
}

// statuses of HTTP, by class: the one table for the OCI API, ours, and the pages.
var statuses = [...]int{
	fault.None: http.StatusInternalServerError,

	fault.Login: http.StatusUnauthorized, fault.Throttled: http.StatusTooManyRequests,

	fault.Uncertain: http.StatusInternalServerError, fault.Damaged: http.StatusInternalServerError, fault.Full: http.StatusInsufficientStorage,
	fault.Stopped: http.StatusServiceUnavailable, fault.Closing: http.StatusServiceUnavailable, fault.Away: http.StatusServiceUnavailable,
	fault.Busy: http.StatusServiceUnavailable,

	fault.Entry: http.StatusUnprocessableEntity, fault.Denied: http.StatusForbidden, fault.Malformed: http.StatusBadRequest,
	fault.Invalid: http.StatusUnprocessableEntity, fault.Conflict: http.StatusConflict, fault.Missing: http.StatusNotFound,
}

// StatusOf is the status of an error whose own words are the answer to a request of ours, or 0. An error of the store is not
// one, whatever was looked for when it came.
func StatusOf(err error) int {
	if c := fault.Of(err); c.OfRequest() {
		return statuses[c]
	}
	return 0
}

// TroubleOf returns the answer to an error. request is the number of the request, under which the log says more. What an error
// says of what was asked for is not among it: a route that answers that does so itself.
func TroubleOf(err error, request string) Trouble {
	c := fault.Of(err)
	switch {
	case c == fault.Login:
		return Trouble{Status: statuses[c], Says: err.Error(), Challenge: true}
	case c == fault.Throttled:
		return Trouble{Status: statuses[c], Says: err.Error(), RetryAfter: waitOf(err)}
	case c.OfStore():
		return storeTrouble(c, err).in(request)
	}
	t := Trouble{Status: http.StatusInternalServerError, Operator: true, Says: "the registry failed; its log says more"}
	return t.in(request)
}

// waitOf is after how many seconds to try again what was too much at once.
func waitOf(err error) int {
	var slow *SlowDownError
	if errors.As(err, &slow) {
		return int(slow.Wait.Seconds()) + 1
	}
	return 1
}

// storeTrouble is the answer to an error of the store or of the signing keys.
func storeTrouble(c fault.Class, err error) Trouble {
	t := Trouble{Status: statuses[c], Operator: true}
	switch c {
	case fault.Uncertain:
		t.Says = "the registry's disk failed; whether this was stored is not known yet. Ask its operator to look"
	case fault.Damaged:
		t.Says = "the registry's data is damaged; ask its operator to run `hallmark fsck`"
	case fault.Full:
		t.Says = "the registry's disk is nearly full, so it takes no pushes now; pulls and deletes go on. Ask its operator to make room"
	case fault.Closing:
		t.Says, t.RetryAfter, t.Operator = "the registry is shutting down; try again in a moment", 5, false
	case fault.Away:
		t.Says, t.RetryAfter = fault.AnswerOf(err, c), 5
	case fault.Busy:
		t.Says, t.RetryAfter, t.Operator = "another request is writing to the same; try again in a moment", 1, false
	default:
		t.Says = fault.AnswerOf(err, c)
	}
	return t
}

// IsTrouble says that an error is one of the store or of the registry's keys, which no route answers in words of its own.
func IsTrouble(err error) (is bool) {
	fault.Each(err, func(c fault.Class, _ error) { is = is || c.OfStore() })
	return is
}

// in names the request, by which the operator finds it.
func (t Trouble) in(request string) Trouble {
	if t.Operator && request != "" {
		t.Says += " (request " + request + ")"
	}
	return t
}

// Header is what the answer says beside its body.
func (t Trouble) Header() http.Header {
	if t.RetryAfter == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(t.RetryAfter)}}
}
