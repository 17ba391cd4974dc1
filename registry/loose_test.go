package registry

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// sealed counts the sealed files of blobs.
func (s *server) sealed() int {
	s.t.Helper()
	return s.sealedFiles() + s.inStore()
}

// sealedObjects counts the rows of sealed blobs in an object store.
func (s *server) sealedObjects() (n int) {
	s.t.Helper()
	err := storage.EachRow(background, s.store, "s3/objects", func(storage.Reader, storage.Item) error {
		n++
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// arrives takes in a blob as an import does.
func (s *server) arrives(i *Importer, repo, content string) *LooseBlob {
	s.t.Helper()
	_, a, err := i.Blob(background, repo, digest.FromString(content), func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader(content)), int64(len(content)), nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *server) importer() *Importer {
	return s.Importer(access.Operator, httptest.NewRequest("POST", "/api/v1/import", nil))
}

func fromElsewhere(repo, tag, body string, arrived ...*LooseBlob) ForeignManifest {
	return ForeignManifest{
		Repository: repo, Tags: []string{tag}, Body: []byte(body), Arrived: arrived,
		Origin: provenance.Origin{Kind: provenance.FromLayout, Reference: tag, Digest: digest.FromString(body)},
	}
}

// TestArrival links what arrived with its manifest and not before, and drops it where the manifest is refused.
func TestArrival(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	i := s.importer()
	config, layer := configOf("one"), "layer one"
	arrived := []*LooseBlob{s.arrives(i, "team/app", config), s.arrives(i, "team/app", layer)}
	s.want(s.do("HEAD", "/v2/team/app/blobs/"+digest.FromString(layer).String(), nil), 404, "")
	body := imageManifest(descriptorOf(config), descriptorOf(layer))
	record, err := i.Manifest(background, fromElsewhere("team/app", "1.0", body, arrived...))
	if err != nil || record.Action != provenance.Import || len(record.Claimed) == 0 {
		t.Fatalf("%+v, %v", record, err)
	}
	s.want(s.do("GET", "/v2/team/app/blobs/"+digest.FromString(layer).String(), nil), 200, "")

	missing := imageManifest(descriptorOf(config), descriptorOf("two"), descriptorOf("three"))
	if _, err := i.Manifest(background, fromElsewhere("team/app", "2.0", missing, s.arrives(i, "team/app", "two"))); err == nil {
		t.Error("a manifest came without one of its layers")
	}
	wrong := fromElsewhere("team/app", "2.0", missing, s.arrives(i, "team/app", "two"))
	wrong.Origin.Digest = digest.FromString("another")
	if _, err := i.Manifest(background, wrong); err == nil {
		t.Error("a manifest came under the digest of another")
	}
	if err := i.Drop(background, []*LooseBlob{s.arrives(i, "team/app", "three")}); err != nil {
		t.Error(err)
	}
	if n := s.sealed(); n != 2 {
		t.Errorf("%d blobs are on the disk, and 2 are named", n)
	}
	s.wantClean()
}

// TestArrivalOfTheSame takes what a push brought while an import had the same bytes.
func TestArrivalOfTheSame(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	i := s.importer()
	arrived := []*LooseBlob{s.arrives(i, "team/app", "{}"), s.arrives(i, "team/app", "layer")}
	s.pushBlob("team/app", "layer")
	s.pushBlob("team/other", "{}")
	body := imageManifest(descriptorOf("{}"), descriptorOf("layer"))
	if _, err := i.Manifest(background, fromElsewhere("team/app", "1.0", body, arrived...)); err != nil {
		t.Fatal(err)
	}
	if a := s.arrives(i, "new/app", "layer"); a != nil {
		t.Error("a blob that is here waits for its manifest")
	}
	for _, at := range []string{"team/app/blobs/" + digest.FromString("layer").String(), "team/app/blobs/" + digest.FromString("{}").String(), "new/app/blobs/" + digest.FromString("layer").String()} {
		s.want(s.do("GET", "/v2/"+at, nil), 200, "")
	}
	if n := s.sealed(); n != 2 {
		t.Errorf("%d blobs are on the disk, and 2 are named", n)
	}
	s.wantClean()
}

// TestLargeArrival links a large blob when it has come, and reserves room for a small one until its manifest has.
func TestLargeArrival(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.setQuota("team/**", 4<<20, 0, 0)
	i := s.importer()
	large := strings.Repeat("x", maxLoose+1)
	if a := s.arrives(i, "team/app", large); a != nil {
		t.Error("a large blob waits for its manifest")
	}
	s.want(s.do("HEAD", "/v2/team/app/blobs/"+digest.FromString(large).String(), nil), 200, "")
	small := s.arrives(i, "team/app", "small")
	if q := s.quota("team/**"); q.ReservedBytes != 5 {
		t.Errorf("%d bytes are reserved", q.ReservedBytes)
	}
	if err := i.Keep(background, "team/app", []*LooseBlob{small}); err != nil {
		t.Fatal(err)
	}
	if q := s.quota("team/**"); q.ReservedBytes != 0 || q.UsedBytes != maxLoose+6 {
		t.Errorf("%+v", q)
	}
	s.wantClean()
}

// TestAdopted takes in large files of this machine, on a disk where they share their blocks and on one where they do not.
func TestAdopted(t *testing.T) {
	for name, disk := range map[string]func(*testing.T) string{
		"shared": func(t *testing.T) string { return storagetest.ReflinkDisk(t) },
		"copied": func(t *testing.T) string { return t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, disk(t), Config{})
			content := strings.Repeat("0123456789abcdef", minAdopt/16+1)
			if err := os.WriteFile(filepath.Join(s.dir, "theirs"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			take := func(d digest.Digest) error {
				_, _, err := s.importer().Blob(background, "team/app", d, func(context.Context) (io.ReadCloser, int64, error) {
					f, err := os.Open(filepath.Join(s.dir, "theirs"))
					return f, int64(len(content)), err
				})
				return err
			}
			if err := take(digest.FromString("other")); err == nil || !strings.Contains(err.Error(), "damaged there") {
				t.Errorf("a file of another digest: %v", err)
			}
			if err := take(digest.FromString(content)); err != nil {
				t.Fatal(err)
			}
			if got := s.want(s.do("GET", "/v2/team/app/blobs/"+digest.FromString(content).String(), nil), 200, ""); got.body != content {
				t.Errorf("%d other bytes came", len(got.body))
			}
			if n := s.sealed(); n != 1 {
				t.Errorf("%d blobs are on the disk, and 1 is named", n)
			}
			s.wantClean()
		})
	}
}

// TestWithinIsNotTold wants what goes wrong within the registry in its log, and what goes wrong at the source told to who imports.
func TestWithinIsNotTold(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	i := s.importer()
	blob := func(open func(context.Context) (io.ReadCloser, int64, error)) error {
		_, _, err := i.Blob(background, "team/app", digest.FromString("x"), open)
		return err
	}
	there := func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader("x")), 1, nil
	}
	lost := errors.New("the source burns")
	if err := blob(func(context.Context) (io.ReadCloser, int64, error) { return nil, 0, lost }); !errors.Is(err, lost) || err.Error() != lost.Error() {
		t.Errorf("of the source it says %v", err)
	}
	s3test.OnFiles(t)
	if err := os.RemoveAll(filepath.Join(s.dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	if err := blob(there); err == nil || strings.Contains(err.Error(), s.dir) || !strings.Contains(err.Error(), "log") {
		t.Errorf("of the registry it says %v", err)
	}
	s.stop()
	if _, err := i.Lacking(background, "team/app", []digest.Digest{digest.FromString("x")}); !errors.Is(err, storage.ErrClosed) || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("of a closed store it says %v", err)
	}
}

// TestArrivalOfSignature lets who looks at signatures read the layers of one that comes.
func TestArrivalOfSignature(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	reader := &readingAppraiser{t: t}
	s.SetAppraiser(reader)
	i := s.importer()
	img := s.pushImage("team/app", "1.0", "one")
	arrived := []*LooseBlob{s.arrives(i, "team/app", "{}"), s.arrives(i, "team/app", "signature")}
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": descriptorOf("{}"), "layers": []any{descriptorOf("signature")},
		"subject": map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": img.digest, "size": len(img.body)},
	}
	if _, err := i.Manifest(background, fromElsewhere("team/app", "signed", marshal(m), arrived...)); err != nil {
		t.Fatal(err)
	}
	if reader.read != "signature" {
		t.Errorf("it read %q", reader.read)
	}
	s.wantClean()
}

// readingAppraiser reads the first layer of what is attached.
type readingAppraiser struct {
	t    *testing.T
	read string
}

func (r *readingAppraiser) Appraise(ctx context.Context, a Attachment) ([]provenance.Finding, error) {
	content, err := a.Blob(ctx, a.Layers[0].Digest, 1000, func(n int) ([]byte, error) { return make([]byte, n), nil })
	if err != nil {
		r.t.Error(err)
	}
	r.read = string(content)
	return nil, nil
}
