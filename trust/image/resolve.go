package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Named is an image by a name, as registry.example/base:1, and the digest that somebody says it had.
type Named struct {
	Name   string
	Digest digest.Digest
}

// A Meaning is what a name means now, and when it meant something else.
type Meaning struct {
	Now   digest.Digest
	Lists []digest.Digest // that are listed in it, where it is an index
	// Since is when the name was set to what it means now, and Left when it was moved from the digest that was asked for.
	// They are nil where no record tells.
	Since, Left *Moment
	// Cut says that what happened to the name before was not looked at.
	Cut bool
	// Layers are the diff ids of what it means, by platform as os/architecture, of a few.
	Layers map[string][]digest.Digest
}

// A Moment is when a record was made.
type Moment struct {
	Record uint64          `json:"record"`
	Time   provenance.Time `json:"time"`
}

// A Resolver says what the name of an image means now. Layers are looked at only where that is another digest.
type Resolver func(ctx context.Context, image Named) (Meaning, error)

// Untimed is a Resolver that says that a name was moved, and not when, nor by which record. Rules ask it: what they
// refuse is told to the one who pushes or pulls, and they need not be allowed to see the base.
func (r Resolver) Untimed() Resolver {
	return func(ctx context.Context, image Named) (Meaning, error) {
		m, err := r(ctx, image)
		for _, at := range []**Moment{&m.Since, &m.Left} {
			if *at != nil {
				*at = &Moment{}
			}
		}
		return m, err
	}
}

func (m *Moment) isTold() bool { return m != nil && !m.Time.IsZero() }

// told is the moment, or nil where it is not told.
func (m *Moment) told() *Moment {
	if m.isTold() {
		return m
	}
	return nil
}

// begins says whether a platform begins with the layers of what the name means for it, and has all of them.
func (m Meaning) begins(p *platform) bool {
	base, own := m.Layers[p.config.OS+"/"+p.config.Architecture], p.config.RootFS.DiffIDs
	return len(base) > 0 && len(own) >= len(base) && slices.Equal(base, own[:len(base)])
}

// meaningOf reads what a tag means now.
func meaningOf(ctx context.Context, from Source, tag string, was digest.Digest) (m Meaning, err error) {
	d, body, err := from.Manifest(ctx, tag)
	if err != nil {
		return m, err
	}
	m.Now = d.Digest
	var top manifest
	if m.Now == was || strictjson.Unmarshal(body, &top) != nil {
		return m, nil
	}
	for _, c := range top.Manifests {
		m.Lists = append(m.Lists, c.Digest)
	}
	return m, nil
}

// readLayers reads the diff ids of what a tag means, for as many platforms as are inspected.
func (m *Meaning) readLayers(ctx context.Context, from Source) {
	left := maxConfigs // bytes
	m.Layers = map[string][]digest.Digest{}
	digests := m.Lists[:min(len(m.Lists), maxPlatforms)]
	if len(m.Lists) == 0 {
		digests = []digest.Digest{m.Now}
	}
	for _, d := range digests {
		var one manifest
		var config imageConfig
		if left <= 0 {
			return
		}
		if _, body, err := from.Manifest(ctx, d.String()); err != nil || strictjson.Unmarshal(body, &one) != nil || one.kind() != trust.Image {
			continue
		}
		body, err := from.Blob(ctx, one.Config, maxConfig, newRoom)
		if left -= len(body); err == nil && strictjson.Unmarshal(body, &config) == nil {
			m.Layers[config.OS+"/"+config.Architecture] = config.RootFS.DiffIDs
		}
	}
}

// NewResolver returns a Resolver that asks the registry in a name, each with the client that is made for
// it.
func NewResolver(client func(registry string) *auth.Client) Resolver {
	return func(ctx context.Context, image Named) (m Meaning, err error) {
		repo, err := remote.NewRepository(image.Name)
		if err != nil {
			return m, err
		}
		repo.Client, repo.MaxMetadataBytes = client(repo.Reference.Registry), MaxManifest
		tag := repo.Reference.Reference
		if tag == "" {
			tag = "latest"
		}
		from := &Remote{repo}
		if m, err = meaningOf(ctx, from, tag, image.Digest); err != nil || m.isOrLists(image.Digest) {
			return m, err
		}
		m.readLayers(ctx, from)
		return m, nil
	}
}

func (m Meaning) isOrLists(d digest.Digest) bool { return m.Now == d || slices.Contains(m.Lists, d) }

// Histories tells what happened to tags. A provenance.Book does.
type Histories interface {
	// History returns what happened to a tag, newest first.
	History(ctx context.Context, repository, tag string, after *uint64, limit int) ([]provenance.Move, *uint64, error)
}

// NewLocalResolver looks up bases that are in this registry, under its own name, and visible. A server asks no
// other: anybody who may push could send it anywhere.
func NewLocalResolver(from Content, book Histories, host string, absent error, visible func(repository string) bool) Resolver {
	return func(ctx context.Context, image Named) (m Meaning, err error) {
		rest, ok := strings.CutPrefix(image.Name, host+"/")
		repo, tag, _ := strings.Cut(rest, ":")
		tag, _, _ = strings.Cut(tag, "@")
		if repo, _, _ = strings.Cut(repo, "@"); !ok || !visible(repo) {
			return m, fmt.Errorf("it is not in this registry, and the server asks no other; `hallmark inspect image %s/…` does", host)
		}
		if tag == "" {
			tag = "latest"
		}
		here := Local{From: from, Repository: repo, Absent: absent}
		if m, err = meaningOf(ctx, here, tag, image.Digest); err != nil || m.isOrLists(image.Digest) {
			return m, err
		}
		moves, more, err := book.History(ctx, repo, tag, nil, maxRecords)
		if err != nil {
			return m, err
		}
		m.Cut = more != nil
		if m.follow(moves, image.Digest); m.Left == nil {
			m.readLayers(ctx, here)
		}
		return m, nil
	}
}

// follow finds in what happened to a tag, newest first, since when it means what it does, and when it was moved from a
// digest, or from an index that lists it.
func (m *Meaning) follow(moves []provenance.Move, was digest.Digest) {
	for n, move := range moves {
		at := &Moment{move.Record.Index, move.Record.Time}
		if move.To == m.Now && (n == 0 || m.Since != nil && moves[n-1].To == m.Now) {
			m.Since = at // the first of those that set it to this
		}
		if n > 0 && (move.To == was || move.To == move.Record.Digest && lists(move.Record, was)) {
			m.Left = &Moment{moves[n-1].Record.Index, moves[n-1].Record.Time}
			return
		}
	}
}

func lists(r *provenance.Record, d digest.Digest) bool {
	return slices.ContainsFunc(r.Observed.Children, func(c provenance.Child) bool { return c.Digest == d })
}
