package signature

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// pgpKey makes a key that lasts for a day from a moment.
func pgpKey(t *testing.T, name string, at time.Time) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: 24 * 3600, Time: func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func armored(t *testing.T, kind string, write func(w *bytes.Buffer) error) string {
	t.Helper()
	var raw, text bytes.Buffer
	w, err := armor.Encode(&text, kind, nil)
	if err == nil {
		err = write(&raw)
	}
	if err == nil {
		_, err = w.Write(raw.Bytes())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func publicPGP(t *testing.T, e *openpgp.Entity) string {
	t.Helper()
	return armored(t, openpgp.PublicKeyType, func(w *bytes.Buffer) error { return e.Serialize(w) })
}

// chartProvenance signs a chart as `helm package --sign` does.
func chartProvenance(t *testing.T, e *openpgp.Entity, at time.Time, sum string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, e.PrivateKey, &packet.Config{Time: func() time.Time { return at }})
	if err == nil {
		_, err = fmt.Fprintf(w, "apiVersion: v2\nname: hello\nversion: 0.1.0\n\n...\nfiles:\n  hello-0.1.0.tgz: %s\n", sum)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestChart looks at the provenance of charts: by a key of the trust file over this chart and over another, changed, by a
// stranger, of another repository, and after the key expired.
func TestChart(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	signer, stranger := pgpKey(t, "signer", at), pgpKey(t, "stranger", at)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"charts.asc": publicPGP(t, signer),
		"trust.yaml": "keys: [{name: charts, file: charts.asc, repositories: [charts/*]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusted, err := ReadFile(filepath.Join(dir, "trust.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	chart := digest.FromString("the packed chart")
	good := chartProvenance(t, signer, at, chart.String())
	for name, c := range map[string]struct {
		body   []byte
		repo   string
		now    time.Time
		result provenance.Result
		reason provenance.Reason
	}{
		"good":               {good, "charts/hello", at, provenance.Good, ""},
		"of another chart":   {chartProvenance(t, signer, at, digest.FromString("x").String()), "charts/hello", at, provenance.Failed, provenance.OtherDigest},
		"changed":            {bytes.Replace(good, []byte("name: hello"), []byte("name: hullo"), 1), "charts/hello", at, provenance.Failed, provenance.BadSignature},
		"by a stranger":      {chartProvenance(t, stranger, at, chart.String()), "charts/hello", at, provenance.Foreign, ""},
		"elsewhere":          {good, "team/hello", at, provenance.Failed, provenance.OtherPlace},
		"an expired key":     {good, "charts/hello", at.AddDate(0, 0, 2), provenance.Failed, provenance.Expired},
		"nothing signed":     {[]byte("name: hello\n...\nfiles: {}\n"), "charts/hello", at, provenance.Foreign, ""},
		"something behind":   {append(bytes.Clone(good), "more"...), "charts/hello", at, provenance.Foreign, ""},
		"longer than we ask": {bytes.Repeat([]byte(" "), maxSimple+1), "charts/hello", at, provenance.Unread, ""},
	} {
		f := trusted.LookAtChart(c.repo, Chart{Manifest: digest.FromString("m"), Layer: ocispec.Descriptor{Digest: digest.FromBytes(c.body)}, Body: c.body, Content: chart}, c.now)
		v := f.Verdict
		if v.Result != c.result || v.Reason != c.reason || (v.Result == provenance.Good) != (v.Kind == provenance.ImageKind && v.Detail == "") {
			t.Errorf("%s: %+v", name, v)
		}
		if why, detail := trusted.Standing(&v, c.repo, c.now); v.Result == provenance.Good && why != "" {
			t.Errorf("%s: it does not stand: %s", name, detail)
		}
	}
	if trusted.HasPGP("team/hello") || !trusted.HasPGP("charts/hello") {
		t.Error("a key of charts signs charts elsewhere")
	}
}

// signedOver replaces the signature of a chart's provenance by one over another hash (RFC 4880, 5.2.3): the library makes none
// over a weak one.
func signedOver(t *testing.T, hash crypto.Hash, id byte, e *openpgp.Entity, at time.Time, prov []byte) []byte {
	t.Helper()
	block, _ := clearsign.Decode(prov)
	text, _, _ := bytes.Cut(prov, []byte("-----BEGIN PGP SIGNATURE-----"))
	made := binary.BigEndian.AppendUint32([]byte{5, 2}, uint32(at.Unix())) //nolint:gosec // it has 32 bits there
	issuer := binary.BigEndian.AppendUint64([]byte{9, 16}, e.PrivateKey.KeyId)
	hashed := append([]byte{4, byte(packet.SigTypeText), byte(packet.PubKeyAlgoRSA), id, 0, byte(len(made) + len(issuer))}, append(made, issuer...)...)
	sum := hash.New()
	sum.Write(block.Bytes)
	sum.Write(hashed)
	sum.Write([]byte{4, 0xff, 0, 0, 0, byte(len(hashed))})
	summed := sum.Sum(nil)
	sig, err := rsa.SignPKCS1v15(nil, e.PrivateKey.PrivateKey.(*rsa.PrivateKey), hash, summed)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).SetBytes(sig)
	body := slices.Concat(hashed, []byte{0, 0}, summed[:2], binary.BigEndian.AppendUint16(nil, uint16(n.BitLen())), n.Bytes())
	head := []byte{0xc2, byte((len(body)-192)>>8) + 192, byte(len(body) - 192)}
	return append(bytes.Clone(text), armored(t, openpgp.SignatureType, func(w *bytes.Buffer) error {
		w.Write(append(head, body...))
		return nil
	})...)
}

// TestWeakHash wants a signature over a SHA-1 not to count, by a key whose others do.
func TestWeakHash(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	e, err := openpgp.NewEntity("signer", "", "signer@example.org", &packet.Config{RSABits: 2048, Time: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	k, err := parseKey(publicPGP(t, e))
	if err != nil {
		t.Fatal(err)
	}
	k.repositories = repositories{access.Everything}
	chart := digest.FromString("the packed chart")
	prov := chartProvenance(t, e, at, chart.String())
	for name, c := range map[string]struct {
		hash   crypto.Hash
		id     byte
		result provenance.Result
	}{"SHA-1": {crypto.SHA1, 2, provenance.Failed}, "SHA-256": {crypto.SHA256, 8, provenance.Good}} {
		body := signedOver(t, c.hash, c.id, e, at, prov)
		f := (&Trust{keys: []*key{k}}).LookAtChart("charts/hello", Chart{Manifest: digest.FromString("m"), Body: body, Content: chart}, at)
		if v := f.Verdict; v.Result != c.result || v.Result == provenance.Failed && (v.Reason != provenance.BadSignature || !strings.Contains(v.Detail, "over a SHA-1")) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestPGPKeys refuses what is no single public key.
func TestPGPKeys(t *testing.T) {
	at := time.Now()
	one, two := pgpKey(t, "one", at), pgpKey(t, "two", at)
	short, err := openpgp.NewEntity("short", "", "short@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, says string }{
		"a short key": {publicPGP(t, short), "it is an RSA key of 1024 bits"},
		"two keys": {armored(t, openpgp.PublicKeyType, func(w *bytes.Buffer) error {
			if err := one.Serialize(w); err != nil {
				return err
			}
			return two.Serialize(w)
		}), "it has 2 OpenPGP keys"},
		"a private key": {armored(t, openpgp.PublicKeyType, func(w *bytes.Buffer) error { return one.SerializePrivate(w, nil) }), "it is a private key"},
		"no key":        {pgpBlock + "\n\nbm9uZQ==\n-----END PGP PUBLIC KEY BLOCK-----\n", "it is no OpenPGP public key"},
		"a large one":   {pgpBlock + strings.Repeat("x", maxPGPKey), "at most"},
	} {
		if _, err := parseKey(c.text); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k, err := parseKey(publicPGP(t, one))
	if err != nil || k.pgp == nil || len(k.verifiers) != 0 {
		t.Errorf("a key: %+v, %v", k, err)
	}
}
