package retention

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A plan is JSON lines: a Heading, an Item for each tag and manifest that goes or stays, one for each repository with its counts, a
// Summary, and the digest of all lines before. So it can be written and read a line at a time, and whoever has changed a line has to
// say so.

// The bounds of a plan.
const (
	MaxLine     = 256 << 10 // bytes
	MaxRemovals = 200_000   // of one plan; the next one has the others
	MaxPlan     = 512 << 20 // bytes that are read
	maxOver     = 100
	maxWarnings = 20
	maxError    = 200 // bytes of an error of an expression
)

// A Line is one line of a plan: one of these is set.
type Line struct {
	Plan    *Heading      `json:"plan,omitempty"`
	Goes    *Item         `json:"goes,omitempty"`
	Stays   *Item         `json:"stays,omitempty"`
	Summary *Summary      `json:"summary,omitempty"`
	Digest  digest.Digest `json:"digest,omitempty"`
}

// Heading is what a plan was made of.
type Heading struct {
	Version int             `json:"version"` // 1
	Rules   digest.Digest   `json:"rules"`   // of the file of rules
	Time    provenance.Time `json:"time"`
}

// An Item is a tag, or a manifest where it has no tag.
type Item struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest"`
	Record     uint64        `json:"record"`         // that set the tag, or put the manifest there
	Rule       string        `json:"rule,omitempty"` // by which it goes
	Why        string        `json:"why,omitempty"`
}

// A Summary is what a plan comes to.
type Summary struct {
	Repositories int `json:"repositories"` // that rules name
	Tags         int `json:"tags"`         // that go
	Manifests    int `json:"manifests"`    // that go
	StayingTags  int `json:"stayingTags"`
	Staying      int `json:"stayingManifests"`
	// Bytes are what the disk gives back once all of it is out of the trash: blobs that nothing else needs, in any repository.
	Bytes    int64    `json:"bytes"`
	Rules    []Count  `json:"rules"`
	Warnings []string `json:"warnings,omitempty"`
	// More says that more would go than one plan may have: this one has the first of that, and the next one goes on.
	More bool `json:"more,omitempty"`
	// Over are the repositories of which more tags or manifests go than a schedule may remove: the first of them. OverMore is how many others there are.
	Over     []string `json:"over,omitempty"`
	OverMore int      `json:"overMore,omitempty"`
}

// ErrPlan says that what was given is no plan, or not the whole of one as it was made.
var ErrPlan = fault.New(fault.Invalid, "this is no whole plan as `hallmark retention plan` made it")

// planWriter writes the lines of a plan.
type planWriter struct {
	out  *bufio.Writer
	hash hash.Hash
	enc  *json.Encoder
}

func newPlanWriter(w io.Writer) *planWriter {
	p := &planWriter{out: bufio.NewWriterSize(w, 64<<10), hash: sha256.New()}
	p.enc = json.NewEncoder(io.MultiWriter(p.out, p.hash))
	p.enc.SetEscapeHTML(false)
	return p
}

func (p *planWriter) write(l Line) error { return p.enc.Encode(l) }

// end writes the digest of all lines so far, and returns it.
func (p *planWriter) end() (digest.Digest, error) {
	d := digest.NewDigest(digest.SHA256, p.hash)
	return d, errors.Join(p.write(Line{Digest: d}), p.out.Flush())
}

// A Plan is what is kept of a plan that was read: what goes.
type Plan struct {
	Heading
	Summary Summary
	Digest  digest.Digest
	Goes    []Item
}

// ReadPlan reads a plan, each line of which is told to each, which may be nil. Error: ErrPlan.
func ReadPlan(r io.Reader, each func(Line)) (*Plan, error) {
	lines := bufio.NewScanner(io.LimitReader(r, MaxPlan))
	lines.Buffer(make([]byte, 0, 4096), MaxLine)
	p, sum := &Plan{}, sha256.New()
	for n := 0; lines.Scan(); n++ {
		var l Line
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l); err != nil {
			return nil, badPlan("line %d: %v", n+1, err)
		}
		if err := p.take(n, l, sum); err != nil {
			return nil, err
		}
		if each != nil {
			each(l)
		}
		_, _ = sum.Write(append(lines.Bytes(), '\n')) // which never fails
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if p.Digest == "" {
		return nil, badPlan("its last line is missing")
	}
	return p, nil
}

func badPlan(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrPlan, fmt.Sprintf(format, args...))
}

// take takes a line; before is the hash of the lines before it.
func (p *Plan) take(n int, l Line, before hash.Hash) error {
	switch {
	case p.Digest != "":
		return badPlan("line %d is behind its digest", n+1)
	case (n == 0) != (l.Plan != nil):
		return badPlan("line %d: it begins with a line of its own", n+1)
	case l.Plan != nil:
		p.Heading = *l.Plan
		if p.Version != 1 {
			return badPlan("its version is %d, and this program knows 1", p.Version)
		}
	case l.Goes != nil:
		if p.Goes = append(p.Goes, *l.Goes); len(p.Goes) > MaxRemovals {
			return badPlan("it removes more than %d things", MaxRemovals)
		}
	case l.Summary != nil:
		p.Summary = *l.Summary
	case l.Digest != "":
		if d := digest.NewDigest(digest.SHA256, before); l.Digest != d {
			return badPlan("its lines have the digest %s, and it says %s: it was changed", d, l.Digest)
		}
		p.Digest = l.Digest
	}
	return nil
}
