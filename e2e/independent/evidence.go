package independent

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/tlog"
)

// An Auditor reads evidence files (docs/design/evidence.md) offline, by what was kept of a registry on an earlier day.
type Auditor struct {
	TrustedRoot []byte // trusted_root.json
	Receipts    []byte // receipts.json
	Logs        []byte // logs.json
}

// A Finding is what an evidence file proved.
type Finding struct {
	Image   string // its digest
	Records []uint64
	Pushed  []uint64 // those that are about the image itself
	Blobs   int
}

// cover is evidence.json, as far as it is needed here.
type cover struct {
	Version    int
	Repository string
	Digest     string
	Records    []uint64
}

// Read checks an evidence file: that archive/tar reads the same from it as from what it would write, every sum and digest, and
// each record with sigstore-go and x/mod. Error: ErrRefused.
func (a *Auditor) Read(file []byte) (*Finding, error) {
	files, err := readCanonical(file)
	if err != nil {
		return nil, err
	}
	found := &Finding{}
	if found.Blobs, err = checkSums(files); err != nil {
		return nil, err
	}
	var c cover
	if err := json.Unmarshal(files["evidence.json"], &c); err != nil || c.Version != 1 {
		return nil, refuse("evidence.json is of version %d: %v", c.Version, err)
	}
	found.Image = c.Digest
	algorithm, encoded, _ := strings.Cut(c.Digest, ":")
	if files["blobs/"+algorithm+"/"+encoded] == nil {
		return nil, refuse("there is no manifest %s", c.Digest)
	}
	stock, keys, err := a.verifier()
	if err != nil {
		return nil, err
	}
	for _, index := range c.Records {
		about, err := a.record(stock, keys, files, c, index)
		if err != nil {
			return nil, refuse("record %d: %v", index, err)
		}
		found.Records = append(found.Records, index)
		if about {
			found.Pushed = append(found.Pushed, index)
		}
	}
	if len(found.Pushed) == 0 {
		return nil, refuse("no record is about %s", c.Digest)
	}
	return found, nil
}

// readCanonical reads a tar, and wants archive/tar to write the same bytes for its names and contents.
func readCanonical(file []byte) (map[string][]byte, error) {
	files, again := map[string][]byte{}, new(bytes.Buffer)
	w, last := tar.NewWriter(again), ""
	for r := tar.NewReader(bytes.NewReader(file)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, refuse("the tar: %v", err)
		}
		if head.Name <= last {
			return nil, refuse("%s comes behind %s", head.Name, last)
		}
		last = head.Name
		if files[head.Name], err = io.ReadAll(r); err != nil {
			return nil, refuse("%s: %v", head.Name, err)
		}
		if err := w.WriteHeader(&tar.Header{Name: head.Name, Size: head.Size, Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
			return nil, refuse("%s: %v", head.Name, err)
		}
		if _, err := w.Write(files[head.Name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if !bytes.Equal(again.Bytes(), file) {
		return nil, refuse("the tar is not the one that archive/tar writes of the same files")
	}
	return files, nil
}

// checkSums compares blobs with their names, and all other files with sha256sums, which names each of them.
func checkSums(files map[string][]byte) (blobs int, err error) {
	listed := map[string]string{}
	for line := range strings.Lines(string(files["sha256sums"])) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		listed[name] = sum
	}
	for name, content := range files {
		sum := sha256.Sum256(content)
		encoded, isBlob := strings.CutPrefix(name, "blobs/sha256/")
		switch {
		case name == "sha256sums":
			continue
		case isBlob:
			blobs++
		default:
			encoded = listed[name]
			delete(listed, name)
		}
		if encoded != hex.EncodeToString(sum[:]) {
			return 0, refuse("%s has another SHA-256", name)
		}
	}
	if len(listed) > 0 {
		return 0, refuse("sha256sums lists what is not there: %v", listed)
	}
	return blobs, nil
}

// verifier is sigstore-go with what was kept.
func (a *Auditor) verifier() (*verify.Verifier, map[string]*receiptKey, error) {
	trusted, err := root.NewTrustedRootFromJSON(a.TrustedRoot)
	if err != nil {
		return nil, nil, err
	}
	var file struct{ Keys []*receiptKey }
	if err := json.Unmarshal(a.Receipts, &file); err != nil {
		return nil, nil, err
	}
	keys, known := map[string]*root.ExpiringKey{}, map[string]*receiptKey{}
	for _, k := range file.Keys {
		if err := k.parse(); err != nil {
			return nil, nil, err
		}
		check, err := signature.LoadDefaultVerifier(k.key)
		if err != nil {
			return nil, nil, err
		}
		keys[k.Hint], known[k.Hint] = root.NewExpiringKey(check, time.Time{}, time.Time{}), k
	}
	stock, err := verify.NewVerifier(root.TrustedMaterialCollection{trusted, root.NewTrustedPublicKeyMaterialFromMapping(keys)},
		verify.WithTransparencyLog(1), verify.WithNoObserverTimestamps())
	return stock, known, err
}

// record checks a record with sigstore-go, then its proof with x/mod, and says whether it is about the image.
func (a *Auditor) record(stock *verify.Verifier, keys map[string]*receiptKey, files map[string][]byte, c cover, index uint64) (about bool, err error) {
	data := files[fmt.Sprintf("records/%012d.json", index)]
	var inside struct {
		DSSEEnvelope         struct{ Payload []byte }
		VerificationMaterial struct{ PublicKey struct{ Hint string } }
	}
	if err := json.Unmarshal(data, &inside); err != nil {
		return false, err
	}
	var parsed inToto
	if err := json.Unmarshal(inside.DSSEEnvelope.Payload, &parsed); err != nil || parsed.Predicate == nil {
		return false, fmt.Errorf("it is no statement about a record: %w", err)
	}
	r := parsed.Predicate
	key := keys[inside.VerificationMaterial.PublicKey.Hint]
	if r.Index != index || key == nil || !key.signs(index) {
		return false, fmt.Errorf("it is of record %d, or its key was not in force", r.Index)
	}
	_, encoded, _ := strings.Cut(r.Digest, ":")
	of := receiptOf{statement: statement{Index: index, Payload: inside.DSSEEnvelope.Payload}, digest: encoded, log: &servedLog{}}
	signed, err := of.verifyStock(stock, data)
	if err != nil {
		return false, err
	}
	if string(files["checkpoints/"+r.Log.Origin]) != signed {
		return false, fmt.Errorf("it is not proved by the checkpoint in the file")
	}
	if err := a.proof(files[fmt.Sprintf("records/%012d.tlog-proof", index)], signed, r.Log.Leaf); err != nil {
		return false, err
	}
	return r.Repository == c.Repository && r.Digest == c.Digest, nil
}

// proof checks a C2SP tlog-proof with x/mod, and its checkpoint with the log's key.
func (a *Auditor) proof(text []byte, signed string, leaf uint64) error {
	head, given, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || given != signed || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" || lines[2] != fmt.Sprintf("index %d", leaf) {
		return fmt.Errorf("its tlog-proof is of another checkpoint or leaf")
	}
	origin, _, _ := strings.Cut(signed, "\n")
	var file struct{ Logs []logEntry }
	if err := json.Unmarshal(a.Logs, &file); err != nil {
		return err
	}
	for _, l := range file.Logs {
		if l.Origin != origin {
			continue
		}
		c, err := open(l.VKey, signed)
		if err != nil {
			return err
		}
		return includes(c, lines, leaf)
	}
	return fmt.Errorf("the log %s is not known", origin)
}

// includes checks the inclusion proof of a tlog-proof.
func includes(c Checkpoint, lines []string, leaf uint64) error {
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	var p tlog.RecordProof
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		p = append(p, h)
	}
	var root tlog.Hash
	copy(root[:], c.Root)
	return tlog.CheckRecord(p, int64(c.Size), root, int64(leaf), tlog.RecordHash(entry))
}
