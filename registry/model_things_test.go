package registry_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// thing is a blob or a manifest that clients of the model push, by whatever name and as often as they like.
type thing struct {
	name      string
	body      string
	digest    digest.Digest
	mediaType string   // "" of a blob
	blobs     []string // that it does not come without
	needs     []string // all that it names beside its subject; itself, if the registry keeps it as a blob
	subject   string
}

func (t *thing) isBlob() bool  { return t.mediaType == "" }
func (t *thing) isLarge() bool { return !t.isBlob() && len(t.body) > 64<<10 }

// things are all that there may be, in the order of their digests.
type things struct {
	by        map[string]*thing
	named     map[digest.Digest]string
	blobs     []string // also manifests that are kept as blobs
	manifests []string
	tags      []string // those made from a digest are written besidePrefix and the name of the manifest
}

const besidePrefix = "sig-of-"

// besideOf is the manifest from whose digest a tag is made, or "".
func besideOf(tag string) string {
	name, is := strings.CutPrefix(tag, besidePrefix)
	if !is {
		return ""
	}
	return name
}

// tag is the name of a tag in the registry, and short the other way round.
func (w *things) tag(tag string) string {
	if t := w.by[besideOf(tag)]; t != nil {
		return "sha256-" + t.digest.Encoded() + ".sig"
	}
	return tag
}

func (w *things) short(tag string) string {
	for _, one := range w.tags {
		if w.tag(one) == tag {
			return one
		}
	}
	return tag
}

// size is how many bytes a blob has; inline how many of a manifest are in the store.
func (w *things) size(blob string) int { return len(w.by[blob].body) }

func (w *things) inline(manifest string) int {
	if t := w.by[manifest]; !t.isLarge() {
		return len(t.body)
	}
	return 0
}

func newThings() *things {
	w := &things{by: map[string]*thing{}, named: map[digest.Digest]string{}}
	for name, size := range map[string]int{"l0": 300, "l1": 700, "l2": 1100, "l3": 1900} {
		w.add(&thing{name: name, body: strings.Repeat(name, size/2)})
	}
	w.add(&thing{name: "c0", body: `{"architecture":"amd64","os":"linux"}`})
	w.add(&thing{name: "c1", body: `{"architecture":"arm64","os":"linux"}`})
	w.image("i0", "", "c0", "l0")
	w.image("i1", "", "c0", "l1")
	w.image("i2", "", "c1", "l1", "l2")
	w.image("i3", "", "c1", "l3", "l0")
	w.image("large", "", "c0", "l2")
	w.index("x0", "i0", "i1")
	w.index("x1", "i1", "large")
	w.index("nested", "x0", "i3")
	w.index("cache", "l3")
	w.image("note", "i0", "c1")
	w.image("note-of-x0", "x0", "c1")
	w.image("note-of-note", "note", "c0", "l0")
	w.image("note-of-blob", "l0", "c1")
	w.image("signature", "", "c0", "l3", "l1")
	byDigest := func(a, b string) int { return cmp.Compare(w.by[a].digest, w.by[b].digest) }
	slices.SortFunc(w.blobs, byDigest)
	slices.SortFunc(w.manifests, byDigest)
	w.tags = []string{"t0", "t1", "t2", "keep", besidePrefix + "i0", besidePrefix + "x0"}
	return w
}

func (w *things) add(t *thing) {
	t.digest = digest.FromString(t.body)
	w.by[t.name], w.named[t.digest] = t, t.name
	if t.isBlob() || t.isLarge() {
		w.blobs = append(w.blobs, t.name)
	}
	if !t.isBlob() {
		w.manifests = append(w.manifests, t.name)
	}
}

func (w *things) descriptor(name, mediaType string) ocispec.Descriptor {
	t := w.by[name]
	return ocispec.Descriptor{MediaType: cmp.Or(t.mediaType, mediaType), Digest: t.digest, Size: int64(len(t.body))}
}

// image makes an image, or where it has a subject, what is attached to that.
func (w *things) image(name, subject, config string, layers ...string) {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: w.descriptor(config, ocispec.MediaTypeImageConfig), Layers: []ocispec.Descriptor{}, Annotations: map[string]string{"name": name},
	}
	if subject != "" {
		d := w.descriptor(subject, ocispec.MediaTypeImageLayer)
		m.Subject, m.ArtifactType = &d, "application/vnd.example.note"
	}
	for _, layer := range layers {
		m.Layers = append(m.Layers, w.descriptor(layer, ocispec.MediaTypeImageLayer))
	}
	if name == "large" {
		m.Annotations["filler"] = strings.Repeat("x", 65<<10)
	}
	blobs := append([]string{config}, layers...)
	w.manifest(m, &thing{name: name, mediaType: m.MediaType, blobs: blobs, needs: blobs, subject: subject})
}

func (w *things) index(name string, lists ...string) {
	m := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: map[string]string{"name": name}}
	for _, one := range lists {
		m.Manifests = append(m.Manifests, w.descriptor(one, ocispec.MediaTypeImageLayer))
	}
	w.manifest(m, &thing{name: name, mediaType: m.MediaType, needs: lists})
}

func (w *things) manifest(m any, t *thing) {
	body, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	t.body = string(body)
	if t.isLarge() {
		t.needs = append(slices.Clone(t.needs), t.name)
	}
	w.add(t)
}
