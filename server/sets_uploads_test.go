package server_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// send sends a part of an upload to a set, and returns where to go on.
func (w *setsWorld) send(s *servertest.Set, status int, method, location string, body []byte) string {
	w.t.Helper()
	r, err := http.NewRequest(method, servertest.SetsURL+location, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth(strings.Split(servertest.Login, ":")[0], strings.Split(servertest.Login, ":")[1])
	r.Header.Set("Content-Type", "application/octet-stream")
	resp, err := s.Client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != status {
		w.t.Fatalf("%s %s: %s, want %d: %s", method, location, resp.Status, status, said)
	}
	next, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		w.t.Fatal(err)
	}
	return next.RequestURI()
}

// TestSetsUpload begins uploads at one of three servers, goes on with them at others, of which some are killed meanwhile, and ends them where
// they were not begun.
func TestSetsUpload(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	t.Parallel()
	w := &setsWorld{servertest.StartSets(t, servertest.Options(), 3, 2), t}
	random := rand.New(rand.NewPCG(3, 0))
	for round := range 12 {
		content := make([]byte, random.IntN(1<<uint(8+2*(round%6)))+1)
		for i := range content {
			content[i] = byte(random.Uint32())
		}
		begun := w.Any()
		location := w.send(begun, http.StatusAccepted, "POST", "/v2/team/app/blobs/uploads/", nil)
		for rest := content; len(rest) > 0; {
			n := random.IntN(len(rest)) + 1
			location = w.send(w.Other(begun), http.StatusAccepted, "PATCH", location, rest[:n])
			rest = rest[n:]
			if i := random.IntN(12); i < 3 && w.At(i) != begun {
				w.Kill(i)
				w.Start(i)
			}
		}
		d := digest.FromBytes(content)
		w.send(w.Other(begun), http.StatusCreated, "PUT", location+"&digest="+url.QueryEscape(d.String()), nil)
		for i := range 3 {
			status, got, err := w.At(i).Do("GET", "/v2/team/app/blobs/"+d.String(), servertest.Login, nil)
			if err != nil || status != http.StatusOK || got != string(content) {
				t.Fatalf("round %d: %d bytes: set %d answers %d, %v, with %d bytes", round, len(content), i, status, err, len(got))
			}
		}
	}
}

// TestSetsMove ends a server that has leases, in order and as the power does: its work moves to the others, at once and within 30 s. The clocks
// of the machines are minutes apart.
func TestSetsMove(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	t.Parallel()
	w := &setsWorld{servertest.StartSets(t, servertest.Options(), 3, 4, 0, 10*time.Minute, -10*time.Minute), t}
	first := w.moved("", 20*time.Second)
	w.Stop(setOf(first))
	second := w.moved(first, 15*time.Second) // before the end of its row, which would be 20 s
	w.Kill(setOf(second))
	w.moved(second, 30*time.Second)
}

// setOf is the number of a set with a name such as set1-4.
func setOf(name string) int { return int(name[len("set")] - '0') }

// doneAtOnce are the leases of work that ends: what is done once, and what has nothing to do here.
var doneAtOnce = []string{"rendered", "diffs", "objects", "retention", "witnesses"}

// moved waits until somebody other than a set has each lease, and returns who has that of the collector.
func (w *setsWorld) moved(from string, within time.Duration) (collector string) {
	w.t.Helper()
	for ended := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		holders, left := w.Holders(), 0
		for name, holder := range holders {
			if (holder == "" || holder == from) && !slices.Contains(doneAtOnce, name) {
				left++
			}
		}
		if holders["collector"] != "" && left == 0 {
			return holders["collector"]
		}
		if time.Now().After(ended) {
			w.t.Fatalf("after %s the leases are held so: %v", within, holders)
		}
	}
}
