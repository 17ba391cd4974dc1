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
const accessRounds = 7

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
	l := &load{s: s}
	if err := l.prepare(); err != nil {
		return err
	}
	logins, err := s.logins(ctx)
	if err != nil {
		return err
	}
	results := make([][]result, len(logins))
	for round := range accessRounds {
		for i := range logins {
			at := (i + round) % len(logins) // who comes first changes
			s.login = logins[at].header
			got, err := measure(ctx, s, pullRow, l.stable, each)
			if err != nil {
				return fmt.Errorf("%s: %w", logins[at].name, err)
			}
			results[at] = append(results[at], got)
		}
	}
	return printAccess(logins, results)
}

// pullRow pulls small images: the more requests, the more authorization.
var pullRow = row{name: "pull", worth: 1, do: func(c *conn, images []image, i int) error { return images[i%len(images)].pull(c) }}

type loginHeader struct{ name, header string }

func printAccess(logins []loginHeader, results [][]result) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(t, "| pulls of 3 × 32 KiB\t| images/s\t| CPU\t| of strangers'\t|\n| ---\t| --:\t| --:\t| --:\t|\n")
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
	if err := s.json(ctx, http.MethodGet, "/token?scope=repository:load/stable:pull", nil, &token); err != nil {
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
