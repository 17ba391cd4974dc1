package web

import (
	"encoding/json"
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
