package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"golang.org/x/mod/sumdb/tlog"
)

// hands change the store of a stopped registry as somebody does who can write to its disk. What they do is staged, and
// committed at the end: a mistake is reported, and not committed.
type hands struct {
	t       *testing.T
	b       *tamperStore
	dir     string // the data directory that they are in
	tx      storage.Tx
	touched map[storage.Table]bool
}

// tamper lets fn change a data directory, and returns which tables it wrote to.
func (b *tamperStore) tamper(t *testing.T, dir string, fn func(*hands)) map[storage.Table]bool {
	t.Helper()
	h := &hands{t: t, b: b, dir: dir, touched: make(map[storage.Table]bool)}
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		h.tx = tx
		fn(h)
	})
	return h.touched
}

// change changes a store that nobody has open.
func change(t *testing.T, path string, fn func(storage.Tx)) {
	t.Helper()
	store, err := bolt.Open(path, bolt.Config{Steps: datadir.Layouts})
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), func(tx storage.Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func (h *hands) put(table storage.Table, key, value []byte) {
	h.touched[table] = true
	h.tx.Put(table, key, value)
}

func (h *hands) del(table storage.Table, keys ...[]byte) {
	for _, key := range keys {
		h.get(table, key)
		h.touched[table] = true
		h.tx.Delete(table, key)
	}
}

func (h *hands) get(table storage.Table, key []byte) []byte {
	h.t.Helper()
	value, err := h.tx.Get(table, key)
	if err != nil {
		h.t.Errorf("%s %q: %v", table, key, err)
	}
	return bytes.Clone(value)
}

// rows returns the rows of a table whose keys begin with a prefix.
func (h *hands) rows(table storage.Table, prefix string) (rows []storage.Item) {
	h.t.Helper()
	for row, err := range h.tx.Scan(table, []byte(prefix), storage.PrefixEnd([]byte(prefix))) {
		if err != nil {
			h.t.Error(err)
			break
		}
		rows = append(rows, storage.Item{Key: bytes.Clone(row.Key), Value: bytes.Clone(row.Value)})
	}
	if len(rows) == 0 {
		h.t.Errorf("%s has no row that begins with %q", table, prefix)
		rows = append(rows, storage.Item{})
	}
	return rows
}

// empty takes all rows out of tables.
func (h *hands) empty(tables ...storage.Table) {
	for _, table := range tables {
		for _, row := range h.rows(table, "") {
			h.del(table, row.Key)
		}
	}
}

// edit changes some bytes of a row, which have to be there.
func (h *hands) edit(table storage.Table, key []byte, from, to string) {
	h.t.Helper()
	h.put(table, key, h.replaced(h.get(table, key), from, to))
}

func (h *hands) replaced(value []byte, from, to string) []byte {
	h.t.Helper()
	if !bytes.Contains(value, []byte(from)) {
		h.t.Errorf("%q is not in %q", from, value)
	}
	return bytes.ReplaceAll(value, []byte(from), []byte(to))
}

// flip changes the last bit of a row.
func (h *hands) flip(table storage.Table, key []byte) {
	h.t.Helper()
	value := h.get(table, key)
	value[len(value)-1] ^= 1
	h.put(table, key, value)
}

// editJSON changes fields of a row of JSON.
func (h *hands) editJSON(table storage.Table, key string, fields map[string]any) {
	h.t.Helper()
	row := make(map[string]any)
	h.check(json.Unmarshal(h.get(table, []byte(key)), &row))
	maps.Copy(row, fields)
	text, err := json.Marshal(row)
	h.check(err)
	h.put(table, []byte(key), text)
}

func (h *hands) field(table storage.Table, key, name string) string {
	h.t.Helper()
	row := make(map[string]any)
	h.check(json.Unmarshal(h.get(table, []byte(key)), &row))
	value, _ := row[name].(string)
	return value
}

func (h *hands) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Error(err)
	}
}

// digestOf is an image of the store, by its layer.
func (b *tamperStore) digestOf(layer string) digest.Digest {
	for d, name := range b.names {
		if name == layer {
			return digest.Digest(d)
		}
	}
	panic("there is no image " + layer)
}

// key is how a digest stands in keys.
func (h *hands) key(layer string) []byte {
	raw := make([]byte, 33)
	raw[0] = 1
	for i := range 32 {
		hex := h.b.digestOf(layer).Encoded()[2*i : 2*i+2]
		raw[1+i] = byte(strings.IndexByte("0123456789abcdef", hex[0])<<4 | strings.IndexByte("0123456789abcdef", hex[1]))
	}
	return raw
}

func place(repo string, rest ...[]byte) []byte {
	return append(append([]byte(repo), 0), bytes.Join(rest, nil)...)
}

func recordKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// statement returns what was signed.
func (h *hands) statement(index uint64) []byte {
	h.t.Helper()
	signed, err := provenance.ReadSignedRecord(h.tx, index)
	h.check(err)
	return signed.Payload
}

const (
	recordRows    = storage.Table("provenance/record")
	signatureRows = storage.Table("provenance/signature")
	recordsHead   = storage.Table("provenance/head")
	logHead       = storage.Table("log/head")
	logHashes     = storage.Table("log/hash")
)

// state puts a statement into the row of a record, in the frame of the signature that is there.
func (h *hands) state(index uint64, payload []byte) {
	h.t.Helper()
	row, frame := h.get(recordRows, recordKey(index)), []byte(nil)
	if bytes.HasPrefix(row, []byte("\x50\x2a\x4d\x18")) {
		frame = row[:8+64]
	}
	h.put(recordRows, recordKey(index), append(frame, h.pack(payload)...))
}

// pack makes a statement into what zstd reads, without packing it.
func (h *hands) pack(payload []byte) []byte {
	frame := append([]byte("\x28\xb5\x2f\xfd\xa0"), binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))...)
	block := uint32(len(payload))<<3 | 1
	return append(append(frame, byte(block), byte(block>>8), byte(block>>16)), payload...)
}

// restate changes a statement, and signs it again where the keys are at hand.
func (h *hands) restate(index uint64, sign bool, from, to string) {
	h.t.Helper()
	payload := h.replaced(h.statement(index), from, to)
	h.state(index, payload)
	if sign {
		h.sign(index, payload)
	}
}

func (h *hands) keys() provenance.Keys {
	h.t.Helper()
	keys, err := keyring.New(nil, filepath.Join(h.dir, keysDir), config.Keys{}, nil).Read()
	h.check(err)
	return keys
}

func (h *hands) sign(index uint64, payload []byte) {
	h.t.Helper()
	signature, err := h.keys().Receipts[0].Sign(payload)
	h.check(err)
	h.put(signatureRows, recordKey(index), signature)
}

// count says that there are so many records.
func (h *hands) count(n uint64) {
	h.put(recordsHead, []byte("head"), append(recordKey(n), h.get(recordsHead, []byte("head"))[8:]...))
}

// hashes are those of the newest log.
type hashRows struct{ *hands }

// ReadHashes implements tlog.HashReader.
func (r hashRows) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, index := range indexes {
		value, err := r.tx.Get(logHashes, append(r.number(), recordKey(uint64(index))...))
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, tlog.Hash(value))
	}
	return hashes, nil
}

func (h *hands) number() []byte { return h.get(logHead, []byte("head"))[:4] }

// first is the first record of the newest log, and size how many leaves it has.
func (h *hands) newest() (l log.Log, size uint64) {
	h.t.Helper()
	head := h.get(logHead, []byte("head"))
	h.check(json.Unmarshal(h.get("log/log", head[:4]), &l))
	return l, binary.BigEndian.Uint64(head[4:])
}

// rewind puts the head of the newest log back to so many leaves, with the hashes that are there.
func (h *hands) rewind(size uint64) {
	h.t.Helper()
	head := append(h.number(), recordKey(size)...)
	for level := bits.Len64(size) - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			hash, err := hashRows{h}.ReadHashes([]int64{tlog.StoredHashIndex(level, int64(size>>level)-1)})
			h.check(err)
			head = append(head, hash[0][:]...)
		}
	}
	h.put(logHead, []byte("head"), head)
}

// cut takes the hashes behind so many leaves out of the newest log.
func (h *hands) cut(size uint64) {
	number, from := h.number(), uint64(tlog.StoredHashCount(int64(size)))
	for _, row := range h.rows(logHashes, string(number)) {
		if binary.BigEndian.Uint64(row.Key[4:]) >= from {
			h.del(logHashes, row.Key)
		}
	}
}

// drop takes a record out, with what is found by it.
func (h *hands) drop(index uint64) {
	h.del(recordRows, recordKey(index))
	h.del(signatureRows, recordKey(index))
	for _, table := range []storage.Table{"provenance/index", "provenance/time"} {
		for _, row := range h.rows(table, "") {
			if bytes.HasSuffix(row.Key, recordKey(index)) {
				h.del(table, row.Key)
			}
		}
	}
}

// signedAt makes the checkpoint of so many leaves of the newest log from the signature that is kept with its record.
func (h *hands) signedAt(size uint64) string {
	h.t.Helper()
	l, _ := h.newest()
	root, err := tlog.TreeHash(int64(size), hashRows{h})
	h.check(err)
	row := h.get(recordRows, recordKey(l.First+size-1))
	signed, err := checkpoint.Checkpoint{Origin: l.Origin, Size: size, Root: root}.WithSignature(l.Key, row[8:8+64])
	h.check(err)
	return signed
}

// rebuild makes the newest log anew over its records as they are, up to so many, and signs each checkpoint: as the operator can.
func (h *hands) rebuild(size uint64) {
	h.t.Helper()
	l, _ := h.newest()
	h.cut(0)
	key := h.keys().Logs[0]
	for leaf := range size {
		signed, err := provenance.ReadSignedRecord(h.tx, l.First+leaf)
		h.check(err)
		hashes, err := tlog.StoredHashes(int64(leaf), signed.Body(), hashRows{h})
		h.check(err)
		for i, hash := range hashes {
			h.put(logHashes, append(h.number(), recordKey(uint64(tlog.StoredHashCount(int64(leaf))+int64(i)))...), hash[:])
		}
		root, err := tlog.TreeHash(int64(leaf)+1, hashRows{h})
		h.check(err)
		c := checkpoint.Checkpoint{Origin: l.Origin, Size: leaf + 1, Root: root}
		signature := c.Signature(key)
		h.put(recordRows, recordKey(l.First+leaf), append(append([]byte("\x50\x2a\x4d\x18\x40\x00\x00\x00"), signature...), h.pack(signed.Payload)...))
		note, err := c.WithSignature(l.Key, signature)
		h.check(err)
		h.put("log/checkpoint", h.number(), []byte(note))
	}
	h.rewind(size)
	h.count(l.First + size)
}

// beside writes the newest checkpoint of the store beside the keys, as a registry does.
func (h *hands) beside() {
	h.write(filepath.Join(keysDir, checkpointFile), string(h.get("log/checkpoint", h.number())))
}

func (h *hands) write(name, content string) {
	h.check(os.WriteFile(filepath.Join(h.dir, name), []byte(content), 0o600))
}

func sum(content string) []byte {
	s := sha256.Sum256([]byte(content))
	return s[:]
}
