package registry

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A manifest that is brought back may have more tags than its record has room for. Those that are left follow in transactions and with
// records of their own, before the client is told; if we stop before that, the collector sets them.

// tagsLater notes that a manifest that is brought back has tags that its record has no room for. They follow with records of
// their own; if we stop before that, the collector sets them.
func (p *push) tagsLater(tx storage.Tx) {
	if len(p.later) == 0 {
		return
	}
	key := digestKey(p.digest)
	tx.Put(leavingTable, repoKey(p.repo, key), binary.AppendUvarint(nil, p.back.record))
	for _, tag := range p.tags {
		tx.Delete(trashTagTable, repoKey(p.repo, key, []byte(tag)))
	}
}

// tagsFollow sets the tags that are left of a manifest that a request brought back, and returns those that mean something else
// by now.
func (g *Registry) tagsFollow(ctx context.Context, p *push) (left []string) {
	to := RepoDigest{p.repo, p.digest}
	err := g.endLeavingOf(ctx, to, p.event(provenance.Undelete))
	if err == nil {
		left, err = g.stillLeft(ctx, to, p.later, MaxTags)
	}
	if err != nil {
		g.log.Error("setting the last tags of an image that was brought back failed; it is tried again", "repository", p.repo, "digest", p.digest, "err", err)
	}
	return left
}

// setLater sets some of the tags of a manifest that was brought back, and says whether there may be more. Those that came to
// mean something meanwhile are left; so are all if the manifest is not there any more.
func (g *Registry) setLater(tx storage.Tx, p RepoDigest, e provenance.Event, deletion uint64) (more bool, about []digest.Digest, err error) {
	key := digestKey(p.Digest)
	there, err := getOrNil(tx, manifestTable, repoKey(p.Repository, key))
	if err != nil || there == nil {
		return false, nil, err
	}
	prefix := repoKey(p.Repository, key)
	var ended []provenance.TagMove
	next, err := storage.SomeRows(tx, trashTagTable, prefix, storage.PrefixEnd(prefix), provenance.MaxTags, func(item storage.Item) error {
		move, before, err := moveOf(tx, p.Repository, string(item.Key[len(prefix):]), p.Digest)
		if err == nil && move.Previous == "" && !isOlder(item.Value, deletion) {
			e.Tags, ended = append(e.Tags, move), append(ended, before...)
		}
		tx.Delete(trashTagTable, item.Key)
		return err
	})
	if err != nil || len(e.Tags) == 0 {
		return next != nil, nil, err
	}
	about, err = g.setTags(tx, p, e, ended)
	return next != nil, about, err
}

// setTags sets tags that mean nothing to a manifest that is there, with their record.
func (g *Registry) setTags(tx storage.Tx, p RepoDigest, e provenance.Event, ended []provenance.TagMove) (about []digest.Digest, err error) {
	key := repoKey(p.Repository, digestKey(p.Digest))
	value, err := tx.Get(manifestTable, key)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifestRow(value)
	if err != nil {
		return nil, err
	}
	if about, err = aboutRemoved(tx, p.Repository, p.Digest, nil); err != nil {
		return nil, err
	}
	if len(about) > 1 {
		e.Observed.Subject = about[1]
	}
	for _, t := range e.Tags {
		about = append(about, tagIsAbout(t.Name))
	}
	e.Digest, e.Manifest, e.Observed.MediaType, e.Observed.Size = p.Digest, provenance.ManifestAgain, m.mediaType, m.size
	record, err := g.book.Append(tx, e)
	if err != nil {
		return nil, err
	}
	return about, errors.Join(g.countUsage(tx, p.Repository, setTagRows(tx, p, e.Tags, ended, record.Index)), touchAll(tx, p.Repository, about, record.Index), g.noteMoves(tx, about...))
}

// stillLeft returns those of the tags that should have followed that do not mean the manifest now; at most so many.
func (g *Registry) stillLeft(ctx context.Context, p RepoDigest, tags []string, most int) (left []string, err error) {
	for len(tags) > 0 && len(left) < most {
		n := min(len(tags), checkStep)
		found, err := g.TagsNamed(ctx, p.Repository, tags[:n])
		if err != nil {
			return left, err
		}
		means := make(map[string]bool, len(found))
		for _, t := range found {
			means[t.Name] = t.Digest == p.Digest
		}
		for _, tag := range tags[:n] {
			if !means[tag] {
				left = append(left, tag)
			}
		}
		tags = tags[n:]
	}
	return left[:min(len(left), most)], nil
}
