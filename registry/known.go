package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What is known of an image changes while it stays: something is attached to it or taken away, it is pushed
// again, it gets a tag. A decision that is kept about an image must notice that, at no cost.
//
// Marks in memory say so at once, within this process (marks.go). Across restarts the store does: of each image the
// last record that changed what is known of it, kept in the transaction of that change; and beside it what
// was last thought of the image and of what that is about, which is worth nothing when that record is another. All goes with
// the image.

// aboutTag is a tag under which cosign's older versions keep what is about a digest.
var aboutTag = regexp.MustCompile(`^(sha256|sha512)-([0-9a-f]{64,128})\.(` + strings.Join(aboutKinds, "|") + `)$`)

// aboutKinds are how such a tag ends, behind a dot.
var aboutKinds = []string{"sig", "att", "sbom"}

// tagsAbout are the tags under which something may be kept that is about a digest.
func tagsAbout(d digest.Digest) (tags []string) {
	for _, kind := range aboutKinds {
		tags = append(tags, d.Algorithm().String()+"-"+d.Encoded()+"."+kind)
	}
	return tags
}

// tagIsAbout returns the digest that a tag's manifest is about, or "".
func tagIsAbout(tag string) digest.Digest {
	if !strings.HasPrefix(tag, "sha") { // as nearly all
		return ""
	}
	if m := aboutTag.FindStringSubmatch(tag); m != nil {
		if d, ok := parseDigest(m[1] + ":" + m[2]); ok {
			return d
		}
	}
	return ""
}

// touch notes that a record changed what is known of an image, where that is here.
func touch(tx storage.Tx, repo string, about digest.Digest, record uint64) error {
	if about == "" {
		return nil
	}
	key := repoKey(repo, digestKey(about))
	row, err := getOrNil(tx, manifestTable, key)
	if err == nil && row != nil {
		tx.Put(knownTable, key, binary.AppendUvarint(nil, record))
	}
	return err
}

func touchAll(tx storage.Tx, repo string, about []digest.Digest, record uint64) error {
	for _, d := range about {
		if err := touch(tx, repo, d, record); err != nil {
			return err
		}
	}
	return nil
}

// touchAbout notes what a push changes of what is known of others, and of the same when it comes again. It
// returns all whose marks have to move.
func (p *push) touchAbout(tx storage.Tx, again bool, moves []provenance.TagMove, record uint64) ([]digest.Digest, error) {
	about := []digest.Digest{p.subject()}
	for _, m := range moves {
		about = append(about, tagIsAbout(m.Name))
	}
	if again {
		about = append(about, p.digest)
	}
	if err := touchAll(tx, p.repo, about, record); err != nil {
		return nil, err
	}
	about = append(about, p.digest)
	for _, m := range moves {
		about = append(about, m.Previous)
	}
	return append(about, digestsOf(p.manifest.children)...), nil
}

// aboutRemoved returns a manifest that goes, and then what it and its tags are about. It is asked before they go.
func aboutRemoved(tx storage.Reader, repo string, d digest.Digest, moves []provenance.TagMove) ([]digest.Digest, error) {
	about := []digest.Digest{d}
	key, err := getOrNil(tx, subjectTable, repoKey(repo, digestKey(d)))
	if err != nil {
		return nil, err
	}
	if key != nil {
		subject, _, err := cutDigest(key)
		if err != nil {
			return nil, err
		}
		about = append(about, subject)
	}
	for _, m := range moves {
		about = append(about, tagIsAbout(m.Name))
	}
	return about, nil
}

// maxKept is the size in bytes up to which something is kept beside an image.
const maxKept = 64 << 10

// Keep keeps what was thought of an image under the version of what was known then. It is not kept where that is not the version any
// more, where something optional has come or gone, where it is too large, or the image is gone.
func (g *Registry) Keep(ctx context.Context, repo string, version uint64, k Kept) error {
	if len(k.Body) > maxKept || version == 0 {
		return nil
	}
	return g.store.Update(ctx, func(tx storage.Tx) error { return g.putKept(tx, repo, version, k) })
}

// KeepSoon is Keep for who answers a pull, and does not wait. If we stop before it is kept, it is made again.
func (g *Registry) KeepSoon(_ context.Context, repo string, version uint64, k Kept) error {
	if len(k.Body) > maxKept || version == 0 {
		return nil
	}
	key := "kept " + string(repoKey(repo, digestKey(k.Of[0])))
	put := func(tx storage.Tx) error { return g.putKept(tx, repo, version, k) }
	if !g.behind.add(key, note{2*len(key) + len(k.Body), put}) {
		return errBehind
	}
	return nil
}

var errBehind = errors.New("too much waits for the store to take it")

func (g *Registry) putKept(tx storage.Tx, repo string, version uint64, k Kept) error {
	now, err := knownVersion(tx, repo, k.Of)
	if err != nil || now != version {
		return err
	}
	if still, err := areStill(tx, repo, k.Optional); err != nil || !still {
		return err
	}
	key := repoKey(repo, digestKey(k.Of[0]))
	tx.Put(keptTable, key, g.keptKeyNow().row(key, version, k.encode()))
	return nil
}

// knownVersion is the highest record of an image and its parts. It is 0 where the image is not here.
func knownVersion(tx storage.Reader, repo string, parts []digest.Digest) (version uint64, err error) {
	for i, d := range parts {
		key := repoKey(repo, digestKey(d))
		row, err := getOrNil(tx, manifestTable, key)
		if err != nil {
			return 0, err
		}
		if row == nil && i == 0 {
			return 0, nil
		}
		changed, err := getOrNil(tx, knownTable, key)
		if err != nil {
			return 0, err
		}
		for _, r := range [][]byte{row, changed} { // both begin with a record's index
			f := fields{rest: r}
			version = max(version, f.number())
		}
	}
	return version, nil
}

// kept wants what is kept to be of a manifest that is there, and kept by this registry.
func (c *checker) kept(ctx context.Context, tx storage.Reader, item storage.Item) error {
	if err := c.ofManifest(ctx, tx, item); err != nil {
		return err
	}
	return c.checkKept(item)
}

// ofManifest wants the manifest of a row to be there, whose key is the same.
func (c *checker) ofManifest(_ context.Context, tx storage.Reader, item storage.Item) error {
	row, err := getOrNil(tx, manifestTable, item.Key)
	if err == nil && row == nil {
		repo, _ := cutRepo(item.Key)
		return damaged("%s keeps what was known of a manifest that is not there", repo)
	}
	return err
}
