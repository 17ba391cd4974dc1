package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

var ctx = context.Background()

// random returns bytes that are the same for the same length.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// a process over the rows of a test's directory, and what it says of its uploads.
func (r *registries) process(dir string) *s3.Store {
	r.t.Helper()
	s, err := r.openS3(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *s3.Store) storage.Upload {
	t.Helper()
	u, err := s.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func resume(t *testing.T, s *s3.Store, id string) storage.Upload {
	t.Helper()
	u, err := s.Resume(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func write(t *testing.T, u storage.Upload, p []byte) {
	t.Helper()
	if n, err := u.Write(p); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

func closeIt(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantSealed seals an upload, and wants the blob to have these bytes, whole and from the middle.
func wantSealed(t *testing.T, s *s3.Store, u storage.Upload, want []byte) storage.Location {
	t.Helper()
	sum := sha256.Sum256(want)
	if got := u.(storage.Summed).Sum("sha256"); !bytes.Equal(got, sum[:]) || u.Size() != int64(len(want)) {
		t.Errorf("it has %d bytes of hash %x; want %d", u.Size(), got, len(want))
	}
	at, err := u.Seal(ctx, "sha256-abc")
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, s, at, want)
	return at
}

func wantBytes(t *testing.T, s *s3.Store, at storage.Location, want []byte) {
	t.Helper()
	f, err := s.Open(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
	}
	some := make([]byte, min(1000, len(want)))
	from := len(want) - len(some)
	if n, err := f.ReadAt(some, int64(from)); n != len(some) || err != nil || !bytes.Equal(some, want[from:]) {
		t.Errorf("read %d bytes from %d, %v", n, from, err)
	}
}

// TestParts pushes blobs of several parts in one or more sessions, each by another process, whose ends lie before, at and
// behind those of parts.
func TestParts(t *testing.T) {
	r := newRegistries(t)
	const part = s3.LeastPart
	for name, sessions := range map[string][]int{
		"one part":               {part},
		"a part and a byte":      {part + 1},
		"two parts at once":      {2 * part},
		"small pieces":           {100, 1, 40_000, 0, 7},
		"a tail, and parts":      {1000, 3 * part},
		"tails between":          {part + 10, 10, part - 20, part, 5},
		"a tail at the end":      {2*part + 10, 0},
		"many, of half a part":   {part / 2, part / 2, part / 2, part / 2, part / 2},
		"nothing, and then some": {0, 0, part + 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := &registries{t: t, remote: r.remote, rows: map[string]storage.Store{}}
			dir := t.TempDir()
			u := create(t, r.process(dir))
			var want []byte
			for i, n := range sessions {
				if i > 0 {
					closeIt(t, u)
					u = resume(t, r.process(dir), u.ID())
				}
				p := random(n)
				for chunk := range chunks(p, 100_000) {
					write(t, u, chunk)
				}
				want = append(want, p...)
			}
			s := r.process(dir)
			at := wantSealed(t, s, u, want)
			wantObjects(t, r, s, dir, 1)
			if err := s.Remove(ctx, at); err != nil {
				t.Error(err)
			}
			wantObjects(t, r, s, dir, 0)
		})
	}
}

func chunks(p []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 && yield(p[:min(n, len(p))]) {
			p = p[min(n, len(p)):]
		}
	}
}

// wantObjects wants there to be so many objects, and no part, once what nothing needs is gone.
func wantObjects(t *testing.T, r *registries, s *s3.Store, dir string, want int) {
	t.Helper()
	for range 2 { // what is aborted is looked at once more
		if err := s.TidyAt(ctx, time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if got := filesIn(t, filepath.Join(r.remote.Objects, dir, "blobs")); len(got) != want {
		t.Errorf("objects: %v, want %d", got, want)
	}
	if got := filesIn(t, filepath.Join(r.remote.Objects, ".sgwtmp", "multipart")); len(got) > 0 {
		t.Errorf("parts that nobody completes: %v", got)
	}
}

func filesIn(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// TestCancelled wants nothing to be left of uploads that ended in any state.
func TestCancelled(t *testing.T) {
	r := newRegistries(t)
	dir := t.TempDir()
	s := r.process(dir)
	for _, n := range []int{0, 10, s3.LeastPart + 10, 3 * s3.LeastPart} {
		u := create(t, s)
		write(t, u, random(n))
		closeIt(t, u)
		u = resume(t, s, u.ID())
		write(t, u, random(n))
		if err := u.Cancel(); err != nil {
			t.Error(err)
		}
	}
	wantObjects(t, r, s, dir, 0)
}

// TestKilled wants an upload to go on where it last was durable, and what a killed process put beyond that to go.
func TestKilled(t *testing.T) {
	r := newRegistries(t)
	dir := t.TempDir()
	killed := create(t, r.process(dir))
	head, lost, rest := random(s3.LeastPart+77), random(2*s3.LeastPart), random(s3.LeastPart)
	write(t, killed, head)
	closeIt(t, killed)
	first := r.process(dir)
	killed = resume(t, first, killed.ID())
	write(t, killed, lost) // and here its process ends

	s := r.process(dir)
	u := resume(t, s, killed.ID())
	if u.Size() != int64(len(head)) {
		t.Errorf("it goes on at %d, and not at %d", u.Size(), len(head))
	}
	write(t, u, rest)
	at := wantSealed(t, s, u, append(bytes.Clone(head), rest...))
	if _, err := killed.Seal(ctx, "sha256-abc"); err == nil {
		t.Error("a writer that comes too late seals the upload once more")
	}
	wantBytes(t, s, at, append(bytes.Clone(head), rest...))
	wantObjects(t, r, s, dir, 1)
}

// TestSlowUploads has a client that sends nothing hold all the memory: others go on.
func TestSlowUploads(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	s.Share(s3.LeastPart)
	slow, quick := create(t, s), create(t, s)
	write(t, slow, random(100_000))
	content := random(3 * s3.LeastPart)
	write(t, quick, content) // which waits until the other is put aside
	wantSealed(t, s, quick, content)
	write(t, slow, random(200_000))
	wantSealed(t, s, slow, append(random(100_000), random(200_000)...))
}

// TestStuckUpload has the upload that holds memory for longest wait for a part which the store does not take: the next one is put
// aside.
func TestStuckUpload(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	s.Share(3 * s3.LeastPart)
	stuck, slow, quick := create(t, s), create(t, s), create(t, s)
	taken := make(chan struct{})
	r.remote.Suffer(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if strings.HasSuffix(q.URL.Path, "/"+strings.ReplaceAll(stuck.ID(), ".", "/")) && q.URL.Query().Has("partNumber") {
			<-taken
		}
		next.ServeHTTP(w, q)
	})
	write(t, stuck, random(s3.LeastPart+100_000))
	write(t, slow, random(100_000))
	wrote := make(chan error, 1)
	content := random(s3.LeastPart)
	go func() {
		_, err := quick.Write(content)
		wrote <- err
	}()
	select {
	case err := <-wrote:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it still waits for memory")
	}
	close(taken)
	wantSealed(t, s, quick, content)
	wantSealed(t, s, slow, random(100_000))
	wantSealed(t, s, stuck, random(s3.LeastPart+100_000))
}

// TestLostAnswer drops the answer to the last request of an upload in parts: the store does not know it any more, and the
// object is there.
func TestLostAnswer(t *testing.T) {
	r := newRegistries(t)
	dir := t.TempDir()
	s := r.process(dir)
	var completed atomic.Int32
	r.remote.Suffer(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if !isComplete(q) {
			next.ServeHTTP(w, q)
			return
		}
		if completed.Add(1) == 1 {
			next.ServeHTTP(discarded{http.Header{}}, q)
			panic(http.ErrAbortHandler)
		}
		http.Error(w, `<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>`, http.StatusNotFound)
	})
	u := create(t, s)
	content := random(s3.LeastPart + 1)
	write(t, u, content)
	wantSealed(t, s, u, content)
	if n := completed.Load(); n < 2 {
		t.Errorf("completed %d times", n)
	}
	wantObjects(t, r, s, dir, 1)
}

func isComplete(q *http.Request) bool {
	return q.Method == http.MethodPost && q.URL.Query().Has("uploadId")
}

// discarded takes an answer that nobody gets.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d discarded) WriteHeader(int)             {}

// TestVanished has the store forget an upload in parts.
func TestVanished(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	u := create(t, s)
	write(t, u, random(s3.LeastPart+1))
	closeIt(t, u)
	if err := os.RemoveAll(filepath.Join(r.remote.Objects, ".sgwtmp", "multipart")); err != nil {
		t.Fatal(err)
	}
	u = resume(t, s, u.ID())
	if _, err := u.Seal(ctx, "sha256-abc"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("sealed what the store has forgotten: %v", err)
	}
}

// TestOtherObject opens objects that are gone, cut off, or another's.
func TestOtherObject(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		for name, c := range map[string]struct {
			harm func(t *testing.T, path string)
			want error
		}{
			"gone": {func(t *testing.T, path string) { must(t, os.Remove(path)) }, storage.ErrNotFound},
			"cut":  {func(t *testing.T, path string) { must(t, os.Truncate(path, int64(size-1))) }, storage.ErrCorrupt},
		} {
			t.Run(name, func(t *testing.T) {
				r := newRegistries(t)
				dir := t.TempDir()
				s := r.process(dir)
				u := create(t, s)
				write(t, u, random(size))
				at := wantSealed(t, s, u, random(size))
				blobs := filepath.Join(r.remote.Objects, dir, "blobs")
				c.harm(t, filepath.Join(blobs, filesIn(t, blobs)[0]))
				if _, err := s.Open(ctx, at); !errors.Is(err, c.want) {
					t.Errorf("opened: %v, want %v", err, c.want)
				}
				if n, err := s.Length(ctx, at); n != int64(size) || err != nil {
					t.Errorf("the length is asked of the object store: %d, %v", n, err)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
