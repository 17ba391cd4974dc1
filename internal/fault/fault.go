// Package fault gives errors a class: what kind of answer a request gets that fails with one. A room states the class where
// it declares the error; nobody keeps a list of other rooms' errors. Each API turns classes into answers of its own shape, in
// one place.
package fault

import "fmt"

// A Class is what kind of answer an error gets.
type Class int

// The classes, in the order in which they count where an error is several: who asks; then the store and the signing keys, what
// may have happened before what has not, and what does not pass before what does; then what the request itself was about.
const (
	None Class = iota // it states no class

	Login     // a login is missing, wrong or not enough, and another may do
	Throttled // too much is asked at once

	Uncertain // the disk failed, and whether this was stored is not known
	Damaged   // what is stored is not what was written
	Full      // the disk has no room
	Stopped   // the registry takes no changes until its operator acts
	Closing   // the store is closed
	Away      // what keeps the data does not answer now
	Busy      // another writer has it

	Entry     // an entry of the body is wrong, whatever is wrong with it
	Denied    // the one who asks may not
	Malformed // the request cannot be read
	Invalid   // it can be read, and is not allowed
	Conflict  // what is there does not allow it
	Missing   // it is not there
)

// OfStore says that it is about the store or the signing keys: no route answers that in words of its own.
func (c Class) OfStore() bool { return Uncertain <= c && c <= Busy }

// OfRequest says that it is about what was asked: the error's own words are the answer.
func (c Class) OfRequest() bool { return c >= Entry }

// Classed is an error that states its class. Errors that wrap it need not.
type Classed interface {
	error
	Class() Class
}

// An Error is an error of a class, by which it is also known: compare with [errors.Is].
type Error struct {
	class  Class
	text   string
	answer string
}

// New returns an error of a class.
func New(c Class, text string) *Error { return &Error{class: c, text: text, answer: text} }

// Telling has clients told something else than the operator's log is.
func (e *Error) Telling(clients string) *Error {
	e.answer = clients
	return e
}

// Newf is New with a format.
func Newf(c Class, format string, args ...any) *Error { return New(c, fmt.Sprintf(format, args...)) }

func (e *Error) Error() string { return e.text }

// Answer is what clients are told.
func (e *Error) Answer() string { return e.answer }

// Class is the class that it was declared with.
func (e *Error) Class() Class { return e.class }

// Of returns the first class in order of those that an error and all that it wraps state, or None.
func Of(err error) Class {
	first := None
	Each(err, func(c Class, _ error) {
		if first == None || c < first {
			first = c
		}
	})
	return first
}

// Each calls fn with each error in the tree of an error that states a class.
func Each(err error, fn func(Class, error)) {
	if own, ok := err.(Classed); ok && own.Class() != None { //nolint:errorlint // what it wraps is looked at below
		fn(own.Class(), err)
	}
	switch err := err.(type) { //nolint:errorlint // as errors.Is does it
	case interface{ Unwrap() error }:
		Each(err.Unwrap(), fn)
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			Each(one, fn)
		}
	}
}

// AnswerOf is what clients are told of the first error of a class in the tree of an error.
func AnswerOf(err error, c Class) (says string) {
	Each(err, func(is Class, one error) {
		if says == "" && is == c {
			says = one.Error()
			if own, ok := one.(*Error); ok { //nolint:errorlint // it is the one that states the class
				says = own.Answer()
			}
		}
	})
	return says
}
