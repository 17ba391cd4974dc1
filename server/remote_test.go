package server_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// onRemote are the options of a server whose blobs are in an object store, below a prefix.
func onRemote(remote *s3test.Server, prefix string) server.Options {
	o := servertest.Options()
	is := remote.Config(prefix)
	is.Region, is.Keep = "us-east-1", units.Duration(time.Hour)
	o.Config.Blobs.S3.Config = is
	return o
}

// noise returns n bytes that are the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// want asks as the administrator, and wants a status.
func want(t *testing.T, s *servertest.Server, status int, method, path string, body []byte, header ...string) string {
	t.Helper()
	got, says, err := s.Do(method, path, servertest.Login, body, header...)
	if err != nil || got != status {
		t.Fatalf("%s %s: %d %.300s, %v; want %d", method, path, got, says, err, status)
	}
	return says
}

// TestRemoteBlobs pushes and pulls images through an object store: whole, in ranges, by mount, and over a restart in the middle of
// an upload.
func TestRemoteBlobs(t *testing.T) {
	remote := s3test.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	s := servertest.StartOn(t, dir, onRemote(remote, "one/"))
	layer := noise(11 << 20)
	d := digest.FromBytes(layer)
	s.Push("app", "1.0", string(layer))

	if got := want(t, s, http.StatusOK, "GET", "/v2/app/blobs/"+d.String(), nil); got != string(layer) {
		t.Errorf("pulled %d bytes of %d, or others", len(got), len(layer))
	}
	for _, r := range []struct{ from, to int }{{0, 0}, {5 << 20, 6<<20 - 1}, {len(layer) - 10, len(layer) - 1}} {
		got := want(t, s, http.StatusPartialContent, "GET", "/v2/app/blobs/"+d.String(), nil, "Range", fmt.Sprintf("bytes=%d-%d", r.from, r.to))
		if got != string(layer[r.from:r.to+1]) {
			t.Errorf("the range %d-%d has %d bytes, or others", r.from, r.to, len(got))
		}
	}
	want(t, s, http.StatusCreated, "POST", "/v2/other/blobs/uploads/?mount="+d.String()+"&from=app", nil)
	s.Push("third", "1.0", string(layer)) // which is there
	resumed(t, s, dir, remote)
	s.Stop()
	s = servertest.StartOn(t, dir, onRemote(remote, "one/"))
	if got := want(t, s, http.StatusOK, "GET", "/v2/app/blobs/"+d.String(), nil); got != string(layer) {
		t.Error("after a restart there are other bytes")
	}
	wantWhole(t, s)
}

// resumed begins an upload, restarts the server, and goes on with it, also with SHA-512.
func resumed(t *testing.T, s *servertest.Server, dir string, remote *s3test.Server) {
	t.Helper()
	content := noise(7<<20 + 5)
	for i, d := range []digest.Digest{digest.SHA256.FromBytes(content), digest.SHA512.FromBytes(content)} {
		at := begin(t, s)
		at = patch(t, s, at, content[:6<<20+i])
		s.Stop()
		s = servertest.StartOn(t, dir, onRemote(remote, "one/"))
		at = patch(t, s, at, content[6<<20+i:])
		want(t, s, http.StatusCreated, "PUT", at+sep(at)+"digest="+d.String(), nil)
		if got := want(t, s, http.StatusOK, "GET", "/v2/app/blobs/"+d.String(), nil); got != string(content) {
			t.Errorf("%s: other bytes", d)
		}
	}
	s.Stop()
}

func sep(url string) string {
	if strings.Contains(url, "?") {
		return "&"
	}
	return "?"
}

func begin(t *testing.T, s *servertest.Server) (location string) {
	t.Helper()
	return send(t, s, "POST", "/v2/app/blobs/uploads/", nil)
}

func patch(t *testing.T, s *servertest.Server, at string, content []byte) (location string) {
	t.Helper()
	return send(t, s, "PATCH", at, content)
}

// send sends a request of an upload, and returns where it goes on.
func send(t *testing.T, s *servertest.Server, method, path string, body []byte) string {
	t.Helper()
	r, err := http.NewRequest(method, s.URL()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(servertest.Login, ":")
	r.SetBasicAuth(user, password)
	r.Header.Set("Content-Type", "application/octet-stream")
	resp, err := s.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if says, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, says)
	}
	return strings.TrimPrefix(resp.Header.Get("Location"), s.URL())
}

// objects are the paths of the objects that hold bytes.
func objects(t *testing.T, remote *s3test.Server) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(remote.Objects, "one", "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// wantWhole wants a check that reads every blob to find nothing.
func wantWhole(t *testing.T, s *servertest.Server) {
	t.Helper()
	if says := want(t, s, http.StatusOK, "GET", "/api/v1/check?deep=true", nil); !strings.Contains(says, `"problems":0`) {
		t.Errorf("the check says %s", says)
	}
}

// TestRemoteLost removes and cuts off objects behind the registry: a pull says so, and a push makes the image whole again.
func TestRemoteLost(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"gone": os.Remove,
		"cut":  func(path string) error { return os.Truncate(path, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			remote := s3test.Start(t)
			s := servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), onRemote(remote, "one/"))
			layer := noise(100_000)
			d := digest.FromBytes(layer)
			s.Push("app", "1.0", string(layer))
			for _, path := range objects(t, remote) {
				if info, err := os.Stat(path); err == nil && info.Size() == int64(len(layer)) {
					if err := harm(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			says := want(t, s, http.StatusNotFound, "GET", "/v2/app/blobs/"+d.String(), nil)
			if !strings.Contains(says, "lost or damaged") {
				t.Errorf("it says %s", says)
			}
			s.Push("app", "1.0", string(layer))
			if got := want(t, s, http.StatusOK, "GET", "/v2/app/blobs/"+d.String(), nil); got != string(layer) {
				t.Error("it was pushed again, and is not whole")
			}
		})
	}
}

// TestRemoteAway has the object store not answer: clients are told to try again, nothing is half there, and it goes on behind it.
func TestRemoteAway(t *testing.T) {
	remote := s3test.Start(t)
	s := servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), onRemote(remote, "one/"))
	layer := noise(100_000)
	d := digest.FromBytes(layer)
	s.Push("app", "1.0", string(layer))
	remote.Suffer(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
	})
	other := noise(50_000)
	where := "/v2/app/blobs/" + digest.FromBytes(other).String()
	want(t, s, http.StatusServiceUnavailable, "GET", "/v2/app/blobs/"+d.String(), nil)
	want(t, s, http.StatusServiceUnavailable, "POST", "/v2/app/blobs/uploads/?digest="+digest.FromBytes(other).String(), other, "Content-Type", "application/octet-stream")
	want(t, s, http.StatusOK, "HEAD", "/v2/app/blobs/"+d.String(), nil) // which does not ask it
	want(t, s, http.StatusNotFound, "HEAD", where, nil)
	remote.Suffer(nil)
	want(t, s, http.StatusOK, "GET", "/v2/app/blobs/"+d.String(), nil)
	want(t, s, http.StatusCreated, "POST", "/v2/app/blobs/uploads/?digest="+digest.FromBytes(other).String(), other, "Content-Type", "application/octet-stream")
	want(t, s, http.StatusOK, "GET", where, nil)
}

// TestRemoteStarts starts servers that must not begin: each says why.
func TestRemoteStarts(t *testing.T) {
	engines.OnFile(t) // it opens the directory with configurations of its own
	remote := s3test.Start(t)
	first := filepath.Join(t.TempDir(), "data")
	servertest.StartOn(t, first, onRemote(remote, "one/")).Stop()
	inFiles := filepath.Join(t.TempDir(), "data")
	servertest.StartOn(t, inFiles, servertest.Options()).Stop()
	wrongKeys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(wrongKeys, []byte("[default]\naws_access_key_id = nobody\naws_secret_access_key = guessed-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir    string
		change func(*config.Config)
		says   string
	}{
		"another registry's prefix": {"", func(*config.Config) {}, "another registry"},
		"another prefix":            {first, func(c *config.Config) { c.Blobs.S3.Prefix = "two/" }, "another bucket"},
		"no object store any more":  {first, func(c *config.Config) { c.Blobs.S3.Endpoint = "" }, "set blobs.s3 again"},
		"blobs in files":            {inFiles, func(*config.Config) {}, "leave blobs.s3 out"},
		"no such bucket":            {"", func(c *config.Config) { c.Blobs.S3.Bucket = "elsewhere" }, "elsewhere"},
		"wrong keys":                {"", func(c *config.Config) { c.Blobs.S3.Credentials = wrongKeys }, "access key"},
		"wrong authority":           {"", func(c *config.Config) { c.Blobs.S3.CA = "" }, "blobs.s3.ca"},
	} {
		t.Run(name, func(t *testing.T) {
			o := onRemote(remote, "one/")
			c.change(&o.Config)
			dir := c.dir
			if dir == "" {
				dir = filepath.Join(t.TempDir(), "data")
			}
			s, err := servertest.TryOn(dir, o)
			if err == nil {
				s.Stop()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "guessed-secret") {
				t.Errorf("it says %v; want %q", err, c.says)
			}
		})
	}
}
