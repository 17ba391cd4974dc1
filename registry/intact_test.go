package registry

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// fileOf is the path of a blob's file.
func (s *server) fileOf(d digest.Digest) string {
	s.t.Helper()
	row, err := s.blobRow(d)
	if err != nil {
		s.t.Fatal(err)
	}
	run := strings.Split(string(row.at), ".")[1]
	if s3test.Wanted() {
		return s.objectOf(run + "/" + string(row.at[strings.LastIndexByte(string(row.at), '.')+1:]))
	}
	found, err := filepath.Glob(filepath.Join(s.dir, "blobs", "files", run+"-*", string(row.at[strings.LastIndexByte(string(row.at), 46)+1:])))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("the file of %s: %q, %v", row.at, found, err)
	}
	return found[0]
}

// objectOf is the path of an object, of which tests have one of each name.
func (s *server) objectOf(name string) string {
	s.t.Helper()
	for _, path := range s3test.For(s.t, s.dir).Files(s.t, s3test.Prefix(s.dir), name) {
		if is := filepath.Base(path); is == filepath.Base(name) || strings.HasPrefix(is, filepath.Base(name)+"-") {
			return path
		}
	}
	s.t.Fatalf("there is no object %s", name)
	return ""
}

// harm changes the bytes of a blob, wherever they are.
func (s *server) harm(d digest.Digest, how func(content []byte) []byte) {
	s.t.Helper()
	if row, err := s.blobRow(d); err != nil || row.inStore() {
		s.harmInStore(d, how)
		return
	}
	path := s.fileOf(d)
	content, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if content = how(content); content == nil {
		err = os.Remove(path)
	} else if err = os.Chmod(path, 0o600); err == nil {
		if err = os.WriteFile(path, content, 0o600); err == nil {
			err = os.Chmod(path, 0o400)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) harmInStore(d digest.Digest, how func(content []byte) []byte) {
	s.t.Helper()
	key := digestKey(d)
	s.tamper(func(tx storage.Tx) {
		content, err := tx.Get(smallTable, key)
		if err != nil {
			s.t.Fatal(err)
		}
		if content = how(content); content == nil {
			tx.Delete(smallTable, key)
		} else {
			tx.Put(smallTable, key, content)
		}
	})
}

func flipped(content []byte) []byte {
	changed := bytes.Clone(content)
	changed[len(changed)/2] ^= 1
	return changed
}

// harms are what a disk may do to a file.
var harms = map[string]func([]byte) []byte{
	"flipped": flipped,
	"cut":     func(c []byte) []byte { return c[:len(c)-1] },
	"empty":   func([]byte) []byte { return []byte{} },
	"longer":  func(c []byte) []byte { return append(bytes.Clone(c), ' ') },
	"lost":    func([]byte) []byte { return nil },
}

// TestPushHeals pushes the bytes of a blob again whose file is lost or damaged, in each of the ways to push: the
// bytes that come are kept, in every repository that has the blob.
func TestPushHeals(t *testing.T) {
	s3test.OnFiles(t)
	t.Parallel()
	if unraced.Test(t) {
		return
	}
	ways := map[string]func(s *server, content string){
		"patch": func(s *server, content string) { s.pushBlob("team/app", content) },
		"other": func(s *server, content string) { s.pushBlob("other/app", content) },
		"post": func(s *server, content string) {
			s.want(s.do("POST", "/v2/team/app/blobs/uploads/?digest="+digest.FromString(content).String(), strings.NewReader(content)), 201, "")
		},
	}
	for name, harm := range harms {
		for way, push := range ways {
			for _, size := range []int{100, 300_000} {
				t.Run(name+" "+way, func(t *testing.T) {
					s := startServer(t, t.TempDir(), Config{})
					content := strings.Repeat("x", size)
					s.pushImage("team/app", "1.0", content)
					d := digest.FromString("layer " + content)
					s.harm(d, harm)
					push(s, "layer "+content)
					if got := s.want(s.do("GET", "/v2/team/app/blobs/"+d.String(), nil), 200, ""); got.body != "layer "+content {
						t.Errorf("%d other bytes are served", len(got.body))
					}
					if err := s.collect(background); err != nil {
						t.Fatal(err)
					}
					s.wantFiles(2)
					s.wantClean()
				})
			}
		}
	}
}

// TestPushHealsOnce lets many push what is damaged at once.
func TestPushHealsOnce(t *testing.T) {
	s3test.OnFiles(t)
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	content := strings.Repeat("y", 70_000)
	d := s.pushBlob("app", content).Digest
	s.harm(d, flipped)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { s.pushBlob("app", content) })
	}
	group.Wait()
	if got := s.want(s.do("GET", "/v2/app/blobs/"+d.String(), nil), 200, ""); got.body != content {
		t.Error("other bytes are served")
	}
	if err := s.collect(background); err != nil {
		t.Fatal(err)
	}
	s.wantFiles(1)
	s.wantClean()
}

// TestRelyOnLost wants nobody to rely on a blob whose file is not there any more, also where memory still has it:
// HEAD says that it is not there, a mount asks for the bytes, and a manifest that needs it is refused.
func TestRelyOnLost(t *testing.T) {
	s3test.OnFiles(t)
	t.Parallel()
	if unraced.Test(t) {
		return
	}
	for _, name := range []string{"cut", "empty", "longer", "lost"} {
		for _, part := range []string{"config", "layer"} {
			t.Run(name+" "+part, func(t *testing.T) {
				s := startServer(t, t.TempDir(), Config{})
				content := strings.Repeat("z", 20_000)
				one := s.pushImage("team/app", "1.0", content)
				gone := map[string]string{"config": configOf(content), "layer": "layer " + content}[part]
				d := digest.FromString(gone)
				s.want(s.do("GET", "/v2/team/app/blobs/"+d.String(), nil), 200, "") // memory has what is small
				s.harm(d, harms[name])

				s.want(s.do("HEAD", "/v2/team/app/blobs/"+d.String(), nil), 404, "")
				s.want(s.do("POST", "/v2/other/app/blobs/uploads/?mount="+d.String()+"&from=team/app", nil), 202, "")
				s.want(s.do("POST", "/v2/other/app/blobs/uploads/?mount="+d.String(), nil), 202, "")
				s.want(s.do("POST", "/v2/team/app/blobs/uploads/?mount="+d.String()+"&from=team/app", nil), 202, "")
				s.want(s.putManifest("team/app", "2.0", one.body), 400, "MANIFEST_BLOB_UNKNOWN")
				index := marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{descriptorOf(gone)}})
				s.want(s.putManifest("team/app", "cache", index), 400, "MANIFEST_BLOB_UNKNOWN")

				s.pushBlob("team/app", gone)
				s.want(s.do("HEAD", "/v2/team/app/blobs/"+d.String(), nil), 200, "")
				s.want(s.do("POST", "/v2/other/app/blobs/uploads/?mount="+d.String()+"&from=team/app", nil), 201, "")
				s.want(s.putManifest("team/app", "2.0", one.body), 201, "")
				s.want(s.putManifest("team/app", "cache", index), 201, "")
				s.wantClean()
			})
		}
	}
}

// TestDamagedSmall wants what is read whole to be compared with its digest: a config, a statement and a manifest
// with a flipped bit are never served, nor is anything signed that they say.
func TestDamagedSmall(t *testing.T) {
	s3test.OnFiles(t)
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1.0", "one")
	config := digest.FromString(configOf("one"))
	s.harm(config, flipped)
	s.small.Purge() // as another process would find it
	s.want(s.do("GET", "/v2/app/blobs/"+config.String(), nil), 404, "BLOB_UNKNOWN")
	s.want(s.putManifest("app", "2.0", one.body), 400, "MANIFEST_BLOB_UNKNOWN")
	s.pushBlob("app", configOf("one"))
	s.want(s.putManifest("app", "2.0", one.body), 201, "")

	statement := s.pushBlob("app", strings.Repeat(" ", 20_000)+`{"_type":"https://in-toto.io/Statement/v1"}`)
	statement.MediaType = "application/vnd.in-toto+json"
	attestation := imageManifest(descriptorOf(configOf("one")), statement)
	s.harm(statement.Digest, flipped)
	s.want(s.putManifest("app", "attested", attestation), 400, "MANIFEST_BLOB_UNKNOWN")
	s.pushBlob("app", strings.Repeat(" ", 20_000)+`{"_type":"https://in-toto.io/Statement/v1"}`)
	s.want(s.putManifest("app", "attested", attestation), 201, "")
	s.wantClean()
}

// TestDamagedManifest flips a bit of a manifest in the store, and of one that is too large for it: both are told as
// lost until they are pushed again.
func TestDamagedManifest(t *testing.T) {
	s3test.OnFiles(t)
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	small := s.pushImage("app", "small", "one")
	config := descriptorOf(configOf("one"))
	padded := strings.Replace(imageManifest(config), `{`, `{"annotations":{"x":"`+strings.Repeat("x", maxInline)+`"},`, 1)
	large := s.pushManifest("app", "large", padded)
	s.harm(large.digest, flipped)
	s.harmManifest("app", small.digest)
	for ref, one := range map[string]image{"small": small, "large": large} {
		for _, path := range []string{"/v2/app/manifests/" + ref, "/v2/app/manifests/" + one.digest.String()} {
			s.want(s.do("GET", path, nil), 404, "MANIFEST_UNKNOWN")
			s.want(s.do("HEAD", path, nil), 404, "")
		}
		s.pushManifest("app", ref, one.body)
		if got := s.want(s.do("GET", "/v2/app/manifests/"+ref, nil), 200, ""); got.body != one.body {
			t.Errorf("%s: other bytes are served", ref)
		}
	}
	s.wantClean()
}

// harmManifest flips a bit of a manifest that is kept in the store.
func (s *server) harmManifest(repo string, d digest.Digest) {
	s.t.Helper()
	err := s.store.Update(background, func(tx storage.Tx) error {
		key := repoKey(repo, digestKey(d))
		value, err := tx.Get(manifestTable, key)
		if err != nil {
			return err
		}
		row, err := decodeManifestRow(value)
		row.content = flipped(row.content)
		tx.Put(manifestTable, key, row.encode())
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
