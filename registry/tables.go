package registry

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// The tables of this room. In keys, REPO is a repository's name followed by a zero byte, which no name
// holds, and DIGEST is one byte for the algorithm followed by the hash, so its length is known from its
// first byte. "→ nothing" rows say by being there.
const (
	// REPO without the zero byte → nothing. There while the repository has a manifest.
	repositoryTable = storage.Table("registry/repository")
	// REPO DIGEST → manifestRow.
	manifestTable = storage.Table("registry/manifest")
	// REPO tag → tagRow.
	tagTable = storage.Table("registry/tag")
	// REPO DIGEST tag → nothing. The tags of a manifest.
	taggedTable = storage.Table("registry/tagged")
	// DIGEST → blobRow.
	blobTable = storage.Table("registry/blob")
	// DIGEST → the bytes of a small blob, as long as its blobRow says that they are here: small.go.
	smallTable = storage.Table("registry/small")
	// REPO without the zero byte → usageRow. What a repository uses: usage.go.
	usageTable = storage.Table("registry/usage")
	// "document" → JSON of quotas; "version" → its version (8 bytes), for those who want to know whether theirs is still the one.
	quotaTable = storage.Table("registry/quota")
	// the pattern of a quota → quotaRow. There as long as the quota is.
	quotaUseTable = storage.Table("registry/quotaUse")
	// REPO DIGEST → linkRow. There while the blob can be read in the repository.
	linkTable = storage.Table("registry/link")
	// DIGEST REPO without the zero byte → nothing. The repositories that link a blob.
	linkedTable = storage.Table("registry/linked")
	// REPO DIGEST(manifest) DIGEST(blob or manifest) → nothing, or 1 for what may be absent. What a manifest
	// refers to, whether it is there or not; but for its subject: references.go.
	needsTable = storage.Table("registry/needs")
	// REPO DIGEST(blob or manifest) DIGEST(manifest) → nothing. The manifests that refer to it.
	neededTable = storage.Table("registry/needed")
	// REPO DIGEST(subject) DIGEST(manifest) → referrerRow.
	referrerTable = storage.Table("registry/referrer")
	// REPO DIGEST(manifest) → DIGEST(subject).
	subjectTable = storage.Table("registry/subject")
	// REPO DIGEST(image) → provenanceRow. There while the image has had a tag since it arrived.
	provenanceTable = storage.Table("registry/provenance")
	// REPO DIGEST(manifest or a layer) DIGEST(image) → nothing. What is rendered of an image's provenance: several images
	// may have a layer in common. Older versions wrote REPO DIGEST(manifest or a layer) → DIGEST(image).
	renderedTable = storage.Table("registry/rendered")
	// a hash of each layer (8), 0, REPO DIGEST → a hash of each diff id (8), or nothing where they are not known. Images
	// in the order of their layers: layers.go.
	layersTable = storage.Table("registry/layers")
	// a hash of each diff id (8), 0, REPO DIGEST → nothing. Images in the order of their diff ids: diffs.go.
	diffsTable = storage.Table("registry/diffs")
	// kind (1), a name in lower case from a word on (up to 32), 0, REPO without the zero byte → nothing; or, of a tag, REPO tag.
	// Names by their words: words.go. They are there while the name is, once the indexer has come to its record.
	wordTable = storage.Table("registry/word")
	// begin of the lease (8, microseconds of the registry's clock) REPO DIGEST(blob) → nothing. For each link whose
	// lease may end: one that a manifest needs, or that has a later lease, is passed over.
	leaseTable = storage.Table("registry/lease")
	// location → size. Sealed files that no row names any more, and that are to be removed; or "store." and a blob's label, for one whose
	// bytes were in the store and are gone.
	removalTable = storage.Table("registry/trash")
	// REPO DIGEST → trashRow. The manifests in the trash: trash.go.
	trashTable = storage.Table("registry/deleted")
	// until when it stays (8, microseconds of the registry's clock) REPO DIGEST → nothing. The same in the order of time.
	trashEndTable = storage.Table("registry/deletedend")
	// REPO DIGEST tag → index of the record with which it ended. The tags that ended with a manifest in the trash.
	trashTagTable = storage.Table("registry/deletedtag")
	// REPO DIGEST(manifest in the trash) DIGEST(blob or manifest) → how it names it (1 byte). What the trash holds.
	trashHoldTable = storage.Table("registry/deletedholds")
	// REPO DIGEST(blob or manifest) DIGEST(manifest in the trash) → the same.
	trashHeldTable = storage.Table("registry/deletedheld")
	// REPO DIGEST → nothing, or index of the record of the deletion that was undone. Manifests that have left the trash, whose
	// holds there have to go, and so do the tags, or they are set again first.
	leavingTable = storage.Table("registry/leaving")
	// REPO DIGEST → linkRow. Links whose lease has ended, of blobs that the trash holds there: hidden.go.
	hiddenTable = storage.Table("registry/hidden")
	// DIGEST REPO without the zero byte → nothing. The repositories in which a blob is hidden.
	hiddenInTable = storage.Table("registry/hiddenin")
	// "sum" → how many manifests are in the trash, and how many bytes of blobs only it holds.
	trashSumTable = storage.Table("registry/deletedsum")
	// DIGEST and, of a manifest that is kept in the store, its REPO without the zero byte → damageRow. What is
	// not what its digest says: scrub_mark.go. A blob's own row says so too.
	damagedTable = storage.Table("registry/damaged")
	// REPO DIGEST → index of a record. The last that changed what is known of an image, after it came: evidence.go.
	knownTable = storage.Table("registry/evidence")
	// REPO DIGEST → index of a record, then bytes under a MAC: kept.go. What was thought of an image while that was the
	// last record.
	keptTable = storage.Table("registry/kept")
	// REPO DIGEST → heldRow. Until when an image is held; also of one that was deleted, and holds that have passed: hold.go.
	heldTable = storage.Table("registry/held")
	// REPO DIGEST → index of the record that brought it. What a mirror holds: withheld.go. It may be another that is there now, or none.
	withheldTable = storage.Table("registry/withheld")
	// "clock" → what the registry's clock shows (8), what it showed first (8): clock.go.
	clockTable = storage.Table("registry/clock")
	// id of an upload → idleRow. What the last sweep saw of it: idle.go.
	idleTable = storage.Table("registry/idle")
	// "state" → JSON, a scrubState. How far the scrub has come.
	scrubTable = storage.Table("registry/scrub")
	// REPO DIGEST → index of the record of its deletion. A deleted manifest that has tags or references left
	// whose rows have to go: going.go.
	goingTable = storage.Table("registry/going")
	// REPO DIGEST → nothing. A manifest of an older version whose references have no rows yet: complete.go.
	incompleteTable = storage.Table("registry/incomplete")
	// the name of something that is done once → 1: render_old.go.
	doneTable = storage.Table("registry/done")
	// REPO, then a tag, a DIGEST or nothing for the repository itself → pullRow. What was pulled, and when: pulls_row.go. They
	// follow from no record, and can be erased.
	pullTable = storage.Table("registry/pull")
	// REPO DIGEST → pullRow. The pulls of a manifest that all its tags and indexes do not count yet: pulls_spread.go.
	duePullTable = storage.Table("registry/duePull")
	// "state" → JSON, a pullState; REPO → JSON, a forgotten. Since when all pulls are counted: pulls_state.go.
	pullStateTable = storage.Table("registry/pullState")
	// a number (8) → which marks a change has moved: moves.go. Written where several processes work on the store.
	movesTable = storage.Table("registry/moves")
	// "last" → the number of the last of them (8).
	lastMoveTable = storage.Table("registry/lastMove")
	// "secret" → 32 random bytes.
	secretTable = storage.Table("registry/secret")
)

var secretKey = []byte("secret")

// The first byte of a DIGEST. Never give one a new meaning.
const (
	sha256Byte = 1
	sha512Byte = 2
)

// digestKey returns the DIGEST of a digest that was parsed before.
func digestKey(d digest.Digest) []byte {
	key := make([]byte, 1, 65)
	key[0] = sha256Byte
	if d.Algorithm() == digest.SHA512 {
		key[0] = sha512Byte
	}
	key, err := hex.AppendDecode(key, []byte(d.Encoded()))
	if err != nil {
		panic(fmt.Sprintf("digest %q was not parsed", d)) // a bug: parseDigest lets none through
	}
	return key
}

// cutDigest reads a DIGEST at the start of a key, and returns what follows it.
func cutDigest(key []byte) (d digest.Digest, rest []byte, err error) {
	algorithm, size := digest.SHA256, 32
	switch {
	case len(key) > 0 && key[0] == sha256Byte:
	case len(key) > 0 && key[0] == sha512Byte:
		algorithm, size = digest.SHA512, 64
	default:
		size = len(key)
	}
	if len(key) < 1+size {
		return "", nil, fmt.Errorf("%w: a key holds no digest", storage.ErrCorrupt)
	}
	// As digest.NewDigestFromBytes makes it, without fmt: a plan of retention reads hundreds of thousands.
	text := append(make([]byte, 0, len(algorithm)+1+2*size), algorithm...)
	text = hex.AppendEncode(append(text, ':'), key[1:1+size])
	return digest.Digest(text), key[1+size:], nil
}

func repoKey(repo string, rest ...[]byte) []byte {
	key := make([]byte, 0, len(repo)+1+130)
	key = append(append(key, repo...), 0)
	for _, r := range rest {
		key = append(key, r...)
	}
	return key
}

// cutRepo splits a key that begins with REPO.
func cutRepo(key []byte) (repo string, rest []byte) {
	name, rest, _ := bytes.Cut(key, []byte{0})
	return string(name), rest
}

// getOrNil is Get for rows that may be absent.
func getOrNil(tx storage.Reader, table storage.Table, key []byte) ([]byte, error) {
	value, err := tx.Get(table, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return value, err
}

// manifestRow is a manifest in a repository.
type manifestRow struct {
	record    uint64 // the record that put it there
	mediaType string
	size      int64
	// content is the manifest, or empty for one larger than maxInline: then it is kept as a blob of the
	// same digest, which it needs itself.
	content []byte
}

// maxInline is the size in bytes up to which manifests live in the store. Larger values would make every
// commit beside them write that much.
const maxInline = 64 << 10

func (m manifestRow) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(m.content)+len(m.mediaType)+24), m.record)
	b = binary.AppendUvarint(b, uint64(m.size))
	b = appendString(b, m.mediaType)
	return append(b, m.content...)
}

// decodeManifestRow reads a row. Its content is a part of value, not a copy.
func decodeManifestRow(value []byte) (manifestRow, error) {
	f := fields{rest: value}
	m := manifestRow{record: f.number(), size: int64(f.number()), mediaType: f.string(), content: f.rest}
	return m, f.err("manifest")
}

// tagRow is what a tag means.
type tagRow struct {
	record uint64 // the record that set it
	digest digest.Digest
}

func (t tagRow) encode() []byte {
	return append(binary.AppendUvarint(nil, t.record), digestKey(t.digest)...)
}

func decodeTagRow(value []byte) (t tagRow, err error) {
	f := fields{rest: value}
	t.record = f.number()
	if err := f.err("tag"); err != nil {
		return t, err
	}
	t.digest, _, err = cutDigest(f.rest)
	return t, err
}

// blobRow is where the bytes of a blob are.
type blobRow struct {
	size int64
	at   storage.Location
	// damaged: its file was found to be lost, or not what its digest says. It is not served, and anyone who pushes
	// it again gives it another file. Rows without it end after the location, as older versions write and read them.
	damaged bool
}

func (b blobRow) encode() []byte {
	row := appendString(binary.AppendUvarint(nil, uint64(b.size)), string(b.at))
	if b.damaged {
		row = append(row, 1)
	}
	return row
}

func decodeBlobRow(value []byte) (blobRow, error) {
	f := fields{rest: value}
	b := blobRow{size: int64(f.number()), at: storage.Location(f.string())}
	b.damaged = len(f.rest) > 0 && f.rest[0] == 1
	return b, f.err("blob")
}

// provenanceRow says which record an image's provenance is rendered from, and under which digests.
type provenanceRow struct {
	record   uint64
	manifest []byte   // DIGEST
	layers   [][]byte // DIGEST of each: the envelope and, since there is one, the receipt
}

// parts are the digests under which it is found.
func (p provenanceRow) parts() [][]byte { return append([][]byte{p.manifest}, p.layers...) }

func (p provenanceRow) encode() []byte {
	return append(binary.AppendUvarint(nil, p.record), bytes.Join(p.parts(), nil)...)
}

func decodeProvenanceRow(value []byte) (p provenanceRow, err error) {
	f := fields{rest: value}
	p.record = f.number()
	if err := f.err("provenance"); err != nil {
		return p, err
	}
	manifest, rest, err := cutDigest(f.rest)
	if err != nil {
		return p, err
	}
	p.manifest = digestKey(manifest)
	for more := true; more; more = len(rest) > 0 {
		var layer digest.Digest
		if layer, rest, err = cutDigest(rest); err != nil {
			return p, err
		}
		p.layers = append(p.layers, digestKey(layer))
	}
	return p, nil
}

// linkRow says why a blob is in a repository, and since when it may go.
type linkRow struct {
	from  string // the repository that it was mounted from; empty when it was pushed
	lease uint64 // when its lease began, in microseconds since 1970
}

func (l linkRow) encode() []byte { return binary.AppendUvarint(appendString(nil, l.from), l.lease) }

func decodeLinkRow(value []byte) (linkRow, error) {
	f := fields{rest: value}
	l := linkRow{from: f.string(), lease: f.number()}
	return l, f.err("link")
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// fields reads the parts of a row. After one that is not there, all are zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) number() uint64 {
	n, size := binary.Uvarint(f.rest)
	if size <= 0 || f.bad {
		f.bad, f.rest = true, nil
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) signed() int64 {
	n, size := binary.Varint(f.rest)
	if size <= 0 || f.bad {
		f.bad, f.rest = true, nil
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) string() string {
	n := f.number()
	if n > uint64(len(f.rest)) {
		f.bad, f.rest = true, nil
		return ""
	}
	s := string(f.rest[:n])
	f.rest = f.rest[n:]
	return s
}

func (f *fields) err(row string) error {
	if f.bad {
		return fmt.Errorf("%w: a %s row is cut short", storage.ErrCorrupt, row)
	}
	return nil
}
