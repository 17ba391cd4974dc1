package receipt_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// TestEnvelope takes the envelope of a record by a key that was in force, and refuses each changed byte.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	l := newLog(t, "one.example").grow(3)
	r := l.made(2)
	good := receipt.Envelope(r.Payload, r.Signature)
	v, err := receipt.VerifyEnvelope(good, l.trust())
	if err != nil || v.Index != firstRecord+2 || !bytes.Equal(v.Statement, r.Payload) || v.Key.Hint() != l.signer.Key().Hint() {
		t.Fatalf("%+v, %v", v, err)
	}
	if !receipt.IsEnvelope(good) || receipt.IsEnvelope(l.receipt(2)) || receipt.IsEnvelope(r.TlogProof()) {
		t.Error("what is an envelope is not told from what is none")
	}
	if !receipt.SameEnvelope(l.receipt(2), good) || receipt.SameEnvelope(l.receipt(1), good) || receipt.SameEnvelope(good, good) {
		t.Error("the receipt of an envelope is not told from another one")
	}
	for at := range good {
		changed := bytes.Clone(good)
		changed[at] ^= 1
		if _, err := receipt.VerifyEnvelope(changed, l.trust()); !errors.Is(err, receipt.ErrRefused) {
			t.Errorf("byte %d is changed: %v\n%s", at, err, changed)
		}
	}
	forged := func(payload string) string {
		sig, err := l.signer.Sign([]byte(payload))
		fatal(t, err)
		return string(receipt.Envelope([]byte(payload), sig))
	}
	other := newLog(t, "two.example")
	late := l.trust()
	late.Keys[0].Ranges[0].From = firstRecord + 3
	witnessed := l.trust()
	witnessed.Witnesses = append(witnessed.Witnesses, nil) // which is asked nothing
	encoded := base64.StdEncoding.EncodeToString(r.Signature)
	for name, c := range map[string]struct {
		data  string
		trust receipt.Trust
		says  string
	}{
		"another key":       {string(good), other.trust(), "no key that is trusted signed this statement"},
		"a key of later":    {string(good), late, "was not in force for record 102"},
		"no record":         {forged(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://spdx.dev/Document","subject":[]}`), l.trust(), "none of a record of Hallmark"},
		"two signatures":    {strings.Replace(string(good), `"signatures":[`, `"signatures":[{"sig":"`+encoded+`"},`, 1), l.trust(), "with 2 signatures"},
		"another type":      {strings.Replace(string(good), "in-toto+json", "text", 1), l.trust(), "it is an envelope of"},
		"a key id":          {strings.Replace(string(good), `"sig":`, `"keyid":"x","sig":`, 1), l.trust(), `unknown field "keyid"`},
		"a name twice":      {strings.Replace(string(good), `"payload":`, `"payload":"","payload":`, 1), l.trust(), "there twice"},
		"something behind":  {string(good) + "{}", l.trust(), "no envelope that all readers read alike"},
		"another spelling":  {strings.Replace(string(good), encoded, encoded[:4]+`\n`+encoded[4:], 1), l.trust(), "spelled otherwise"},
		"more than may be":  {string(good) + strings.Repeat(" ", receipt.MaxBundle), l.trust(), "an envelope has no more than"},
		"a witness wanted":  {string(good), witnessed, "no checkpoint"},
		"nothing is signed": {"{}", l.trust(), "with 0 signatures"},
	} {
		if _, err := receipt.VerifyEnvelope([]byte(c.data), c.trust); !errors.Is(err, receipt.ErrRefused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a refusal with %q", name, err, c.says)
		}
	}
}
