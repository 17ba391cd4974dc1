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

// What is kept begins with keptWithMAC, a name of the key (4 bytes) and the MAC. Older rows begin with 2, and do not say what was absent;
// with 1, and do not say what they are about; or with what is kept, as JSON.
const (
	keptWithMAC = 3
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

// encode returns what a row has under its MAC: how many digests it is about beside the image's own, and these; how many optional
// things, and for each of these 1 where it was here, and its digest; and the body.
func (k Kept) encode() []byte {
	row := binary.AppendUvarint(nil, uint64(len(k.Of)-1))
	for _, d := range k.Of[1:] {
		row = append(row, digestKey(d)...)
	}
	row = binary.AppendUvarint(row, uint64(len(k.Optional)))
	for _, o := range k.Optional {
		here := byte(0)
		if o.Here {
			here = 1
		}
		row = append(append(row, here), digestKey(o.Digest)...)
	}
	return append(row, k.Body...)
}

// decodeKept undoes encode, of an image.
func decodeKept(image digest.Digest, row []byte) (k Kept, err error) {
	f := fields{rest: row}
	k.Of = []digest.Digest{image}
	for n := f.number(); n > 0; n-- {
		var d digest.Digest
		if d, f.rest, err = cutDigest(f.rest); err != nil {
			return Kept{}, err
		}
		k.Of = append(k.Of, d)
	}
	for n := f.number(); n > 0; n-- {
		here := len(f.rest) > 0 && f.rest[0] == 1
		var d digest.Digest
		if d, f.rest, err = cutDigest(f.rest[min(1, len(f.rest)):]); err != nil {
			return Kept{}, err
		}
		k.Optional = append(k.Optional, Optional{d, here})
	}
	k.Body = f.rest
	return k, f.err("kept")
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
