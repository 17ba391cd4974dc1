package provenance

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// The lists of a statement are looked through to their end, and what is kept of them is bounded.

// A descriptor is an element of a list of what a statement is about, or of what a build used (in-toto attestation
// framework, "ResourceDescriptor").
type descriptor struct {
	index     int
	name, uri string
	place     string            // where to get it
	hashes    map[string]string // of a digest set: by algorithm
}

// The hashes of a digest set (in-toto attestation framework, "DigestSet") that are looked at.
var imageHashes, commitHashes = []string{"sha256", "sha512"}, []string{"gitCommit", "sha1"}

// image is the digest of an image, or "".
func (d *descriptor) image() digest.Digest {
	for _, hash := range imageHashes {
		named := digest.NewDigestFromEncoded(digest.Algorithm(hash), d.hashes[hash])
		if named.Validate() == nil {
			return named
		}
	}
	return ""
}

// commit is the commit of a digest set, or "". One of GitLab's versions puts it under sha256, which it is too short for.
func (d *descriptor) commit() string {
	return commitIn(func(hash string) string { return d.hashes[hash] })
}

func commitIn(digestSet func(hash string) string) string {
	for _, hash := range commitHashes {
		if commit := NormalRevision(digestSet(hash)); isCommit(commit) {
			return commit
		}
	}
	if commit := NormalRevision(digestSet("sha256")); len(commit) == 40 && isCommit(commit) {
		return commit
	}
	return ""
}

// descriptors reads a list of them, and tells each to take when it is complete.
type descriptors struct {
	take func(*descriptor)
	now  *descriptor
}

// end tells of the last one.
func (l *descriptors) end() {
	if l.now != nil {
		l.take(l.now)
	}
	l.now = nil
}

func (l *descriptors) element(i int) strictjson.Visitor {
	l.end()
	l.now = &descriptor{index: i}
	return keyed(l.now.member)
}

func (d *descriptor) member(key string) strictjson.Visitor {
	switch key {
	case "uri":
		return heard(func(s string) { d.uri = s })
	case "name":
		return heard(func(s string) { d.name = s })
	case "downloadLocation":
		return heard(func(s string) { d.place = s })
	case "digest":
		return keyed(d.hash)
	}
	return nil
}

func (d *descriptor) hash(name string) strictjson.Visitor {
	if usual := usualHash(name); !slices.Contains(imageHashes, usual) && !slices.Contains(commitHashes, usual) {
		return nil
	}
	return heard(func(s string) {
		if d.hashes == nil {
			d.hashes = map[string]string{}
		}
		d.hashes[name] = s
	})
}

// usualHash is the usual name of a hash that some call otherwise, as SHA-256.
func usualHash(name string) string {
	if len(name) > len("git-commit") { // with any number of dashes there would be too many names to keep
		return ""
	}
	if name = strings.ToLower(strings.ReplaceAll(name, "-", "")); name == "gitcommit" {
		return "gitCommit"
	}
	return name
}

// spellUsually gives the hashes their usual names, and digits in small letters: of what a build used. What a statement is about has to
// be written as everybody writes it.
func (d *descriptor) spellUsually() {
	for _, name := range slices.Sorted(maps.Keys(d.hashes)) {
		hash := strings.ToLower(d.hashes[name])
		delete(d.hashes, name)
		if usual := usualHash(name); d.hashes[usual] == "" {
			d.hashes[usual] = hash
		}
	}
}

// maxAbout bounds the images that one statement is taken to be about where it was attached to none of them. One that
// names more is about files.
const maxAbout = 4

// subjects are what a statement says that it is about.
type subjects struct {
	wanted []digest.Digest          // of these it is known whether they are among all subjects
	found  []digest.Digest          // those that are
	names  map[digest.Digest]*Names // what it calls those
	first  []digest.Digest          // of all, maxAbout+1 at most
}

func (s *subjects) take(d *descriptor) {
	for _, hash := range imageHashes {
		named := digest.Digest(hash + ":" + d.hashes[hash])
		if !slices.Contains(s.wanted, named) {
			continue
		}
		if !slices.Contains(s.found, named) {
			s.found = append(s.found, named)
		}
		s.call(named, cmp.Or(d.name, d.uri))
	}
	if named := d.image(); named != "" && len(s.first) <= maxAbout && !slices.Contains(s.first, named) {
		s.first = append(s.first, named)
	}
}

// call remembers a name of an image.
func (s *subjects) call(d digest.Digest, name string) {
	if s.names == nil {
		s.names = map[digest.Digest]*Names{}
	}
	if s.names[d] == nil {
		s.names[d] = &Names{}
	}
	s.names[d].Add(name)
}

// about returns the images that a statement is about. One that is attached to an image and names it among others is
// about that one; else about those that were looked for; one that names none, about what it is attached to.
func (s *subjects) about(attachedTo digest.Digest) []digest.Digest {
	switch {
	case attachedTo != "" && (slices.Contains(s.found, attachedTo) || len(s.first) == 0):
		return []digest.Digest{attachedTo}
	case len(s.found) > 0:
		return s.found
	case len(s.first) > maxAbout:
		return nil
	}
	return s.first
}
