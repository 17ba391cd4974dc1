//go:build soak

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// ask makes a request as admin, and returns what came of it; a server that is down is an error.
func (v *victim) ask(ctx context.Context, method, path string) (status int, header http.Header, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "https://"+v.address+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	resp, err := v.client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), err
}

// chaos is what many clients do at once to a server that is killed again and again.
type chaos struct {
	*victim
	pool []string // layers that they share

	mu    sync.Mutex
	codes map[string]int // guarded by mu
}

func (c *chaos) count(what string, status any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codes[fmt.Sprint(what, " ", status)]++
}

// act does one thing of many.
func (c *chaos) act(ctx context.Context, writer, i int) {
	repo, moving := fmt.Sprintf("r%d/app", rand.IntN(3)), fmt.Sprintf("moving%d", rand.IntN(3))
	switch dice := rand.IntN(100); {
	case dice < 45:
		layer := fmt.Sprintf("layer %d of %d", i, writer)
		if rand.IntN(10) < 6 {
			layer = c.pool[rand.IntN(len(c.pool))]
		}
		c.count("push", c.push(ctx, acknowledged{repo: repo, tag: fmt.Sprintf("keep-%d-%d", writer, i), layer: layer}))
	case dice < 80:
		_, err := pushOnce(ctx, c.repository(repo), acknowledged{repo: repo, tag: moving, layer: c.pool[rand.IntN(len(c.pool))]})
		c.count("move", err == nil)
	case dice < 87:
		status, _, _, _ := c.ask(ctx, "DELETE", "/v2/"+repo+"/manifests/"+moving) // 0 while it is down
		c.count("untag", status)
	case dice < 93:
		if status, h, _, err := c.ask(ctx, "HEAD", "/v2/"+repo+"/manifests/"+moving); err == nil && status == 200 {
			status, _, _, _ := c.ask(ctx, "DELETE", "/v2/"+repo+"/manifests/"+h.Get("Docker-Content-Digest"))
			c.count("delete", status)
		}
	default:
		status, _, _, _ := c.ask(ctx, "DELETE", "/v2/"+repo+"/blobs/"+digest.FromString(c.pool[rand.IntN(len(c.pool))]).String())
		c.count("blob delete", status)
	}
}

// wantChain wants the history of a tag to hang together, and to end at what the tag means now.
func (c *chaos) wantChain(repo, tag string) (moves int) {
	c.t.Helper()
	now := ""
	if status, h, _, err := c.ask(context.Background(), "HEAD", "/v2/"+repo+"/manifests/"+tag); err == nil && status == 200 {
		now = h.Get("Docker-Content-Digest")
	}
	previous, newest := "", true
	for path := "/api/v1/history?repo=" + repo + "&tag=" + tag + "&limit=1000"; path != ""; {
		var page struct {
			Moves []struct{ From, To string }
			Next  string
		}
		status, _, body, err := c.ask(context.Background(), "GET", path)
		if status == 404 {
			return moves
		}
		if err != nil || status != 200 || json.Unmarshal([]byte(body), &page) != nil {
			c.t.Fatalf("%s: %d, %v\n%s", path, status, err, body)
		}
		for _, m := range page.Moves {
			if want := map[bool]string{true: now, false: previous}[newest]; m.To != want {
				c.t.Errorf("%s:%s moved to %q, and then from %q", repo, tag, m.To, want)
			}
			previous, newest = m.From, false
			moves++
		}
		path = strings.TrimPrefix(page.Next, "https://"+c.address)
	}
	if previous != "" {
		c.t.Errorf("the history of %s:%s begins at %q", repo, tag, previous)
	}
	return moves
}

// TestSoakChaos has pushes, moved tags, deletes of images and of blobs at once, with leases of a second, while the
// server is killed again and again, and backed up. What was acknowledged is there at the end, the history of
// every tag hangs together, everything fits, and the backups as well.
func TestSoakChaos(t *testing.T) {
	c := &chaos{victim: newVictim(t, "HALLMARK_REGISTRY_LEASE=1s", "HALLMARK_TRASH_KEEP=1s"), codes: map[string]int{}}
	for i := range 6 {
		c.pool = append(c.pool, strings.Repeat(fmt.Sprintf("shared layer %d ", i), 150))
	}
	saved := filepath.Join(t.TempDir(), "saved")
	stop := work(c.act)
	var backup *exec.Cmd
	for i := range 25 {
		c.awaitPush()
		time.Sleep(time.Duration(500+rand.IntN(2000)) * time.Millisecond) // the moment of the kill
		c.kill()
		if backup != nil {
			_ = backup.Wait() // it breaks off with its server, or, where it found none, has the store open
		}
		c.start()
		if backup = nil; i%3 == 0 {
			backup = exec.Command(c.program, "backup", saved, "--data", c.dir)
			if err := backup.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	t.Logf("%d pushes were acknowledged; %v", len(c.done), c.codes)
	for _, a := range c.done {
		verify(t, c.address, c.dir, a)
	}
	moves := 0
	for n := range 9 {
		moves += c.wantChain(fmt.Sprintf("r%d/app", n/3), fmt.Sprintf("moving%d", n%3))
	}
	t.Logf("%d moves of tags", moves)
	waitForClean(t, c.program, c.dir)
	if out, err := exec.Command(c.program, "backup", saved, "--data", c.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	names := backupList(t, c.program, saved)
	restored(t, c.program, saved, names[len(names)-1])
}

// TestSoakKilled does what TestKilled does, for long.
func TestSoakKilled(t *testing.T) { killed(t, 100) }

// TestSoakKilledWhileCollecting does what TestKilledWhileCollecting does, for long.
func TestSoakKilledWhileCollecting(t *testing.T) { killedWhileCollecting(t, 60) }
