package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// recorded are the records that pushes were answered with.
type recorded struct {
	mu   sync.Mutex
	seen map[string]string // the manifest by the number of the record
}

// push pushes a manifest of its own, and takes note of its record, which nobody else may have.
func (r *recorded) push(b *beside, repo string, i int) error {
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"n":"%s %d"}}`, ocispec.MediaTypeImageIndex, repo, i)
	req, err := http.NewRequestWithContext(b.ctx, "PUT", fmt.Sprintf("%s/v2/%s/manifests/v%d", b.url, repo, i), strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", ocispec.MediaTypeImageIndex)
	req.SetBasicAuth("admin", adminPassword)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	record := resp.Header.Get("Hallmark-Record")
	if _, err := strconv.ParseUint(record, 10, 64); resp.StatusCode != http.StatusCreated || err != nil {
		return fmt.Errorf("%s v%d: %s, record %q", repo, i, resp.Status, record)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, twice := r.seen[record]; twice {
		return fmt.Errorf("record %s is that of %s and of %s v%d", record, other, repo, i)
	}
	r.seen[record] = digest.FromString(body).String()
	return nil
}

func (r *recorded) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// TestRotateBesidePushes does at a full push load what operators do: new keys, a reload, users, rights, a second server on
// the same files, a check. No push fails for it, each has a record of its own, and all of them are signed.
func TestRotateBesidePushes(t *testing.T) {
	t.Parallel()
	s := insecure(t)
	b := &beside{testServer: s, ctx: t.Context()}
	r := &recorded{seen: map[string]string{}}
	stop := work(func(_ context.Context, writer, i int) {
		if err := r.push(b, fmt.Sprintf("rot%d/app", writer), i); err != nil {
			t.Error(err)
		}
	})
	ok := func(verb ...string) {
		t.Helper()
		if said, status := hallmarkOn(t, s.dir, verb...); status != 0 {
			t.Errorf("%q: status %d\n%s", verb, status, said)
		}
	}
	for i := range 3 {
		ok("key", "rotate")
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
		user, where := fmt.Sprintf("user:u%d", i), fmt.Sprintf("rot%d/**", i)
		addUser(t, s.dir, fmt.Sprintf("u%d", i))
		ok("grant", user, where, "push")
		ok("revoke", user, where, "push")
		if said, err := verb(t, "serve", "--data", s.dir, "--listen", "127.0.0.1:0", "--admin-listen", "none").CombinedOutput(); err == nil || !strings.Contains(string(said), "another hallmark runs on it") {
			t.Errorf("a second server on the same files: %s", said)
		}
		before := r.count()
		for deadline := time.Now().Add(time.Minute); r.count() < before+10; time.Sleep(5 * time.Millisecond) { // with this key
			if time.Now().After(deadline) {
				t.Fatal("the server does next to nothing")
			}
		}
	}
	ok("fsck", "--deep")
	stop()
	t.Logf("%d pushes", r.count())
	ok("log", "check")
	looked := 0
	for record, want := range r.seen {
		if looked++; looked > 200 {
			break
		}
		if got := s.want(200, "GET", "/api/v1/records/"+record); !strings.Contains(got, want) {
			t.Errorf("record %s is not that of %s: %s", record, want, got)
		}
	}
	s.kill()
	ok("fsck", "--deep")
}

func addUser(t *testing.T, dir, name string) {
	t.Helper()
	cmd := verb(t, "user", "add", name, "--password-stdin", "--data", dir)
	cmd.Stdin = strings.NewReader("pw-of-" + name + "-4711\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("user add: %v\n%s", err, out)
	}
}
