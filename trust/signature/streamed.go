package signature

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// streamed is a large statement by the holder of a certificate. Of an envelope sigstore's verifier makes five copies. A
// signature over an envelope is one over DSSE's encoding of it, which is a message that can be read where it lies: so the
// verifier is shown that, and makes none. Only an entry of a log of version 1 names the payload alone: where there is one, the
// verifier is shown the envelope while it compares the entries.
//
// Were the verifier to ask in another order, it would compare a message with an entry about an envelope, or be shown an
// envelope where it wants a message: either is refused.
type streamed struct {
	entity
	s       *signed
	hash    crypto.Hash // of the encoding, that goes with the certificate's key
	entries bool        // it is about to compare entries of a log of version 1
	copied  bool        // it was shown the envelope
}

// stream is an entity whose payload is read where it lies. Error: errUnread, for a kind of key that has to be given the whole.
func (s *signed) stream(e entity) (entity, error) {
	if len(s.sigs) != 1 {
		return nil, fmt.Errorf("its envelope has %d signatures, and a certificate is for one", len(s.sigs))
	}
	content, err := e.VerificationContent()
	if err != nil {
		return nil, err
	}
	key := content.Certificate().PublicKey
	if _, whole := key.(ed25519.PublicKey); whole {
		return nil, errUnread("it is signed with an Ed25519 key that is in a certificate, and too large for one")
	}
	details, err := signature.GetDefaultAlgorithmDetails(key, options.WithED25519ph())
	if err != nil {
		return nil, err
	}
	return &streamed{entity: e, s: s, hash: details.GetHashType()}, nil
}

// TlogEntries implements verify.SignedEntity. The verifier looks at the entries next.
func (e *streamed) TlogEntries() ([]*tlog.Entry, error) {
	entries, err := e.entity.TlogEntries()
	e.entries = slices.ContainsFunc(entries, func(entry *tlog.Entry) bool { return !entry.IsRekorV2() })
	return entries, err
}

// SignatureContent implements verify.SignedEntity.
func (e *streamed) SignatureContent() (verify.SignatureContent, error) {
	if e.entries {
		e.entries = false
		return e.whole(), nil
	}
	name := strings.ToLower(strings.ReplaceAll(e.hash.String(), "-", "")) // as sha256
	return bundle.NewMessageSignature(e.s.sum(e.hash, e.s.encoding()), name, e.s.sigs[0]), nil
}

// whole is the envelope. Its payload is read where it lies, and must not be looked at once the document's desk was left.
func (e *streamed) whole() *bundle.Envelope {
	text := e.s.as
	if text == nil {
		text = base64.StdEncoding.AppendEncode(nil, e.s.payload)
	}
	e.copied = true
	return &bundle.Envelope{Envelope: &dsse.Envelope{
		PayloadType: e.s.kind, Payload: unsafe.String(unsafe.SliceData(text), len(text)), // nobody writes to it meanwhile
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(e.s.sigs[0])}},
	}}
}

// collect frees the copy that the verifier made of an envelope's payload. A collection would come by itself only when there is as
// much again as is in use, and by then a few large documents have left theirs.
func (e *streamed) collect() {
	if e.copied {
		runtime.GC()
	}
}

// message is what a streamed entity's signature is over.
func (e *streamed) message() verify.ArtifactPolicyOption {
	return verify.WithArtifact(bytes.NewReader(e.s.encoding()))
}
