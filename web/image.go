package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// imageAnswer is what the API says of an image.
type imageAnswer struct {
	Repository string             `json:"repository"`
	Reference  string             `json:"reference"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
	Children   []provenance.Child `json:"children"`
	Tags       []string           `json:"tags"`
	Record     uint64             `json:"record"`
	Pulls      pulls              `json:"pulls"`
	Provenance struct {
		Observed []struct {
			Record uint64               `json:"record"`
			Time   provenance.Time      `json:"time"`
			Action provenance.Action    `json:"action"`
			Tags   []provenance.TagMove `json:"tags"`
		} `json:"observed"`
		Authenticated []provenance.SignedIn       `json:"authenticated"`
		Attested      []provenance.Signed         `json:"attested"`
		Claimed       []stated                    `json:"claimed"`
		Verdicts      []provenance.WeighedVerdict `json:"verdicts"`
	} `json:"provenance"`
	Contradictions []provenance.Contradiction `json:"contradictions"`
	Words          []provenance.WeighedWord   `json:"words"`
	provenance.Acts
	Built *provenance.Built `json:"built"`
	Older string            `json:"older"`
	Cut   []string          `json:"cut"`
	// Witnessed is who has seen Record in the log.
	Witnessed *struct {
		Record uint64   `json:"record"`
		By     []string `json:"by"`
	} `json:"witnessed"`
	Derived struct {
		Bases []derivedBase `json:"bases"`
	} `json:"derived"`
}

// derivedBase is an image with whose layers this one begins.
type derivedBase struct {
	About      digest.Digest `json:"about"`
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	Tags       []string      `json:"tags"`
	Layers     int           `json:"layers"`
}

// Name is the base as people know it.
func (b derivedBase) Name() string {
	if len(b.Tags) > 0 {
		return b.Repository + ":" + b.Tags[0]
	}
	return b.Repository + "@" + short(b.Digest)
}

type stated struct {
	provenance.Claim
	Records []uint64 `json:"records"`
}

// contents is what the API says of what an image is made of.
type contents struct {
	Config *struct {
		Created      string              `json:"created"`
		OS           string              `json:"os"`
		Architecture string              `json:"architecture"`
		Variant      string              `json:"variant"`
		Config       ocispec.ImageConfig `json:"config"`
	} `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	History   []step               `json:"history"`
	Referrers []ocispec.Descriptor `json:"referrers"`
	Cut       []string             `json:"cut"`
	Unread    string               `json:"unread"`
}

type step struct {
	Created   *time.Time `json:"created"`
	CreatedBy string     `json:"created_by"`
	Comment   string     `json:"comment"`
	Layer     *int       `json:"layer"`
}

// report is the graded report.
type report struct {
	Grade    string           `json:"grade"`
	Ungraded string           `json:"ungraded"`
	Grades   map[string]score `json:"grades"`
	Checks   []check          `json:"checks"`
}

type score struct {
	Grade    string  `json:"grade"`
	Score    int     `json:"score"`
	Of       int     `json:"of"`
	Coverage float64 `json:"coverage"`
	Capped   string  `json:"capped"`
	NextDrop string  `json:"nextDrop"`
}

type check struct {
	ID       string          `json:"id"`
	Question string          `json:"question"`
	Result   string          `json:"result"`
	Points   int             `json:"points"`
	Of       int             `json:"of"`
	Says     string          `json:"says"`
	Advice   string          `json:"advice"`
	Evidence json.RawMessage `json:"evidence"`
}

// Pretty is the evidence, indented.
func (c check) Pretty() string { return indent(c.Evidence) }

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

// environment reads NAME=VALUE, and masks values whose names look like those of secrets.
func environment(list []string, reveal bool) (vars []variable) {
	for _, s := range list {
		name, value, _ := strings.Cut(s, "=")
		v := variable{Name: name, Value: value}
		if looksSecret(name) && value != "" && !reveal {
			v.Value, v.Masked = "", true
		}
		vars = append(vars, v)
	}
	return vars
}

// labels are like the environment.
func labels(m map[string]string, reveal bool) (vars []variable) {
	for _, p := range pairs(m) {
		vars = append(vars, environment([]string{p.Name + "=" + p.Value}, reveal)...)
	}
	return vars
}

// assigned is NAME=VALUE in a build step.
var assigned = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)=("[^"]*"|'[^']*'|\S+)`)

// maskStep masks the values in a build step whose names look like those of secrets.
func maskStep(step string) string {
	return assigned.ReplaceAllStringFunc(step, func(s string) string {
		if name, _, _ := strings.Cut(s, "="); looksSecret(name) {
			return name + "=masked"
		}
		return s
	})
}

func looksSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "token", "apikey", "api_key", "private", "credential", "auth"}, func(part string) bool {
		return strings.Contains(name, part)
	})
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

// A clause is a part of the sentence that says where an image comes from, with how well it is known and where the proof is.
type clause struct {
	Text  string
	What  string // that is named, as a digest or a name; it links to Href
	Href  string
	Class provenance.Class
	Why   string // how it is known, in words
	Proof string // where the proof is
}

// clauses is the sentence about an image: who pushed it, what it is built from, on what.
func (v *imageView) clauses(now time.Time) (list []clause) {
	if f := cmp.Or(v.First, firstOf(v.Arrivals)); f != nil {
		list = append(list, v.actClause("Pushed "+ago(f.Time, now)+" by ", f))
	}
	if b := v.Built; b != nil {
		why := "nothing proves it"
		if b.Class == provenance.Attested {
			why = "signed by " + b.Signer
		}
		if b.Revision != "" {
			list = append(list, clause{Text: "built from commit ", What: commit(b.Revision), Href: searchURL(b.Revision), Class: b.Class, Why: why, Proof: "#facts"})
		}
		if b.Source != "" {
			list = append(list, clause{Text: "of ", What: b.Source, Href: link(b.Source), Class: b.Class, Why: why, Proof: "#facts"})
		}
	}
	if base, ok := v.base(); ok {
		list = append(list, base)
	}
	if t := v.Tagged; t != nil && (v.First == nil || t.Actor != v.First.Actor) {
		list = append(list, v.actClause("tagged "+t.Tag+" by ", t))
	}
	if w := v.Witnessed; w != nil {
		list = append(list, clause{
			Text: "seen by ", What: plural(len(w.By), "witness"), Href: recordURL(w.Record), Class: provenance.Attested,
			Why: "cosigned by " + strings.Join(w.By, ", "), Proof: fmt.Sprintf("/api/v1/records/%d/tlog-proof", w.Record),
		})
	}
	return list
}

// actClause is a clause about who did something.
func (v *imageView) actClause(text string, a *provenance.Act) clause {
	c := clause{Text: text, What: by(v.Namesakes, a.Actor), Class: knownBy(a.Actor), Why: "proved by the login", Proof: recordURL(a.Record)}
	if c.Class == provenance.Observed {
		c.Why = "seen by the registry"
	}
	return c
}

func firstOf(acts []provenance.Act) *provenance.Act {
	if len(acts) == 0 {
		return nil
	}
	return &acts[0]
}

// base is the clause about the base image, by the best class that names one.
func (v *imageView) base() (clause, bool) {
	for _, a := range v.Provenance.Attested {
		if a.Fact == provenance.FactBase && v.counts(a.Records) {
			return clause{Text: "on ", What: cmp.Or(a.Name, short(a.Value)), Href: searchURL(a.Value), Class: provenance.Attested, Why: "signed by " + a.Signer, Proof: "#facts"}, true
		}
	}
	for _, fact := range []string{provenance.FactBase, provenance.FactBaseName} {
		for _, c := range v.Provenance.Claimed {
			if c.Fact == fact {
				return clause{Text: "on ", What: cmp.Or(c.Name, short(c.Value)), Href: searchURL(c.Value), Class: provenance.Claimed, Why: "nothing proves it", Proof: "#facts"}, true
			}
		}
	}
	return clause{}, false
}

// counts says whether the signature behind one of some records counts now.
func (v *imageView) counts(records []uint64) bool {
	return slices.ContainsFunc(v.Provenance.Verdicts, func(j provenance.WeighedVerdict) bool {
		return slices.Contains(records, j.Record) && j.Result == provenance.Good && (j.Standing == nil || j.Standing.Counts)
	})
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
