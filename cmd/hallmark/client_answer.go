package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/config"
)

// get asks for a path and reads the answer into value.
func (c *client) get(ctx context.Context, path string, query url.Values, value any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.send(ctx, http.MethodGet, path, nil, value)
}

// send makes a request with a JSON body, or none, and reads the answer into value, or nowhere.
func (c *client) send(ctx context.Context, method, path string, body, value any) error {
	resp, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if value == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(value); err != nil {
		return askf("%s answers with something else than JSON: %w", c.base, err)
	}
	return nil
}

// fetch asks for a path and returns the answer as it is, which may have so many bytes at most.
func (c *client) fetch(ctx context.Context, path string, most int64) ([]byte, error) {
	resp, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, askf("%s%s: %w", c.base, path, err)
	}
	if int64(len(data)) > most {
		return nil, askf("%s%s: the answer has more than %d bytes", c.base, path, most)
	}
	return data, nil
}

// open makes a request, and returns an answer that is good.
func (c *client) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	c.login(r)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, trustHint(c.base, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close() //nolint:errcheck // it was only read
		return nil, c.explain(refusal(c.base, resp))
	}
	return resp, nil
}

// explain says which stored login was refused, where one was.
func (c *client) explain(err error) error {
	if c.kept != "" && errors.As(err, new(loginError)) {
		return refusedStored(c.kept, c.user, c.host, err)
	}
	return err
}

// trustHint explains why a server is not trusted.
func trustHint(base string, err error) error {
	if unknown := new(x509.UnknownAuthorityError); errors.As(err, unknown) {
		return askf("%w. Give its CA with --ca, or trust it: hallmark cert trust docker --server %s --fingerprint SHA256", err, base)
	}
	if known := new(exitError); errors.As(err, known) { // it says itself what to do
		return *known
	}
	if wrong := new(config.Error); errors.As(err, &wrong) {
		return wrong
	}
	if away := new(server.UnavailableError); errors.As(err, &away) {
		return away
	}
	return exitError{exitAsk, err}
}

// A loginError says that a login is needed, or another one.
type loginError struct{ detail string }

func (e loginError) Error() string { return e.detail }

// refusal reads the problem details of an answer.
func refusal(base string, resp *http.Response) error {
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
		p.Detail = base + " answers " + resp.Status
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return exitError{exitAsk, loginError{p.Detail}}
	case http.StatusForbidden, http.StatusNotFound, http.StatusConflict:
		return nof("%s", p.Detail)
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return usagef("%s", p.Detail)
	default:
		return askf("%s", p.Detail)
	}
}
