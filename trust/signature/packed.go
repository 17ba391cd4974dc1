package signature

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// packed is the payload of a DSSE envelope: base64, of either alphabet. It is laid on a desk behind the beginning of
// DSSE's encoding (PAE), which is what a signature is over, so that there is one copy of it. It implements
// json.Unmarshaler.
type packed struct {
	desk *desk.Desk
	room []byte // maxHead bytes, and the payload
	as   []byte // the payload as it came, where that is standard base64: it lies in the document
}

// maxHead is room for the head of DSSE's encoding.
const maxHead = 128

// UnmarshalJSON implements json.Unmarshaler.
func (p *packed) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	if len(text) < 2 || text[0] != '"' {
		return errors.New("the payload is no text")
	}
	escaped := bytes.IndexByte(text, '\\') >= 0 // some escape slashes
	if escaped {
		var plain string
		if err := json.Unmarshal(text, &plain); err != nil {
			return err
		}
		text = []byte(`"` + plain + `"`)
	}
	text = text[1 : len(text)-1]
	alphabet := provenance.AlphabetOf(text)
	room, err := p.desk.Packed(maxHead + alphabet.DecodedLen(len(text)))
	if err != nil {
		return err
	}
	n, err := alphabet.Decode(room[maxHead:], text)
	p.room = room[:maxHead+n]
	if alphabet == base64.StdEncoding && !escaped {
		p.as = text
	}
	return err
}

// text is the payload.
func (p *packed) text() []byte { return p.room[min(maxHead, len(p.room)):] }

// encoded is the payload, whose type the envelope says, as a signature is over it; nil where its head has no room.
func (p *packed) encoded(payloadType string) []byte {
	head := fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(p.room)-maxHead)
	if len(p.room) < maxHead || len(head) > maxHead {
		return nil
	}
	begin := maxHead - len(head)
	copy(p.room[begin:], head)
	return p.room[begin:]
}

// setPacked says that a statement was signed.
func (s *signed) setPacked(p *packed, payloadType string) {
	s.payload, s.encoded, s.as, s.kind = p.text(), p.encoded(payloadType), p.as, payloadType
}

// largeBundle is a bundle whose payload is not read by sigstore's own reader, which makes copies of it.
type largeBundle struct {
	MediaType string          `json:"mediaType"`
	Material  json.RawMessage `json:"verificationMaterial"`
	Envelope  *struct {
		Payload     packed          `json:"payload"`
		PayloadType string          `json:"payloadType"`
		Signatures  json.RawMessage `json:"signatures"`
	} `json:"dsseEnvelope"`
}

// openLarge reads what a large bundle says was signed: without its payload it is one like any other.
func openLarge(d Document) (*signed, error) {
	var l largeBundle
	l.Envelope = &struct {
		Payload     packed          `json:"payload"`
		PayloadType string          `json:"payloadType"`
		Signatures  json.RawMessage `json:"signatures"`
	}{Payload: packed{desk: d.Desk}}
	if err := strictjson.Unmarshal(d.Body, &l); err != nil {
		return nil, fmt.Errorf("it is no sigstore bundle: %w", err)
	}
	if l.Envelope == nil || len(l.Envelope.Payload.text()) == 0 {
		return nil, errUnread(fmt.Sprintf("it has %d bytes, and no envelope as bundles of that size have", len(d.Body)))
	}
	if len(l.Material)+len(l.Envelope.Signatures) > desk.Large {
		return nil, errUnread("its certificates and entries of logs are longer than is read")
	}
	rest, err := json.Marshal(map[string]any{
		"mediaType": l.MediaType, "verificationMaterial": l.Material,
		"dsseEnvelope": map[string]any{"payload": []byte("{}"), "payloadType": l.Envelope.PayloadType, "signatures": l.Envelope.Signatures},
	})
	if err != nil {
		return nil, err
	}
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(rest); err != nil {
		return nil, fmt.Errorf("it is no sigstore bundle: %w", err)
	}
	s, err := openBundle(b)
	if err != nil {
		return nil, err
	}
	s.setPacked(&l.Envelope.Payload, l.Envelope.PayloadType)
	if s.entity != nil {
		s.entity, err = s.stream(s.entity)
	}
	return s, err
}
