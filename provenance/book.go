package provenance

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrNoRecord says that there is no record of that index.
var ErrNoRecord = fault.New(fault.Missing, "there is no such record")

// A Book is the ordered sequence of all records of one registry. It is safe for concurrent use.
type Book struct {
	store storage.Store
	url   string // https://host[:port]
	host  string // host[:port]
	now   func() time.Time
	keys  atomic.Pointer[Keys] // never nil; what it points to is never changed
	// stopped says why nothing is signed, whatever the keys are; nil where nothing is wrong.
	stopped atomic.Pointer[error]
	// seen is the newest signed checkpoint that was kept outside the store; nil and "" are none.
	seen atomic.Pointer[string]
	grew chan struct{} // holds one when the tail has grown since KeepIndexed looked
	// follower is told of records behind their transactions; set by Follow, before there are requests.
	follower func(storage.Tx, *Record) error
}

// SetClock sets the clock that records and checkpoints are dated by, before the book is used: one that all processes that append have.
func (b *Book) SetClock(now func() time.Time) { b.now = now }

// NewBook returns the book in store. publicURL is the registry's one public name, https://host[:port].
// It can be read at once; Begin gives it the keys that Append needs.
func NewBook(store storage.Store, publicURL string) (*Book, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a registry", publicURL)
	}
	b := &Book{store: store, url: publicURL, host: u.Host, now: time.Now, grew: make(chan struct{}, 1)}
	b.keys.Store(&Keys{})
	return b, nil
}

// Append adds the record of an event in the caller's transaction, signed and as a leaf of the log, so that
// all of it happens or nothing does. The event's bounds are enforced here: what is too much is cut, and
// the cut is marked in the record. Errors: ErrNoKey, ErrNotAdopted, ErrDisagree.
func (b *Book) Append(tx storage.Tx, e Event) (*Record, error) {
	r, _, err := b.AppendProved(tx, e)
	return r, err
}

// AppendProved is Append that also returns what ReadReceipt would give for the record in the same transaction, without reading
// anything again. Its slices are not to be changed.
func (b *Book) AppendProved(tx storage.Tx, e Event) (*Record, *receipt.Receipt, error) {
	if err := b.Stopped(); err != nil {
		return nil, nil, err
	}
	return b.append(tx, e)
}

// append is AppendProved for what puts an end to why nothing was signed.
func (b *Book) append(tx storage.Tx, e Event) (*Record, *receipt.Receipt, error) {
	h, err := readHead(tx)
	if err != nil {
		return nil, nil, err
	}
	if !recording {
		return &Record{}, nil, nil
	}
	s, err := b.appender(tx, h)
	if err != nil {
		return nil, nil, err
	}
	r := b.record(e, h.next)
	r.Log = s.leaf()
	if r.Before, err = followRepository(tx, r); err != nil {
		return nil, nil, err
	}
	payload, err := encode(r)
	if err != nil {
		return nil, nil, fmt.Errorf("record %d: %w", r.Index, err)
	}
	if err := r.readBack(payload); err != nil {
		return nil, nil, err
	}
	proved, ended, err := s.append(tx, r.Index, payload)
	if err != nil {
		return nil, nil, err
	}
	if err := h.put(tx, r, payload, ended); err != nil {
		return nil, nil, err
	}
	return r, proved, b.boundTail(tx, h.next)
}

// put writes a record, with the signature of the checkpoint that its leaf ends. The head moves on.
func (h *head) put(tx storage.Tx, r *Record, payload, ended []byte) error {
	if err := putStatement(tx, r.Index, payload, ended); err != nil {
		return err
	}
	if r.Time.After(h.latest.Time) {
		h.latest = r.Time
	}
	h.next++
	return errors.Join(h.write(tx), putUnsigned(tx, r))
}

func putUnsigned(tx storage.Tx, r *Record) error {
	if *r.Unsigned == (Unsigned{}) {
		r.Unsigned = nil
		return nil
	}
	aside, err := json.Marshal(r.Unsigned)
	if err != nil {
		return err
	}
	tx.Put(unsignedTable, indexKey(r.Index), aside)
	return nil
}

// record gives an event its place, within the bounds of a record.
func (b *Book) record(e Event, index uint64) *Record {
	r := &Record{
		Version:       1,
		Index:         index,
		Time:          At(b.now()),
		Action:        e.Action,
		Registry:      b.url,
		Repository:    e.Repository,
		Tags:          e.Tags,
		Digest:        e.Digest,
		Manifest:      e.Manifest,
		Of:            e.Of,
		Reason:        e.Reason,
		PackageID:     b.host + "/" + e.Repository,
		Nonce:         make([]byte, 16),
		Actor:         e.Who.Actor,
		Observed:      e.Observed,
		Authenticated: e.Who.Login,
		Claimed:       e.Claimed,
		Unread:        e.Unread,
		Verdict:       e.Verdict,
		Word:          e.Word,
		Attested:      e.Attested,
		Hold:          e.Hold,
		Grant:         e.Grant,
		Key:           e.Key,
		Continues:     e.Continues,
		Found:         e.Found,
		Baseline:      e.Baseline,
		Rules:         e.Rules,
		Unsigned:      &e.Unsigned,
	}
	rand.Read(r.Nonce) // which never fails
	b.name(r)
	r.keepBounds()
	return r
}

// name says what a record is about as sigstore's tools want it: a package, or what is the registry's own.
func (b *Book) name(r *Record) {
	switch {
	case r.Key != nil:
		r.PackageID = b.host + "#key" // the registry's own key, which no repository can be called
	case r.Found != nil, r.Baseline != nil:
		r.PackageID = b.host + "#log" // what was there when it began
	case r.Rules != nil:
		r.PackageID = b.host + "#rules"
	case r.Grant != nil:
		r.PackageID = b.host + "#access" // the access document
	default:
		r.PURL = packageURL(b.host, r)
	}
}

// keepBounds leaves out what a record has no room for, and says how much that is.
func (r *Record) keepBounds() {
	r.leaveOutClaims(MaxClaims)
	r.leaveOutAttested(MaxAttested)
	r.leaveOutUnread(MaxUnread)
	if n := len(r.Observed.Children); n > MaxChildren {
		r.Observed.Children, r.Observed.ChildrenLeftOut = r.Observed.Children[:MaxChildren], n-MaxChildren
	}
	if n := len(r.Observed.WrongSizes); n > MaxWrongSizes {
		r.Observed.WrongSizes, r.Observed.WrongSizesLeftOut = r.Observed.WrongSizes[:MaxWrongSizes], n-MaxWrongSizes
	}
}

// leaveOutClaims keeps the first of the claims.
func (r *Record) leaveOutClaims(keep int) {
	if n := len(r.Claimed); n > keep {
		r.Claimed = r.Claimed[:keep]
		r.ClaimedLeftOut += n - keep
	}
}

// leaveOutAttested keeps the first of the attested facts.
func (r *Record) leaveOutAttested(keep int) {
	if n := len(r.Attested); n > keep {
		r.Attested = r.Attested[:keep]
		r.AttestedLeftOut += n - keep
	}
}

// leaveOutUnread keeps the first of the documents that were not read.
func (r *Record) leaveOutUnread(keep int) {
	if n := len(r.Unread); n > keep {
		r.Unread = r.Unread[:keep]
		r.UnreadLeftOut += n - keep
	}
}

// packageURL names what an event is about: pkg:oci/NAME@DIGEST?repository_url=…&tag=….
func packageURL(host string, r *Record) string {
	name := r.Repository[strings.LastIndexByte(r.Repository, '/')+1:]
	query := url.Values{"repository_url": {host + "/" + r.Repository}}
	if len(r.Tags) > 0 {
		query.Set("tag", r.Tags[0].Name)
	}
	return "pkg:oci/" + name + "@" + url.QueryEscape(r.Digest.String()) + "?" + query.Encode()
}

// statement is an in-toto Statement v1 whose predicate is a record.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     *Record   `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// encode makes the bytes that are stored, once and for all. Claims are left out, from the last on,
// until the statement is within MaxRecord.
func encode(r *Record) ([]byte, error) {
	signed := *r
	signed.Unsigned = nil
	s := statement{
		Type:          "https://in-toto.io/Statement/v1",
		Subject:       []subject{{Name: r.PackageID, Digest: map[string]string{r.Digest.Algorithm().String(): r.Digest.Encoded()}}},
		PredicateType: PredicateType,
		Predicate:     &signed,
	}
	for {
		payload, err := marshal(s)
		if err != nil || len(payload) <= MaxRecord {
			r.Claimed, r.ClaimedLeftOut = signed.Claimed, signed.ClaimedLeftOut
			r.Attested, r.AttestedLeftOut = signed.Attested, signed.AttestedLeftOut
			r.Unread, r.UnreadLeftOut = signed.Unread, signed.UnreadLeftOut
			return payload, err
		}
		switch {
		case len(signed.Claimed) > 0:
			signed.leaveOutClaims(len(signed.Claimed) * 3 / 4)
		case len(signed.Attested) > 0:
			signed.leaveOutAttested(len(signed.Attested) * 3 / 4)
		case len(signed.Unread) > 0:
			signed.leaveOutUnread(0)
		default:
			return nil, fmt.Errorf("it has %d bytes without its facts, and may have %d", len(payload), MaxRecord)
		}
	}
}

// readBack makes a record be what its statement says. They differ where a text has bytes that are no UTF-8, for which JSON has
// another character: what is made of the record now, and again when it is read, has to be the same.
func (r *Record) readBack(payload []byte) error {
	if !bytes.Contains(payload, []byte(`\ufffd`)) {
		return nil
	}
	stated, err := decode(payload)
	if err != nil {
		return fmt.Errorf("record %d: %w", r.Index, err)
	}
	stated.Unsigned = r.Unsigned
	*r = *stated
	return nil
}

// marshal encodes JSON without escaping what only HTML would need escaped.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// head is where the book ends.
type head struct {
	next   uint64 // the index of the next record
	latest Time   // the latest time of any record: it never goes back, even when the clock does
	key    string // the hint of the receipt key in force; "" before the first Begin
}

func readHead(r storage.Reader) (h head, err error) {
	value, err := r.Get(headTable, headKey)
	if errors.Is(err, storage.ErrNotFound) {
		return head{latest: At(time.Unix(0, 0))}, nil
	}
	if err != nil {
		return h, err
	}
	if len(value) != 16 && len(value) != 16+sha256.Size {
		return h, fmt.Errorf("%w: the head of the records has %d bytes", storage.ErrCorrupt, len(value))
	}
	h.next = binary.BigEndian.Uint64(value)
	h.latest = At(time.UnixMicro(int64(binary.BigEndian.Uint64(value[8:]))))
	h.key = hex.EncodeToString(value[16:])
	return h, nil
}

func (h head) write(tx storage.Tx) error {
	key, err := hex.DecodeString(h.key)
	tx.Put(headTable, headKey, slices.Concat(indexKey(h.next), micros(h.latest.Time), key))
	return err
}

// Get returns the record of an index, or ErrNoRecord.
func (b *Book) Get(ctx context.Context, index uint64) (r *Record, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		r, err = ReadRecord(tx, index)
		return err
	})
	return r, err
}

// GetAll returns some records, in the order asked. Error: ErrNoRecord.
func (b *Book) GetAll(ctx context.Context, indexes []uint64) (records []*Record, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return recordReads(indexes...) })
		records = make([]*Record, len(indexes))
		for i, index := range indexes {
			if records[i], err = ReadRecord(tx, index); err != nil {
				return err
			}
		}
		return nil
	})
	return records, err
}

// Named returns the newest record's index, and the public name that it says the registry had. Error: ErrNoRecord, where there is none.
func (b *Book) Named(ctx context.Context) (name string, index uint64, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		name, index, err = ReadName(tx)
		return err
	})
	return name, index, err
}

// ReadName returns the registry's public name as its newest record states it, and the index of that. Errors: ErrNoRecord,
// storage.ErrCorrupt.
func ReadName(tx storage.Reader) (name string, index uint64, err error) {
	n, err := Count(tx)
	if err != nil {
		return "", 0, err
	}
	if n == 0 {
		return "", 0, ErrNoRecord
	}
	r, err := ReadStated(tx, n-1)
	if err != nil {
		return "", 0, err
	}
	return r.Registry, r.Index, nil
}

// Len returns the number of records.
func (b *Book) Len(ctx context.Context) (n uint64, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		n, err = Count(tx)
		return err
	})
	return n, err
}

// kept returns the number of records that there are by their rows, where the head says that there are more than a few
// behind one: a head that was changed may say any number, and nobody shall count up to that. Else it is what the head says.
func (h head) kept(r storage.Reader, from uint64) (uint64, error) {
	if h.next <= from || h.next-from <= maxTail {
		return h.next, nil
	}
	for item, err := range r.ScanReverse(recordTable, nil, nil) {
		if err != nil || len(item.Key) != 8 {
			return h.next, err
		}
		return min(h.next, max(from, lastIndex(item.Key)+1)), nil
	}
	return min(h.next, from), nil
}

// Kept is Count, but no more than there are rows of.
func Kept(tx storage.Reader) (uint64, error) {
	h, err := readHead(tx)
	if err != nil {
		return 0, err
	}
	return h.kept(tx, 0)
}

// Count returns the number of records.
func (b *Book) Count(ctx context.Context) (n uint64, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error { n, err = Count(tx); return err })
	return n, err
}

// Count returns the number of records in the caller's transaction.
func Count(tx storage.Reader) (uint64, error) {
	h, err := readHead(tx)
	return h.next, err
}

// ReadRecord returns the record of an index in the caller's transaction, or ErrNoRecord.
func ReadRecord(tx storage.Reader, index uint64) (*Record, error) {
	r, err := ReadStated(tx, index)
	if err != nil {
		return nil, err
	}
	aside, err := tx.Get(unsignedTable, indexKey(index))
	if errors.Is(err, storage.ErrNotFound) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(aside, &r.Unsigned); err != nil {
		return nil, fmt.Errorf("%w: what is beside record %d: %w", storage.ErrCorrupt, index, err)
	}
	return r, nil
}

// ReadStated is ReadRecord without what is beside the statement. Errors: ErrNoRecord, storage.ErrCorrupt.
func ReadStated(tx storage.Reader, index uint64) (*Record, error) {
	payload, err := readStatement(tx, index)
	if err != nil {
		return nil, err
	}
	r, err := decode(payload)
	if err != nil {
		return nil, fmt.Errorf("record %d: %w: %w", index, storage.ErrCorrupt, err)
	}
	return r, nil
}

func decode(payload []byte) (*Record, error) {
	s, err := parse(payload, json.Unmarshal) // which we wrote
	return s.Predicate, err
}

// firstAt returns the index of the first record whose running time is not before t. r reads the tail too (withTail).
func firstAt(r storage.Reader, t time.Time) (uint64, error) {
	for item, err := range r.Scan(timeTable, micros(t), nil) {
		if err != nil {
			return 0, err
		}
		return lastIndex(item.Key), nil
	}
	h, err := readHead(r)
	return h.next, err
}
