package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// accessRounds is how often runAccess compares, because machines are noisy.
const accessRounds = 61

// accessGrants is how many grants there are beside those that count.
const accessGrants = 1000

// runAccess measures what it costs a pull to be authorized: the same pulls by strangers, to whom the images
// are granted, by somebody with a token, and with a password, among a thousand grants.
func runAccess(ctx context.Context, program, dir string, each time.Duration) error {
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"))
	if err != nil {
		return err
	}
	defer s.stop()
	logins, err := s.logins(ctx)
	if err != nil {
		return err
	}
	for _, size := range []int{layerSize, 32 << 10} {
		if err := s.compareLogins(ctx, logins, size, each); err != nil {
			return err
		}
	}
	return nil
}

// compareLogins lets each pull images of three layers of a size.
func (s *server) compareLogins(ctx context.Context, logins []loginHeader, size int, each time.Duration) error {
	images, err := newImagesOf(fmt.Sprintf("load/stable-%d", size), size, 0, perRepo)
	if err != nil {
		return err
	}
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	s.login = logins[len(logins)-1].header
	for _, img := range images {
		if err := img.push(c, monolithic); err != nil {
			return err
		}
	}
	results := make([][]result, len(logins))
	for round := range accessRounds {
		for i := range logins {
			at := (i + round) % len(logins) // who comes first changes
			s.login = logins[at].header
			got, err := measure(ctx, s, pullRow, images, each/5)
			if err != nil {
				return fmt.Errorf("%s: %w", logins[at].name, err)
			}
			results[at] = append(results[at], got)
		}
	}
	return printAccess(size, logins, results)
}

var pullRow = row{name: "pull", worth: 1, do: func(c *conn, images []image, i int) error { return images[i%len(images)].pull(c) }}

type loginHeader struct{ name, header string }

func printAccess(size int, logins []loginHeader, results [][]result) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(t, "| pulls of 3 × %d KiB\t| images/s\t| CPU\t| of strangers'\t|\n| ---\t| --:\t| --:\t| --:\t|\n", size>>10)
	for i, login := range logins {
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %.3f ×\t|\n", login.name, number(median(each(results[i], rate))),
			cpuTime(median(each(results[i], cpu))), median(divide(results[i], results[0], cpu)))
	}
	return t.Flush()
}

// logins makes the grants, and returns the ways to sign in.
func (s *server) logins(ctx context.Context) ([]loginHeader, error) {
	if err := s.grant(ctx, "anonymous", "load/**"); err != nil {
		return nil, err
	}
	for i := range accessGrants {
		if err := s.grant(ctx, "user:admin", fmt.Sprintf("other/app%d/**", i)); err != nil {
			return nil, err
		}
	}
	var token struct{ Token string }
	if err := s.json(ctx, http.MethodGet, "/token?scope=repository:load/stable-1048576:pull&scope=repository:load/stable-32768:pull", nil, &token); err != nil {
		return nil, err
	}
	return []loginHeader{{"strangers", ""}, {"with a token", "Bearer " + token.Token}, {"with a password", s.login}}, nil
}

func (s *server) grant(ctx context.Context, subject, pattern string) error {
	return s.json(ctx, http.MethodPost, "/api/v1/access/grants", map[string]string{"subject": subject, "pattern": pattern, "role": "pull"}, nil)
}

// json asks the API.
func (s *server) json(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+s.address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", s.login)
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls.Clone(), DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	said, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s %w", method, path, resp.Status, strings.TrimSpace(string(said)), err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(said, answer)
}
