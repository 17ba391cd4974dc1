package client

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Kind is what became of a question.
type Kind int

// The kinds.
const (
	Refused     Kind = iota + 1 // the registry's answer is no
	Invalid                     // it was asked wrongly
	Unreachable                 // it could not be asked, or could not answer
)

// An Error says that a registry did not answer well.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns why.
func (e *Error) Unwrap() error { return e.err }

// A LoginError says that a login is needed, or another one.
type LoginError struct{ detail string }

func (e LoginError) Error() string { return e.detail }

func refused(format string, args ...any) error { return &Error{Refused, fmt.Errorf(format, args...)} }

func invalid(format string, args ...any) error { return &Error{Invalid, fmt.Errorf(format, args...)} }

func away(format string, args ...any) error { return &Error{Unreachable, fmt.Errorf(format, args...)} }

// refusedLogin says that a login was refused, and whose keeping it is from.
func (c *Client) refusedLogin(kind Kind, detail string) error {
	if c.keptBy == "" {
		return &Error{kind, LoginError{detail}}
	}
	_, host, _ := strings.Cut(c.Base, "://")
	return &Error{Unreachable, LoginError{fmt.Sprintf("the login to %s as %s that is kept by %s was refused: %s. `hallmark login %s --user %s` makes another",
		host, cmp.Or(c.User, "nobody"), c.keptBy, detail, host, cmp.Or(c.User, "NAME"))}}
}

// explain says why a request was not answered. What answers in this process says itself what to do.
func (c *Client) explain(err error) error {
	if failed := new(url.Error); c.inProcess && errors.As(err, &failed) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return failed.Err
	}
	return Explain(c.Base, err)
}

// Explain makes an *Error of one that a request to a URL ended with.
func Explain(base string, err error) error {
	if unknown := new(x509.UnknownAuthorityError); errors.As(err, unknown) {
		return away("%w. Give its CA with --ca, or trust it: hallmark cert trust docker --server %s --fingerprint SHA256", err, base)
	}
	return &Error{Unreachable, err}
}

// Refusal reads the problem details of an answer. Error: *Error, and LoginError within it.
func (c *Client) Refusal(resp *http.Response) error {
	var p struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"` // of routes for images
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what came will do
	if json.Unmarshal(data, &p) == nil && p.Detail == "" && len(p.Errors) > 0 {
		p.Detail = p.Errors[0].Message
	}
	if p.Detail == "" {
		p.Detail = c.Base + " answers " + resp.Status
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return c.refusedLogin(Unreachable, p.Detail)
	case http.StatusForbidden, http.StatusNotFound, http.StatusConflict:
		return refused("%s", p.Detail)
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return invalid("%s", p.Detail)
	default:
		return away("%s", p.Detail)
	}
}
