package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/storage"
)

// The records of the store that matter here: the second log begins with record 12.
const (
	pushTwo, pushThree = 15, 16
	pushGone           = 20     // of team/app; the next record removes what it put there
	pushWeb, pushLast  = 24, 25 // of team/web; after it the witness came, and not after pushLast
	logFirst, leaves   = 12, 14
)

// tamperedRecords are tamperings with the records.
var tamperedRecords = []tamperRow{
	{name: "a record changed", do: func(h *hands) { h.restate(pushThree, false, `"handle":"admin"`, `"handle":"alice"`) }},
	{name: "the newest record changed", do: func(h *hands) { h.restate(pushLast, false, `"handle":"admin"`, `"handle":"alice"`) }},
	{name: "a record taken out", do: func(h *hands) { h.drop(pushTwo) }},
	{name: "two records swapped", do: func(h *hands) {
		for _, table := range []storage.Table{recordRows, signatureRows} {
			a, b := h.get(table, recordKey(pushTwo)), h.get(table, recordKey(pushThree))
			h.put(table, recordKey(pushTwo), b)
			h.put(table, recordKey(pushThree), a)
		}
	}},
	{name: "a record put behind the newest", do: func(h *hands) {
		h.forge()
	}},
	{name: "a record put behind the newest, and not counted", do: func(h *hands) {
		h.forge()
		h.count(logFirst + leaves)
	}},
	{name: "the newest record changed, and the head of the log put back before it", do: func(h *hands) {
		h.restate(pushLast, false, `"handle":"admin"`, `"handle":"alice"`)
		h.rewind(leaves - 1)
	}},
	{name: "the newest record taken out, and both heads put back", do: func(h *hands) {
		h.drop(pushLast)
		h.count(pushLast)
		h.rewind(leaves - 1)
	}},
	{name: "the store put back by one record, with the checkpoint of then", do: func(h *hands) {
		h.back(leaves - 1)
	}},
	{name: "the store put back to before what is cosigned", do: func(h *hands) {
		h.empty("log/cosignature", "log/witness")
		h.back(leaves - 2)
	}},
	{name: "the logs and the keys taken out, so that another log begins", do: func(h *hands) {
		h.noLog()
	}},
	{name: "the logs, the keys and keys/log.checkpoint taken out", do: func(h *hands) {
		h.noLog()
		h.check(os.Remove(filepath.Join(h.dir, keysDir, checkpointFile)))
	}},
	{name: "a signature taken out", do: func(h *hands) { h.del(signatureRows, recordKey(pushThree)) }},
	{name: "a signature changed", do: func(h *hands) { h.flip(signatureRows, recordKey(pushThree)) }},
	{name: "the signature of a checkpoint taken out of its record's row", do: func(h *hands) {
		h.put(recordRows, recordKey(pushThree), h.get(recordRows, recordKey(pushThree))[8+64:])
	}},
	{name: "a number of records that nobody made", do: func(h *hands) { h.count(1 << 60) }},
	{
		name: "where a record came from, which is not signed", unseen: "addresses and user agents are not signed, because they have to be erasable",
		do: func(h *hands) { h.edit("provenance/unsigned", recordKey(pushThree), "127.0.0.1", "192.0.2.1") },
	},
	{name: "what is beside a record made unreadable", do: func(h *hands) {
		h.put("provenance/unsigned", recordKey(pushThree), []byte("{"))
	}},
	{name: "something beside a record that is not there", do: func(h *hands) {
		h.put("provenance/unsigned", recordKey(99), []byte("{}"))
	}},
	{
		name: "the time from which addresses are erased", unseen: "it says when addresses are erased, and they are not signed",
		do: func(h *hands) {
			row := h.rows("provenance/count", "")[0]
			h.put("provenance/count", row.Key, recordKey(1))
		},
	},
	{name: "a record not found by its action", do: func(h *hands) { h.del("provenance/index", h.rows("provenance/index", "a")[0].Key) }},
	{name: "a record found by what it does not say", do: func(h *hands) {
		h.put("provenance/index", append([]byte("iiiiiiiiiiiiiiiii"), recordKey(pushThree)...), nil)
	}},
	{name: "an image found by another record", do: func(h *hands) {
		rows := h.rows("provenance/image", "d") // in the order of digests, which are others each time
		at := slices.IndexFunc(rows, func(row storage.Item) bool { return bytes.Equal(row.Value, recordKey(pushTwo)) })
		h.put("provenance/image", rows[at].Key, recordKey(1))
	}},
	{name: "an image not found by how its digest begins", do: func(h *hands) {
		h.del("provenance/ordered", append([]byte("d"), h.key("three")[1:]...))
	}},
	{name: "an image found by how no digest begins", do: func(h *hands) {
		h.put("provenance/ordered", []byte("d"+strings.Repeat("x", 32)), nil)
	}},
	{name: "a record found at another time", do: func(h *hands) {
		row := h.rows("provenance/time", "")[4]
		h.del("provenance/time", row.Key)
		h.put("provenance/time", append(recordKey(1), row.Key[8:]...), nil)
	}},
	{name: "a record found at a time to come, too", do: func(h *hands) {
		h.put("provenance/time", append(recordKey(1<<60), recordKey(pushTwo)...), nil)
	}},
	{name: "the newest record of a repository", do: func(h *hands) { h.put("provenance/newest", []byte("team/app"), recordKey(pushTwo)) }},
	{name: "a newest record of a repository that has none", do: func(h *hands) { h.put("provenance/newest", []byte("team/new"), recordKey(pushTwo)) }},
	{name: "new records are said to be found already", do: func(h *hands) {
		h.put(recordsHead, []byte("indexed"), append(recordKey(1000), h.get(recordsHead, []byte("indexed"))[8:]...))
	}},
	{name: "a receipt key in place of another", do: func(h *hands) {
		h.put("provenance/key", recordKey(logFirst), newKeys(h.t).Receipts[0].Key().DER())
	}},
	{name: "a receipt key that nobody introduced", do: func(h *hands) {
		h.put("provenance/key", recordKey(pushTwo), newKeys(h.t).Receipts[0].Key().DER())
	}},
	{name: "a receipt key for records to come", do: func(h *hands) {
		h.put("provenance/key", recordKey(1000), newKeys(h.t).Receipts[0].Key().DER())
	}},
	{name: "a receipt key twice", do: func(h *hands) {
		h.put("provenance/key", recordKey(pushTwo), h.get("provenance/key", recordKey(logFirst)))
	}},
	{name: "a receipt key made unreadable", do: func(h *hands) { h.put("provenance/key", recordKey(logFirst), []byte("key")) }},
}

// tamperedLogs are tamperings with the logs.
var tamperedLogs = []tamperRow{
	{name: "the hash of a leaf", do: func(h *hands) { h.flip(logHashes, append(h.number(), recordKey(0)...)) }},
	{name: "a hash over leaves", do: func(h *hands) { h.flip(logHashes, append(h.number(), recordKey(2)...)) }},
	{name: "a hash taken out", do: func(h *hands) { h.del(logHashes, append(h.number(), recordKey(14)...)) }},
	{name: "a hash of the closed log", do: func(h *hands) { h.flip(logHashes, append(make([]byte, 4), recordKey(3)...)) }},
	{name: "a hash behind the end of the log", do: func(h *hands) { h.put(logHashes, append(h.number(), recordKey(1000)...), sum("x")) }},
	{name: "a hash of a log that is not there", do: func(h *hands) { h.put(logHashes, append([]byte{0, 0, 0, 7}, recordKey(0)...), sum("x")) }},
	{name: "a checkpoint of a log that is not there", do: func(h *hands) {
		h.put("log/checkpoint", []byte{0, 0, 0, 7}, h.get("log/checkpoint", h.number()))
	}},
	{name: "the checkpoint of the closed log in place of the newest", do: func(h *hands) {
		h.put("log/checkpoint", h.number(), h.get("log/checkpoint", make([]byte, 4)))
	}},
	{name: "the name of the closed log", do: func(h *hands) { h.edit("log/log", make([]byte, 4), h.b.origins[0][:16], "0000000000000000") }},
	{name: "where a later log begins", do: func(h *hands) { h.edit("log/log", h.number(), `"first":12`, `"first":11`) }},
	{name: "the head of the log", do: func(h *hands) { h.flip(logHead, []byte("head")) }},
	{name: "the head of the log taken out", do: func(h *hands) { h.del(logHead, []byte("head")) }},
	{name: "the newest checkpoint", do: func(h *hands) {
		h.edit("log/checkpoint", h.number(), fmt.Sprintf("\n%d\n", leaves), fmt.Sprintf("\n%d\n", leaves-1))
	}},
	{name: "the newest checkpoint taken out", do: func(h *hands) { h.del("log/checkpoint", h.number()) }},
	{name: "the checkpoint of the closed log taken out", do: func(h *hands) { h.del("log/checkpoint", make([]byte, 4)) }},
	{name: "why a log was closed", do: func(h *hands) { h.edit("log/log", make([]byte, 4), `"stolen"`, `"lost"`) }},
	{name: "when a log was closed", do: func(h *hands) {
		h.edit("log/log", make([]byte, 4), `"closed":{"time":"20`, `"closed":{"time":"19`)
	}},
	{name: "with what a log was closed", do: func(h *hands) {
		h.edit("log/log", make([]byte, 4), `localhost\n12\n`, `localhost\n11\n`)
	}},
	{
		name: "when the first log began", unseen: "no record says when it began: a clock that was wrong then would look the same",
		do: func(h *hands) { h.edit("log/log", make([]byte, 4), `"begun":"20`, `"begun":"19`) },
	},
	{name: "when a later log began", do: func(h *hands) { h.edit("log/log", h.number(), `"begun":"20`, `"begun":"19`) }},
	{name: "the closed log open again", do: func(h *hands) {
		text := string(h.get("log/log", make([]byte, 4)))
		open, _, _ := strings.Cut(text, `,"closed"`)
		h.put("log/log", make([]byte, 4), []byte(open+"}"))
	}},
	{name: "the closed log taken out", do: func(h *hands) { h.del("log/log", make([]byte, 4)) }},
	{name: "a log that nobody began", do: func(h *hands) {
		l, _ := h.newest()
		h.put("log/log", binary.BigEndian.AppendUint32(nil, l.Number+1), h.replaced(h.get("log/log", h.number()), `"number":1`, `"number":2`))
	}},
	{name: "a cosignature taken out", do: func(h *hands) { h.del("log/cosignature", h.rows("log/cosignature", "")[1].Key) }},
	{name: "a cosigned checkpoint taken out, and its cosignature left", do: func(h *hands) { h.del("log/cosignature", h.rows("log/cosignature", "")[0].Key) }},
	{name: "a cosigned checkpoint taken out with its cosignature", do: func(h *hands) { h.empty("log/cosignature") }},
	{
		name: "all that was cosigned taken out", do: func(h *hands) { h.empty("log/cosignature", "log/witness") },
		unseen: "the registry does not sign that nobody cosigned; a check that demands a witness notices",
	},
	{name: "a cosignature changed", unseen: "only who knows the witness's key can tell: who demands the witness does", do: func(h *hands) {
		row := h.rows("log/cosignature", "")[1]
		h.put("log/cosignature", row.Key, h.replaced(row.Value, string(row.Value[len(row.Value)-30:len(row.Value)-20]), "AAAAAAAAAA"))
	}},
	{name: "a cosignature under the name of another witness", do: func(h *hands) {
		row := h.rows("log/cosignature", "")[1]
		h.put("log/cosignature", append(row.Key[:12:12], "witness.example/w2+00000001"...), row.Value)
	}},
	{name: "a cosignature of another checkpoint", do: func(h *hands) {
		row := h.rows("log/cosignature", "")[1]
		h.del("log/cosignature", row.Key)
		h.put("log/cosignature", slices.Concat(h.number(), recordKey(leaves), row.Key[12:]), row.Value)
		h.put("log/cosignature", append(h.number(), recordKey(leaves)...), h.rows("log/cosignature", "")[0].Value)
	}},
	{name: "what a witness cosigned last, to less than it did", do: func(h *hands) {
		row := h.rows("log/witness", "")[0]
		h.put("log/witness", row.Key, recordKey(3))
	}},
	{name: "a cosigned checkpoint behind the end", do: func(h *hands) {
		row := h.rows("log/cosignature", "")[0]
		h.put("log/cosignature", append(h.number(), recordKey(leaves+5)...), row.Value)
	}},
}

// forge makes a record from another one, and puts it behind the newest.
func (h *hands) forge() {
	next := uint64(logFirst + leaves)
	payload := h.replaced(h.statement(pushLast), fmt.Sprintf(`"index":%d,`, pushLast), fmt.Sprintf(`"index":%d,`, next))
	payload = h.replaced(payload, fmt.Sprintf(`"leaf":%d}`, leaves-1), fmt.Sprintf(`"leaf":%d}`, leaves))
	h.put(recordRows, recordKey(next), h.pack(h.replaced(payload, `"handle":"admin"`, `"handle":"alice"`)))
	h.count(next + 1)
}

// back puts records, log and checkpoint back to what they were at a size, as the registry itself signed it then, with what
// the last records did to tags.
func (h *hands) back(size uint64) {
	signed := h.signedAt(size)
	for index := size + logFirst; index < logFirst+leaves; index++ {
		h.drop(index)
	}
	h.rewind(size)
	h.cut(size)
	h.put("log/checkpoint", h.number(), []byte(signed))
	h.count(logFirst + size)
}

// noLog leaves nothing that says that there was a log.
func (h *hands) noLog() {
	h.empty("log/head", "log/log", "log/hash", "log/checkpoint", "log/cosignature", "log/witness", "provenance/key", "provenance/signature")
	h.put(recordsHead, []byte("head"), h.get(recordsHead, []byte("head"))[:16])
}
