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

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrNoKey says that the key is not at hand which the next record has to be signed with. There is never a
// record without a receipt, so nothing can be recorded until the key is back, or replaced (Book.Succeed).
var ErrNoKey = errors.New("the registry's signing key is missing or wrong, so it takes no changes; reads go on. " +
	"Its operator is told by its log which key file it needs")

// ErrUsedKey says that a receipt key was in force before. It was given up, and stays so.
var ErrUsedKey = errors.New("this receipt key is or was in use: make a new one")

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

// sealer signs records and adds them to the log, in one transaction.
type sealer struct {
	head   log.Head
	signer *receipt.Signer
	key    ed25519.PrivateKey
}

// sealer finds the keys in force.
func (b *Book) sealer(tx storage.Reader, h head) (s *sealer, err error) {
	s = new(sealer)
	if s.head, err = log.ReadHead(tx); errors.Is(err, log.ErrNoLog) {
		return nil, ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	keys := b.keys.Load()
	s.signer, s.key = keys.receipt(h.key), keys.log(s.head.Key)
	if s.signer == nil || s.key == nil {
		return nil, ErrNoKey
	}
	if s.head.Next() > h.next {
		return nil, fmt.Errorf("%w: the log goes up to record %d, and there are %d", storage.ErrCorrupt, s.head.Next(), h.next)
	}
	return s, nil
}

func (s *sealer) place() *Place { return &Place{Origin: s.head.Origin, Leaf: s.head.Size()} }

// seal signs the statement of a record, and makes it the next leaf.
func (s *sealer) seal(tx storage.Tx, index uint64, payload []byte) error {
	if s.head.Next() != index {
		return fmt.Errorf("%w: record %d follows %d in the log", ErrNoKey, index, s.head.Next())
	}
	signature, err := s.signer.Sign(payload)
	if err != nil {
		return err
	}
	tx.Put(signatureTable, indexKey(index), signature)
	return s.head.Append(tx, receipt.Body(payload, signature, s.signer.Key()), s.key)
}

// Begin gives the book its keys. In a book that has no log it begins the first one with them; records from
// before there were receipts are signed and put into the log in their order. If we stop in the middle of
// that, the next Begin goes on where it was.
//
// Error: ErrNoKey when the keys in force are not among these; then the book can be read, and no more.
func (b *Book) Begin(ctx context.Context, keys Keys) error {
	b.keys.Store(&keys)
	err := b.store.Update(ctx, func(tx storage.Tx) error {
		if _, err := log.ReadHead(tx); !errors.Is(err, log.ErrNoLog) {
			return err
		}
		return b.beginLog(tx, keys, 0)
	})
	for more := true; err == nil && more; {
		more, err = b.sealOld(ctx, 500)
	}
	return err
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

// sealOld signs some of the records that the log has not yet, and says whether there may be more.
func (b *Book) sealOld(ctx context.Context, most int) (more bool, err error) {
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		s, err := b.sealer(tx, h)
		if err != nil {
			return err
		}
		for range most {
			index := s.head.Next()
			if more = index < h.next; !more {
				return nil
			}
			payload, err := readStatement(tx, index)
			if err != nil {
				return err
			}
			if err := s.seal(tx, index, payload); err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}
