package evidence

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// A Proof is what a file proves to somebody who relies on some logs, keys and witnesses.
type Proof struct {
	Image      string        `json:"image"` // REPOSITORY[:TAG]@DIGEST
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest"`
	Registry   string        `json:"registry"` // as the newest record about the image says, or who made the file where there is none
	// Own says that nothing but the file itself vouches for its keys: then it fits together, and that is all.
	Own bool `json:"own"`

	Records   []Proved    `json:"records"`
	Logs      []ProvedLog `json:"logs"`
	Keys      []UsedKey   `json:"keys"`
	Chain     *Chain      `json:"chain,omitempty"` // where the image was asked for by a tag
	Documents []InForce   `json:"documents,omitempty"`
	// Unchecked are records about keys in logs that are not among the trusted ones: nothing is taken from them.
	Unchecked []uint64 `json:"unchecked,omitempty"`

	Cover Cover `json:"evidence"`
}

// Proved is a record whose receipt is good.
type Proved struct {
	Index  uint64            `json:"record"`
	About  string            `json:"about"` // what it has to do with the image
	Log    string            `json:"log"`
	Leaf   uint64            `json:"leaf"`
	Key    string            `json:"key"`
	Record provenance.Record `json:"statement"`
}

// ProvedLog is a log, and the checkpoint by which its records are proved.
type ProvedLog struct {
	Origin    string   `json:"origin"`
	Size      uint64   `json:"size"`
	Root      string   `json:"rootHash"`
	Cosigned  []string `json:"cosigned,omitempty"`  // by the witnesses that were demanded
	Unchecked []string `json:"unchecked,omitempty"` // names of other signatures, which nobody looked at
	Closed    string   `json:"closed,omitempty"`    // why it was closed, where it was
}

// A Chain is what the records prove of the moves of the tag.
type Chain struct {
	Tag    string `json:"tag"`
	Newest uint64 `json:"newest"` // the record that set it to the image
	Moves  int    `json:"moves"`  // how many records were followed back from there
	From   uint64 `json:"from"`   // the oldest of them
	Ends   string `json:"ends"`   // why no older one was followed
}

// InForce is a document of the file, and the record that put it in force.
type InForce struct {
	Name   string  `json:"name"`
	Record *uint64 `json:"record,omitempty"` // absent: nothing shows that it is in force
}

// What records have to do with the image.
const (
	aboutImage    = "image"
	aboutPart     = "part" // a platform, or something that is attached
	aboutTag      = "tag"
	aboutKeys     = "keys"
	aboutDocument = "document"
)

// Verify checks every receipt of the file, and what the records say of each other. Logs and keys that are not given are taken
// from the file, which then proves no more than that it fits together. A receipt key may also be known by a record: one that is
// proved, and puts it in force in a log that is trusted. Error: ErrRefused, with the first thing that is wrong.
func (f *File) Verify(given receipt.Trust) (*Proof, error) {
	own, err := f.Own()
	if err != nil {
		return nil, refusef("its own keys: %w", err)
	}
	c := f.Cover
	v := &verifier{file: f, own: own, untrusted: map[string]bool{}, result: &Proof{
		Image: c.Repository + "@" + c.Digest.String(), Repository: c.Repository, Tag: c.Tag, Digest: c.Digest,
		Registry: c.Registry, Own: len(given.Logs) == 0 || len(given.Keys) == 0, Records: []Proved{}, Logs: []ProvedLog{}, Keys: []UsedKey{}, Cover: c,
	}}
	if c.Tag != "" {
		v.result.Image = c.Repository + ":" + c.Tag + "@" + c.Digest.String()
	}
	if len(given.Logs) == 0 {
		given.Logs = own.Logs
	}
	if len(given.Keys) == 0 {
		given.Keys = own.Keys
	}
	v.keys = provenance.NewKeyring(given)
	for _, step := range []func() error{v.sameLogs, v.records, v.chain, v.documents} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return v.result, nil
}

// verifier is a verification on its way.
type verifier struct {
	file   *File
	own    receipt.Trust
	keys   *provenance.Keyring
	signed map[string]string // the checkpoints in the file, by origin

	untrusted map[string]bool // origins of logs whose records were passed over
	result    *Proof
}

// records checks all records, in their order, so that a key is known before what it signed.
func (v *verifier) records() (err error) {
	if v.signed, err = v.file.checkpoints(); err != nil {
		return err
	}
	for _, index := range v.file.Cover.Records {
		if err := v.record(index); err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
	}
	for _, origin := range slices.Sorted(maps.Keys(v.signed)) {
		if !v.untrusted[origin] && !slices.ContainsFunc(v.result.Logs, func(l ProvedLog) bool { return l.Origin == origin }) {
			return refusef("%s%s is in it, and proves no record", checkpointsDir, origin)
		}
	}
	if !slices.ContainsFunc(v.result.Records, func(p Proved) bool { return p.About == aboutImage }) && len(v.file.Cover.Unproved) == 0 {
		return refusef("none of its records is about the image")
	}
	return nil
}

// record checks a receipt and its tlog-proof, and that the record belongs into the file.
func (v *verifier) record(index uint64) error {
	data, err := v.file.read(recordName(index)+receiptSuffix, receipt.MaxBundle)
	if err != nil {
		return err
	}
	if v.passOver(index, data) {
		return nil
	}
	found, err := receipt.Verify(data, v.keys.Trust)
	if err != nil {
		return err
	}
	r, err := provenance.ParseStatement(found.Statement)
	if err != nil {
		return refusef("%w", err)
	}
	if r.Index != index {
		return refusef("the receipt is of record %d", r.Index)
	}
	if err := v.proof(index, data); err != nil {
		return err
	}
	if err := v.log(found); err != nil {
		return err
	}
	about, err := v.about(r)
	if err != nil {
		return err
	}
	if about == aboutImage {
		v.result.Registry = r.Registry
	}
	v.use(found.Key.Hint())
	v.result.Records = append(v.result.Records, Proved{index, about, found.Checkpoint.Origin, found.Leaf, found.Key.Hint(), shortened(*r)})
	if err := v.keys.Follow(r, found.Key.Hint(), v.own.Keys); err != nil {
		return fmt.Errorf("%w in %s", err, receiptsName)
	}
	return nil
}

// shortened is a record without what no proof names: a file may have many.
func shortened(r provenance.Record) provenance.Record {
	r.Claimed = slices.DeleteFunc(slices.Clone(r.Claimed), func(c provenance.Claim) bool {
		return c.Fact != provenance.FactSource && c.Fact != provenance.FactRevision
	})
	r.Observed = provenance.Observation{MediaType: r.Observed.MediaType, ArtifactType: r.Observed.ArtifactType, Size: r.Observed.Size, Subject: r.Observed.Subject}
	return r
}

// proof wants the tlog-proof of a record to be the one that follows from its receipt.
func (v *verifier) proof(index uint64, bundle []byte) error {
	given, err := v.file.read(recordName(index)+proofSuffix, receipt.MaxBundle)
	if err != nil {
		return err
	}
	made, err := receipt.ProofOf(bundle)
	if err == nil && !bytes.Equal(given, made) {
		err = refusef("its tlog-proof is not the one that follows from its receipt")
	}
	return err
}

// log wants the records of a log to be proved by one checkpoint, which is in the file too.
func (v *verifier) log(found *receipt.Verified) error {
	origin := found.Checkpoint.Origin
	if v.signed[origin] == "" || v.signed[origin] != found.Signed {
		return refusef("it is not proved by the checkpoint in %s%s", checkpointsDir, origin)
	}
	if slices.ContainsFunc(v.result.Logs, func(l ProvedLog) bool { return l.Origin == origin }) {
		return nil
	}
	l := ProvedLog{Origin: origin, Size: found.Checkpoint.Size, Root: found.Checkpoint.Root.String(), Cosigned: found.Cosigned, Unchecked: found.Unchecked}
	if found.Log.Closed != nil {
		l.Closed = found.Log.Closed.Reason
	}
	v.result.Logs = append(v.result.Logs, l)
	return nil
}

// about says what a record has to do with the image: one that has nothing to do with it does not belong into the file.
func (v *verifier) about(r *provenance.Record) (string, error) {
	c := v.file.Cover
	switch {
	case r.Key != nil || r.Continues != nil:
		return aboutKeys, nil
	case r.Rules != nil || r.Grant != nil:
		if slices.ContainsFunc(c.Documents, func(d Document) bool { return d.Record != nil && *d.Record == r.Index }) {
			return aboutDocument, nil
		}
	case r.Repository != c.Repository:
	case r.Digest == c.Digest:
		return aboutImage, nil
	case v.file.parts[r.Digest], slices.ContainsFunc(r.Claimed, func(claim provenance.Claim) bool { return v.file.parts[claim.About] }):
		return aboutPart, nil
	default:
		if _, moves := provenance.MoveOf(r, c.Tag); moves && c.Tag != "" {
			return aboutTag, nil
		}
	}
	return "", refusef("it is about %s@%s, and has nothing to do with the image", r.Repository, r.Digest)
}

// chain follows the tag from the newest record of the file that moves it back to the first one that set it.
func (v *verifier) chain() error {
	c := v.file.Cover
	if c.Tag == "" {
		return nil
	}
	moves := map[uint64]*provenance.Record{}
	chain := &Chain{Tag: c.Tag}
	for i := range v.result.Records {
		r := &v.result.Records[i].Record
		if _, ok := provenance.MoveOf(r, c.Tag); ok && r.Repository == c.Repository {
			moves[r.Index], chain.Newest = r, r.Index
		}
	}
	if len(moves) == 0 {
		if len(c.Unproved) > 0 {
			return nil // it was set before there was a log
		}
		return refusef("the tag %s: no record of the file sets it", c.Tag)
	}
	v.result.Chain = chain
	if err := chain.follow(moves, c); err != nil {
		return fmt.Errorf("the tag %s: %w", c.Tag, err)
	}
	return nil
}

func (ch *Chain) follow(moves map[uint64]*provenance.Record, c Cover) error {
	for at, want := moves[ch.Newest], c.Digest; ; {
		move, err := at.SetsTag(c.Repository, c.Tag, want)
		if err != nil {
			return err
		}
		ch.Moves, ch.From = ch.Moves+1, at.Index
		before, ends, err := at.Former(move)
		if err != nil || ends != "" {
			ch.Ends = ends
			return err
		}
		if moves[before] == nil {
			if slices.Contains(c.Unproved, before) || slices.ContainsFunc(c.LeftOut, func(l LeftOut) bool { return strings.Contains(l.What, "records") }) {
				ch.Ends = fmt.Sprintf("record %d, which set what it meant before, is not in the file", before)
				return nil
			}
			return refusef("there is a gap: record %d, which set what it meant before record %d, is not in the file", before, at.Index)
		}
		at, want = moves[before], move.Previous
	}
}

// documents wants the records that documents name to name them.
func (v *verifier) documents() error {
	for _, d := range v.file.Cover.Documents {
		v.result.Documents = append(v.result.Documents, InForce{d.Name, d.Record})
		if d.Record == nil {
			continue
		}
		i := slices.IndexFunc(v.result.Records, func(p Proved) bool { return p.Index == *d.Record })
		if i < 0 || inForceBy(&v.result.Records[i].Record, d.Name) != d.Digest {
			return refusef("record %d does not put the document %s in force", *d.Record, d.Name)
		}
	}
	return nil
}
