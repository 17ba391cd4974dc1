package provenance

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// The tables of this room. Numbers in keys are big-endian, so that they sort.
const (
	// "head" → next index (8 bytes), latest time (8, microseconds since 1970), SHA-256 of the receipt key in
	// force (32, absent until there is one).
	// "chained" → the first record that names the one before it in its repository (8): repository.go.
	// "indexed" → the first record that has no rows in the tables below (8), latest time before it (8).
	// "filled" → the first record that has none in orderedTable, and of which no follower was told (8); 0 where there is no row, as
	// an older version leaves it, which also puts records into the tables below without moving it.
	// "spelled" → the number of [spellings] (8), the first record whose rows may lack some of them (8): spelled.go.
	headTable = storage.Table("provenance/head")
	// index (8) → the signature of the checkpoint that the record's leaf ends, in a frame of its own (none in rows of older
	// versions), and the in-toto statement, as it was first encoded, packed: packed.go.
	recordTable = storage.Table("provenance/record")
	// index (8) → signature of the receipt key over the statement, ASN.1.
	signatureTable = storage.Table("provenance/signature")
	// index (8) of the first record signed by a receipt key → the key's SubjectPublicKeyInfo.
	keyTable = storage.Table("provenance/key")
	// index (8) → JSON of Unsigned. Rows go away with time.
	unsignedTable = storage.Table("provenance/unsigned")
	// what a clock showed that counts while the registry runs (8) → how many records there were then (8): forget.go.
	countTable = storage.Table("provenance/count")
	// dimension (1), hash of the value (16), index (8) → nothing. What a record is found by.
	indexTable = storage.Table("provenance/index")
	// term (17), repository, 0, hash of a digest (16) → index (8) of the first record that says of this digest
	// in this repository what the term means: images.go.
	imageTable = storage.Table("provenance/image")
	// kind (1), a digest or a commit → nothing. What is found by its beginning: ordered.go.
	orderedTable = storage.Table("provenance/ordered")
	// repository → index (8) of its newest record: repository.go.
	newestTable = storage.Table("provenance/newest")
	// latest time up to and including the record (8), index (8) → nothing.
	timeTable = storage.Table("provenance/time")
	// "now" → JSON of RuleDocuments, those in force; RuleKind, 0, version (8) → JSON of a RuleDocument.
	ruleTable = storage.Table("provenance/rule")
	// RuleKind, 0, version (8) → the text of a document, of the newest versions of each kind.
	ruleTextTable = storage.Table("provenance/ruleText")
)

var headKey = []byte("head")

// A dimension is a property that records are found by. Its letter is in keys: never give one a new meaning.
type dimension byte

const (
	byDigest         dimension = 'd'
	byAbout          dimension = 'o' // another digest that a claim or an attested fact is about
	byRepository     dimension = 'r'
	byTag            dimension = 't' // repository, tag
	byIdentity       dimension = 'i' // handle, account
	bySource         dimension = 's' // normal form
	byRevision       dimension = 'v'
	bySourceRevision dimension = 'w' // normal form, revision, about the same digest; of images alone
	byBase           dimension = 'b' // or another material
	byChild          dimension = 'k' // a manifest that an index lists
	byAction         dimension = 'a' // but for Push
	byClass          dimension = 'c' // Attested alone, and words that prove a fork
	byCheckpoint     dimension = 'p' // another registry's log, size: the checkpoints that words are proved by
	bySubtree        dimension = 'h' // another registry's log, level, index: the subtrees whose hashes the proofs of words fix
)

// term is a dimension with a value: the first 17 bytes of the keys of all records that have it. Hashing
// keeps keys short whatever is claimed; a reader compares the record itself, so that a collision, which
// nobody can make, would still do no harm.
type term [17]byte

func newTerm(d dimension, values ...string) (t term) {
	h := sha256.New()
	for _, v := range values {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(v)))
		h.Write(length[:])
		h.Write([]byte(v))
	}
	t[0] = byte(d)
	copy(t[1:], h.Sum(nil))
	return t
}

func (t term) key(index uint64) []byte {
	return binary.BigEndian.AppendUint64(t[:len(t):len(t)], index)
}

// termsOf returns every term that a record is found by, each once. What nearly all records have, as that they
// are pushes, has no rows: reading the records is as fast, and each row would cost every push.
func termsOf(r *Record) map[term]bool {
	terms := termSet{}
	if r.Action != Push {
		terms.add(byAction, string(r.Action))
	}
	terms.add(byIdentity, r.Actor.Handle)
	terms.addKnown(byIdentity, r.Actor.Account)
	terms.addKnown(byRepository, r.Repository)
	for _, tag := range r.Tags {
		terms.add(byTag, r.Repository, tag.Name)
	}
	terms.addKnown(byDigest, r.Digest.String())
	for _, c := range r.Observed.Children {
		terms.add(byChild, c.Digest.String())
	}
	for _, c := range r.Claimed {
		terms.addAbout(r, c.About)
		terms.addAll(factTerms(c.Fact, c.Value))
	}
	for _, u := range r.Unread {
		terms.addAbout(r, u.About)
	}
	if len(r.Attested) > 0 {
		terms.add(byClass, string(Attested))
	}
	terms.addAll(r.Word.terms())
	for _, a := range r.Attested {
		terms.addAbout(r, a.About)
		terms.addAll(factTerms(a.Fact, a.Value))
	}
	return terms
}

// termSet are terms, each once.
type termSet map[term]bool

func (s termSet) add(d dimension, values ...string) { s[newTerm(d, values...)] = true }

// addKnown adds a value that a record may lack.
func (s termSet) addKnown(d dimension, value string) {
	if value != "" {
		s.add(d, value)
	}
}

// addAbout adds what a fact is about, where that is another image than the record's.
func (s termSet) addAbout(r *Record, about digest.Digest) {
	if about != r.Digest {
		s.add(byAbout, about.String())
	}
}

func (s termSet) addAll(terms []term) {
	for _, t := range terms {
		s[t] = true
	}
}

// factTerms returns the terms of a fact.
func factTerms(fact, value string) (terms []term) {
	switch fact {
	case FactSource:
		for _, source := range indexedSources(value) {
			terms = append(terms, newTerm(bySource, source))
		}
	case FactRevision:
		for _, revision := range revisionsFor(value) {
			terms = append(terms, newTerm(byRevision, revision))
		}
	case FactBase, FactMaterial:
		terms = append(terms, newTerm(byBase, value))
	case FactMaterialsLeft:
		terms = append(terms, newTerm(byBase, fact)) // which no digest is
	}
	return terms
}

// claimTerms returns the terms of what a record claims, also of a source together with its revisions: there
// the rows of records meet by themselves, and those of images do not.
func claimTerms(r *Record, c Claim) []term {
	terms := factTerms(c.Fact, c.Value)
	if c.Fact != FactSource {
		return terms
	}
	for _, other := range r.Claimed {
		if other.Fact != FactRevision || other.About != c.About {
			continue
		}
		for _, revision := range revisionsFor(other.Value) {
			for _, source := range indexedSources(c.Value) {
				terms = append(terms, newTerm(bySourceRevision, source, revision))
			}
		}
	}
	return terms
}

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func timeKey(t Time, index uint64) []byte {
	return binary.BigEndian.AppendUint64(micros(t.Time), index)
}

// micros is a time in keys, in their order. A time before 1970, which a clock that was reset asks for, is the first of all, and not the last.
func micros(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(t.UnixMicro(), 0)))
}

// lastIndex reads the index at the end of a key. One that is too short, which nobody of ours wrote, names no record.
func lastIndex(key []byte) uint64 {
	if len(key) < 8 {
		return math.MaxUint64
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
