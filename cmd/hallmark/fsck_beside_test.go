package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// TestFsckBesidePushes checks a registry again and again while all that changes it goes on.
func TestFsckBesidePushes(t *testing.T) {
	t.Parallel()
	checkBeside(t, 2*time.Second, 10*time.Second)
}

// beside is a registry that is checked while others use it.
type beside struct {
	*testServer
	ctx    context.Context
	client *auth.Client
	work   struct{ pushes, checks, hangups, rotations atomic.Int64 }
}

// checkBeside checks a registry beside pushes, deletes, tag moves, collections, key rotations and changes of rights,
// for so long and until a few of all were done. No check may find anything, and the server stays.
func checkBeside(t *testing.T, atLeast, lease time.Duration) {
	s := insecure(t, "--config", writeFile(t, fmt.Sprintf("registry: {lease: %s}\n", lease)))
	ctx, stop := context.WithCancel(t.Context())
	b := &beside{testServer: s, ctx: ctx, client: signedIn(&http.Client{Timeout: longest}, addressOf(s.url), "admin:"+adminPassword)}
	var group sync.WaitGroup
	loop := func(fn func(i int) error) {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := fn(i); err != nil && ctx.Err() == nil {
					t.Error(err)
					stop()
				}
			}
		})
	}
	for w := range 3 {
		loop(func(i int) error { return b.change(w, i) })
	}
	loop(b.manyTags)
	loop(b.rotate)
	loop(b.rights)
	loop(b.check)
	loop(b.hangUp)
	enough := time.Now().Add(atLeast)
	for deadline := enough.Add(time.Minute); ctx.Err() == nil && (time.Now().Before(enough) || !b.workedALittle()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the server does next to nothing")
			break
		}
	}
	stop()
	group.Wait()
	t.Logf("%d pushes, %d checks, %d of which the client left, %d key rotations", b.work.pushes.Load(), b.work.checks.Load(), b.work.hangups.Load(), b.work.rotations.Load())
	if said := s.log(); strings.Contains(said, "panic") || strings.Contains(said, "fatal error") || strings.Contains(said, "DATA RACE") {
		t.Errorf("the server says\n%s", said)
	}
	s.want(200, "GET", "/readyz?write")
	s.kill()
	if said, status := hallmarkOn(t, s.dir, "fsck", "--deep"); status != 0 && !strings.Contains(said, "belongs to no blob") {
		t.Errorf("at rest: status %d\n%s", status, said)
	}
}

func (b *beside) workedALittle() bool {
	return b.work.pushes.Load() >= 10 && b.work.checks.Load() >= 3 && b.work.hangups.Load() >= 3 && b.work.rotations.Load() >= 1
}

// change pushes an image, and moves or deletes tags and images, so that blobs are collected too.
func (b *beside) change(writer, i int) error {
	name := fmt.Sprintf("team/app%d", writer%2)
	repo, err := repository(http.DefaultClient, addressOf(b.url), "", name)
	if err != nil {
		return err
	}
	repo.Client, repo.PlainHTTP = b.client, true
	d, err := pushTo(b.ctx, repo, fmt.Sprintf("w%d-%d", writer, i%20), fmt.Sprintf("layer %d %d", writer, i), nil)
	if err != nil {
		return err
	}
	b.work.pushes.Add(1)
	switch i % 4 {
	case 1:
		return b.send("DELETE", "/v2/"+name+"/manifests/"+d.String(), "")
	case 2:
		return b.send("DELETE", "/v2/"+name+"/manifests/"+fmt.Sprintf("w%d-%d", writer, i%20), "")
	}
	return nil
}

// manyTags deletes an image with so many tags that they go in several transactions: a check meets some of them.
func (b *beside) manyTags(i int) error {
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"n":"%d"}}`, ocispec.MediaTypeImageIndex, i)
	at := "/v2/team/many/manifests/" + digest.FromString(body).String()
	for from := 0; from < 500; from += 50 {
		tags := url.Values{}
		for n := range 50 {
			tags.Add("tag", fmt.Sprintf("t%d", from+n))
		}
		if err := b.send("PUT", at+"?"+tags.Encode(), body, "Content-Type", ocispec.MediaTypeImageIndex); err != nil {
			return err
		}
	}
	return b.send("DELETE", at, "")
}

// send makes a request that may find nothing, as another may have been there before.
func (b *beside) send(method, path, body string, header ...string) error {
	r, err := http.NewRequestWithContext(b.ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.SetBasicAuth("admin", adminPassword)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(resp.Body) // what came will do
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("%s %s: %s\n%s", method, path, resp.Status, said)
	}
	return nil
}

func (b *beside) rotate(int) error {
	time.Sleep(200 * time.Millisecond) // each record after it has another key
	b.work.rotations.Add(1)
	return b.send("POST", "/api/v1/keys", `{"reason":"rotated"}`)
}

func (b *beside) rights(i int) error {
	name := fmt.Sprintf("t%d", i%5)
	if i%10 < 5 {
		return b.send("POST", "/api/v1/access/teams", fmt.Sprintf(`{"name":%q}`, name))
	}
	return b.send("DELETE", "/api/v1/access/teams/"+name, "")
}

// check wants a whole check to find nothing.
func (b *beside) check(i int) error {
	lines, err := b.lines(b.ctx, i%3 == 2, -1)
	if err != nil {
		return err
	}
	b.work.checks.Add(1)
	if len(lines) == 0 || lines[len(lines)-1].Done == nil {
		return fmt.Errorf("a check ends with %+v", lines)
	}
	return nil
}

// hangUp leaves in the middle of a check, at another line each time.
func (b *beside) hangUp(i int) error {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	_, err := b.lines(ctx, false, 1+i%4)
	b.work.hangups.Add(1)
	return err
}

// lines reads so many lines of a check, or all, and wants none of them to be a problem.
func (b *beside) lines(ctx context.Context, deep bool, most int) (lines []checkLine, err error) {
	r, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/api/v1/check?deep=%t", b.url, deep), nil)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth("admin", adminPassword)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); len(lines) != most && scan.Scan(); {
		var line checkLine
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			return nil, err
		}
		if line.Problem != "" || line.Failed != "" {
			return nil, fmt.Errorf("a false alarm: %s%s", line.Problem, line.Failed)
		}
		lines = append(lines, line)
	}
	return lines, nil
}
