package independent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// receiptKey is a key in /keys/receipts.json.
type receiptKey struct {
	Hint   string
	PEM    string
	Ranges []span
	der    []byte
	key    *ecdsa.PublicKey
}

// span is records from From on, before To, or without an end.
type span struct {
	From uint64
	To   *uint64
}

// statement is one of a page of /api/v1/records/statements.
type statement struct {
	Index     uint64
	Payload   []byte
	Signature []byte
	Key       string
}

// inToto is an in-toto statement about a record.
type inToto struct {
	Subject       []struct{ Digest map[string]string }
	PredicateType string
	Predicate     *record
}

// receiptOf is a record whose receipt has to hold the same.
type receiptOf struct {
	statement
	digest string
	log    *servedLog
}

func (v *visit) readKeys(ctx context.Context) error {
	var file struct{ Keys []*receiptKey }
	if err := v.getJSON(ctx, "/keys/receipts.json", &file); err != nil {
		return err
	}
	v.keys = make(map[string]*receiptKey)
	for _, k := range file.Keys {
		if err := k.parse(); err != nil {
			return err
		}
		v.keys[k.Hint] = k
	}
	return nil
}

// parse reads the key itself, which has to be the one that its hint names.
func (k *receiptKey) parse() error {
	block, _ := pem.Decode([]byte(k.PEM))
	if block == nil {
		return refuse("the receipt key %s is not PEM", k.Hint)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	var ok bool
	if k.key, ok = public.(*ecdsa.PublicKey); err != nil || !ok {
		return refuse("the receipt key %s is no ECDSA key", k.Hint)
	}
	k.der = block.Bytes
	if sum := sha256.Sum256(k.der); hex.EncodeToString(sum[:]) != k.Hint {
		return refuse("the receipt key %s is another one", k.Hint)
	}
	return nil
}

// signs says whether the key was in force for a record.
func (k *receiptKey) signs(index uint64) bool {
	return slices.ContainsFunc(k.Ranges, func(s span) bool { return index >= s.From && (s.To == nil || index < *s.To) })
}

// readRecords reads all statements, in order: each has to be its leaf, signed by the key in force, and is replayed.
func (v *visit) readRecords(ctx context.Context, m *Memory) error {
	if err := v.readKeys(ctx); err != nil {
		return err
	}
	v.spans = make(map[string][]span)
	inForce := m.Key
	for i, l := range v.logs {
		roots := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
		for roots.End() < l.now.Size {
			page, err := v.page(ctx, l, l.First+roots.End())
			if err != nil {
				return err
			}
			for j := range page.statements {
				if inForce, err = v.record(i, &page.statements[j], page.leaves[j], inForce); err != nil {
					return err
				}
				if err := roots.Append(page.leaves[j][:], nil); err != nil {
					return err
				}
			}
		}
		if err := v.entries(ctx, l); err != nil {
			return err
		}
		root, err := roots.GetRootHash(nil)
		if err != nil {
			return err
		}
		if l.now.Size > 0 && !bytes.Equal(root, l.now.Root) {
			return refuse("the records of the log %s make another root than its checkpoint has", l.Origin)
		}
	}
	for _, k := range v.keys {
		if !sameSpans(k.Ranges, v.spans[k.Hint]) {
			return refuse("the receipt key %.12s… signed other records than /keys/receipts.json says", k.Hint)
		}
	}
	if len(v.state.wrong) > 0 {
		return refuse("%s", strings.Join(v.state.wrong, "\n"))
	}
	return nil
}

func sameSpans(a, b []span) bool {
	return slices.EqualFunc(a, b, func(a, b span) bool {
		return a.From == b.From && (a.To == nil) == (b.To == nil) && (a.To == nil || *a.To == *b.To)
	})
}

// leafPage is some statements, and what the log has at their places.
type leafPage struct {
	statements []statement
	leaves     []tlog.Hash
}

func (v *visit) page(ctx context.Context, l *servedLog, from uint64) (p leafPage, err error) {
	limit := min(1000, l.end()-from)
	var page struct {
		From, To   uint64
		Statements []statement
	}
	if err := v.getJSON(ctx, fmt.Sprintf("/api/v1/records/statements?from=%d&limit=%d", from, limit), &page); err != nil {
		return p, err
	}
	p.statements = page.Statements
	if page.From != from || page.To <= from || page.To > from+limit || uint64(len(p.statements)) != page.To-from {
		return p, refuse("of the records from %d up to %d there are %d statements", from, page.To, len(p.statements))
	}
	at := make([]int64, len(p.statements))
	for i := range at {
		at[i] = tlog.StoredHashIndex(0, int64(from-l.First)+int64(i))
	}
	if p.leaves, err = l.hashes().ReadHashes(at); err != nil {
		return p, refuse("the tiles of %s: %v", l.Origin, err)
	}
	for i, s := range p.statements {
		if s.Index != from+uint64(i) {
			return p, refuse("where record %d should be, is record %d", from+uint64(i), s.Index)
		}
	}
	return p, nil
}

// entries wants the bundles of the log's entries (C2SP tlog-tiles) to hold what the leaves are the hashes of.
func (v *visit) entries(ctx context.Context, l *servedLog) error {
	const width = 256
	for from := uint64(0); from < l.now.Size; from += width {
		tile := tlog.Tile{H: 8, L: 0, N: int64(from / width), W: int(min(width, l.now.Size-from))}
		path := "/log/" + l.Origin + "/tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
		data, err := v.get(ctx, path)
		if err != nil {
			return err
		}
		for i := range tile.W {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return refuse("%s ends before its entry %d", path, i)
			}
			n := 2 + int(binary.BigEndian.Uint16(data))
			if !v.next.good[tlog.RecordHash(data[2:n])] {
				return refuse("entry %d of %s is the leaf of no record", i, path)
			}
			data = data[n:]
		}
		if len(data) > 0 {
			return refuse("%s has more entries than %d", path, tile.W)
		}
	}
	return nil
}

// pae is what is signed of a statement (DSSE).
func pae(payload []byte) []byte {
	const kind = "application/vnd.in-toto+json"
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(kind), kind, len(payload)), payload...)
}

// leafOf is what the log holds of a statement: docs/verify.md, "By hand".
func leafOf(sum [sha256.Size]byte, signature, der []byte) tlog.Hash {
	b64 := base64.StdEncoding.EncodeToString
	return tlog.RecordHash(fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},`+
		`"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"%s"}}}}}}`,
		b64(sum[:]), b64(signature), b64(der)))
}

// record checks a statement and replays it. It returns the key that is in force from the next record on.
func (v *visit) record(log int, s *statement, leaf tlog.Hash, inForce string) (string, error) {
	l, sum, key := v.logs[log], sha256.Sum256(pae(s.Payload)), v.keys[s.Key]
	switch {
	case key == nil:
		return "", refuse("record %d is signed with a key that is not there", s.Index)
	case leafOf(sum, s.Signature, key.der) != leaf:
		return "", refuse("record %d is not leaf %d of the log %s", s.Index, s.Index-l.First, l.Origin)
	case !v.next.good[leaf] && !ecdsa.VerifyASN1(key.key, sum[:], s.Signature):
		return "", refuse("record %d is not what its key signed", s.Index)
	}
	v.next.good[leaf] = true
	var parsed inToto
	if err := json.Unmarshal(s.Payload, &parsed); err != nil || parsed.Predicate == nil || len(parsed.Subject) != 1 {
		return "", refuse("record %d is no statement about one subject: %v", s.Index, err)
	}
	r := parsed.Predicate
	algorithm, hex, _ := strings.Cut(r.Digest, ":")
	switch {
	case r.Index != s.Index || r.Log == nil || r.Log.Origin != l.Origin || r.Log.Leaf != s.Index-l.First:
		return "", refuse("record %d says that it is record %d, at %+v", s.Index, r.Index, r.Log)
	case parsed.Subject[0].Digest[algorithm] != hex:
		return "", refuse("record %d is about %s, and its statement about %v", s.Index, r.Digest, parsed.Subject[0].Digest)
	}
	next, err := v.keyAfter(log, s, r, inForce)
	if err != nil {
		return "", err
	}
	v.report.Records++
	v.report.Actions[r.Action]++
	if s.Index == l.First || s.Index+1 == l.end() || next != inForce || s.Index%v.each == 0 {
		v.check = append(v.check, receiptOf{*s, hex, l})
	}
	v.state.apply(r)
	return next, nil
}

// keyAfter wants a record to be signed by the key that the records before it, or itself at the beginning of a log, put in
// force. The first record of a log names the end of the one before it.
func (v *visit) keyAfter(log int, s *statement, r *record, inForce string) (next string, err error) {
	l, first := v.logs[log], s.Index == v.logs[log].First
	switch {
	case first && log == 0:
		if inForce == "" {
			inForce = s.Key // the first visit trusts what it finds
		}
		v.next.Key = inForce
		v.begin(inForce, s.Index)
	case first:
		before := v.logs[log-1]
		c := r.Continues
		if c == nil || c.Origin != before.Origin || c.Checkpoint != before.ended.Signed || c.Size != before.ended.Size ||
			!bytes.Equal(c.RootHash, before.ended.Root) || c.Records != l.First {
			return "", refuse("record %d begins the log %s, and does not name the end of %s", s.Index, l.Origin, before.Origin)
		}
		if r.Key == nil || r.Key.Previous != inForce {
			return "", refuse("record %d begins the log %s, and does not say which key signs instead of %.12s…", s.Index, l.Origin, inForce)
		}
		inForce = r.Key.Hint
		v.begin(inForce, s.Index)
	}
	if s.Key != inForce {
		return "", refuse("record %d is signed with the key %.12s…, and %.12s… was in force", s.Index, s.Key, inForce)
	}
	if r.Key == nil || first {
		return inForce, nil
	}
	if r.Key.Previous != inForce || v.keys[r.Key.Hint] == nil {
		return "", refuse("record %d puts the key %.12s… in force after %.12s…, which was not", s.Index, r.Key.Hint, r.Key.Previous)
	}
	v.begin(r.Key.Hint, s.Index+1)
	return r.Key.Hint, nil
}

// begin notes that a key is in force from a record on, and the one before it no more.
func (v *visit) begin(hint string, from uint64) {
	for _, of := range v.spans {
		if last := &of[len(of)-1]; last.To == nil {
			last.To = &from
		}
	}
	v.spans[hint] = append(v.spans[hint], span{From: from})
}
