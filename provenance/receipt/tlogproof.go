package receipt

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/tlog"
)

// ProofMediaType is that of a C2SP tlog-proof, which is text.
const ProofMediaType = "text/plain; charset=utf-8"

// proofHeader is the first line of a C2SP tlog-proof.
const proofHeader = "c2sp.org/tlog-proof@v1"

// TlogProof returns the proof that the record is in the log, without the record, as C2SP tlog-proof v1: the leaf's place,
// the hashes up to the root, and the checkpoint. Its extra data is what the log holds of the record ([Body]), so
// that the file can be checked by itself; like the log, it names no repository and no person.
func (r *Receipt) TlogProof() []byte {
	return formatProof(Body(r.Payload, r.Signature, r.Key), r.Leaf, r.Proof, r.Checkpoint)
}

func formatProof(entry []byte, leaf uint64, proof tlog.RecordProof, signed string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(entry), leaf)
	for _, h := range proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteString("\n" + signed)
	return b.Bytes()
}

// IsProof says whether a file is to be a C2SP tlog-proof, and no receipt.
func IsProof(data []byte) bool { return bytes.HasPrefix(data, []byte(proofHeader+"\n")) }

// Proved is what a C2SP tlog-proof proves: that a log of this checkpoint holds this entry at this place. Who signed the
// entry, and what it says, is not looked at.
type Proved struct {
	Entry      []byte // what the log holds: the extra data, which is the leaf's
	Leaf       uint64
	Checkpoint checkpoint.Checkpoint
	Log        LogEntry
	Cosigned   []string // names of the demanded witnesses, which all cosigned
	Unchecked  []string // names in other signatures of the checkpoint
}

// VerifyProof checks a C2SP tlog-proof as [Receipt.TlogProof] makes it, against trusted logs and witnesses, or refuses it
// with ErrRefused: also where it is spelled otherwise.
func VerifyProof(data []byte, trust Trust) (*Proved, error) {
	entry, leaf, proof, signed, err := parseProof(data)
	if err != nil {
		return nil, err
	}
	var v Verified
	if err := v.checkCheckpoint(signed, trust); err != nil {
		return nil, err
	}
	if leaf >= v.Checkpoint.Size || tlog.CheckRecord(proof, int64(v.Checkpoint.Size), v.Checkpoint.Root, int64(leaf), tlog.RecordHash(entry)) != nil {
		return nil, refusef("the proof does not show this entry at leaf %d of the log %s of %d leaves", leaf, v.Checkpoint.Origin, v.Checkpoint.Size)
	}
	if !bytes.Equal(formatProof(entry, leaf, proof, signed), data) {
		return nil, refusef("it is spelled otherwise than a C2SP tlog-proof of the same proof")
	}
	return &Proved{entry, leaf, v.Checkpoint, v.Log, v.Cosigned, v.Unchecked}, nil
}

// parseProof takes a proof apart. What it leaves open, as how base64 is padded, the caller notices when it puts it together
// again.
func parseProof(data []byte) (entry []byte, leaf uint64, proof tlog.RecordProof, signed string, err error) {
	fail := func(format string, args ...any) ([]byte, uint64, tlog.RecordProof, string, error) {
		return nil, 0, nil, "", refusef("it is no C2SP tlog-proof: "+format, args...)
	}
	if len(data) > MaxBundle {
		return fail("it has more than %d bytes", MaxBundle)
	}
	head, signed, ok := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != proofHeader {
		return fail("it has not the lines %s, extra, index, hashes, and an empty one before its checkpoint", proofHeader)
	}
	extra, isExtra := strings.CutPrefix(lines[1], "extra ")
	if entry, err = base64.StdEncoding.DecodeString(extra); !isExtra || err != nil {
		return fail("its second line is not the entry, as extra data in base64")
	}
	index, isIndex := strings.CutPrefix(lines[2], "index ")
	if leaf, err = strconv.ParseUint(index, 10, 63); !isIndex || err != nil {
		return fail("its third line is not the index")
	}
	for _, line := range lines[3:] {
		h, err := checkpoint.ParseHash(line)
		if err != nil {
			return fail("%w", err)
		}
		proof = append(proof, h)
	}
	return entry, leaf, proof, signed, nil
}

// ProofOf returns the C2SP tlog-proof that follows from a receipt which was verified. Error: ErrRefused, for what is no receipt.
func ProofOf(bundle []byte) ([]byte, error) {
	b, err := parseBundle(bundle)
	if err != nil {
		return nil, err
	}
	e := b.Material.Entries[0]
	hashes, err := parseHashes(e.Proof.Hashes)
	if err != nil {
		return nil, err
	}
	return formatProof(e.Body, e.LogIndex, hashes, e.Proof.Checkpoint.Envelope), nil
}
