package provenance

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrNoKey says that the key is not at hand which the next record has to be signed with. There is never a
// record without a receipt, so nothing can be recorded until the key is back, or replaced (Book.Succeed).
var ErrNoKey = fault.New(fault.Stopped, "the registry's signing key is missing or wrong, so it takes no changes; reads go on. "+
	"Its operator is told by its log which key file it needs")

// ErrUsedKey says that a receipt key was in force before. It was given up, and stays so.
var ErrUsedKey = fault.New(fault.Conflict, "this receipt key is or was in use: make a new one")

// Keys are private keys that a book may need: one of each as a rule, and two while one takes over from the
// other. The store says which are in force.
type Keys struct {
	Receipts []*receipt.Signer    // sign records
	Logs     []ed25519.PrivateKey // sign checkpoints
}

// GenerateKeys makes one key of each kind.
func GenerateKeys() (Keys, error) {
	signer, err := receipt.GenerateSigner()
	if err != nil {
		return Keys{}, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return Keys{[]*receipt.Signer{signer}, []ed25519.PrivateKey{key}}, err
}

func (k *Keys) receipt(hint string) *receipt.Signer {
	for _, s := range k.Receipts {
		if s.Key().Hint() == hint {
			return s
		}
	}
	return nil
}

func (k *Keys) log(public ed25519.PublicKey) ed25519.PrivateKey {
	for _, key := range k.Logs {
		if public.Equal(key.Public()) {
			return key
		}
	}
	return nil
}

// appender signs records and adds them to the log, in one transaction.
type appender struct {
	head   log.Head
	signer *receipt.Signer
	key    ed25519.PrivateKey
}

// appender finds the keys in force.
func (b *Book) appender(tx storage.Reader, h head) (s *appender, err error) {
	s = new(appender)
	if s.head, err = log.ReadHead(tx); errors.Is(err, log.ErrNoLog) {
		return nil, ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	if s.head.Next() != h.next {
		return nil, disagreef("the records go up to %d, and the log %s to %d", h.next, s.head.Origin, s.head.Next())
	}
	keys := b.keys.Load()
	s.signer, s.key = keys.receipt(h.key), keys.log(s.head.Key)
	if s.signer == nil || s.key == nil {
		return nil, ErrNoKey
	}
	return s, nil
}

func (s *appender) leaf() *LeafID { return &LeafID{Origin: s.head.Origin, Leaf: s.head.Size()} }

// append signs the statement of a record, and makes it the next leaf. It returns the record's receipt, by the checkpoint that
// the leaf ends, and that checkpoint's signature.
func (s *appender) append(tx storage.Tx, index uint64, payload []byte) (r *receipt.Receipt, ended []byte, err error) {
	r = &receipt.Receipt{Payload: payload, Key: s.signer.Key(), Leaf: s.head.Size()}
	r.LogID = receipt.Log{Origin: s.head.Origin, Key: s.head.Key}.ID()
	if r.Signature, err = s.signer.Sign(payload); err != nil {
		return nil, nil, err
	}
	tx.Put(signatureTable, indexKey(index), r.Signature)
	a, err := s.head.Append(tx, receipt.Body(payload, r.Signature, r.Key), s.key)
	r.Proof, r.Checkpoint = a.Proof, a.Checkpoint
	return r, a.Signature, err
}

// Begin gives the book its keys. In a book that has no record and no log it begins the first one with them. It signs
// nothing else, whatever it finds.
//
// Errors: ErrNoKey when the keys in force are not among these, ErrNotAdopted, ErrDisagree. Then the book can be read,
// and no more.
func (b *Book) Begin(ctx context.Context, keys Keys) error {
	b.keys.Store(&keys)
	if err := b.look(ctx); err != nil {
		return err
	}
	var begun bool
	err := b.store.View(ctx, func(tx storage.Reader) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		if _, err := log.ReadHead(tx); errors.Is(err, log.ErrNoLog) {
			return nil
		}
		begun = true
		_, err = b.appender(tx, h)
		return err
	})
	if err != nil || begun {
		return err
	}
	return b.store.Update(ctx, func(tx storage.Tx) error { return b.beginLog(tx, keys, 0) })
}

// beginLog begins a log with the first of each keys, which are in force from the record first on.
func (b *Book) beginLog(tx storage.Tx, keys Keys, first uint64) error {
	if len(keys.Receipts) == 0 || len(keys.Logs) == 0 {
		return ErrNoKey
	}
	h, err := readHead(tx)
	if err != nil {
		return err
	}
	if _, err := log.Begin(tx, newOrigin(b.host), keys.Logs[0], first, b.now()); err != nil {
		return err
	}
	return b.putKey(tx, h, first, keys.Receipts[0].Key())
}

// putKey puts a receipt key in force from a record on. A key that was in force before is refused: it was
// given up, perhaps for a reason.
func (b *Book) putKey(tx storage.Tx, h head, first uint64, key *receipt.Key) error {
	for item, err := range tx.Scan(keyTable, nil, nil) {
		if err != nil {
			return err
		}
		if bytes.Equal(item.Value, key.DER()) {
			return fmt.Errorf("%w: %s", ErrUsedKey, key.Hint())
		}
	}
	tx.Put(keyTable, indexKey(first), key.DER())
	h.key = key.Hint()
	return h.write(tx)
}

// newOrigin names a log: a host name that no other log has, and that goes with the data, not with the
// host's name. Stock verifiers take it from a URL, so it has no port, and no colons of an IPv6 address.
func newOrigin(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	random := make([]byte, 8)
	rand.Read(random) // which never fails
	return hex.EncodeToString(random) + "." + strings.ReplaceAll(strings.Trim(host, "[]"), ":", "-")
}
