package server_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/move"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// movable is a registry with blobs of each kind, which is stopped.
type movable struct {
	t      *testing.T
	dir    string
	layers map[digest.Digest]string // each is one of the image app:N
}

// newMovable pushes layers of some lengths to a registry with its blobs in files.
func newMovable(t *testing.T, dir string, sizes ...int) *movable {
	t.Helper()
	engines.OnFile(t)
	m := &movable{t: t, dir: dir, layers: map[digest.Digest]string{}}
	s := servertest.StartOn(t, dir, servertest.Options())
	for i, size := range sizes {
		layer := string(noise(size))
		m.layers[digest.FromString(layer)] = layer
		s.Push("app", string(rune('a'+i)), layer)
	}
	s.Stop()
	return m
}

// to moves the blobs; nil is the data directory.
func (m *movable) to(ctx context.Context, from, to *s3.Config) (move.Moved, error) {
	none := move.Shown{Expect: func(int64) {}, Done: func(int64) {}}
	return (&move.Move{Dir: m.dir, From: from, To: to, Copying: none, Checking: none}).Run(ctx)
}

// mustMove is to, and wants it to succeed.
func (m *movable) mustMove(from, to *s3.Config) move.Moved {
	m.t.Helper()
	moved, err := m.to(m.t.Context(), from, to)
	if err != nil || len(moved.Damaged) > 0 {
		m.t.Fatalf("the move: %+v, %v", moved, err)
	}
	return moved
}

// wantServed starts the registry, and wants it to serve every layer but some.
func (m *movable) wantServed(o server.Options, without ...digest.Digest) *servertest.Server {
	m.t.Helper()
	s := servertest.StartOn(m.t, m.dir, o)
	for d, layer := range m.layers {
		if slices.Contains(without, d) {
			want(m.t, s, http.StatusNotFound, "GET", "/v2/app/blobs/"+d.String(), nil)
		} else if got := want(m.t, s, http.StatusOK, "GET", "/v2/app/blobs/"+d.String(), nil); got != layer {
			m.t.Errorf("the layer %s has %d bytes of %d, or others", d, len(got), len(layer))
		}
	}
	return s
}

// blobFiles are the files below the directory of blobs, with what they hold.
func blobFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRemoteMove takes the blobs of a registry into an object store and back, and there again. It serves from there each time, with what
// was pushed meanwhile, and where they were nothing changes.
func TestRemoteMove(t *testing.T) {
	remote := s3test.Start(t)
	m := newMovable(t, filepath.Join(t.TempDir(), "data"), 20_000, 100_000, 11<<20)
	o := onRemote(remote, "one/")
	to := &o.Config.Blobs.S3.Config
	before := blobFiles(t, m.dir)

	if moved := m.mustMove(nil, to); moved.Blobs != len(m.layers) || moved.Copied != moved.Blobs || moved.Read != moved.Blobs {
		t.Errorf("the move says %+v", moved)
	}
	if after := blobFiles(t, m.dir); len(after) != len(before) {
		t.Errorf("where they were are %d files, and there were %d", len(after), len(before))
	}
	if moved := m.mustMove(nil, to); !moved.Again {
		t.Errorf("a second time it says %+v", moved)
	}
	if _, err := servertest.TryOn(m.dir, servertest.Options()); err == nil || !strings.Contains(err.Error(), "hallmark move") {
		t.Errorf("without the object store it starts: %v", err)
	}
	s := m.wantServed(o)
	late := string(noise(6 << 20))
	m.layers[digest.FromString(late)] = late
	s.Push("app", "late", late)
	wantWhole(t, s)
	s.Stop()

	other := *to
	other.Prefix = "two/"
	if _, err := m.to(t.Context(), to, &other); !errors.Is(err, move.ErrSame) {
		t.Errorf("from one object store to another: %v", err)
	}
	if moved := m.mustMove(to, nil); moved.Blobs != len(m.layers) || moved.Copied != 1 {
		t.Errorf("back, with one that is not there yet, it says %+v", moved)
	}
	s = m.wantServed(servertest.Options())
	wantWhole(t, s)
	s.Stop()
	if moved := m.mustMove(nil, to); moved.Copied != 0 || moved.Read != moved.Blobs {
		t.Errorf("there again, where all are still, it says %+v", moved)
	}
	s = m.wantServed(o)
	wantWhole(t, s)
	s.Stop()
}

// TestRemoteMoveDamaged moves blobs of which some are lost or damaged, where they were, and where an earlier move brought them.
func TestRemoteMoveDamaged(t *testing.T) {
	remote := s3test.Start(t)
	m := newMovable(t, filepath.Join(t.TempDir(), "data"), 20_000, 30_000, 40_000)
	o := onRemote(remote, "one/")
	to := &o.Config.Blobs.S3.Config
	var bad []digest.Digest
	for path, content := range blobFiles(t, m.dir) {
		switch len(content) {
		case 20_000:
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		case 30_000:
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.ToUpper(content)), 0o400); err != nil {
				t.Fatal(err)
			}
		default:
			continue
		}
		bad = append(bad, digest.FromString(content))
	}
	moved, err := m.to(t.Context(), nil, to)
	if err != nil || len(moved.Damaged) != 2 || moved.Copied != 1 {
		t.Fatalf("the move says %+v, %v", moved, err)
	}
	for _, d := range bad {
		if !slices.Contains(moved.Damaged, strings.Replace(d.String(), ":", "-", 1)) {
			t.Errorf("%s is not named", d)
		}
	}
	s := m.wantServed(o, bad...)
	for _, d := range bad {
		s.Push("app", "again-"+d.Encoded()[:8], m.layers[d])
	}
	s.Stop()
	m.wantServed(o).Stop()
}

// TestRemoteMoveRefused moves blobs to where they must not come: nothing changes, and the registry is where it was.
func TestRemoteMoveRefused(t *testing.T) {
	remote := s3test.Start(t)
	servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), onRemote(remote, "taken/")).Stop()
	m := newMovable(t, filepath.Join(t.TempDir(), "data"), 20_000)
	for name, c := range map[string]struct{ prefix, bucket, says string }{
		"another registry's": {"taken/", s3test.Bucket, "another registry"},
		"no such bucket":     {"one/", "elsewhere", "elsewhere"},
	} {
		to := remote.Config(c.prefix)
		to.Bucket, to.Region = c.bucket, "us-east-1"
		if _, err := m.to(t.Context(), nil, &to); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := m.wantServed(servertest.Options())
	to := remote.Config("one/")
	if _, err := m.to(t.Context(), nil, &to); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("while it serves: %v", err)
	}
	s.Stop()

	m.mustMove(nil, &to)
	blobs := filepath.Join(m.dir, "blobs")
	for name, spoil := range map[string]func() error{
		"another registry's": func() error { return os.WriteFile(filepath.Join(blobs, "id"), []byte("of another\n"), 0o600) },
		"something else's": func() error {
			return errors.Join(os.RemoveAll(blobs), os.Mkdir(blobs, 0o700), os.WriteFile(filepath.Join(blobs, "mine"), nil, 0o600))
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.to(t.Context(), &to, nil); err == nil {
			t.Errorf("back into %s directory it goes", name)
		}
	}
	if err := os.RemoveAll(blobs); err != nil {
		t.Fatal(err)
	}
	m.mustMove(&to, nil)
	m.wantServed(servertest.Options()).Stop()
}

// TestRemoteMoveFull moves blobs back to a disk that has no room for them: they are served from the object store still, and it goes on
// once there is room.
func TestRemoteMoveFull(t *testing.T) {
	remote := s3test.Start(t)
	disk := storagetest.SmallDisk(t, 32<<20)
	m := newMovable(t, filepath.Join(disk, "data"), 5<<20, 6<<20)
	o := onRemote(remote, "one/")
	to := &o.Config.Blobs.S3.Config
	m.mustMove(nil, to)
	if err := os.RemoveAll(filepath.Join(m.dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(disk, "full")
	_ = os.WriteFile(filler, make([]byte, 32<<20), 0o600) // as much as there is
	info, err := os.Stat(filler)
	if err == nil {
		err = os.Truncate(filler, info.Size()-8<<20) // room for one of them
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.to(t.Context(), to, nil); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("to a full disk: %v", err)
	}
	m.wantServed(o).Stop()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	m.mustMove(to, nil)
	m.wantServed(servertest.Options()).Stop()
}

// TestRemoteMoveBreaksOff has the object store fail at each request of a move in turn: the registry is where it was, and a move that comes
// to its end brings everything.
func TestRemoteMoveBreaksOff(t *testing.T) {
	remote := s3test.Start(t)
	m := newMovable(t, filepath.Join(t.TempDir(), "data"), 20_000, 30_000, 6<<20)
	o := onRemote(remote, "one/")
	to := &o.Config.Blobs.S3.Config
	failed := 0
	for good := int64(1); ; good += 2 {
		var n atomic.Int64
		remote.Suffer(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if n.Add(1) <= good {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusForbidden)
		})
		_, err := m.to(t.Context(), nil, to)
		remote.Suffer(nil)
		if err == nil {
			break
		}
		if failed++; failed%5 == 1 {
			m.wantServed(servertest.Options()).Stop()
		}
	}
	if failed < 3 {
		t.Errorf("it broke off %d times", failed)
	}
	s := m.wantServed(o)
	wantWhole(t, s)
	s.Stop()
}
