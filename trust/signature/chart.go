package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"go.yaml.in/yaml/v4"
)

// Helm signs a chart in a file beside it, `helm package --sign`, which is pushed as a layer of its manifest: the chart's
// description and the SHA-256 of the packed chart, in an OpenPGP clear-signed message. That is the digest of the layer of the
// chart. The rest of the manifest, its config and annotations, is signed by nobody.

// ChartProvenance is the media type of such a layer.
const ChartProvenance = "application/vnd.cncf.helm.chart.provenance.v1.prov"

const formChart = "helm provenance"

// pgpBlock begins an OpenPGP public key.
const pgpBlock = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

// maxPGPKey bounds a public key with its certifications, in bytes.
const maxPGPKey = 256 << 10

// parsePGP reads one armoured OpenPGP public key.
func parsePGP(text string) (*key, error) {
	if len(text) > maxPGPKey {
		return nil, errors.New(provenance.TooLarge(int64(len(text)), maxPGPKey))
	}
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(text))
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is no OpenPGP public key: %w", err)
	case len(ring) != 1:
		return nil, fmt.Errorf("it has %d OpenPGP keys; give each key an entry of its own", len(ring))
	case ring[0].PrivateKey != nil:
		return nil, errors.New("it is a private key, which belongs to nobody but who signs: put the public one here, as of gpg --armor --export")
	}
	if err := strong(ring[0]); err != nil {
		return nil, err
	}
	var public bytes.Buffer
	if err := ring[0].PrimaryKey.Serialize(&public); err != nil {
		return nil, err
	}
	return &key{digest: digest.FromBytes(public.Bytes()), pgp: ring[0]}, nil
}

// strong is an error where an OpenPGP key, or one of its subkeys, is weaker than other keys may be.
func strong(e *openpgp.Entity) error {
	keys := []*packet.PublicKey{e.PrimaryKey}
	for _, sub := range e.Subkeys {
		keys = append(keys, sub.PublicKey)
	}
	for _, k := range keys {
		switch bits, err := k.BitLength(); k.PubKeyAlgo {
		case packet.PubKeyAlgoDSA:
			return errors.New("it is a DSA key; make one of RSA or Ed25519")
		case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSAEncryptOnly, packet.PubKeyAlgoRSASignOnly:
			if err != nil || bits < leastRSA {
				return shortRSA(int(bits))
			}
		}
	}
	return nil
}

// A Chart is what a chart's provenance is to be held against.
type Chart struct {
	Manifest digest.Digest // of the chart
	Layer    ocispec.Descriptor
	Body     []byte        // of the provenance
	Content  digest.Digest // the layer that is the packed chart
}

// LookAtChart returns what is found of a chart's provenance, in a repository and as of a moment. A good one signs the packed
// chart, as a signature of the kind image does.
func (t *Trust) LookAtChart(repository string, c Chart, now time.Time) provenance.Finding {
	d := Document{Subject: c.Manifest, Manifest: c.Manifest, Layer: c.Layer, Body: c.Body}
	if len(c.Body) > maxSimple {
		return unread(d, formChart, provenance.TooLarge(int64(len(c.Body)), maxSimple))
	}
	block, rest := clearsign.Decode(c.Body)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return foreign(d, formChart, "it is not one clear-signed message of OpenPGP")
	}
	who, err := t.pgpSigner(block, now)
	if who == nil {
		return foreign(d, formChart, err.Error())
	}
	f := newFinding(d, formChart)
	v := &f.Verdict
	v.Signer, v.TrustRoot, v.Kind = who.name, who.digest, provenance.ImageKind
	fail := func(why provenance.Reason, detail string) provenance.Finding {
		v.Result, v.Reason, v.Detail = provenance.Failed, why, provenance.Bounded(detail)
		return f
	}
	if err != nil {
		return fail(pgpReason(err), err.Error())
	}
	if err := chartIs(block.Bytes, c.Content); err != nil {
		return fail(provenance.OtherDigest, err.Error())
	}
	if why, detail := who.standing(repository, now); why != "" {
		return fail(why, detail)
	}
	v.Result = provenance.Good
	return f
}

// pgpSigner finds the key that made a message, and says in err that it did not; or no key, where the message names none of
// those that are trusted.
func (t *Trust) pgpSigner(block *clearsign.Block, now time.Time) (*key, error) {
	sig, err := io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, err
	}
	first, err := packet.Read(bytes.NewReader(sig))
	made, ok := first.(*packet.Signature)
	if err != nil || !ok || made.IssuerKeyId == nil {
		return nil, errors.New("its signature does not say which key made it")
	}
	for _, k := range t.keys {
		if k.pgp == nil || len(openpgp.EntityList{k.pgp}.KeysById(*made.IssuerKeyId)) == 0 {
			continue
		}
		at := &packet.Config{Time: func() time.Time { return now }}
		by, _, err := openpgp.VerifyDetachedSignature(openpgp.EntityList{k.pgp}, bytes.NewReader(block.Bytes), bytes.NewReader(sig), at)
		switch {
		case err != nil:
			return k, fmt.Errorf("it does not verify with the key %s: %w", k.name, err)
		case at.RejectMessageHashAlgorithm(by.Hash): // two texts can have one: the library leaves that to us
			return k, fmt.Errorf("it is a signature of the key %s over a %s, which is too weak", k.name, by.Hash)
		}
		return k, nil
	}
	return nil, errors.New("no key that is trusted here made it")
}

// pgpReason is why a signature does not count. One by a key that has expired since was changed by nobody.
func pgpReason(err error) provenance.Reason {
	switch {
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
		return provenance.Expired
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return provenance.Withdrawn
	}
	return provenance.BadSignature
}

// chartIs is an error where a verified provenance is not of a packed chart. Behind the chart's description it lists files.
func chartIs(text []byte, content digest.Digest) error {
	_, list, ok := bytes.Cut(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n...\n"))
	var sums struct {
		Files map[string]string `yaml:"files"`
	}
	if !ok || yaml.Unmarshal(list, &sums) != nil {
		return errors.New("it lists no files")
	}
	for _, sum := range sums.Files {
		if sum == content.String() && content.Algorithm() == digest.SHA256 {
			return nil
		}
	}
	return fmt.Errorf("it is not about this chart, whose layer is %s", content)
}

// HasPGP says whether one of the keys can sign charts in a repository.
func (t *Trust) HasPGP(repository string) bool {
	return t != nil && slices.ContainsFunc(t.keys, func(k *key) bool { return k.pgp != nil && k.repositories.match(repository) })
}
