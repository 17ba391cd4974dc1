package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// runProtocols compares HTTP/1.1 with HTTP/2, by the client of Go's library, which the tools of this field
// use: a layer of 16 MiB out and in, one after another, and manifests.
func runProtocols(ctx context.Context, program, dir string, each time.Duration) error {
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"))
	if err != nil {
		return err
	}
	defer s.stop()
	l := &load{s: s}
	if err := l.prepare(); err != nil {
		return err
	}
	large := bytes.Repeat(tail, 16)
	blob := newContent(large, nil)
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	if err := monolithic(c, "load/stable", blob); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "| | HTTP/1.1 | HTTP/2 | CPU HTTP/1.1 | CPU HTTP/2 |\n| --- | --: | --: | --: | --: |\n")
	for _, r := range []struct {
		name, unit, method, path string
		body                     []byte
		worth                    float64
	}{
		{"layer of 16 MiB out", "MB/s", "GET", "/v2/load/stable/blobs/" + blob.digest, nil, float64(len(large)) / 1e6},
		{"layer of 16 MiB in", "MB/s", "POST", "/v2/load/stable/blobs/uploads/?digest=" + blob.digest, large, float64(len(large)) / 1e6},
		{"manifest by tag", "/s", "GET", "/v2/load/stable/manifests/v0", nil, 1},
	} {
		var results []result
		for _, two := range []bool{false, true} {
			got, err := s.repeat(ctx, two, r.method, r.path, r.body, each)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			results = append(results, got)
		}
		one, two := results[0], results[1]
		fmt.Fprintf(os.Stdout, "| %s, %s | %s | %s | %s | %s |\n", r.name, r.unit, number(rate(one)*r.worth), number(rate(two)*r.worth), cpuTime(cpu(one)), cpuTime(cpu(two)))
	}
	return nil
}

// repeat sends a request again and again over one connection.
func (s *server) repeat(ctx context.Context, two bool, method, path string, body []byte, each time.Duration) (r result, err error) {
	transport := &http.Transport{TLSClientConfig: s.tls.Clone(), ForceAttemptHTTP2: two}
	defer transport.CloseIdleConnections()
	before, err := s.cpuSeconds()
	if err != nil {
		return r, err
	}
	begun := time.Now()
	for time.Since(begun) < each {
		if err := s.once(ctx, transport, two, method, path, body); err != nil {
			return r, err
		}
		r.operations++
	}
	r.seconds = time.Since(begun).Seconds()
	after, err := s.cpuSeconds()
	r.cpu = after - before
	return r, err
}

func (s *server) once(ctx context.Context, transport *http.Transport, two bool, method, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+s.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", s.login)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	err = errors.Join(err, resp.Body.Close())
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s", resp.Status)
	case resp.ProtoMajor == 2 != two:
		return fmt.Errorf("the server speaks %s", resp.Proto)
	}
	return nil
}
