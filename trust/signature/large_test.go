package signature

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// sbomOf is a statement with an SBOM of a size, which names the image among others.
func sbomOf(size int) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":%q}}],"predicateType":"https://spdx.dev/Document","predicate":{"comment":%q}}`,
		image.Encoded(), strings.Repeat("y", size))
}

// TestLarge wants documents up to the bound to be judged, and of larger ones only that they were not read.
func TestLarge(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	m, stranger := newMaker(t), newMaker(t)
	trust := trusting(t, m, "    vouches: sbom\n")
	const most = MaxDocument * 3 / 4 // packed in base64
	for name, c := range map[string]struct {
		made Document
		want provenance.Result
	}{
		"a bundle":                {m.bundle(sbomOf(most - 1000)), provenance.Good},
		"an envelope":             {m.dsse(sbomOf(2 << 20)), provenance.Good},
		"a bundle of a stranger":  {stranger.bundle(sbomOf(2 << 20)), provenance.Foreign},
		"a bundle that is larger": {m.bundle(sbomOf(most)), provenance.Unread},
		"and an envelope":         {m.dsse(sbomOf(most)), provenance.Unread},
		"another image":           {m.bundle([]byte(strings.Replace(string(sbomOf(2<<20)), image.Encoded(), other.Encoded(), 1))), provenance.Failed},
		"no envelope":             {layer(bundleType, []byte(`{"x":"`+strings.Repeat("x", 2<<20)+`"}`), nil), provenance.Unread},
	} {
		if v := trust.Look(inRepo, c.made, now).Verdict; v.Result != c.want || v.Result == provenance.Good && (v.Kind != provenance.SBOMKind || v.Signer != "release-key") {
			t.Errorf("%s: %+v", name, v)
		}
	}
	changed := m.bundle(sbomOf(2 << 20))
	changed.Body = []byte(strings.Replace(string(changed.Body), base64.StdEncoding.EncodeToString([]byte("yyyyyy")), base64.StdEncoding.EncodeToString([]byte("yyyyyz")), 1))
	if v := trust.Look(inRepo, changed, now).Verdict; v.Reason != provenance.BadSignature {
		t.Errorf("one that was changed: %+v", v)
	}
}

// TestLargeCertified wants large statements by the holder of a certificate to be judged as small ones are, with entries of logs of
// both versions.
func TestLargeCertified(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	p, stranger := newPrivate(t), newPrivate(t)
	trust := p.trusting("team/*")
	const most = MaxDocument*3/4 - 8<<10 // packed in base64, with what certifies it
	changed := func(d Document) Document {
		d.Body = []byte(strings.Replace(string(d.Body), base64.StdEncoding.EncodeToString([]byte("yyyyyy")), base64.StdEncoding.EncodeToString([]byte("yyyyyz")), 1))
		return d
	}
	about := []byte(strings.Replace(string(sbomOf(2<<20)), image.Encoded(), other.Encoded(), 1))
	for name, version := range map[string]func(subject, issuer string, statement []byte) Document{"v1": p.attestV1, "v2": p.attest} {
		for what, c := range map[string]struct {
			made   Document
			want   provenance.Result
			reason provenance.Reason
		}{
			"the largest":   {version(ciJob, ciIssuer, sbomOf(most)), provenance.Good, ""},
			"changed":       {changed(version(ciJob, ciIssuer, sbomOf(2<<20))), provenance.Failed, provenance.BadSignature},
			"another image": {version(ciJob, ciIssuer, about), provenance.Failed, provenance.OtherDigest},
			"somebody else": {version("https://git.example/other", ciIssuer, sbomOf(2<<20)), provenance.Foreign, ""},
			"another root":  {stranger.attest(ciJob, ciIssuer, sbomOf(2<<20)), provenance.Foreign, ""},
			"another entry": {p.otherEntry(version(ciJob, ciIssuer, sbomOf(2<<20)), version(ciJob, ciIssuer, sbomOf(3<<20))), provenance.Failed, provenance.BadSignature},
		} {
			v := trust.Look(inRepo, c.made, time.Now()).Verdict
			if v.Result != c.want || v.Reason != c.reason || v.Result == provenance.Good && (v.Kind != provenance.SBOMKind || v.SignedAt == nil || v.Signer != "release") {
				t.Errorf("%s, %s: %+v", name, what, v)
			}
		}
	}
}

// otherEntry is a bundle with the entry that a log has of another one.
func (p private) otherEntry(of, other Document) Document {
	p.t.Helper()
	var b, o map[string]any
	fatal(p.t, json.Unmarshal(of.Body, &b))
	fatal(p.t, json.Unmarshal(other.Body, &o))
	entries := "tlogEntries"
	b["verificationMaterial"].(map[string]any)[entries] = o["verificationMaterial"].(map[string]any)[entries]
	body, err := json.Marshal(b)
	fatal(p.t, err)
	of.Body = body
	return of
}

// TestLargeCertifiedOlder wants the same of a statement whose certificate is in annotations.
func TestLargeCertifiedOlder(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	p := newPrivate(t)
	trust := p.trusting("team/*")
	for _, size := range []int{1 << 10, 10 << 20} {
		d := p.olderStatement(ciJob, ciIssuer, sbomOf(size))
		if v := trust.Look(inRepo, d, time.Now()).Verdict; v.Result != provenance.Good || v.Form != formDSSE || v.Signer != "release" {
			t.Errorf("of %d bytes: %+v", len(d.Body), v)
		}
		d.Body = []byte(strings.Replace(string(d.Body), base64.StdEncoding.EncodeToString([]byte("yyyyyy")), base64.StdEncoding.EncodeToString([]byte("yyyyyz")), 1))
		if v := trust.Look(inRepo, d, time.Now()).Verdict; v.Reason != provenance.BadSignature {
			t.Errorf("of %d bytes, changed: %+v", len(d.Body), v)
		}
	}
}

// TestAlphabets wants envelopes in either alphabet of base64, as DSSE allows, and with slashes that are escaped.
func TestAlphabets(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, "")
	statement := []byte(strings.Replace(string(statementOf(image)), `"name":"app"`, `"name":">>>???~~~"`, 1))
	standard := base64.StdEncoding.EncodeToString(statement)
	for name, as := range map[string]string{
		"standard": standard, "URL-safe": base64.URLEncoding.EncodeToString(statement), "without padding": base64.RawURLEncoding.EncodeToString(statement),
		"escaped": strings.ReplaceAll(standard, "/", `\/`),
	} {
		d := m.dsse(statement)
		d.Body = []byte(strings.Replace(string(d.Body), standard, as, 1))
		if v := trust.Look(inRepo, d, now).Verdict; v.Result != provenance.Good {
			t.Errorf("%s: %+v", name, v)
		}
	}
	both := m.dsse(statement)
	both.Body = []byte(strings.Replace(string(both.Body), standard, "-_"+standard, 1))
	if v := trust.Look(inRepo, both, now).Verdict; v.Result != provenance.Foreign {
		t.Errorf("in both at once: %+v", v)
	}
}

// arrivingLarge is an attachment whose only layer is of a size, over and over.
func arrivingLarge(t *testing.T, m maker, size int) registry.Attachment {
	t.Helper()
	return arriving(m.bundle(sbomOf(size)))
}

// arriving is an attachment whose only layer is a document, over and over.
func arriving(made Document) registry.Attachment {
	return registry.Attachment{
		Repository: inRepo, Subject: image, Manifest: digest.FromString("m"), Layers: []ocispec.Descriptor{made.Layer},
		Blob: func(_ context.Context, _ digest.Digest, _ int64, room func(n int) ([]byte, error)) ([]byte, error) {
			body, err := room(len(made.Body))
			copy(body, made.Body)
			return body, err
		},
	}
}

// TestLargeInOneRoom wants one document after the other to be read in the same memory.
func TestLargeInOneRoom(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	m := newMaker(t)
	trust := trusting(t, m, "    vouches: sbom\n")
	to := arrivingLarge(t, m, 3<<20)
	look := func() {
		if found, err := trust.lookAt(t.Context(), to, now); err != nil || len(found) != 1 || found[0].Verdict.Result != provenance.Good {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	look()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const times = 4
	for range times {
		look()
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > times*3<<20 { // a copy of each would be so much; a collection may take the room once
		t.Errorf("reading %d documents of 4 MiB took %d MiB", times, used>>20)
	}
}

// TestTooManyLayers wants to be told of signatures that were not looked at.
func TestTooManyLayers(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	to := arrivingLarge(t, m, 10)
	for range maxLayers {
		to.Layers = append(to.Layers, to.Layers[0])
	}
	found, err := trusting(t, m, "").lookAt(t.Context(), to, now)
	if err != nil || len(found) != maxLayers+1 || found[maxLayers].Verdict.Result != provenance.Unread || found[0].Verdict.Result != provenance.Good {
		t.Errorf("%d findings, %v", len(found), err)
	}
}
