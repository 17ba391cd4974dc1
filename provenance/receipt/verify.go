package receipt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxBundle is the longest receipt that is read, in bytes.
const MaxBundle = 512 << 10

// PredicateType names the predicate of the statements that receipts are about.
const PredicateType = "https://github.com/seed-260924e6/hallmark/record/v1"

// ErrRefused says that something is not a receipt that these logs, keys and witnesses stand for.
var ErrRefused = errors.New("refused")

// ErrUnknownKey says that a receipt is refused because of the key that signed its statement.
var ErrUnknownKey = errors.New("which is not a trusted one")

func refusef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// Verified is what a receipt proves: that a log of this checkpoint holds this statement at this place, and
// that the key signed it.
type Verified struct {
	Statement  []byte           // the payload, which is a valid in-toto statement about a record
	Index      uint64           // of the record
	Leaf       uint64           // the record's place in its log
	Entry      tlog.Hash        // the hash of the leaf
	Proof      tlog.RecordProof // that it is there in the tree of the checkpoint
	Checkpoint checkpoint.Checkpoint
	Signed     string // the checkpoint's signed note
	Log        LogEntry
	Key        *Key
	Cosigned   []string // names of the demanded witnesses, which all cosigned
	Unchecked  []string // names in other signatures of the checkpoint; nobody looked at these
}

// Verify checks a receipt, a bundle as JSON, and refuses it with ErrRefused when anything in it does not
// follow from the rest, or from what is trusted: also what stock tools pass over.
//
// The bundle is taken apart, its signatures and proof are checked, and it is put together again from what
// was checked. What is in it more, less or else than that is refused by name.
func Verify(data []byte, trust Trust) (*Verified, error) {
	b, err := parseBundle(data)
	if err != nil {
		return nil, err
	}
	v := &Verified{Statement: b.Envelope.Payload}
	r, err := v.checkProof(b, trust)
	if err != nil {
		return nil, err
	}
	if err := sameJSON(data, r); err != nil {
		return nil, err
	}
	return v, v.checkStatement(trust)
}

// OriginOf returns the log that a receipt says to be in, or "" for what is no receipt. It checks nothing.
func OriginOf(data []byte) string {
	b, err := parseBundle(data)
	if err != nil {
		return ""
	}
	c, err := checkpoint.Parse(b.Material.Entries[0].Proof.Checkpoint.Envelope)
	if err != nil {
		return ""
	}
	return c.Origin
}

// StatementIn returns the statement of what is to be a receipt, and the leaf that it says to be, or nothing. It checks nothing.
func StatementIn(data []byte) (statement []byte, leaf uint64) {
	b, err := parseBundle(data)
	if err != nil {
		return nil, 0
	}
	return b.Envelope.Payload, b.Material.Entries[0].LogIndex
}

// KeyIn returns the key in the log's entry of what is to be a receipt, or nil: anyone who knows its hint otherwise has the key
// with it. It checks nothing.
func KeyIn(data []byte) *Key {
	b, err := parseBundle(data)
	if err != nil {
		return nil
	}
	var entry struct {
		Spec struct {
			Record struct {
				Signature struct {
					Verifier struct {
						PublicKey struct {
							RawBytes []byte `json:"rawBytes"`
						} `json:"publicKey"`
					} `json:"verifier"`
				} `json:"signature"`
			} `json:"hashedRekordV002"`
		} `json:"spec"`
	}
	if err := strictjson.Unmarshal(b.Material.Entries[0].Body, &entry); err != nil {
		return nil
	}
	key, err := ParseKeyDER(entry.Spec.Record.Signature.Verifier.PublicKey.RawBytes)
	if err != nil {
		return nil
	}
	return key
}

// parseBundle reads a bundle that has the parts of a receipt.
func parseBundle(data []byte) (*bundle, error) {
	if len(data) > MaxBundle {
		return nil, refusef("a receipt has no more than %d bytes, this file has %d", MaxBundle, len(data))
	}
	var b bundle
	if err := strictjson.Unmarshal(data, &b); err != nil {
		return nil, refusef("it is no sigstore bundle that all readers read alike: %w", err)
	}
	if b.MediaType != MediaType {
		return nil, refusef("its mediaType is %q, a receipt has %q", b.MediaType, MediaType)
	}
	if len(b.Material.Entries) != 1 || len(b.Envelope.Signatures) != 1 {
		return nil, refusef("it has %d log entries and %d signatures, a receipt has one each", len(b.Material.Entries), len(b.Envelope.Signatures))
	}
	return &b, nil
}

// checkProof checks the signatures and the inclusion proof, and returns the receipt that was proved.
func (v *Verified) checkProof(b *bundle, trust Trust) (r *Receipt, err error) {
	e := b.Material.Entries[0]
	r = &Receipt{
		Payload: b.Envelope.Payload, Signature: b.Envelope.Signatures[0].Sig,
		Leaf: e.LogIndex, Checkpoint: e.Proof.Checkpoint.Envelope,
	}
	if err := v.checkCheckpoint(r.Checkpoint, trust); err != nil {
		return nil, err
	}
	l, err := v.Log.Log()
	if err != nil {
		return nil, err
	}
	r.LogID = l.ID()
	if r.Key, err = trust.key(b.Material.PublicKey.Hint); err != nil {
		return nil, err
	}
	if !r.Key.Verify(r.Payload, r.Signature) {
		return nil, refusef("the signature is not of this statement by the key %.12s…", r.Key.hint)
	}
	if r.Proof, err = parseHashes(e.Proof.Hashes); err != nil {
		return nil, err
	}
	leaf := tlog.RecordHash(Body(r.Payload, r.Signature, r.Key))
	if r.Leaf >= v.Checkpoint.Size || tlog.CheckRecord(r.Proof, int64(v.Checkpoint.Size), v.Checkpoint.Root, int64(r.Leaf), leaf) != nil {
		return nil, refusef("the proof does not show this statement at leaf %d of the log %s of %d leaves", r.Leaf, v.Checkpoint.Origin, v.Checkpoint.Size)
	}
	v.Key, v.Leaf, v.Signed, v.Entry, v.Proof = r.Key, r.Leaf, r.Checkpoint, leaf, r.Proof
	return r, nil
}

func parseHashes(hashes [][]byte) (p tlog.RecordProof, err error) {
	for _, h := range hashes {
		if len(h) != tlog.HashSize {
			return nil, refusef("a hash of the proof has %d bytes", len(h))
		}
		p = append(p, tlog.Hash(h))
	}
	return p, nil
}

// key finds the key that a receipt names.
func (t Trust) key(hint string) (*Key, error) {
	for _, e := range t.Keys {
		if e.Hint == hint {
			return e.key()
		}
	}
	return nil, refusef("it is signed with the key %.80q, %w", hint, ErrUnknownKey)
}

// checkCheckpoint checks who signed a checkpoint, and that the log had not ended before.
func (v *Verified) checkCheckpoint(signed string, trust Trust) (err error) {
	if err := exactNote(signed); err != nil {
		return err
	}
	if v.Checkpoint, err = checkpoint.Parse(signed); err != nil {
		return refusef("%w", err)
	}
	log, err := v.findLog(trust)
	if err != nil {
		return err
	}
	n, err := note.Open([]byte(signed), note.VerifierList(append([]note.Verifier{log}, trust.Witnesses...)...))
	if err != nil {
		return refusef("the checkpoint of the log %s: %w", v.Checkpoint.Origin, err)
	}
	if !signedBy(n, log) {
		return refusef("the log %s has not signed its checkpoint", v.Checkpoint.Origin)
	}
	for _, w := range trust.Witnesses {
		if !signedBy(n, w) {
			return refusef("the witness %s has not cosigned the checkpoint of %d leaves", w.Name(), v.Checkpoint.Size)
		}
		v.Cosigned = append(v.Cosigned, w.Name())
	}
	for _, s := range n.UnverifiedSigs {
		v.Unchecked = append(v.Unchecked, s.Name)
	}
	if trust.AnySize {
		return nil
	}
	return v.checkClosing(len(trust.Witnesses) > 0)
}

// signedBy says whether a signature of this verifier was checked.
func signedBy(n *note.Note, v note.Verifier) bool {
	return slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() })
}

// findLog finds the log that the checkpoint names, and returns what checks its signature.
func (v *Verified) findLog(trust Trust) (note.Verifier, error) {
	for _, e := range trust.Logs {
		if e.Origin == v.Checkpoint.Origin {
			v.Log = e
			return note.NewVerifier(e.VKey)
		}
	}
	return nil, refusef("it is in the log %.80q, which is not a trusted one", v.Checkpoint.Origin)
}

// checkClosing refuses what the key of a closed log may have signed after the end: a thief may have it, and can sign
// checkpoints of any size. What counts is the checkpoint that the log was closed with, and what demanded witnesses cosigned.
func (v *Verified) checkClosing(cosigned bool) error {
	return v.Log.ends(v.Checkpoint, cosigned)
}

// Ends wants a checkpoint that the log signed to count by how it ended: as its last one, or that of what is kept of it. A log that
// goes on takes any. Error: ErrRefused.
func (e LogEntry) Ends(c checkpoint.Checkpoint) error { return e.ends(c, false) }

func (e LogEntry) ends(c checkpoint.Checkpoint, cosigned bool) error {
	end := e.Closed
	switch {
	case end == nil, end.Checkpoint == "" && cosigned:
		return nil
	case end.Checkpoint == "":
		return refusef("the log %s was closed on %s, and it is not known with which checkpoint: rely on a list of its logs, /keys/logs.json, or demand a witness",
			e.Origin, end.Time.Format(time.DateOnly))
	}
	last, err := checkpoint.Parse(end.Checkpoint)
	if err != nil {
		return fmt.Errorf("the last checkpoint of the log %s: %w", e.Origin, err)
	}
	if c.Size > last.Size {
		return refusef("the log %s was closed at %d leaves (%s), and this checkpoint has %d: fetch the receipt again, or rely on a list of logs from before",
			e.Origin, last.Size, end.Reason, c.Size)
	}
	if c.Size == last.Size && c.Root != last.Root {
		return refusef("the log %s was closed with another root hash", e.Origin)
	}
	if c.Size == last.Size || cosigned {
		return nil
	}
	return e.checkKept(c, last.Size)
}

// checkKept wants the checkpoint to be that of what is kept of a closed log, where that is less than it had.
func (e LogEntry) checkKept(c checkpoint.Checkpoint, size uint64) error {
	end := e.Closed
	if end.Kept != "" {
		kept, err := checkpoint.Parse(end.Kept)
		if err != nil {
			return fmt.Errorf("the checkpoint of what is kept of the log %s: %w", e.Origin, err)
		}
		if kept == c {
			return nil
		}
	}
	return refusef("the log %s was closed at %d leaves (%s), and this checkpoint of %d may be signed after that: fetch the receipt again, "+
		"which is then proved by the last one, or demand a witness that cosigned it", e.Origin, size, end.Reason, c.Size)
}

// exactNote refuses a signed note that could be spelled otherwise: base64 has bits that say nothing.
func exactNote(signed string) error {
	_, lines, ok := strings.Cut(signed, "\n\n")
	if !ok || len(signed) > checkpoint.MaxText {
		return refusef("its checkpoint is no signed note")
	}
	for line := range strings.Lines(lines) {
		_, sig, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		if _, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(sig, "\n")); err != nil {
			return refusef("a signature of its checkpoint is not base64: %w", err)
		}
	}
	return nil
}

// statedLeaf is the leaf that a statement says is its record.
type statedLeaf struct {
	Origin string  `json:"origin"`
	Leaf   *uint64 `json:"leaf"`
}

// readStatement wants a statement about a record, and returns the place that it names.
func (v *Verified) readStatement() (*statedLeaf, error) {
	var s struct {
		Type          string `json:"_type"`
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			Index *uint64     `json:"index"`
			Log   *statedLeaf `json:"log"`
		} `json:"predicate"`
	}
	if err := strictjson.Unmarshal(v.Statement, &s); err != nil {
		return nil, refusef("the statement is none of a record that all readers read alike: %w", err)
	}
	p := s.Predicate
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != PredicateType || p.Index == nil {
		return nil, refusef("the statement is none of a record of Hallmark, version 1")
	}
	v.Index = *p.Index
	return p.Log, nil
}

// checkStatement checks that the statement is about a record of this log, at this place, and that its key
// may sign it.
func (v *Verified) checkStatement(trust Trust) error {
	l, err := v.readStatement()
	if err != nil {
		return err
	}
	switch {
	case l == nil && v.Index != v.Leaf: // a record from before there was a log, whose leaf is its number
		return refusef("the statement does not say where in the log it is, and record %d is leaf %d", v.Index, v.Leaf)
	case l == nil:
	case l.Leaf == nil || *l.Leaf != v.Leaf || l.Origin != v.Checkpoint.Origin:
		return refusef("the statement says to be another leaf than %d, or in another log than %s", v.Leaf, v.Checkpoint.Origin)
	}
	if first := v.Log.First; first != nil && v.Index != *first+v.Leaf {
		return refusef("the log %s begins with record %d, so its leaf %d is not record %d", v.Log.Origin, *first, v.Leaf, v.Index)
	}
	return v.checkRange(trust)
}

// checkRange checks that the key was in force for this record.
func (v *Verified) checkRange(trust Trust) error {
	if trust.InForce(v.Key.hint, v.Log.Origin, v.Index, v.Leaf) {
		return nil
	}
	return refusef("the key %.12s… was not in force for record %d", v.Key.hint, v.Index)
}
