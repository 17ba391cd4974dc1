package registry

import (
	"bytes"
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/storage"
)

// What a repository uses is counted. What it shares with others is not: who else links a blob is looked up when somebody asks,
// some links at a time.

// A Room is what takes the room in a repository, or a part of that: Rooms looks at some links at a time, and the bytes of the
// parts of a repository add up.
type Room struct {
	Repository string `json:"repository"`
	Usage
	// Unique are the bytes of blobs and manifests that no other repository has; Shared those of blobs that others have, too.
	Unique int64 `json:"unique"`
	Shared int64 `json:"shared"`
	// Freed are the bytes that a deletion of all repositories of the pattern would free: those of blobs that nothing else has,
	// each in the first repository that has it, and of manifests.
	Freed int64 `json:"freed"`
}

// The bounds of one call of Rooms.
const (
	roomLinks = 2000   // links that it looks at
	roomLooks = 20_000 // rows of other repositories that it looks at for them; and for one link
)

// Rooms returns what takes the room in up to n repositories of a pattern, behind a place, and where to go on, or nil at the end.
// What changes between two calls may be in neither or in both. A blob in more than 20,000 repositories is never freed.
func (g *Registry) Rooms(ctx context.Context, p access.Pattern, after []byte, n int) (rooms []Room, next []byte, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		f := roomFinder{tx: tx, pattern: p, n: n, links: roomLinks, looks: roomLooks}
		next, err = f.find(after)
		rooms = f.rooms
		return err
	})
	return rooms, next, err
}

// roomFinder looks at the links of the repositories of a pattern.
type roomFinder struct {
	tx           storage.Reader
	pattern      access.Pattern
	n            int // how many repositories at most
	links, looks int // that are left
	rooms        []Room
}

// find goes from repository to repository. A place is the name of a repository, a zero byte and the DIGEST of the blob whose link
// was looked at last, if any.
func (f *roomFinder) find(after []byte) (next []byte, err error) {
	repo, behind := cutRepo(after)
	from := []byte(max(repo, f.pattern.Prefix(), "\x00"))
	for item, err := range f.tx.Scan(usageTable, from, storage.PrefixEnd([]byte(f.pattern.Prefix()))) {
		if err != nil {
			return nil, err
		}
		name := string(item.Key)
		if !f.pattern.Matches(name) {
			if f.links--; f.links <= 0 {
				return append(bytes.Clone(item.Key), 0), nil
			}
			behind = nil
			continue
		}
		if name != repo {
			behind = nil
		}
		if len(f.rooms) == f.n || f.links <= 0 || f.looks <= 0 {
			return repoKey(name, behind), nil
		}
		if next, err := f.repository(name, item.Value, behind); err != nil || next != nil {
			return next, err
		}
	}
	return nil, nil
}

// repository looks at the links of one behind a blob, and returns where it stopped before the end, or nil.
func (f *roomFinder) repository(name string, value, behind []byte) (next []byte, err error) {
	row := decodeUsage(value) // without its totals, where it is being counted again
	room := Room{Repository: name, Usage: row.Usage}
	if len(behind) == 0 { // its manifests, once
		room.Unique, room.Freed = row.ManifestBytes, row.ManifestBytes
	}
	prefix := repoKey(name)
	defer func() { f.rooms = append(f.rooms, room) }()
	for item, err := range f.tx.Scan(linkTable, repoKey(name, behind, []byte{0}), storage.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		key := item.Key[len(prefix):]
		if bytes.Equal(key, behind) {
			continue
		}
		if f.links <= 0 || f.looks <= 0 {
			return repoKey(name, behind), nil
		}
		if err := f.link(&room, name, key); err != nil {
			return nil, err
		}
		behind = bytes.Clone(key)
	}
	return nil, nil
}

// link adds what the link of a blob takes.
func (f *roomFinder) link(room *Room, repo string, key []byte) error {
	f.links--
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	blob, err := readBlobRow(f.tx, d)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // fsck says so
	}
	if err != nil {
		return err
	}
	shared, freed, err := f.others(repo, d)
	if shared {
		room.Shared += blob.size
	} else {
		room.Unique += blob.size
	}
	if freed {
		room.Freed += blob.size
	}
	return err
}

// others says whether another repository has a blob, too, and whether a deletion of all of the pattern frees it here: no other
// has it, and this is the first of them.
func (f *roomFinder) others(repo string, d digest.Digest) (shared, freed bool, err error) {
	key := digestKey(d)
	least := f.looks - roomLooks
	for item, err := range f.tx.Scan(linkedTable, key, storage.PrefixEnd(key)) {
		if err != nil {
			return false, false, err
		}
		f.looks--
		other := string(item.Key[len(key):])
		switch {
		case f.looks < least:
			return true, false, nil
		case other == repo:
		case !f.pattern.Matches(other), other < repo:
			return true, false, nil
		default:
			shared = true
			if f.pattern == access.Everything {
				return true, true, nil
			}
		}
	}
	return shared, true, nil
}
