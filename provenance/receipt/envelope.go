package receipt

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// Signed is what a DSSE envelope proves by itself: that a receipt key signed a statement about a record. That the log has it, an
// envelope does not show.
type Signed struct {
	Statement []byte
	Index     uint64 // of the record
	Key       *Key
}

// IsEnvelope says whether a file is to be a DSSE envelope, and no receipt.
func IsEnvelope(data []byte) bool {
	var e struct {
		MediaType   string          `json:"mediaType"`
		PayloadType string          `json:"payloadType"`
		Signatures  json.RawMessage `json:"signatures"`
	}
	return json.Unmarshal(data, &e) == nil && e.MediaType == "" && e.PayloadType != "" && e.Signatures != nil
}

// VerifyEnvelope checks the DSSE envelope of a record, as JSON, against trusted receipt keys, and refuses it with ErrRefused. An
// envelope names no key: the one that made the signature has to have been in force for the record. Where a witness is wanted it is
// refused.
func VerifyEnvelope(data []byte, trust Trust) (*Signed, error) {
	if len(data) > MaxBundle {
		return nil, refusef("an envelope has no more than %d bytes, this file has %d", MaxBundle, len(data))
	}
	if len(trust.Witnesses) > 0 {
		return nil, refusef("an envelope alone has no checkpoint, and so none that a witness has cosigned: its receipt has one")
	}
	var e envelope
	if err := strictjson.UnmarshalKnown(data, &e); err != nil {
		return nil, refusef("it is no envelope that all readers read alike: %w", err)
	}
	if e.PayloadType != PayloadType || len(e.Signatures) != 1 {
		return nil, refusef("it is an envelope of %.80q with %d signatures, and one of a record has %q and one", e.PayloadType, len(e.Signatures), PayloadType)
	}
	if exact, err := isExact(data, e); err != nil || !exact {
		return nil, refusef("base64 in it is spelled otherwise than its bytes are")
	}
	v := Verified{Statement: e.Payload}
	for _, k := range trust.Keys {
		key, err := k.key()
		if err != nil {
			return nil, err
		}
		if key.Verify(e.Payload, e.Signatures[0].Sig) {
			v.Key = key
			break
		}
	}
	if v.Key == nil {
		return nil, refusef("no key that is trusted signed this statement")
	}
	if _, err := v.readStatement(); err != nil {
		return nil, err
	}
	return &Signed{v.Statement, v.Index, v.Key}, v.checkRange(trust)
}

// isExact says whether an envelope says what it says in the one spelling of its bytes.
func isExact(data []byte, e envelope) (bool, error) {
	var given, made any
	if err := json.Unmarshal(data, &given); err != nil {
		return false, err
	}
	if err := json.Unmarshal(Envelope(e.Payload, e.Signatures[0].Sig), &made); err != nil {
		return false, err
	}
	_, differs := difference(made, given, "")
	return !differs, nil
}

// SameEnvelope says whether a receipt is of the statement and the signature of an envelope.
func SameEnvelope(bundle, envelope []byte) bool {
	b, err := parseBundle(bundle)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(b.Envelope.Signatures, func(s signature) bool { return bytes.Equal(Envelope(b.Envelope.Payload, s.Sig), envelope) })
}
