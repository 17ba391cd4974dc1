//go:build e2e

package e2e

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// maxColdStart is how long a start may take when nothing of the store is in memory.
const maxColdStart = 5 * time.Second

// TestColdStart fills a store with the records of many pushes (HALLMARK_E2E_RECORDS, else 20,000), and starts the
// server when the system has forgotten all of it: after an orderly end, and after SIGKILL in the middle of
// pushes. Then rows are deleted, and commits are timed with the pages that were freed.
func TestColdStart(t *testing.T) {
	records := 20_000
	if n, err := strconv.Atoi(os.Getenv("HALLMARK_E2E_RECORDS")); err == nil {
		records = n
	}
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "data"), host: fmt.Sprintf("%s:%d", name, freePort(t))}
	s.url = "https://" + s.host
	s.end(s.run(), syscall.SIGTERM)
	path := filepath.Join(s.dir, "hallmark.db")
	fillStore(t, path, s.dir, records)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records, a store of %d MB", records, info.Size()>>20)
	ends := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM}
	for i, end := range ends {
		evict(t, path)
		start := time.Now()
		process := s.run()
		took := time.Since(start)
		t.Logf("cold start %d, after %v: ready in %v", i+1, ends[(i+3)%4], took.Round(time.Millisecond))
		if took > maxColdStart {
			t.Errorf("a cold start took %v, and may take %v", took, maxColdStart)
		}
		s.changeUntil(func() { s.end(process, end) })
	}
	for part := range 5 {
		timeCommits(t, path, part)
	}
}

// end ends a server's process.
func (s *server) end(process *exec.Cmd, signal syscall.Signal) {
	s.t.Helper()
	if err := process.Process.Signal(signal); err != nil {
		s.t.Error(err)
	}
	_ = process.Wait() // its status is that of the signal
}

// changeUntil adds users, one after another, while fn runs: each is an Update.
func (s *server) changeUntil(fn func()) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			cmd := s.hallmark("user", "add", fmt.Sprintf("user-%d", rand.Uint64()), "--password-stdin")
			cmd.Stdin = strings.NewReader("password-1")
			_ = cmd.Run() // the server may be gone
		}
		done <- n
	}()
	time.Sleep(300 * time.Millisecond)
	fn()
	stop()
	if n := <-done; n == 0 {
		s.t.Error("nothing was changed meanwhile")
	}
}

// evict makes the system forget what it keeps of a file.
func evict(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(unix.Fsync(int(f.Fd())), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	if err != nil {
		t.Fatal(err)
	}
}

// manifests is a table of rows such as the registry's manifests are, in their size and in the order of keys.
const manifests = storage.Table("test/manifest")

// fillStore appends records of pushes, many in a transaction, and for each the row of a manifest.
func fillStore(t *testing.T, path, dir string, records int) {
	t.Helper()
	ctx := context.Background()
	store := openStore(t, path)
	defer store.Close()
	book, err := provenance.NewBook(store, "https://registry.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Begin(ctx, readKeys(t, dir)); err != nil {
		t.Fatal(err)
	}
	const batch = 2000
	for i := 0; i < records; i += batch {
		err = store.Update(ctx, func(tx storage.Tx) error {
			for j := i; j < min(i+batch, records); j++ {
				e := pushEvent(j)
				if _, err := book.Append(tx, e); err != nil {
					return err
				}
				tx.Put(manifests, []byte(e.Repository+"\x00"+e.Digest.String()), make([]byte, 700))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func openStore(t *testing.T, path string) *bolt.Store {
	t.Helper()
	// The layout of the program, whose steps are not run on a store that has it.
	store, err := bolt.Open(path, bolt.Config{Steps: make([]bolt.Step, 2)})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func readKeys(t *testing.T, dir string) provenance.Keys {
	t.Helper()
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, "keys", name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	signer, err := receipt.ParseSigner(read("receipt.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := log.ParseKey(read("log.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return provenance.Keys{Receipts: []*receipt.Signer{signer}, Logs: []ed25519.PrivateKey{key}}
}

// pushEvent is the i-th of many pushes: 2000 repositories, 50 people, and a source and revision each.
func pushEvent(i int) provenance.Event {
	repo := fmt.Sprintf("team-%d/service-%d", i%40, i%2000)
	d := digest.FromString(fmt.Sprint("manifest", i))
	person := fmt.Sprintf("person-%d", i%50)
	return provenance.Event{
		Action: provenance.Push, Repository: repo, Digest: d,
		Tags: []provenance.TagMove{{Name: fmt.Sprintf("1.%d", i/2000)}},
		Who: provenance.Identity{
			Actor: provenance.Actor{Kind: provenance.User, Handle: person, Account: "account-" + person},
			Login: &provenance.Login{Method: "basic", Issuer: "https://registry.example", Identity: person, Credential: "password-1"},
		},
		Observed: provenance.Observation{MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 700, ImageSize: 50 << 20, RequestID: fmt.Sprintf("%026d", i)},
		Claimed: []provenance.Claim{
			{Fact: provenance.FactSource, Value: "https://git.example/" + repo, About: d, From: "label org.opencontainers.image.source"},
			{Fact: provenance.FactRevision, Value: fmt.Sprintf("%040x", i/3), About: d, From: "label org.opencontainers.image.revision"},
			{Fact: provenance.FactBase, Value: digest.FromString(fmt.Sprint("base", i%300)).String(), About: d, From: "annotation org.opencontainers.image.base.digest"},
		},
		Unsigned: provenance.Unsigned{ClientAddress: "192.0.2.7", UserAgent: "docker/28.2.2 go/go1.24.3 kernel/6.12.0"},
	}
}

// timeCommits deletes the rows of some teams, unless part is 0, and times small commits.
func timeCommits(t *testing.T, path string, part int) {
	t.Helper()
	ctx := context.Background()
	store := openStore(t, path)
	for more := part > 0; more; {
		err := store.Update(ctx, func(tx storage.Tx) (err error) {
			more, err = deleteSome(tx, fmt.Sprintf("team-%d", part))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	evict(t, path)
	start := time.Now()
	store = openStore(t, path)
	opened := time.Since(start)
	defer store.Close()
	var took []time.Duration
	for i := range 100 {
		start := time.Now()
		err := store.Update(ctx, func(tx storage.Tx) error {
			tx.Put(manifests, fmt.Appendf(nil, "commit %d", i), make([]byte, 700))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	free, all, err := store.FreePages()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d pages free: opened cold in %v, a commit takes %v at the median", free, all, opened.Round(time.Millisecond), took[50].Round(10*time.Microsecond))
}

func deleteSome(tx storage.Tx, prefix string) (more bool, err error) {
	n := 0
	for item, err := range tx.Scan(manifests, []byte(prefix), storage.PrefixEnd([]byte(prefix))) {
		if err != nil {
			return false, err
		}
		tx.Delete(manifests, item.Key)
		if n++; n == 20_000 {
			return true, nil
		}
	}
	return false, nil
}
