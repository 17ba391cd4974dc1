package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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

// repositoriesOf names the places of images.
func repositoriesOf(places []Place) string {
	var names []string
	for _, p := range places {
		names = append(names, p.Repository)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestLayers(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	all := func(string) bool { return true }
	base := s.layered("base", "1", "a", "b")
	s.layered("small", "1", "a")
	app := s.layered("app", "1", "a", "b", "c")
	s.layered("secret", "1", "a", "b", "d", "e")
	s.layered("other", "1", "b", "a", "c")
	s.layered("same", "1", "a", "b")
	place := func(repo string, img image) Place { return Place{repo, img.digest} }

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
		var places []Place
		for _, b := range bases {
			places = append(places, b.Place)
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
	if found, _, err := s.OnLayers(background, Place{"base", base.digest}, all, 10); err != nil || repositoriesOf(found) != "many" {
		t.Errorf("on the base: %v, %v", found, err)
	}
	if bases, err := s.BasesByLayers(background, Place{"many", many.digest}, all); err != nil || len(bases) != 1 || bases[0].Layers != 3 {
		t.Errorf("the bases: %v, %v", bases, err)
	}
	if found, _, err := s.OnLayers(background, Place{"many", many.digest}, all, 10); err != nil || len(found) != 0 {
		t.Errorf("on the large one: %v, %v", found, err)
	}
	s.wantClean()
}
