package policy

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// pending is a repository as it will be when a manifest is stored.
type pending struct {
	image.Local
	p registry.Pending
}

// Manifest implements image.Source.
func (f pending) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	e := f.p.Event
	if ref == e.Digest.String() {
		return ocispec.Descriptor{MediaType: e.Observed.MediaType, Digest: e.Digest, Size: int64(len(f.p.Body))}, f.p.Body, nil
	}
	return f.Local.Manifest(ctx, ref)
}

// Measure implements image.Measurer.
func (f pending) Measure(ctx context.Context, d digest.Digest) (int64, []provenance.WrongSize, error) {
	if e := f.p.Event; d == e.Digest {
		return e.Observed.ImageSize, e.Observed.WrongSizes, nil
	}
	return f.Local.Measure(ctx, d)
}

// reading is a repository of which a manifest was read before.
type reading struct {
	image.Local
	p registry.Reading
}

// Manifest implements image.Source.
func (f reading) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	if ref == f.p.Digest.String() {
		return ocispec.Descriptor{MediaType: f.p.MediaType, Digest: f.p.Digest, Size: int64(len(f.p.Body))}, f.p.Body, nil
	}
	return f.Local.Manifest(ctx, ref)
}

// manifest is the manifest as rules see it.
func (c *question) manifest(ctx context.Context) (*Manifest, error) {
	desc, body, err := c.from.Manifest(ctx, c.digest.String())
	if err != nil {
		return nil, err
	}
	size, wrong, err := c.from.(image.Measurer).Measure(ctx, c.digest)
	if err != nil {
		return nil, err
	}
	return &Manifest{desc.MediaType, c.about.ArtifactType, int64(len(body)), size, len(wrong) == 0}, nil
}

// records are those of a registry, and before them the one that a push would add.
type records struct {
	*provenance.Book
	pending *provenance.Record // or nil
	holders provenance.Holders
}

// pending is the record that an event would become.
func (e *Engine) pending(event provenance.Event) *provenance.Record {
	return &provenance.Record{
		Version: 1, Time: provenance.At(e.now()), Action: event.Action, Repository: event.Repository, Tags: event.Tags, Digest: event.Digest,
		Actor: event.Who.Actor, Authenticated: event.Who.Login, Observed: event.Observed, Claimed: event.Claimed,
	}
}

// Find implements image.Records, for the queries that an inspection makes.
func (r records) Find(ctx context.Context, q provenance.Query) (provenance.Page, error) {
	page, err := r.Book.Find(ctx, q)
	p := r.pending
	if err != nil || p == nil || q.After != nil || q.Repository != p.Repository || q.Tag != "" || q.About != "" ||
		q.Digest != "" && q.Digest != p.Digest || q.Action != "" && q.Action != p.Action {
		return page, err
	}
	page.Records = slices.Insert(page.Records, 0, p)
	return page, nil
}

// Acts implements image.Records. Rules see who was the first in the registry, wherever that was; words that a refusal
// may quote tell of this repository alone.
func (r records) Acts(ctx context.Context, q provenance.ActsOf) (provenance.Acts, error) {
	q.Tells = func(repository string) bool { return repository == q.Repository }
	q.Pending, q.Holders = r.pending, r.holders
	if r.pending != nil && r.pending.Digest != q.Digest {
		q.Pending = nil
	}
	return r.Book.Acts(ctx, q)
}

// inspect makes a report about the image, by its digest: so no tag's history is in it.
func (e *Engine) inspect(ctx context.Context, c *question, config image.Config) (*image.Report, error) {
	select {
	case e.reporting <- struct{}{}:
		defer func() { <-e.reporting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return e.inspectInSlot(ctx, c, config)
}

// inspectInSlot is inspect for who has a slot to make a report in.
func (e *Engine) inspectInSlot(ctx context.Context, c *question, config image.Config) (*image.Report, error) {
	config.Now = e.now
	config.Subject += "/" + c.object.Repository
	config.Repository, config.Records, config.Pending = c.object.Repository, c.records, c.records.pending
	return image.Inspect(ctx, c.from, c.digest.String(), config)
}

// report is the report about the image, as rules see it.
func (e *Engine) report(ctx context.Context, c *question) (*Report, error) {
	made, err := e.inspect(ctx, c, e.c.Inspect())
	if err != nil {
		return nil, err
	}
	r := new(Report)
	return r, recast(made, r)
}

// image is what the API answers about the image, as rules see it.
func (e *Engine) image(ctx context.Context, c *question) (*Image, error) {
	parts := provenance.Parts(c.digest, c.about.Children)
	said, err := e.c.Book.Testimony(ctx, c.object.Repository, parts)
	if err != nil {
		return nil, err
	}
	if c.records.pending != nil {
		said.Records = slices.Insert(said.Records, 0, c.records.pending)
	}
	desc, body, err := c.from.Manifest(ctx, c.digest.String())
	if err != nil {
		return nil, err
	}
	out := &Image{
		Repository: c.object.Repository, Reference: c.digest.String(),
		Descriptor: Descriptor{
			MediaType: desc.MediaType, ArtifactType: c.about.ArtifactType, Digest: c.digest.String(), Size: int64(len(body)),
			Annotations: provenance.CutSecretsIn(c.about.Annotations),
		},
	}
	for _, child := range c.about.Children {
		out.Children = append(out.Children, Child{child.Digest.String(), child.Platform})
	}
	if out.Tags, err = e.tags(ctx, c); err != nil {
		return nil, err
	}
	sum := provenance.SumUp(said.Records, said.Beside, parts)
	judgment := image.Judgment{Trust: e.c.Inspect().Trust, From: c.from, Repository: c.object.Repository, Now: e.now()}
	until, err := judgment.Of(ctx, c.digest, &sum)
	if err != nil {
		return nil, err
	}
	c.holdsUntil(until)
	acts, err := c.records.Acts(ctx, provenance.ActsOf{
		Repository: c.object.Repository, Digest: c.digest, Tag: c.object.Tag, Platforms: c.about.Platforms,
	})
	if err != nil {
		return nil, err
	}
	c.object.acts = acts.Says(c.object.Repository)
	if err := recast(sum, &out.Provenance); err != nil {
		return nil, err
	}
	return out, recast(struct {
		provenance.Acts
		Built *provenance.Built `json:"built,omitempty"`
	}{acts, sum.Built()}, out)
}

// tags are those that mean the image, or will.
func (e *Engine) tags(ctx context.Context, c *question) (names []string, err error) {
	if c.stored {
		img, err := e.c.Registry.Image(ctx, c.object.Repository, c.digest.String())
		if err != nil {
			return nil, err
		}
		return img.Tags, nil
	}
	for _, t := range c.event.Tags {
		names = append(names, t.Name)
	}
	return names, nil
}

// recast gives a value the types that rules are compiled against, by way of the JSON that the API answers.
func recast(from, into any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
