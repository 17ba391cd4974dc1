package access

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
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

type trouble struct {
	err error
	Trouble
}

// troubles are in the order in which they count, where an error is several of them: what may have happened before what
// has not, and what does not pass before what does.
var troubles = []trouble{
	{storage.ErrUnknownOutcome, Trouble{
		Status: http.StatusInternalServerError, Operator: true,
		Says: "the registry's disk failed; whether this was stored is not known yet. Ask its operator to look",
	}},
	{storage.ErrCorrupt, Trouble{
		Status: http.StatusInternalServerError, Operator: true,
		Says: "the registry's data is damaged; ask its operator to run `hallmark fsck`",
	}},
	{storage.ErrFull, Trouble{
		Status: http.StatusInsufficientStorage, Operator: true,
		Says: "the registry's disk is nearly full, so it takes no pushes now; pulls and deletes go on. Ask its operator to make room",
	}},
	{provenance.ErrNoKey, Trouble{Status: http.StatusServiceUnavailable, Operator: true, Says: provenance.ErrNoKey.Error()}},
	{provenance.ErrNotGranted, Trouble{Status: http.StatusServiceUnavailable, Operator: true, Says: "the access document is not the one that the records name: " + provenance.ErrNotGranted.Error()}},
	{provenance.ErrDisagree, Trouble{Status: http.StatusServiceUnavailable, Operator: true, Says: provenance.ErrDisagree.Error() + ". Its operator is told by its log and by /readyz what to do"}},
	{provenance.ErrNotAdopted, Trouble{Status: http.StatusServiceUnavailable, Operator: true, Says: provenance.ErrNotAdopted.Error()}},
	{storage.ErrReadOnly, Trouble{
		Status: http.StatusServiceUnavailable, Operator: true,
		Says: "the registry was opened for reading only, and takes no changes",
	}},
	{storage.ErrClosed, Trouble{
		Status: http.StatusServiceUnavailable, RetryAfter: 5,
		Says: "the registry is shutting down; try again in a moment",
	}},
	{storage.ErrBusy, Trouble{
		Status: http.StatusServiceUnavailable, RetryAfter: 1,
		Says: "another request is writing to the same; try again in a moment",
	}},
}

// TroubleOf returns the answer to an error. request is the number of the request, under which the log says more.
func TroubleOf(err error, request string) Trouble {
	var slow *SlowDownError
	switch {
	case errors.Is(err, ErrNoLogin), errors.Is(err, ErrBadLogin), errors.Is(err, ErrExpired), errors.Is(err, ErrScope):
		return Trouble{Status: http.StatusUnauthorized, Says: err.Error(), Challenge: true}
	case errors.As(err, &slow):
		return Trouble{Status: http.StatusTooManyRequests, Says: err.Error(), RetryAfter: int(slow.Wait.Seconds()) + 1}
	case errors.Is(err, ErrBusy):
		return Trouble{Status: http.StatusTooManyRequests, Says: err.Error(), RetryAfter: 1}
	}
	for _, known := range troubles {
		if errors.Is(err, known.err) {
			return known.in(request)
		}
	}
	t := Trouble{Status: http.StatusInternalServerError, Operator: true, Says: "the registry failed; its log says more"}
	return t.in(request)
}

// IsTrouble says that an error is one of the store or of the registry's keys, which no route answers in words of its own.
func IsTrouble(err error) bool {
	return slices.ContainsFunc(troubles, func(known trouble) bool { return errors.Is(err, known.err) })
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
