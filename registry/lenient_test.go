package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// artifactOf is an artifact of a type, and of one layer of the same.
func artifactOf(kind string, config, layer ocispec.Descriptor) string {
	config.MediaType, layer.MediaType = ocispec.MediaTypeEmptyJSON, kind
	return marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "artifactType": kind, "config": config, "layers": []any{layer},
	})
}

// TestArtifactsFromElsewhere wants what other registries hold, and nobody can change any more, to get in, to be
// listed and found under the type that it has, and to be recorded with it.
func TestArtifactsFromElsewhere(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	subject := s.pushImage("app", "", "one")
	config, layer := s.pushBlob("app", "{}"), s.pushBlob("app", "a bundle")
	for _, kind := range []string{
		"application/vnd.dev.sigstore.bundle+json;version=0.2", "application/vnd.dev.sigstore.bundle+json;version=0.1",
		"application/json; charset=\"utf-8\"", "sbom", "my/own/type", "Ein schöner Typ", strings.Repeat("x", maxMediaType),
	} {
		body := strings.Replace(artifactOf(kind, config, layer), `"schemaVersion"`, `"subject":`+marshal(descriptorOf(subject.body))+`,"schemaVersion"`, 1)
		pushed := s.pushManifest("app", "", body)
		if r := s.record(pushed.record); r.Observed.ArtifactType != kind {
			t.Errorf("%q is recorded as %q", kind, r.Observed.ArtifactType)
		}
		found, _ := s.listReferrers("app", subject.digest, "?artifactType="+url.QueryEscape(kind))
		if len(found) != 1 || found[0].Digest != pushed.digest || found[0].ArtifactType != kind {
			t.Errorf("%q is listed as %+v", kind, found)
		}
		if got := s.want(s.do("GET", "/v2/app/manifests/"+pushed.digest.String(), nil), 200, ""); got.body != body {
			t.Errorf("%q came back as %s", kind, got.body)
		}
	}
	s.wantClean()
}

// TestTypesThatMislead wants no type to get in that does more to a terminal or a log than to name something.
func TestTypesThatMislead(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config, layer := s.pushBlob("app", "{}"), s.pushBlob("app", "a bundle")
	good := artifactOf("PLACE", config, layer)
	for name, kind := range map[string]string{
		"escape": "a/b\x1b[2J", "line end": "a/b\r\nX: y", "tab": "a\tb", "delete": "a\x7f", "c1": "a\u009b2J", "zero": "a\x00b",
		"right to left": "a/\u202etxt", "isolate": "\u2066a", "no width": "a\u200bb", "too long": strings.Repeat("x", maxMediaType+1),
		"line separator": "a\u2028b",
	} {
		text := marshal(kind)
		for place, body := range map[string]string{
			"artifactType": strings.Replace(good, `"artifactType":"PLACE"`, `"artifactType":`+text, 1),
			"layer":        strings.Replace(good, `"mediaType":"PLACE"`, `"mediaType":`+text, 1),
			"config":       strings.Replace(good, `"mediaType":"`+ocispec.MediaTypeEmptyJSON+`"`, `"mediaType":`+text, 1),
			"platform":     strings.Replace(good, `"size":8`, `"size":8,"platform":{"os":`+text+`}`, 1),
			"listed type":  strings.Replace(good, `"size":8`, `"size":8,"artifactType":`+text, 1),
		} {
			if body == good {
				t.Fatalf("nothing was put into the %s", place)
			}
			if place == "platform" && name == "too long" {
				continue // it is cut
			}
			if got := s.putManifest("app", "bad", body); got.status != 400 || got.code() != "MANIFEST_INVALID" {
				t.Errorf("%s as %s: %d %s", name, place, got.status, got.body)
			}
		}
	}
	s.wantClean()
}

// TestWrongSizes wants an image whose descriptors have wrong sizes to get in, as long as its blobs are there, and
// its record to say what the sizes are.
func TestWrongSizes(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config, layer := s.pushBlob("app", "{}"), s.pushBlob("app", "layer")
	for _, size := range []int64{0, 1, 6, math.MaxInt64} {
		wrong := layer
		wrong.Size = size
		pushed := s.pushManifest("app", fmt.Sprint("s", size), imageManifest(config, wrong, layer, wrong))
		o := s.record(pushed.record).Observed
		if want := []provenance.WrongSize{{Digest: layer.Digest, Says: size, Has: 5}}; !slices.Equal(o.WrongSizes, want) {
			t.Errorf("size %d: it records %+v, want %+v", size, o.WrongSizes, want)
		}
		if o.ImageSize != 7 {
			t.Errorf("size %d: the image has 7 bytes, and the record says %d", size, o.ImageSize)
		}
	}
	right := s.pushManifest("app", "right", imageManifest(config, layer))
	if o := s.record(right.record).Observed; o.WrongSizes != nil || o.ImageSize != 7 {
		t.Errorf("an image with right sizes: %+v", o)
	}
	absent := descriptorOf("not there")
	absent.Size = 0
	s.want(s.putManifest("app", "bad", imageManifest(config, absent)), 400, "MANIFEST_BLOB_UNKNOWN")
	absent.Size = -1
	s.want(s.putManifest("app", "bad", imageManifest(config, absent)), 400, "MANIFEST_INVALID")
	s.want(s.putManifest("app", "data", strings.Replace(imageManifest(config), `"size":2`, `"data":"e30=","size":0`, 1)), 201, "")
	s.wantClean()
}

// TestWrongSizesOfManifests wants the sizes of an index's children and of a subject looked at, where they are here.
func TestWrongSizesOfManifests(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	child := s.pushImage("app", "", "one")
	wrong, absent := descriptorOf(child.body), descriptorOf("elsewhere")
	wrong.MediaType, absent.MediaType = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageManifest
	wrong.Size++
	index := marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": []any{absent, descriptorOf(child.body), wrong}, "subject": wrong,
	})
	o := s.record(s.pushManifest("app", "index", index).record).Observed
	if want := []provenance.WrongSize{{Digest: child.digest, Says: wrong.Size, Has: int64(len(child.body))}}; !slices.Equal(o.WrongSizes, want) || o.ImageSize != 0 {
		t.Errorf("it records %+v", o)
	}
	alone := strings.Replace(imageManifest(s.pushBlob("app", "{}")), `"config"`, `"subject":`+marshal(wrong)+`,"config"`, 1)
	if o := s.record(s.pushManifest("app", "", alone).record).Observed; len(o.WrongSizes) != 1 {
		t.Errorf("a referrer records %+v", o)
	}
	s.wantClean()
}

// TestImageSizeIsObserved wants the size of an image to be of what is here: neither of layers that nobody has
// seen, nor of the same layer a thousand times, nor more than a number can hold.
func TestImageSizeIsObserved(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config, layer := s.pushBlob("app", "{}"), s.pushBlob("app", "layer")
	foreign := func(content string) ocispec.Descriptor {
		return ocispec.Descriptor{
			MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Digest: digest.FromString(content), Size: 9e18,
		}
	}
	here := layer
	here.MediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	for name, c := range map[string]struct {
		layers []ocispec.Descriptor
		want   int64
	}{
		"one layer nobody has seen": {[]ocispec.Descriptor{foreign("one")}, 2},
		"two":                       {[]ocispec.Descriptor{foreign("one"), foreign("two"), layer}, 7},
		"a foreign layer is here":   {[]ocispec.Descriptor{here}, 7},
		"a layer many times":        {slices.Repeat([]ocispec.Descriptor{layer}, 1000), 7},
		"a layer that is a config":  {[]ocispec.Descriptor{config}, 2},
	} {
		pushed := s.pushManifest("app", "", imageManifest(config, c.layers...))
		if o := s.record(pushed.record).Observed; o.ImageSize != c.want {
			t.Errorf("%s: %d bytes, want %d", name, o.ImageSize, c.want)
		}
	}
	s.wantClean()
}

// TestWrongSizesAreBounded wants the record of a manifest that is wrong in everything to stay small, and to say how
// much it leaves out.
func TestWrongSizesAreBounded(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config, layer := s.pushBlob("app", "{}"), s.pushBlob("app", "layer")
	var layers []ocispec.Descriptor
	for n := range 100 {
		layer.Size = int64(100 + n)
		layers = append(layers, layer)
	}
	o := s.record(s.pushManifest("app", "", imageManifest(config, layers...)).record).Observed
	if len(o.WrongSizes) != provenance.MaxWrongSizes || o.WrongSizesLeftOut != 100-provenance.MaxWrongSizes {
		t.Errorf("%d wrong sizes, and %d left out", len(o.WrongSizes), o.WrongSizesLeftOut)
	}
}

// TestFormsOfManifests sends what clients make that are not like the others.
func TestFormsOfManifests(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config, layer := marshal(s.pushBlob("app", "{}")), marshal(s.pushBlob("app", "layer"))
	const oci, index, docker = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, "application/vnd.docker.distribution.manifest.v2+json"
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"no media type":        {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[]}`, 201},
		"no layers":            {oci, `{"schemaVersion":2,"config":` + config + `}`, 201},
		"layers null":          {oci, `{"schemaVersion":2,"config":` + config + `,"layers":null}`, 201},
		"other fields null":    {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[],"subject":null,"annotations":null,"manifests":null,"blobs":null,"artifactType":null}`, 201},
		"annotation null":      {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[],"annotations":{"a":null}}`, 201},
		"no size":              {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `"size":2`, `"x":2`, 1) + `,"layers":[]}`, 201},
		"no type of config":    {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `"mediaType"`, `"x"`, 1) + `,"layers":[]}`, 201},
		"urls":                 {docker, `{"schemaVersion":2,"config":` + config + `,"layers":[` + strings.Replace(layer, `{`, `{"urls":["https://a.example/b","not a URL"],`, 1) + `]}`, 201},
		"empty index":          {index, `{"schemaVersion":2,"manifests":[]}`, 201},
		"index of nothing":     {index, `{"schemaVersion":2}`, 201},
		"nested index":         {index, `{"schemaVersion":2,"manifests":[{"mediaType":"` + index + `","digest":"` + digest.FromString("i").String() + `","size":1}]}`, 201},
		"platform null":        {index, `{"schemaVersion":2,"manifests":[{"digest":"` + digest.FromString("i").String() + `","size":1,"platform":null}]}`, 201},
		"attestation":          {index, `{"schemaVersion":2,"manifests":[{"digest":"` + digest.FromString("i").String() + `","size":1,"platform":{"os":"unknown","architecture":"unknown"}}]}`, 201},
		"fields of others":     {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[],"history":[{"v1Compatibility":"{}"}],"x":{"y":[1,2.5,null]}}`, 201},
		"artifact manifest":    {"application/vnd.oci.artifact.manifest.v1+json", `{"artifactType":"a/b","blobs":[` + layer + `]}`, 201},
		"its blobs null":       {"application/vnd.oci.artifact.manifest.v1+json", `{"artifactType":"a/b","blobs":null,"annotations":{"a":"b"}}`, 201},
		"oras's of before":     {"application/vnd.cncf.oras.artifact.manifest.v1+json", `{"artifactType":"a/b","annotations":{"a":"b"}}`, 201},
		"capitals in a type":   {"Application/Vnd.OCI.Image.Manifest.v1+json; charset=utf-8", `{"schemaVersion":2,"config":` + config + `,"layers":[]}`, 201},
		"data":                 {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `{`, `{"data":"e30=",`, 1) + `,"layers":[]}`, 201},
		"data null":            {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `{`, `{"data":null,`, 1) + `,"layers":[]}`, 201},
		"data a list":          {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `{`, `{"data":[123,125],`, 1) + `,"layers":[]}`, 400},
		"data of a layer":      {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[` + strings.Replace(config, `{`, `{"d\u0061ta":[123,125],`, 1) + `]}`, 400},
		"os.version a number":  {index, `{"schemaVersion":2,"manifests":[{"digest":"` + digest.FromString("i").String() + `","size":1,"platform":{"os":"windows","architecture":"amd64","os.version":10}}]}`, 400},
		"os.features a text":   {index, `{"schemaVersion":2,"manifests":[{"digest":"` + digest.FromString("i").String() + `","size":1,"platform":{"os":"windows","architecture":"amd64","os.features":"win32k"}}]}`, 400},
		"os.version null":      {index, `{"schemaVersion":2,"manifests":[{"digest":"` + digest.FromString("i").String() + `","size":1,"platform":{"os":"windows","architecture":"amd64","os.version":null}}]}`, 201},
		"annotation a number":  {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[],"annotations":{"a":1}}`, 400},
		"urls a text":          {oci, `{"schemaVersion":2,"config":` + config + `,"layers":[` + strings.Replace(config, `{`, `{"urls":"https://a.example",`, 1) + `]}`, 400},
		"config null":          {oci, `{"schemaVersion":2,"config":null,"layers":[]}`, 400},
		"no schema":            {oci, `{"config":` + config + `,"layers":[]}`, 400},
		"docker's schema 1":    {"application/vnd.docker.distribution.manifest.v1+json", `{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[{"blobSum":"` + digest.FromString("i").String() + `"}],"history":[]}`, 400},
		"the same, signed":     {"application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"fsLayers":[],"signatures":[{"header":{},"signature":"x"}]}`, 400},
		"size is a text":       {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `"size":2`, `"size":"2"`, 1) + `,"layers":[]}`, 400},
		"size with a comma":    {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `"size":2`, `"size":2.5`, 1) + `,"layers":[]}`, 400},
		"size beyond a number": {oci, `{"schemaVersion":2,"config":` + strings.Replace(config, `"size":2`, `"size":9223372036854775808`, 1) + `,"layers":[]}`, 400},
	} {
		got := s.putManifest("app", "x", c.body, header("Content-Type", c.kind))
		if got.status != c.status || c.status == 400 && got.code() != "MANIFEST_INVALID" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	old := s.putManifest("app", "x", `{"schemaVersion":1,"fsLayers":[]}`, header("Content-Type", "application/vnd.docker.distribution.manifest.v1+json"))
	if !strings.Contains(old.body, "schema 1") || !strings.Contains(old.body, "skopeo copy --format") {
		t.Errorf("schema 1: %s", old.body)
	}
	s.wantClean()
}

// looker is an appraiser that reads what is attached.
type looker func(ctx context.Context, a Attachment) error

func (l looker) Appraise(ctx context.Context, a Attachment) ([]provenance.Finding, error) {
	return nil, l(ctx, a)
}

// TestLayersLargerThanSaid wants what reads a layer to be bounded by the size that it has, and to tell that bound from
// a fault of the registry.
func TestLayersLargerThanSaid(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	subject := s.pushImage("app", "", "one")
	config, layer := s.pushBlob("app", "{}"), s.pushBlob("app", strings.Repeat("x", 1000))
	var got error
	s.SetAppraiser(looker(func(ctx context.Context, a Attachment) error {
		_, got = a.Blob(ctx, a.Layers[0].Digest, 999, func(n int) ([]byte, error) { return make([]byte, n), nil })
		return nil
	}))
	layer.Size = 1
	s.pushManifest("app", "", strings.Replace(imageManifest(config, layer), `"config"`, `"subject":`+marshal(descriptorOf(subject.body))+`,"config"`, 1))
	if large := new(TooLargeError); !errors.As(got, &large) || large.Size != 1000 || large.Most != 999 {
		t.Errorf("it was read: %v", got)
	}
}
