package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"oras.land/oras-go/v2/registry/remote"
)

// kills is how often TestKilled kills the server.
const kills = 60

// acknowledged is a push that a client was told had happened.
type acknowledged struct{ repo, tag, layer, digest string }

// TestKilled pushes images from several clients while the server is killed again and again, at any
// moment. What was acknowledged must be there afterwards, whole, with its record; what was not may be
// there, but then with its record too; and nothing else is left behind.
func TestKilled(t *testing.T) {
	plain := buildPlain(t)
	dir := filepath.Join(t.TempDir(), "data")
	address := freeAddress(t)
	start := func() *process {
		t.Helper()
		cmd := exec.Command(plain, "serve", "--data", dir, "--listen", address, "--admin-listen", "none")
		cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_LOG_LEVEL=warn")
		cmd.Stderr = os.Stderr
		p, _, err := launch(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	server := start()
	defer func() { server.kill() }()
	client, err := httpClient(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var mu sync.Mutex
	var done []acknowledged
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a := acknowledged{repo: fmt.Sprintf("team/app%d", i%3), tag: fmt.Sprintf("w%d-%d", w, i), layer: layerOf(w, i)}
				repo, err := repository(client, address, "admin:"+adminPassword, a.repo)
				if err != nil {
					t.Error(err)
					return
				}
				if a.digest, err = pushOnce(ctx, repo, a); err != nil {
					continue // the server is down, or was killed meanwhile
				}
				mu.Lock()
				done = append(done, a)
				mu.Unlock()
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond) // the moment of the kill
		server.kill()
		server = start()
	}
	stop()
	writers.Wait()
	t.Logf("%d pushes were acknowledged over %d kills", len(done), kills)
	if len(done) < kills {
		t.Errorf("only %d pushes were acknowledged: the test tries too little", len(done))
	}
	for _, a := range done {
		verify(t, address, dir, a)
	}
	server.kill()
	server = start() // removes what interrupted pushes left
	waitForClean(t, plain, dir)
	if left, err := filepath.Glob(filepath.Join(dir, blobsDir, "uploads", "*")); err != nil || len(left) > 4*kills {
		t.Errorf("%d uploads are left, %v", len(left), err)
	}
}

// buildPlain builds hallmark without the race detector, which makes hashing a password, and so each
// start, take seconds.
func buildPlain(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hallmark")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestKilledAtFirstStart kills a server while it makes its data directory, at any moment. The next start
// must come up with an administrator who can sign in.
func TestKilledAtFirstStart(t *testing.T) {
	plain := buildPlain(t)
	for i := range 20 {
		dir := filepath.Join(t.TempDir(), "data")
		serve := func() *exec.Cmd {
			cmd := exec.Command(plain, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin-listen", "none")
			cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_LOG_LEVEL=warn")
			cmd.Stderr = os.Stderr
			return cmd
		}
		first := serve()
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(15*i) * time.Millisecond) // the moment of the kill
		_ = first.Process.Kill()                           // it cannot have ended by itself
		_ = first.Wait()                                   // it says that it was killed
		second, url, err := launch(serve())
		if err != nil {
			t.Fatalf("killed after %d ms, it does not start again: %v", 15*i, err)
		}
		client, err := httpClient(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := &testServer{process: second, t: t, dir: dir, url: url, client: client}
		s.want(200, "GET", "/api/v1/users")
		second.kill()
	}
}

// layerOf is a layer: every third is shared by all writers, as base images are.
func layerOf(w, i int) string {
	if i%3 == 0 {
		return fmt.Sprintf("shared layer %d", i) + strings.Repeat(".", 1000*(i%50))
	}
	return fmt.Sprintf("layer %d of writer %d", i, w) + strings.Repeat("-", 1000*(i%100))
}

func pushOnce(ctx context.Context, repo *remote.Repository, a acknowledged) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d, err := pushTo(ctx, repo, a.tag, a.layer, map[string]string{"org.opencontainers.image.revision": a.tag})
	return d.String(), err
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// verify pulls an acknowledged image and reads its record.
func verify(t *testing.T, address, dir string, a acknowledged) {
	t.Helper()
	client, err := httpClient(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	repo, err := repository(client, address, "admin:"+adminPassword, a.repo)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pullFrom(context.Background(), repo, a.tag); err != nil || got != a.layer {
		t.Errorf("%s:%s was acknowledged; pulled %d bytes of %d, %v", a.repo, a.tag, len(got), len(a.layer), err)
	}
	cl := connectSocket(dir)
	defer cl.close()
	var page struct{ Records []*provenance.Record }
	if err := cl.send(context.Background(), "GET", "/api/v1/records?repo="+a.repo+"&tag="+a.tag, nil, &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Records) == 0 || page.Records[0].Digest.String() != a.digest || page.Records[0].Actor.Handle != "admin" {
		t.Errorf("%s:%s was acknowledged with digest %s; its records: %+v", a.repo, a.tag, a.digest, page.Records)
	}
}

// waitForClean runs fsck until it finds nothing: the start removes strays in the background.
func waitForClean(t *testing.T, hallmark, dir string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		out, err := exec.Command(hallmark, "fsck", "--deep", "--data", dir).CombinedOutput()
		if err == nil {
			return
		}
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != exitNo || time.Now().After(deadline) {
			t.Fatalf("fsck: %v\n%s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
