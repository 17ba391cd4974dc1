package registry

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/sys/unix"
)

// layered pushes an image with layers of these contents.
func (s *server) layered(repo, tag string, contents ...string) image {
	s.t.Helper()
	var layers []ocispec.Descriptor
	for _, c := range contents {
		layer := s.pushBlob(repo, c)
		layer.MediaType = ocispec.MediaTypeImageLayerGzip
		layers = append(layers, layer)
	}
	return s.pushManifest(repo, tag, imageManifest(s.pushBlob(repo, configOf(repo+tag)), layers...))
}

func (p RepoDigest) place() RepoDigest { return p }

// repositoriesOf names the places of images.
func repositoriesOf[P interface{ place() RepoDigest }](places []P) string {
	var names []string
	for _, p := range places {
		names = append(names, p.place().Repository)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestLayers(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	all := func(string) bool { return true }
	base := s.layered("base", "1", "a", "b")
	s.layered("small", "1", "a")
	s.layered("same", "1", "a", "b")
	app := s.layered("app", "1", "a", "b", "c")
	s.layered("secret", "1", "a", "b", "d", "e")
	s.layered("other", "1", "b", "a", "c")
	place := func(repo string, img image) RepoDigest { return RepoDigest{repo, img.digest} }

	for name, c := range map[string]struct {
		visible func(string) bool
		want    string
	}{
		"all":      {all, "app secret"},
		"not that": {func(r string) bool { return r != "secret" }, "app"},
	} {
		found, more, err := s.OnLayers(background, place("base", base), c.visible, 10)
		if err != nil || more || repositoriesOf(found) != c.want {
			t.Errorf("%s: on the base are %s, %v, %v; want %s", name, repositoriesOf(found), more, err, c.want)
		}
	}
	if found, more, err := s.OnLayers(background, place("base", base), all, 1); err != nil || !more || len(found) != 1 {
		t.Errorf("one of them: %v, %v, %v", found, more, err)
	}
	for name, c := range map[string]struct {
		visible func(string) bool
		want    string
		layers  int
	}{
		"all":        {all, "base same", 2},
		"without it": {func(r string) bool { return r == "small" || r == "other" }, "small", 1},
		"none":       {func(string) bool { return false }, "", 0},
	} {
		bases, err := s.BasesByLayers(background, place("app", app), c.visible)
		var places []RepoDigest
		for _, b := range bases {
			places = append(places, b.RepoDigest)
			if b.Layers != c.layers {
				t.Errorf("%s: %d layers", name, b.Layers)
			}
		}
		if err != nil || repositoriesOf(places) != c.want {
			t.Errorf("%s: the bases are %s, %v; want %s", name, repositoriesOf(places), err, c.want)
		}
	}
	s.wantClean()
	s.want(s.do("DELETE", "/v2/app/manifests/"+app.digest.String(), nil), 202, "")
	if found, _, err := s.OnLayers(background, place("base", base), all, 10); err != nil || repositoriesOf(found) != "secret" {
		t.Errorf("after a delete: %v, %v", found, err)
	}
	s.wantClean()
}

// TestBaseCameBefore pushes what has the first layers of an image after the image: it is no base of it.
func TestBaseCameBefore(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	all := func(string) bool { return true }
	s.layered("small", "1", "a")
	app := s.layered("app", "1", "a", "b", "c")
	late := s.layered("late", "1", "a", "b")
	younger := s.layered("younger", "1", "a", "b", "d")
	for _, c := range []struct {
		repo string
		of   image
		want string
	}{{"app", app, "small"}, {"younger", younger, "late"}} {
		bases, err := s.BasesByLayers(background, RepoDigest{c.repo, c.of.digest}, all)
		var places []RepoDigest
		for _, b := range bases {
			places = append(places, b.RepoDigest)
		}
		if err != nil || repositoriesOf(places) != c.want {
			t.Errorf("the bases of %s are %s, %v; want %s", c.repo, repositoriesOf(places), err, c.want)
		}
	}
	if found, _, err := s.OnLayers(background, RepoDigest{"late", late.digest}, all, 10); err != nil || repositoriesOf(found) != "younger" {
		t.Errorf("on what came later are %s, %v", repositoriesOf(found), err)
	}
}

// TestManyLayers wants an image with more layers than a row holds to be found, and to be no base.
func TestManyLayers(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	all := func(string) bool { return true }
	var contents []string
	for i := range maxChain + 3 {
		contents = append(contents, fmt.Sprint("layer ", i))
	}
	base := s.layered("base", "1", contents[:3]...)
	many := s.layered("many", "1", contents...)
	if found, _, err := s.OnLayers(background, RepoDigest{"base", base.digest}, all, 10); err != nil || repositoriesOf(found) != "many" {
		t.Errorf("on the base: %v, %v", found, err)
	}
	if bases, err := s.BasesByLayers(background, RepoDigest{"many", many.digest}, all); err != nil || len(bases) != 1 || bases[0].Layers != 3 {
		t.Errorf("the bases: %v, %v", bases, err)
	}
	if found, _, err := s.OnLayers(background, RepoDigest{"many", many.digest}, all, 10); err != nil || len(found) != 0 {
		t.Errorf("on the large one: %v, %v", found, err)
	}
	s.wantClean()
}

// compressed pushes an image whose layers have these contents, compressed in some way.
func (s *server) compressed(repo, how string, contents ...string) image {
	s.t.Helper()
	var layers []ocispec.Descriptor
	var diffs []string
	for _, c := range contents {
		layer := s.pushBlob(repo, how+c)
		layer.MediaType = ocispec.MediaTypeImageLayerGzip
		layers, diffs = append(layers, layer), append(diffs, `"`+digest.FromString(c).String()+`"`)
	}
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%s]}}`, strings.Join(diffs, ","))
	return s.pushManifest(repo, "1", imageManifest(s.pushBlob(repo, config), layers...))
}

// TestDiffIDs wants an image whose layers were compressed anew to be found on its base, and its base for it, and to be found
// no more where it is gone. Each image is there once, by its layers where these are the same.
func TestDiffIDs(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	all := func(string) bool { return true }
	base := s.compressed("base", "gzip", "a", "b")
	s.compressed("same", "gzip", "a", "b", "c")
	other := s.compressed("other", "zstd", "a", "b", "c")
	s.compressed("equal", "zstd", "a", "b")
	s.compressed("secret", "zstd", "a", "b", "d")
	s.layered("unknown", "1", "a", "b", "c") // its config names no diff ids
	on := func(visible func(string) bool, limit int) string {
		t.Helper()
		found, more, err := s.OnLayers(background, RepoDigest{"base", base.digest}, visible, limit)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range found {
			names = append(names, fmt.Sprint(f.Repository, " ", f.DiffIDs))
		}
		return fmt.Sprint(strings.Join(names, ", "), "; ", more)
	}
	visible := func(r string) bool { return r != "secret" }
	test := func(when string) {
		t.Helper()
		if got := on(all, 10); got != "same false, other true, secret true; false" && got != "same false, secret true, other true; false" {
			t.Errorf("%s: on the base: %s", when, got)
		}
		if got := on(visible, 10); got != "same false, other true; false" {
			t.Errorf("%s: as far as one may see: %s", when, got)
		}
		if got := on(visible, 1); got != "same false; true" {
			t.Errorf("%s: one of them: %s", when, got)
		}
		bases, err := s.BasesByLayers(background, RepoDigest{"other", other.digest}, func(r string) bool { return r == "base" })
		if err != nil || len(bases) != 1 || bases[0].Repository != "base" || bases[0].Layers != 2 || !bases[0].DiffIDs {
			t.Errorf("%s: its bases: %v, %v", when, bases, err)
		}
		bases, err = s.BasesByLayers(background, RepoDigest{"other", other.digest}, func(r string) bool { return r != "other" })
		if err != nil || len(bases) != 1 || bases[0].Repository != "equal" || bases[0].DiffIDs {
			t.Errorf("%s: by its layers: %v, %v", when, bases, err)
		}
		s.wantClean()
	}
	test("pushed")
	s.compressed("same", "gzip", "a", "b", "c")
	test("pushed again")
	s.forgetDiffs(t, false)
	test("with the mark of a store that has them")
	s.forgetDiffs(t, true)
	if got := on(visible, 10); got != "same false; false" {
		t.Errorf("in an older store: %s", got)
	}
	s.wantClean()
	s.IndexDiffs(background)
	test("in an older store, after its start")
	s.want(s.do("DELETE", "/v2/other/manifests/"+other.digest.String(), nil), 202, "")
	if got := on(visible, 10); got != "same false; false" {
		t.Errorf("after a delete: %s", got)
	}
	s.wantClean()
}

// TestIndexDiffs wants what an older store has to be found in the end: where a config cannot be read now, the next start tries
// again, and a manifest that is damaged keeps none of the others from being found.
func TestIndexDiffs(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{SmallBlobs: 1})
	damaged := s.compressed("a", "gzip", "x")
	base := s.compressed("base", "gzip", "a", "b")
	s.compressed("other", "zstd", "a", "b", "c")
	on := func() string {
		t.Helper()
		found, _, err := s.OnLayers(background, RepoDigest{"base", base.digest}, func(string) bool { return true }, 10)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range found {
			names = append(names, f.Repository)
		}
		return strings.Join(names, " ")
	}
	s.forgetDiffs(t, true)
	whole := s.blobs
	s.blobs = failing{whole, &os.PathError{Op: "read", Err: unix.EMFILE}}
	s.small.Purge()
	s.IndexDiffs(background)
	if got := on(); got != "" {
		t.Errorf("found without its config: %q", got)
	}
	s.blobs = whole
	undo := s.tamper(func(tx storage.Tx) {
		key := repoKey("a", digestKey(damaged.digest))
		value, err := tx.Get(manifestTable, key)
		if err != nil {
			t.Error(err)
		}
		tx.Put(manifestTable, key, bytes.Replace(bytes.Clone(value), []byte(`{"`), []byte(`{{`), 1))
	})
	s.IndexDiffs(background)
	undo()
	if got := on(); got != "other" {
		t.Errorf("at the next start: %q", got)
	}
}

// forgetDiffs takes the rows of diff ids away, as older stores have none, and the mark that there are; or starts again.
func (s *server) forgetDiffs(t *testing.T, all bool) {
	t.Helper()
	if !all {
		s.IndexDiffs(background)
		s.IndexDiffs(background)
		return
	}
	err := s.store.Update(background, func(tx storage.Tx) error {
		for item, err := range tx.Scan(layersTable, nil, nil) {
			if err != nil {
				return err
			}
			p, err := cutLayersKey(item.Key)
			if err != nil {
				return err
			}
			if len(item.Value) > 0 {
				tx.Delete(diffsTable, layersKey(item.Value, p.Repository, p.Digest))
			}
			tx.Put(layersTable, bytes.Clone(item.Key), nil)
		}
		tx.Delete(doneTable, diffsMark)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedDiffs wants rows of diff ids to be checked: one that is missing, and one of an image that is not there.
func TestDamagedDiffs(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.compressed("base", "gzip", "a", "b")
	var key []byte
	err := s.store.Update(background, func(tx storage.Tx) error {
		for item, err := range tx.Scan(diffsTable, nil, nil) {
			if err != nil {
				return err
			}
			key = bytes.Clone(item.Key)
		}
		tx.Delete(diffsTable, key)
		tx.Put(diffsTable, append(bytes.Clone(key[:8]), key[16:]...), nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	if _, err := s.Check(background, false, func(err error) { found = append(found, err.Error()) }); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(found, "\n"); !strings.Contains(text, "is not found by its diff ids") || !strings.Contains(text, "is found by diff ids that it has not") {
		t.Errorf("found: %s", text)
	}
}
