package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

func (s *server) begin(repo string, options ...option) string {
	s.t.Helper()
	got := s.want(s.do("POST", "/v2/"+repo+"/blobs/uploads/", nil, options...), 202, "")
	location := got.header.Get("Location")
	if !strings.HasPrefix(location, "/v2/"+repo+"/blobs/uploads/") {
		s.t.Errorf("Location %q is not path-absolute", location)
	}
	return location
}

func (s *server) patch(location, content string, options ...option) string {
	s.t.Helper()
	return s.want(s.do("PATCH", location, strings.NewReader(content), options...), 202, "").header.Get("Location")
}

// leftovers counts the uploads, and the blobs that are there, also those that no row names.
func (s *server) leftovers() (uploads, sealed int) {
	s.t.Helper()
	for _, err := range s.blobs.Uploads(background) {
		if err != nil {
			s.t.Fatal(err)
		}
		uploads++
	}
	return uploads, s.sealedFiles() + s.inStore()
}

// inStore counts the blobs whose bytes are in the store.
func (s *server) inStore() (n int) {
	s.t.Helper()
	err := s.store.View(background, func(tx storage.Reader) error {
		for _, err := range tx.Scan(smallTable, nil, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// sealedFiles counts the sealed files of a server's blobs.
func (s *server) sealedFiles() (n int) {
	t, dir := s.t, s.dir
	t.Helper()
	if s3test.Wanted() {
		return s.sealedObjects()
	}
	err := filepath.WalkDir(filepath.Join(dir, "blobs", "files"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm() == 0o400 {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUploadInChunks(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	location := s.begin("app")
	location = s.patch(location, "hello, ", header("Content-Range", "0-6"))
	location = s.patch(location, "wide ", header("Content-Range", "7-11"))
	got := s.want(s.do("GET", location, nil), 204, "")
	if got.header.Get("Range") != "0-11" {
		t.Errorf("Range %q", got.header.Get("Range"))
	}
	done := s.want(s.do("PUT", withDigest(location, digest.FromString("hello, wide world")), strings.NewReader("world"), header("Content-Range", "12-16")), 201, "")
	if got := s.do("GET", done.header.Get("Location"), nil); got.body != "hello, wide world" {
		t.Errorf("pulled %q", got.body)
	}
	s.want(s.do("GET", location, nil), 404, "BLOB_UPLOAD_UNKNOWN")
	if uploads, sealed := s.leftovers(); uploads != 0 || sealed != 1 || s.Uploads() != 0 {
		t.Errorf("%d uploads (%d in memory) and %d files", uploads, s.Uploads(), sealed)
	}
	s.wantClean()
}

// TestResumeAfterRestart goes on where another process stopped.
func TestResumeAfterRestart(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	location := s.patch(s.begin("app"), "hello, ")
	s = s.restart()
	got := s.want(s.do("GET", location, nil), 204, "")
	if got.header.Get("Range") != "0-6" {
		t.Errorf("Range %q", got.header.Get("Range"))
	}
	location = s.patch(got.header.Get("Location"), "wor")
	s = s.restart()
	s.want(s.do("PUT", withDigest(location, digest.FromString("hello, world")), strings.NewReader("ld")), 201, "")
	if got := s.do("GET", "/v2/app/blobs/"+digest.FromString("hello, world").String(), nil); got.body != "hello, world" {
		t.Errorf("pulled %q", got.body)
	}
	s.wantClean()
}

func TestCancelUpload(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	location := s.patch(s.begin("app"), "hello")
	s.want(s.do("DELETE", location, nil), 204, "")
	s.want(s.do("GET", location, nil), 404, "BLOB_UPLOAD_UNKNOWN")
	s.want(s.do("PATCH", location, strings.NewReader("x")), 404, "BLOB_UPLOAD_UNKNOWN")
	if uploads, sealed := s.leftovers(); uploads != 0 || sealed != 0 {
		t.Errorf("%d uploads and %d files are left", uploads, sealed)
	}
}

func TestUploadIsOnesOwn(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	location := s.patch(s.begin("app"), "hello")
	d := digest.FromString("hello")
	elsewhere := strings.Replace(location, "/v2/app/", "/v2/other/", 1)
	for name, try := range map[string]func() answer{
		"status by another":     func() answer { return s.do("GET", location, nil, as("bob")) },
		"patch by another":      func() answer { return s.do("PATCH", location, strings.NewReader("x"), as("bob")) },
		"put by another":        func() answer { return s.do("PUT", withDigest(location, d), nil, as("bob")) },
		"cancel by another":     func() answer { return s.do("DELETE", location, nil, as("bob")) },
		"in another repository": func() answer { return s.do("PUT", withDigest(elsewhere, d), nil) },
		"status elsewhere":      func() answer { return s.do("GET", elsewhere, nil) },
	} {
		t.Run(name, func(t *testing.T) { s.want(try(), 404, "BLOB_UPLOAD_UNKNOWN") })
	}
	without, _, _ := strings.Cut(location, "?")
	s.want(s.do("PATCH", without, strings.NewReader("x")), 404, "BLOB_UPLOAD_UNKNOWN")
	s.want(s.do("PUT", withDigest(location, d), nil), 201, "")
}

func TestBadUploads(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	d := digest.FromString("hello")
	t.Run("other digest", func(t *testing.T) {
		got := s.want(s.do("PUT", withDigest(s.begin("app"), d), strings.NewReader("other bytes")), 400, "DIGEST_INVALID")
		if !strings.Contains(got.body, digest.FromString("other bytes").String()) {
			t.Errorf("it does not say which digest came: %s", got.body)
		}
	})
	t.Run("no digest", func(t *testing.T) {
		location := s.begin("app")
		s.want(s.do("PUT", location, strings.NewReader("hello")), 400, "DIGEST_INVALID")
		s.want(s.do("PUT", location+"&digest=nonsense", strings.NewReader("hello")), 400, "DIGEST_INVALID")
		s.want(s.do("PUT", location+"&digest=sha256:../../x", strings.NewReader("hello")), 400, "DIGEST_INVALID")
		s.want(s.do("DELETE", location, nil), 204, "")
	})
	t.Run("out of order", func(t *testing.T) {
		location := s.patch(s.begin("app"), "hello")
		for _, r := range []string{"0-4", "4-8", "6-10", "100-104"} {
			got := s.want(s.do("PATCH", location, strings.NewReader("world"), header("Content-Range", r)), 416, "RANGE_INVALID")
			if got.header.Get("Range") != "0-4" || got.header.Get("Location") == "" {
				t.Errorf("%s: Range %q, Location %q", r, got.header.Get("Range"), got.header.Get("Location"))
			}
		}
		body := struct{ io.Reader }{strings.NewReader("world")} // without a length
		s.want(s.do("PATCH", location, body, header("Content-Range", "3-7")), 416, "RANGE_INVALID")
		location = s.patch(location, " world", header("Content-Range", "5-10"))
		s.want(s.do("PUT", withDigest(location, digest.FromString("hello world")), nil), 201, "")
	})
	t.Run("wrong length", func(t *testing.T) {
		location := s.begin("app")
		s.want(s.do("PATCH", location, strings.NewReader("hello"), header("Content-Range", "0-9")), 400, "SIZE_INVALID")
		for _, r := range []string{"x", "5", "-", "5-", "-5", "4-0", "a-b", "bytes 0-4/5", "0-99999999999999999999"} {
			s.want(s.do("PATCH", location, strings.NewReader("hello"), header("Content-Range", r)), 400, "BLOB_UPLOAD_INVALID")
		}
		short := struct{ io.Reader }{strings.NewReader("hello")}
		s.want(s.do("PATCH", location, short, header("Content-Range", "0-9")), 400, "SIZE_INVALID")
		s.want(s.do("DELETE", location, nil), 204, "")
	})
	t.Run("an old Location", func(t *testing.T) {
		old := s.begin("app")
		s.patch(old, "hello")
		got := s.want(s.do("PATCH", old, strings.NewReader("hello")), 416, "RANGE_INVALID")
		if got.header.Get("Range") != "0-4" {
			t.Errorf("Range %q", got.header.Get("Range"))
		}
		s.want(s.do("PUT", withDigest(got.header.Get("Location"), d), nil), 201, "")
	})
	if uploads, _ := s.leftovers(); uploads != 0 {
		t.Errorf("%d uploads are left", uploads)
	}
	s.wantClean()
}

// TestForms wants form bodies refused before anything of them reaches the disk, also before login.
func TestForms(t *testing.T) {
	s3test.OnFiles(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	s := startServer(t, t.TempDir(), Config{})
	location := s.begin("app")
	for _, path := range []string{"/v2/app/blobs/uploads/", location, "/v2/app/manifests/1.0", "/v2/"} {
		for _, kind := range []string{"multipart/form-data; boundary=x", "Multipart/Form-Data;boundary=x", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded", "multipart/form-data; broken;;"} {
			for _, method := range []string{"POST", "PUT", "PATCH"} {
				read, write := io.Pipe()
				var sent int
				go func() {
					form := multipart.NewWriter(write)
					_ = form.SetBoundary("x")
					part, err := form.CreateFormFile("from", "f")
					for err == nil && sent < 64<<20 {
						_, err = part.Write(make([]byte, 1<<20))
						sent++
					}
					write.Close()
				}()
				none := func(r *http.Request) { r.Header.Del("Authorization") }
				s.want(s.do(method, path, read, header("Content-Type", kind), none), 415, "UNSUPPORTED")
				read.Close()
			}
		}
	}
	entries, err := os.ReadDir(temp)
	if err != nil || len(entries) != 0 {
		t.Errorf("files appeared: %v, %v", entries, err)
	}
	empty := s.do("POST", "/v2/app/blobs/uploads/", nil, header("Content-Type", "application/x-www-form-urlencoded"))
	s.want(empty, 202, "")
}

// TestClientGoesAway cuts the connection in the middle of a chunk, and goes on behind what arrived.
func TestClientGoesAway(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	location := s.begin("app")
	u, err := url.Parse(s.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("PATCH", s.http.URL+location, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice", password)
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 1000000\r\n\r\n", location, r.Header.Get("Authorization"))
	half := strings.Repeat("x", 500_000)
	if _, err := io.WriteString(conn, half); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	var got answer
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got = s.do("GET", location, nil)
		if got.header.Get("Range") == "0-499999" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the upload stands at %s", got.header.Get("Range"))
		}
	}
	whole := half + "the rest"
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		put := s.do("PUT", withDigest(got.header.Get("Location"), digest.FromString(whole)), strings.NewReader("the rest"))
		if put.status == 201 {
			break
		}
		if put.status != 409 || time.Now().After(deadline) { // 409: the server has not yet noticed that the other is gone
			t.Fatalf("%d %s", put.status, put.body)
		}
	}
	s.wantClean()
}

// TestOneWriter holds one request to an upload open and sends another.
func TestOneWriter(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	location := s.begin("app")
	read, write := io.Pipe()
	t.Cleanup(func() { write.Close() })
	r, err := http.NewRequest("PATCH", s.http.URL+location, read)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice", password)
	r.Header.Set("Expect", "100-continue") // so that the body is read here once it is read there
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	first := make(chan error, 1)
	go func() {
		resp, err := transport.RoundTrip(r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != 202 {
				err = errors.New(resp.Status)
			}
		}
		first <- err
	}()
	if _, err := write.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.want(s.do("PATCH", location, strings.NewReader("x")), 409, "BLOB_UPLOAD_INVALID")
	s.want(s.do("GET", location, nil), 204, "") // asking is always possible
	write.Close()
	if err := <-first; err != nil {
		t.Errorf("the first writer: %v", err)
	}
}

// TestParallelPushes pushes the same blob, the same image and the same tag from many clients at once.
func TestParallelPushes(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			repo := fmt.Sprintf("app%d", i%3)
			s.pushImage(repo, "same", "same")
			s.pushImage(repo, "latest", fmt.Sprint(i))
		})
	}
	group.Wait()
	if uploads, sealed := s.leftovers(); uploads != 0 || sealed != 2+2*24 {
		t.Errorf("%d uploads and %d files, want %d", uploads, sealed, 2+2*24)
	}
	for i := range 3 {
		var previous digest.Digest
		moves, _, err := s.book.History(background, fmt.Sprintf("app%d", i), "latest", nil, 100)
		if err != nil || len(moves) != 8 {
			t.Fatalf("%d moves, %v", len(moves), err)
		}
		for _, m := range moves {
			if previous != "" && m.To != previous {
				t.Errorf("the history does not hang together: %s, then %s", m.To, previous)
			}
			previous = m.From
		}
	}
	s.wantClean()
}

func TestSweep(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{UploadKeep: units.Duration(time.Hour)})
	s.pushImage("app", "1.0", "one")
	old := s.patch(s.begin("app"), "hello")
	s.begin("app")
	// As a process leaves it that was killed between Seal and the commit of the row.
	up, err := s.blobs.Create(background)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up.Seal(background, label(digest.FromString("layer one"))); err != nil {
		t.Fatal(err)
	}
	if n, err := s.sweepStrays(background); n != 0 || err != nil {
		t.Errorf("the process that sealed it removed %d, %v", n, err)
	}
	s = s.restart()
	if n, err := s.sweepStrays(background); n != 1 || err != nil {
		t.Errorf("the next process removed %d strays, %v", n, err)
	}
	if n, err := s.removeAbandoned(background); n != 0 || err != nil {
		t.Errorf("removed %d fresh uploads, %v", n, err)
	}
	s.later(time.Hour)
	if n, err := s.removeAbandoned(background); n != 2 || err != nil {
		t.Errorf("removed %d uploads after an hour, %v", n, err)
	}
	s.want(s.do("GET", old, nil), 404, "BLOB_UPLOAD_UNKNOWN")
	s.want(s.do("GET", "/v2/app/blobs/"+digest.FromString("layer one").String(), nil), 200, "")
	s.wantClean()
}

// TestFullDisk fills a real small disk. Pushes get 507; pulls, deletes, into the trash too, and emptying that go on. Nothing comes back from it before
// there is room.
func TestFullDisk(t *testing.T) {
	s3test.OnFiles(t)
	dir := storagetest.SmallDisk(t, 48<<20)
	s := startServer(t, dir, Config{Reserve: 8 << 20})
	s.UseTrash(aDay)
	one := s.pushImage("app", "1.0", "one")
	kept := s.pushImage("app", "kept", "kept")
	s.delete("app", kept.digest.String()) // while there is room
	got := s.do("PUT", withDigest(s.begin("app"), digest.FromString("x")), io.LimitReader(zeros{}, 200<<20))
	s.want(got, 507, "UNAVAILABLE")
	if uploads, _ := s.leftovers(); uploads != 0 {
		t.Errorf("%d uploads are left to fill the disk", uploads)
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // until the disk is full, beyond the reserve
		_, err = filler.Write(make([]byte, 1<<20))
	}
	if err := filler.Truncate(42 << 20); err != nil {
		t.Fatal(err)
	}
	s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 507, "UNAVAILABLE")
	got = s.want(s.putManifest("app", "2.0", one.body), 507, "UNAVAILABLE")
	if !strings.Contains(got.body, "disk") {
		t.Errorf("it says %s", got.body)
	}
	s.want(s.do("GET", "/v2/app/manifests/1.0", nil), 200, "")
	s.want(s.do("GET", "/v2/app/blobs/"+digest.FromString("layer one").String(), nil), 200, "")
	s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 202, "")
	if _, err := s.undelete("app", "1.0"); !errors.Is(err, storage.ErrFull) { // which the API answers with 507
		t.Errorf("brought back on a full disk: %v", err)
	}
	if n, err := s.Empty(background, Emptying{Repository: "app", Reference: kept.digest.String(), Who: access.Operator}); err != nil || n != 1 {
		t.Errorf("%d manifests were purged on a full disk, %v", n, err)
	}
	if err := errors.Join(filler.Close(), os.Remove(filler.Name())); err != nil {
		t.Fatal(err)
	}
	s.wantBack("app", "1.0", 1)
	if _, err := s.undelete("app", "kept"); err == nil {
		t.Error("what was purged came back")
	}
	s.pushImage("app", "2.0", "two")
	s.wantClean()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// brokenStore fails Updates when told to, before or after they happen.
type brokenStore struct {
	storage.Store
	mu     sync.Mutex
	before error // returned instead of an Update
	after  error // returned after an Update that happened
}

func (b *brokenStore) set(before, after error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.after = before, after
}

func (b *brokenStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	b.mu.Lock()
	before, after := b.before, b.after
	b.mu.Unlock()
	if before != nil {
		return before
	}
	return errors.Join(b.Store.Update(ctx, fn), after)
}

// TestStoreFails lets the store fail with and without having done it.
func TestStoreFails(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1.0", "one")
	broken := &brokenStore{Store: s.store}
	s.Registry = newRegistry(t, broken, openBlobs(t, s.dir, s.store), Config{Reserve: 1})
	s.http.Config.Handler = s.Registry
	for _, c := range []struct {
		before, after error
		status        int
		code, says    string
	}{
		{before: storage.ErrFull, status: 507, code: "UNAVAILABLE", says: "disk"},
		{before: storage.ErrUnknownOutcome, status: 500, code: "UNKNOWN", says: "not known"},
		{after: storage.ErrUnknownOutcome, status: 500, code: "UNKNOWN", says: "not known"},
		{before: storage.ErrClosed, status: 503, code: "UNAVAILABLE", says: "shutting down"},
		{before: errors.New("secret detail"), status: 500, code: "UNKNOWN", says: "failed"},
	} {
		t.Run(c.says, func(t *testing.T) {
			location := s.begin("app")
			broken.set(c.before, c.after)
			defer broken.set(nil, nil)
			content := "fails " + c.says + fmt.Sprint(c.after)
			for _, got := range []answer{
				s.do("PUT", withDigest(location, digest.FromString(content)), strings.NewReader(content)),
				s.putManifest("app", "2.0", one.body),
				s.do("DELETE", "/v2/app/blobs/"+digest.FromString("other").String(), nil),
			} {
				if got.status == 404 {
					continue // a refusal of the closure, which ran before it was said to have failed
				}
				s.want(got, c.status, c.code)
				if !strings.Contains(got.body, c.says) || strings.Contains(got.body, "secret") {
					t.Errorf("it says %s", got.body)
				}
			}
			s.want(s.do("GET", "/v2/app/manifests/1.0", nil), 200, "")
		})
	}
	s.wantClean()
	if got := s.want(s.do("GET", "/v2/app/manifests/2.0", nil), 200, ""); got.header.Get("Hallmark-Record") == "" {
		t.Error("what happened after all has no record")
	}
	if sealed := s.sealedFiles(); sealed > 2+2 { // the image's, and those whose row may name them
		t.Errorf("%d files", sealed)
	}
}

// TestSlowReader stalls in the middle of a blob, while the store grows beyond its map's first pages and
// others read and write.
func TestSlowReader(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	large := strings.Repeat("0123456789abcdef", 1<<20)
	s.pushBlob("app", large)
	u, err := url.Parse(s.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, _ := http.NewRequest("GET", s.http.URL, nil)
	r.SetBasicAuth("alice", password)
	fmt.Fprintf(conn, "GET /v2/app/blobs/%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n", digest.FromString(large), r.Header.Get("Authorization"))
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("%q, %v", line, err)
	}
	for i := range 100 { // nothing of this may wait for the reader that has stopped reading
		s.pushImage("app", fmt.Sprint(i), fmt.Sprint(i))
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), in)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != large {
		t.Errorf("the slow reader got %d bytes of %d, %v", len(got), len(large), err)
	}
}

// TestSlowManifestReaders wants clients that stop reading a large manifest not to keep it in memory.
func TestSlowManifestReaders(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	const readers, size = 20, 3 << 20
	body := marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": s.pushBlob("app", "{}"), "layers": []any{},
		"annotations": map[string]string{"x": strings.Repeat("x", size)},
	})
	s.pushManifest("app", "large", body)
	r, _ := http.NewRequest("GET", s.http.URL, nil)
	r.SetBasicAuth("alice", password)
	request := fmt.Sprintf("GET /v2/app/manifests/large HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n", r.Header.Get("Authorization"))
	before := heap()
	var stopped []*bufio.Reader
	for range readers {
		conn, err := net.Dial("tcp", r.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, request)
		in := bufio.NewReaderSize(conn, 1<<10)
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q, %v", line, err)
		}
		stopped = append(stopped, in)
	}
	if more := int64(heap()) - int64(before); more > readers*size/4 {
		t.Errorf("%d bytes for each of those who stopped reading", more/readers)
	}
	for _, in := range stopped[:1] {
		resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), in)), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || string(got) != body {
			t.Errorf("a slow reader got %d bytes of %d, %v", len(got), len(body), err)
		}
	}
}

// heap is how many bytes of the heap are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBrim fills a small disk as far as the registry lets clients, where its operator keeps nothing in reserve. A delete
// has room, and so has the collector, and then there are pushes again.
func TestBrim(t *testing.T) {
	s3test.OnFiles(t)
	s := startServer(t, storagetest.SmallDisk(t, 24<<20), Config{Reserve: 1, Lease: units.Duration(time.Hour)})
	var pushed []string
	refused := 0
	for i := 0; refused < 30 && i < 5000; i++ {
		layer := strings.Repeat(fmt.Sprintf("%08d", i), []int{1 << 20, 20_000, 300}[min(i/30, 1+i%2)]/8)
		path := "/v2/app/blobs/uploads/?digest=" + digest.FromString(layer).String()
		got := s.do("POST", path, strings.NewReader(layer))
		if got.status == 201 {
			got = s.putManifest("app", fmt.Sprint(i), imageManifest(descriptorOf(layer)))
		}
		if got.status != 201 {
			s.want(got, 507, "UNAVAILABLE")
			refused++
			continue
		}
		pushed = append(pushed, got.header.Get("Docker-Content-Digest"))
	}
	if refused < 30 {
		t.Fatal("the disk does not become full")
	}
	for _, d := range pushed[:8] {
		s.want(s.do("DELETE", "/v2/app/manifests/"+d, nil), 202, "")
	}
	s.later(2 * time.Hour)
	if err := s.collect(background); err != nil {
		t.Errorf("nothing is given back: %v", err)
	}
	s.pushImage("app", "2.0", "two")
	s.wantClean()
}
