package web

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// imageView is the page of an image.
type imageView struct {
	Frame
	imageAnswer
	Contents contents
	Report   *report
	NoReport string // why there is none now
	Clauses  []clause
	Env      []variable

	ConfigLabels []variable
	Labels       []pair
	Rows         []layerRow
	Reveal       bool   // values that look like secrets are shown
	RevealAt     string // where this page shows them
	Attached     []attachedKind
	Base         *derivedBase // by the layers, or nil
	Changed      *comparison  // since the image before, or nil
	Deletes      bool         // the one who asks may delete it
	Pull         []pullCommand
	Total        int64
}

// A variable is one of the environment. Values that may be secrets are masked until they are asked for.
type variable struct {
	Name, Value string
	Masked      bool
}

type pair struct{ Name, Value string }

// A layerRow is a step of the build with the layer that it made, if any.
type layerRow struct {
	Step   string
	Layer  *ocispec.Descriptor
	Number int
	Based  bool // the base has the layer, too
}

type attachedKind struct {
	Kind string
	List []ocispec.Descriptor
}

type pullCommand struct{ Client, Command string }

// image shows one image.
func (pg *page) image(at target) error {
	q := pg.r.URL.Query()
	view := imageView{Reveal: q.Get("reveal") == "1"}
	q.Set("reveal", "1")
	view.RevealAt = "?" + q.Encode() + "#config"
	ask := url.Values{"repo": {at.Repository}, "ref": {at.Ref}}
	if err := pg.ask("/api/v1/image", url.Values{"repo": ask["repo"], "ref": ask["ref"], "derived": {"true"}}, &view.imageAnswer); err != nil {
		return err
	}
	exact := url.Values{"repo": {at.Repository}, "ref": {view.Descriptor.Digest.String()}}
	if err := pg.ask("/api/v1/contents", exact, &view.Contents); err != nil {
		return err
	}
	if err := pg.ask("/api/v1/report", ask, &view.Report); err != nil {
		var refused *refusal
		if !errors.As(err, &refused) {
			return err
		}
		view.Report, view.NoReport = nil, refused.says // as where others are being inspected: everything else is shown
	}
	before, err := pg.before(at, view.Descriptor.Digest)
	if err != nil {
		return err
	}
	if before != "" {
		if err := pg.compare(&view, before); err != nil {
			return err
		}
	}
	view.Deletes = pg.mayDelete(at.Repository)
	view.fill(pg)
	view.Frame = pg.frame(at.Repository + refText(at.Ref))
	return pg.show(200, "image", view)
}

// refText is a reference behind a repository's name, as people write it.
func refText(ref string) string {
	if strings.Contains(ref, ":") {
		return "@" + short(ref)
	}
	return ":" + ref
}

// fill makes what the template shows of the answers.
func (v *imageView) fill(pg *page) {
	v.Clauses = v.clauses(time.Now())
	v.Base = v.derivedBase()
	v.Rows, v.Total = v.rows()
	v.Attached = v.Contents.attached()
	v.Labels = pairs(v.Descriptor.Annotations)
	if c := v.Contents.Config; c != nil {
		v.Env = environment(c.Config.Env, v.Reveal)
		v.ConfigLabels = labels(c.Config.Labels, v.Reveal)
	}
	name := pg.host() + "/" + v.Repository + "@" + v.Descriptor.Digest.String()
	for _, c := range []struct{ client, before, after string }{
		{"docker", "docker pull ", ""},
		{"podman", "podman pull ", ""},
		{"containerd", "nerdctl pull ", ""},
		{"Kubernetes", "image: ", ""},
		{"skopeo", "skopeo copy docker://", " oci:image"},
		{"crane", "crane pull ", " image.tar"},
		{"oras", "oras copy ", " --to-oci-layout image"},
		{"hallmark", "hallmark verify ", ""},
	} {
		v.Pull = append(v.Pull, pullCommand{c.client, c.before + name + c.after})
	}
}

func pairs(m map[string]string) (list []pair) {
	for name, value := range m {
		list = append(list, pair{name, value})
	}
	slices.SortFunc(list, func(a, b pair) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// derivedBase is the image with whose layers this one begins: the one that is claimed, where several do.
func (v *imageView) derivedBase() *derivedBase {
	var base *derivedBase
	for i, b := range v.Derived.Bases {
		if b.About != v.Descriptor.Digest {
			continue
		}
		claims := func(c stated) bool { return c.Fact == provenance.FactBase && c.Value == b.Digest.String() }
		if base == nil || slices.ContainsFunc(v.Provenance.Claimed, claims) {
			base = &v.Derived.Bases[i]
		}
	}
	return base
}

// rows joins the steps of the build with the layers that they made. Layers without a step come last.
func (v *imageView) rows() (rows []layerRow, total int64) {
	c, named := &v.Contents, map[int]bool{}
	based := func(layer int) bool { return v.Base != nil && layer < v.Base.Layers }
	for _, h := range c.History {
		row := layerRow{Step: cmp.Or(h.CreatedBy, h.Comment)}
		if !v.Reveal {
			row.Step = maskStep(row.Step)
		}
		if h.Layer != nil && *h.Layer < len(c.Layers) {
			row.Layer, row.Number, row.Based, named[*h.Layer] = &c.Layers[*h.Layer], *h.Layer+1, based(*h.Layer), true
		}
		rows = append(rows, row)
	}
	for i := range c.Layers {
		total += max(c.Layers[i].Size, 0)
		if !named[i] {
			rows = append(rows, layerRow{Layer: &c.Layers[i], Number: i + 1, Based: based(i)})
		}
	}
	return rows, total
}

// attached sorts what is attached by its kind.
func (c *contents) attached() (kinds []attachedKind) {
	for _, d := range c.Referrers {
		kind := kindOf(cmp.Or(d.ArtifactType, d.MediaType), "")
		at := slices.IndexFunc(kinds, func(k attachedKind) bool { return k.Kind == kind })
		if at < 0 {
			kinds, at = append(kinds, attachedKind{Kind: kind}), len(kinds)
		}
		kinds[at].List = append(kinds[at].List, d)
	}
	return kinds
}

// AllCut are the lists on the page that are not whole.
func (v imageView) AllCut() []string { return slices.Concat(v.Cut, v.Contents.Cut) }

// IsIndex says that it lists images for several platforms.
func (a imageAnswer) IsIndex() bool {
	return len(a.Children) > 0 || a.Descriptor.MediaType == ocispec.MediaTypeImageIndex || a.Descriptor.MediaType == dockerList
}

// dockerList is the media type of an index in Docker's format.
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

// Digest is the image's.
func (v imageView) Digest() digest.Digest { return v.Descriptor.Digest }
