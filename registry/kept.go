package registry

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// What was thought of an image decides about pulls, and follows from no record: it cannot be replayed. So it is kept under a
// MAC, by a key that is not in the store. What somebody else wrote there, or took from another image or another time,
// is no opinion.

// What is kept begins with keptWithMAC, a name of the key (4 bytes) and the MAC. Older rows begin with 1, and do not say what they
// are about, or with what is kept, as JSON.
const (
	keptWithMAC = 2
	keyName     = 4
)

// keptKey is the key of what is kept.
type keptKey []byte

// SetKeptKey sets the key of what is kept from now on. Without it, what is kept counts in this process alone. What was kept under
// another key counts no more.
func (g *Registry) SetKeptKey(key []byte) { g.keptKey.Store((*keptKey)(&key)) }

// keptKeyNow is the key in force. Who reads or writes a row asks for it once: it may change.
func (g *Registry) keptKeyNow() keptKey { return *g.keptKey.Load() }

func drawKeptKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // which never fails
	return key
}

// mac is over the key of the row, the version and what is kept under it.
func (k keptKey) mac(at []byte, version uint64, body []byte) []byte {
	h := hmac.New(sha256.New, k)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(at))))
	h.Write(at)
	h.Write(binary.BigEndian.AppendUint64(nil, version))
	h.Write(body)
	return h.Sum(nil)
}

// row returns the row of what is kept about a manifest.
func (k keptKey) row(at []byte, version uint64, body []byte) []byte {
	return slices.Concat(binary.AppendUvarint(nil, version), k.header(), k.mac(at, version, body), body)
}

// withParts puts what a body is about before it: how many digests follow on the image's own, and these.
func withParts(parts []digest.Digest, body []byte) []byte {
	rest := binary.AppendUvarint(nil, uint64(len(parts)-1))
	for _, d := range parts[1:] {
		rest = append(rest, digestKey(d)...)
	}
	return append(rest, body...)
}

// cutParts undoes withParts, of an image.
func cutParts(image digest.Digest, rest []byte) (parts []digest.Digest, body []byte, err error) {
	f := fields{rest: rest}
	n, parts := f.number(), []digest.Digest{image}
	for body = f.rest; n > 0; n-- {
		var d digest.Digest
		if d, body, err = cutDigest(body); err != nil {
			return nil, nil, err
		}
		parts = append(parts, d)
	}
	return parts, body, f.err("kept")
}

// header is what a row of this key has before its MAC.
func (k keptKey) header() []byte {
	sum := sha256.Sum256(append([]byte("hallmark kept key"), k...))
	return append([]byte{keptWithMAC}, sum[:keyName]...)
}

// open returns what is kept in a row, under which version, and whether this registry kept it. other says that the row
// is of an older version, or of another key, which may be lost: that is no opinion, and no fault.
func (k keptKey) open(at, row []byte) (version uint64, body []byte, own, other bool) {
	f := fields{rest: row}
	version = f.number()
	rest, ok := bytes.CutPrefix(f.rest, k.header())
	if f.bad || !ok {
		return version, nil, false, !f.bad
	}
	if len(rest) < sha256.Size {
		return version, nil, false, false
	}
	mac, body := rest[:sha256.Size], rest[sha256.Size:]
	return version, body, hmac.Equal(mac, k.mac(at, version, body)), false
}

// checkKept wants what is kept of an image to have been kept by this registry.
func (c *checker) checkKept(item storage.Item) error {
	if _, _, own, other := c.g.keptKeyNow().open(item.Key, item.Value); !own && !other {
		repo, key := cutRepo(item.Key)
		d, _, err := cutDigest(key)
		if err != nil {
			return err
		}
		return damaged("what is kept of %s@%s was not kept there by this registry: it is not used", repo, d)
	}
	return nil
}
