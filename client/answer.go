package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// Get asks for a path and reads the answer into value.
func (c *Client) Get(ctx context.Context, path string, query url.Values, value any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.Send(ctx, http.MethodGet, path, nil, value)
}

// Send makes a request with a JSON body, or none, and reads the answer into value, or nowhere.
func (c *Client) Send(ctx context.Context, method, path string, body, value any) error {
	resp, err := c.Open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if value == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(value); err != nil {
		return away("%s answers with something else than JSON: %w", c.Base, err)
	}
	return nil
}

// Fetch asks for a path and returns the answer as it is, which may have so many bytes at most.
func (c *Client) Fetch(ctx context.Context, path string, most int64) ([]byte, error) {
	resp, err := c.Open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, away("%s%s: %w", c.Base, path, err)
	}
	if int64(len(data)) > most {
		return nil, away("%s%s: the answer has more than %d bytes", c.Base, path, most)
	}
	return data, nil
}

// Open makes a request, and returns an answer that is good.
func (c *Client) Open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	resp, err := c.Do(ctx, method, path, body)
	return c.good(resp, err)
}

// good returns an answer that is good, and the refusal that another is.
func (c *Client) good(resp *http.Response, err error) (*http.Response, error) {
	if err != nil || resp.StatusCode < http.StatusMultipleChoices {
		return resp, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return nil, c.Refusal(resp)
}

// Do makes a request with a JSON body, or none, and returns the answer, whatever it is.
func (c *Client) Do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	if body == nil {
		return c.do(ctx, method, path, nil)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, method, path, data)
}

// Upload makes a request with a body as it is, and returns an answer that is good.
func (c *Client) Upload(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	resp, err := c.do(ctx, method, path, body)
	return c.good(resp, err)
}

// OpenWith is Open of a request without a body that has some headers.
func (c *Client) OpenWith(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	resp, err := c.doWith(ctx, method, path, nil, header)
	return c.good(resp, err)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	return c.doWith(ctx, method, path, body, nil)
}

func (c *Client) doWith(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Base+path, content)
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, header)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	c.sign(r)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(err)
	}
	return resp, nil
}
