package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// acknowledged is a push that a client was told had happened.
type acknowledged struct{ repo, tag, layer, digest string }

// victim is a server that is killed again and again.
type victim struct {
	*process
	t            *testing.T
	program      string
	dir, address string
	env          []string
	client       *auth.Client // keeps its tokens, so that a start is not spent on checking passwords
	mu           sync.Mutex
	done         []acknowledged // guarded by mu
	pushes       int            // acknowledged; guarded by mu
}

func newVictim(t *testing.T, env ...string) *victim {
	t.Helper()
	return newVictimOf(t, plainProgram(t), env...)
}

func newVictimOf(t *testing.T, program string, env ...string) *victim {
	t.Helper()
	v := &victim{t: t, program: program, dir: filepath.Join(t.TempDir(), "data"), address: freeAddress(t), env: env}
	v.start()
	t.Cleanup(func() { v.kill() })
	client, err := httpClient(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	v.client = signedIn(client, v.address, "admin:"+adminPassword)
	return v
}

func (v *victim) start() {
	v.t.Helper()
	cmd := exec.Command(v.program, "serve", "--data", v.dir, "--listen", v.address, "--admin-listen", "none")
	cmd.Env = append(append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_LOG_LEVEL=warn"), v.env...)
	cmd.Stderr = os.Stderr
	p, _, err := launch(cmd)
	if err != nil {
		v.t.Fatal(err)
	}
	v.process = p
}

func (v *victim) repository(name string) *remote.Repository {
	repo, err := remote.NewRepository(v.address + "/" + name)
	if err != nil {
		v.t.Error(err)
		return nil
	}
	repo.Client = v.client
	return repo
}

// suffer kills and restarts the server while writers write, and returns what they were told had happened.
func (v *victim) suffer(times int, write func(ctx context.Context, writer, i int)) []acknowledged {
	v.t.Helper()
	stop := work(write)
	for range times {
		v.awaitPush()
		time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond) // the moment of the kill
		v.kill()
		v.start()
	}
	stop()
	v.t.Logf("%d pushes were acknowledged over %d kills; %d of their images are to be there", v.pushes, times, len(v.done))
	return v.done
}

// awaitPush waits until one more push was acknowledged. After a start the first login alone may take longer than a
// slow machine lives otherwise.
func (v *victim) awaitPush() {
	v.t.Helper()
	before := v.pushesNow()
	for deadline := time.Now().Add(time.Minute); v.pushesNow() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatal("no push was acknowledged for a minute")
		}
	}
}

func (v *victim) pushesNow() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pushes
}

// work lets writers write until stop is called, which waits for them.
func work(write func(ctx context.Context, writer, i int)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				write(ctx, w, i)
			}
		})
	}
	return func() {
		cancel()
		writers.Wait()
	}
}

// push pushes an image, and keeps it when the server says that it happened.
func (v *victim) push(ctx context.Context, a acknowledged) (ok bool) {
	var err error
	if a.digest, err = pushOnce(ctx, v.repository(a.repo), a); err != nil {
		return false // the server is down, or was killed meanwhile
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done = append(v.done, a)
	v.pushes++
	return true
}

// TestKilled pushes images from several clients while the server is killed again and again, at any
// moment. What was acknowledged must be there afterwards, whole, with its record; what was not may be
// there, but then with its record too; and nothing else is left behind.
func TestKilled(t *testing.T) { killed(t, 8) }

func killed(t *testing.T, kills int) {
	t.Helper()
	v := newVictim(t)
	done := v.suffer(kills, func(ctx context.Context, w, i int) {
		v.push(ctx, acknowledged{repo: fmt.Sprintf("team/app%d", i%3), tag: fmt.Sprintf("w%d-%d", w, i), layer: layerOf(w, i)})
	})
	for _, a := range done {
		verify(t, v.address, v.dir, a)
	}
	v.kill()
	v.start() // removes what interrupted pushes left
	waitForClean(t, v.program, v.dir)
	if left := filesOf(t, v.dir, 0o600); len(left) > 4*kills {
		t.Errorf("%d uploads are left", len(left))
	}
}

// TestKilledWhileCollecting has the same, while images of the same few layers are also deleted, and what
// nothing needs is collected almost at once: the trash keeps it for two seconds. At the end everything is deleted,
// and no blob may be left.
func TestKilledWhileCollecting(t *testing.T) { killedWhileCollecting(t, 6) }

func killedWhileCollecting(t *testing.T, kills int) {
	t.Helper()
	v := newVictim(t, "HALLMARK_REGISTRY_LEASE=1s", "HALLMARK_TRASH_KEEP=2s")
	done := v.suffer(kills, func(ctx context.Context, w, i int) {
		a := acknowledged{repo: fmt.Sprintf("team/app%d", i%2), tag: fmt.Sprintf("w%d-%d", w, i), layer: strings.Repeat(fmt.Sprintf("layer %d", i%5), 1+i%2*3000)}
		if v.push(ctx, a) && i%3 != 0 {
			v.remove(ctx, a)
		}
	})
	for _, a := range done {
		verify(t, v.address, v.dir, a)
	}
	v.removeAll()
	deadline := time.Now().Add(30 * time.Second)
	for {
		left := filesOf(t, v.dir, 0o400)
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d blobs are left: %v", len(left), left)
		}
		time.Sleep(50 * time.Millisecond)
	}
	waitForClean(t, v.program, v.dir)
}

// filesOf returns the files of a server's blobs that have these permissions: 0400 is a blob, 0600 an upload. Those
// that go away meanwhile may be among them.
func filesOf(t *testing.T, dir string, mode fs.FileMode) (found []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, blobsDir, "files", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm() == mode {
			found = append(found, path)
		}
	}
	return found
}

// remove deletes an image that was pushed just now. Whether the server did it is not known when it does not
// say so; nothing is claimed of such an image.
func (v *victim) remove(ctx context.Context, a acknowledged) {
	v.mu.Lock()
	i := slices.IndexFunc(v.done, func(d acknowledged) bool { return d.repo == a.repo && d.tag == a.tag })
	a.digest = v.done[i].digest
	v.done = slices.Delete(v.done, i, i+1)
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = v.repository(a.repo).Manifests().Delete(ctx, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(a.digest)})
}

// removeAll deletes every manifest by way of the tags that are left.
func (v *victim) removeAll() {
	v.t.Helper()
	ctx := context.Background()
	for _, name := range []string{"team/app0", "team/app1"} {
		repo := v.repository(name)
		err := repo.Tags(ctx, "", func(tags []string) error {
			for _, tag := range tags {
				d, err := repo.Resolve(ctx, tag)
				if err == nil {
					err = repo.Manifests().Delete(ctx, d)
				}
				if err != nil && !errors.Is(err, errdef.ErrNotFound) { // two tags may have meant one image
					return err
				}
			}
			return nil
		})
		if err != nil && !strings.Contains(err.Error(), "name unknown") {
			v.t.Error(err)
		}
	}
}

// program is hallmark: this binary.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("hallmark")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// plain is hallmark without the race detector, for tests that kill it or record its calls: they look for what a crash
// leaves. The detector makes a start ten times slower, and what it finds is lost with a process that is killed. It goes without
// JSON Schema as well: most of its starts are verbs, and to initialize that takes longer than they do.
var plain = sync.OnceValues(func() (string, error) {
	path, err := exec.LookPath("hallmark")
	if err != nil || !unraced.Raced() {
		return path, err
	}
	path = filepath.Join(filepath.Dir(path), "plain", "hallmark") // goes with the other
	return path, unraced.Build(path, "-tags=noschemas")
})

func plainProgram(t *testing.T) string {
	t.Helper()
	path, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutRace is [unraced.Test] with the plain program, which is there for other things, too.
func withoutRace(t *testing.T) bool {
	t.Helper()
	if !unraced.Raced() {
		return false
	}
	unraced.Run(t, plainProgram(t))
	return true
}

// longest is how long a verb or an answer may take in a test: what takes longer hangs, and says where.
const longest = 3 * time.Minute

// verb is a verb of hallmark that is to be run. It is the plain program: what a verb does at the same time as itself is
// little, and it is started hundreds of times. One that hangs says where it does, and ends.
func verb(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, plainProgram(t), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// ownConfig is where a verb of a test keeps what it remembers of a registry: beside its data, and not where the one who runs the
// tests keeps theirs.
func ownConfig(dir string) string { return "XDG_CONFIG_HOME=" + dir + ".config" }

// TestKilledAtFirstStart kills a server while it makes its data directory, at any moment. The next start
// must come up with an administrator who can sign in.
func TestKilledAtFirstStart(t *testing.T) {
	t.Parallel()
	program := plainProgram(t)
	for i := range 8 {
		dir := filepath.Join(t.TempDir(), "data")
		serve := func() *exec.Cmd {
			cmd := exec.Command(program, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin-listen", "none")
			cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_LOG_LEVEL=warn")
			cmd.Stderr = os.Stderr
			return cmd
		}
		first := serve()
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(40*i) * time.Millisecond) // the moment of the kill
		_ = first.Process.Kill()                           // it cannot have ended by itself
		_ = first.Wait()                                   // it says that it was killed
		second, url, err := launch(serve())
		if err != nil {
			t.Fatalf("killed after %d ms, it does not start again: %v", 40*i, err)
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
