package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
)

const (
	tagTable     = storage.Table("registry/tag")
	manifestRows = storage.Table("registry/manifest")
	repo         = "team/app"
)

// smallKey is the key of a layer that is in the store.
var smallKey = []byte("\x01" + string(sum("one")))

// move lets a tag mean another image, as of a record.
func (h *hands) move(repo, tag, from, to string, since uint64) {
	h.del("registry/tagged", place(repo, h.key(from), []byte(tag)))
	h.put("registry/tagged", place(repo, h.key(to), []byte(tag)), nil)
	h.put(tagTable, place(repo, []byte(tag)), append(binary.AppendUvarint(nil, since), h.key(to)...))
}

// tamperedImages are tamperings with what is served.
var tamperedImages = []tamperRow{
	{name: "a tag put back", do: func(h *hands) { h.move(repo, "1", "three", "one", 2) }},
	{name: "a tag moved, with the record of its last move", do: func(h *hands) { h.move(repo, "1", "three", "two", pushThree) }},
	{name: "a tag taken out", do: func(h *hands) {
		h.del(tagTable, place(repo, []byte("1")))
		h.del("registry/tagged", place(repo, h.key("three"), []byte("1")))
	}},
	{name: "a tag that was removed put back", do: func(h *hands) {
		h.put(tagTable, place(repo, []byte("3")), append(binary.AppendUvarint(nil, 18), h.key("gone")...))
		h.put("registry/tagged", place(repo, h.key("gone"), []byte("3")), nil)
	}},
	{name: "an immutable tag moved", do: func(h *hands) {
		h.put("registry/tag", place("fixed/app", []byte("v1")), append(binary.AppendUvarint(nil, 13), h.key("one")...))
	}},
	{name: "a tag that is not among those of its image", do: func(h *hands) { h.del("registry/tagged", place(repo, h.key("three"), []byte("1"))) }},
	{name: "a manifest taken out", do: func(h *hands) { h.del(manifestRows, place(repo, h.key("another"))) }},
	{name: "a manifest changed", do: func(h *hands) {
		h.edit(manifestRows, place(repo, h.key("three")), `"schemaVersion":2`, `"schemaVersion":3`)
	}},
	{name: "a manifest that came with another record", do: func(h *hands) {
		row := h.get(manifestRows, place(repo, h.key("three")))
		h.put(manifestRows, place(repo, h.key("three")), append(binary.AppendUvarint(nil, pushTwo), row[1:]...))
	}},
	{name: "a manifest that nobody pushed", do: func(h *hands) {
		h.put(manifestRows, place("team/web", h.key("one")), h.get(manifestRows, place(repo, h.key("one"))))
	}},
	{name: "a manifest that was removed put back", do: func(h *hands) {
		row := h.get(manifestRows, place("team/web", h.key("web")))
		_, n := binary.Uvarint(row)
		h.put(manifestRows, place(repo, h.key("web")), append(binary.AppendUvarint(nil, pushGone), row[n:]...))
	}},
	{name: "two manifests swapped", do: func(h *hands) {
		one, three := h.get(manifestRows, place(repo, h.key("one"))), h.get(manifestRows, place(repo, h.key("three")))
		h.put(manifestRows, place(repo, h.key("one")), three)
		h.put(manifestRows, place(repo, h.key("three")), one)
	}},
	{name: "a manifest served as another type", do: func(h *hands) {
		const oci = "application/vnd.oci.image.manifest.v1+json"
		before, after, _ := strings.Cut(string(h.get(manifestRows, place(repo, h.key("three")))), oci)
		h.put(manifestRows, place(repo, h.key("three")), []byte(before+strings.Replace(oci, "image", "imago", 1)+after))
	}},
	{name: "the type of a manifest put back", run: (*tamperStore).retype},
	{name: "a hold taken out", do: func(h *hands) { h.del("registry/held", place(repo, h.key("three"))) }},
	{name: "a hold that nobody made", do: func(h *hands) {
		h.put("registry/held", place(repo, h.key("one")), h.get("registry/held", place(repo, h.key("three"))))
	}},
	{name: "two tags swapped", do: func(h *hands) {
		one, two := h.get(tagTable, place(repo, []byte("1"))), h.get(tagTable, place(repo, []byte("2")))
		h.put(tagTable, place(repo, []byte("1")), two)
		h.put(tagTable, place(repo, []byte("2")), one)
		h.del("registry/tagged", place(repo, h.key("three"), []byte("1")), place(repo, h.key("another"), []byte("2")))
		h.put("registry/tagged", place(repo, h.key("three"), []byte("2")), nil)
		h.put("registry/tagged", place(repo, h.key("another"), []byte("1")), nil)
	}},
	{name: "a tag taken from another repository", do: func(h *hands) {
		h.put(tagTable, place("team/web", []byte("3")), h.get(tagTable, place(repo, []byte("1"))))
	}},
	{name: "an immutable tag in capitals, too", do: func(h *hands) {
		h.put(tagTable, place("fixed/app", []byte("V1")), h.get(tagTable, place("fixed/app", []byte("v1"))))
		h.put("registry/tagged", place("fixed/app", h.key("fixed"), []byte("V1")), nil)
	}},
	{name: "a tag among those of another image", do: func(h *hands) { h.put("registry/tagged", place(repo, h.key("two"), []byte("1")), nil) }},
	{name: "an attestation that is not there", do: func(h *hands) {
		row := h.get("registry/referrer", place(repo, h.key("three"), h.key("attached")))
		h.put("registry/referrer", place(repo, h.key("three"), []byte("\x01"+string(sum("x")))), row)
	}},
	{name: "an attestation taken to another repository", do: func(h *hands) {
		row := h.get("registry/referrer", place(repo, h.key("three"), h.key("attached")))
		h.put("registry/referrer", place("team/web", h.key("web"), h.key("attached")), row)
		h.put("registry/subject", place("team/web", h.key("attached")), h.key("web"))
	}},
	{name: "provenance of an image that has none", do: func(h *hands) {
		h.put("registry/rendered", place(repo, []byte("\x01"+string(sum("x"))), h.key("three")), nil)
	}},
	{name: "a blob of another size", do: func(h *hands) {
		row := h.blobsInFiles()[0]
		row.Value[0] ^= 1
		h.put("registry/blob", row.Key, row.Value)
	}},
	{name: "the bytes of a blob in the store", do: func(h *hands) { h.flip("registry/small", smallKey) }},
	{name: "the bytes of a blob in the store taken out", do: func(h *hands) { h.del("registry/small", smallKey) }},
	{name: "bytes in the store that belong to no blob", do: func(h *hands) { h.put("registry/small", []byte("\x01"+string(sum("x"))), []byte("x")) }},
	{name: "a blob that is said to be in the store", do: func(h *hands) {
		h.put("registry/blob", []byte("\x01"+string(sum("three"))), []byte("\x05\x05store"))
	}},
	{name: "a blob in a repository, and nowhere else", do: func(h *hands) {
		d := []byte("\x01" + string(sum("x")))
		h.put("registry/link", place(repo, d), h.rows("registry/link", repo)[0].Value)
		h.put("registry/linked", append(bytes.Clone(d), repo...), nil)
	}},
	{name: "a repository that is not listed", do: func(h *hands) { h.del("registry/repository", []byte(repo)) }},
	{name: "a repository that is empty", do: func(h *hands) { h.put("registry/repository", []byte("team/new"), nil) }},
	{name: "an attestation hidden", do: func(h *hands) {
		h.del("registry/referrer", place(repo, h.key("three"), h.key("attached")))
		h.del("registry/subject", place(repo, h.key("attached")))
	}},
	{name: "an attestation that is listed as something else", do: func(h *hands) {
		h.edit("registry/referrer", place(repo, h.key("three"), h.key("attached")), "in-toto", "spdx-js")
	}},
	{name: "an attestation of another image", do: func(h *hands) {
		row := h.get("registry/referrer", place(repo, h.key("three"), h.key("attached")))
		h.del("registry/referrer", place(repo, h.key("three"), h.key("attached")))
		h.put("registry/referrer", place(repo, h.key("one"), h.key("attached")), row)
		h.put("registry/subject", place(repo, h.key("attached")), h.key("one"))
	}},
	{name: "an image's provenance of another record", do: func(h *hands) {
		row := h.get("registry/provenance", place(repo, h.key("three")))
		h.put("registry/provenance", place(repo, h.key("three")), append(binary.AppendUvarint(nil, pushTwo), row[1:]...))
	}},
	{name: "an image's provenance taken out", do: func(h *hands) {
		row := h.get("registry/provenance", place(repo, h.key("three")))
		h.del("registry/provenance", place(repo, h.key("three")))
		h.del("registry/rendered", place(repo, row[1:34], h.key("three")), place(repo, row[34:67], h.key("three")), place(repo, row[67:], h.key("three")))
		h.del("registry/referrer", place(repo, h.key("three"), row[1:34]))
	}},
	{name: "the row of an image's provenance alone taken out", do: func(h *hands) { h.del("registry/provenance", place(repo, h.key("three"))) }},
	{name: "provenance found under another image", do: func(h *hands) {
		row := h.get("registry/provenance", place(repo, h.key("three")))
		h.del("registry/rendered", place(repo, row[1:34], h.key("three")))
		h.put("registry/rendered", place(repo, row[1:34], h.key("gone")), nil)
	}},
	{name: "provenance that is listed as something else", do: func(h *hands) {
		row := h.get("registry/provenance", place(repo, h.key("three")))
		h.edit("registry/referrer", place(repo, h.key("three"), row[1:34]), "hallmark.provenance", "hallmork.provenance")
	}},
	{name: "the last record about an image", do: func(h *hands) {
		h.put("registry/evidence", place(repo, h.key("three")), binary.AppendUvarint(nil, pushThree))
	}},
	{name: "the mark of what is known of an image taken out", do: func(h *hands) { h.del("registry/evidence", place(repo, h.key("three"))) }},
	{name: "what was thought of an image", do: func(h *hands) { h.edit("registry/kept", place(repo, h.key("three")), `"grade":"F"`, `"grade":"A"`) }},
	{name: "what was thought of an image, taken from another", do: func(h *hands) {
		h.put("registry/kept", place(repo, h.key("three")), h.get("registry/kept", place(repo, h.key("two"))))
	}},
	{name: "what was thought of an image, forged under the name of the registry's key", do: func(h *hands) {
		h.keep("three", h.macKey(keptKeyFile), sum("another key"))
	}},
	{
		name: "a stored report, forged with another key", unseen: "a report stored under another key is ignored, and computed again on request",
		do: func(h *hands) { h.keep("three", sum("another key"), sum("another key")) },
	},
	{
		name: "what was thought of an image forgotten", unseen: "an opinion is no fact: it is made anew when it is asked for",
		do: func(h *hands) { h.del("registry/kept", place(repo, h.key("three"))) },
	},
	{name: "a tag not found by a word", do: func(h *hands) { h.del("registry/word", []byte("t1\x00"+repo+"\x001")) }},
	{name: "a repository found by a word that is not in its name", do: func(h *hands) { h.put("registry/word", []byte("rword\x00"+repo), nil) }},
	{name: "a tag found that is not there", do: func(h *hands) { h.put("registry/word", []byte("tword\x00"+repo+"\x00word"), nil) }},
	{name: "an image not found by its layers", do: func(h *hands) { h.del("registry/layers", h.rows("registry/layers", "")[0].Key) }},
	{name: "an image found by layers that it has not", do: func(h *hands) {
		row := h.rows("registry/layers", "")[0]
		h.put("registry/layers", append([]byte("12345678"), row.Key[8:]...), nil)
	}},
	{name: "an image found by diff ids that it has not", do: func(h *hands) {
		h.put("registry/diffs", append([]byte("12345678"), h.rows("registry/layers", "")[0].Key[8:]...), nil)
	}},
	{name: "what an image needs", do: func(h *hands) { h.del("registry/needs", h.rows("registry/needs", repo)[0].Key) }},
	{name: "what needs a blob", do: func(h *hands) { h.del("registry/needed", h.rows("registry/needed", repo)[0].Key) }},
	{name: "a blob taken out of a repository", do: func(h *hands) {
		row := h.rows("registry/link", repo)[0]
		h.del("registry/link", row.Key)
		h.del("registry/linked", append(bytes.Clone(row.Key[len(repo)+1:]), repo...))
	}},
	{
		name: "a blob that can be read in another repository", unseen: "who could read a blob is not on record; without need it goes when its lease ends",
		do: func(h *hands) {
			row := h.rows("registry/link", "team/web")[0]
			d := row.Key[len("team/web")+1:]
			h.put("registry/link", place("fixed/app", d), row.Value)
			h.put("registry/linked", append(bytes.Clone(d), "fixed/app"...), nil)
			_, n := binary.Uvarint(row.Value[1:])
			lease, _ := binary.Uvarint(row.Value[1 : 1+n])
			h.put("registry/lease", append(binary.BigEndian.AppendUint64(nil, lease), place("fixed/app", d)...), nil)
		},
	},
	{name: "a blob without a repository", do: func(h *hands) {
		row := h.blobsInFiles()[0]
		row.Key[5] ^= 1
		h.put("registry/blob", row.Key, row.Value)
	}},
	{name: "a blob that is in another's file", do: func(h *hands) {
		rows := h.blobsInFiles()
		h.put("registry/blob", rows[0].Key, rows[1].Value)
	}},
	{name: "a blob whose lease never ends", do: func(h *hands) {
		row := h.rows("registry/link", repo)[0]
		d := []byte("\x01" + string(sum("x")))
		h.put("registry/blob", d, h.get("registry/blob", row.Key[len(repo)+1:]))
		h.put("registry/link", place(repo, d), row.Value)
		h.put("registry/linked", append(bytes.Clone(d), repo...), nil)
	}},
	{
		name: "a lease of a blob that is needed", unseen: "a lease is when to look at a blob; one that is needed stays",
		do: func(h *hands) { h.del("registry/lease", h.rows("registry/lease", "")[0].Key) },
	},
	{name: "a file in use put among those to be removed", do: func(h *hands) {
		row := h.blobsInFiles()[0]
		h.put("registry/trash", row.Value[2:2+row.Value[1]], binary.AppendUvarint(nil, 1))
	}},
	{name: "an image taken out of the trash", do: func(h *hands) {
		for _, table := range []storage.Table{"registry/deleted", "registry/deletedtag", "registry/deletedholds", "registry/deletedend", "registry/deletedheld"} {
			for _, row := range h.rows(table, "") {
				h.del(table, row.Key)
			}
		}
		h.put("registry/deletedsum", []byte("sum"), []byte{0, 0, 0})
	}},
	{name: "an image put into the trash that nobody deleted", do: func(h *hands) {
		h.put("registry/deleted", place("team/web", h.key("web")), h.get("registry/deleted", place(repo, h.key("web"))))
	}},
	{name: "an image in the trash with other bytes", do: func(h *hands) {
		h.edit("registry/deleted", place(repo, h.key("web")), `"schemaVersion":2`, `"schemaVersion":3`)
	}},
	{name: "an image that leaves the trash at another time", do: func(h *hands) {
		row := h.rows("registry/deletedend", "")[0]
		h.del("registry/deletedend", row.Key)
		row.Key[7] ^= 1
		h.put("registry/deletedend", row.Key, nil)
	}},
	{name: "a tag that an image in the trash never had", do: func(h *hands) {
		row := h.rows("registry/deletedtag", "")[0]
		h.put("registry/deletedtag", append(bytes.Clone(row.Key), "2"...), row.Value)
	}},
	{name: "what the trash holds", do: func(h *hands) { h.del("registry/deletedholds", h.rows("registry/deletedholds", "")[0].Key) }},
	{name: "what is said to be held by the trash", do: func(h *hands) { h.del("registry/deletedheld", h.rows("registry/deletedheld", "")[0].Key) }},
	{name: "a blob hidden", do: func(h *hands) {
		row := h.rows("registry/link", repo)[0]
		h.put("registry/hidden", row.Key, row.Value)
	}},
	{name: "a blob said to be hidden", do: func(h *hands) {
		h.put("registry/hiddenin", append(bytes.Clone(h.rows("registry/link", repo)[0].Key[len(repo)+1:]), repo...), nil)
	}},
	{name: "how much is in the trash", do: func(h *hands) { h.put("registry/deletedsum", []byte("sum"), []byte{7, 7, 7}) }},
	{
		name: "an image said to be on its way out of the trash", unseen: "the collector comes to it, finds the image in the trash, and takes the row away",
		do: func(h *hands) { h.put("registry/leaving", place(repo, h.key("web")), nil) },
	},
	{name: "a blob said to be damaged", do: func(h *hands) {
		row := h.blobsInFiles()[0]
		h.put("registry/damaged", row.Key, []byte(`{}`))
	}},
	{name: "what a repository is said to use", do: func(h *hands) {
		row := h.get("registry/usage", []byte(repo))
		h.put("registry/usage", []byte(repo), append(bytes.Clone(row[:len(row)-1]), row[len(row)-1]+2)) // one tag more
	}},
	{name: "what a repository uses that cannot be read", do: func(h *hands) { h.put("registry/usage", []byte(repo), []byte{7}) }},
	{name: "what a repository uses taken out", do: func(h *hands) { h.del("registry/usage", []byte(repo)) }},
	{name: "a quota that nobody set", do: func(h *hands) {
		h.put("registry/quota", []byte("document"), []byte(`{"version":1,"quotas":[{"pattern":"team/**","bytes":1}]}`))
		h.put("registry/quota", []byte("version"), binary.BigEndian.AppendUint64(nil, 1))
		h.put("registry/quotaUse", []byte("team/**"), []byte{1, 0, 0, 0})
	}},
	{name: "what is used of a quota that there is not", do: func(h *hands) { h.put("registry/quotaUse", []byte("team/**"), []byte{1, 1, 0, 0}) }},
	{name: "a manifest said to be going", do: func(h *hands) { h.put("registry/going", place(repo, h.key("one")), binary.AppendUvarint(nil, 19)) }},
	{name: "a manifest said to lack references", unseen: "it waits for rows that it has: the next start sees that, and takes the mark away", do: func(h *hands) { h.put("registry/incomplete", place(repo, h.key("one")), nil) }},
	{
		name: "a done mark taken out", unseen: "the one-time step runs again from the records, and signs nothing",
		do: func(h *hands) { h.del("registry/done", h.rows("registry/done", "")[0].Key) },
	},
	{
		name: "the registry's clock", unseen: "it counts while the registry runs, to tell when leases end",
		do: func(h *hands) { h.flip("registry/clock", []byte("clock")) },
	},
	{
		name: "what several processes tell each other", unseen: "one process that has its store to itself does not go by it",
		do: func(h *hands) {
			h.put("lease/replica", []byte("other"), []byte(`{"version":"x","renewed":"2020-01-01T00:00:00Z","until":"2099-01-01T00:00:00Z"}`))
			h.put("lease/lease", []byte("collect"), []byte(`{"number":9,"holder":"other"}`))
			h.put("registry/lastMove", []byte("last"), binary.BigEndian.AppendUint64(nil, 9))
			h.put("registry/moves", binary.BigEndian.AppendUint64(nil, 9), []byte{0})
			h.put("hallmark/move", []byte("move"), []byte("{}"))
		},
	},
	{
		name: "what was seen of an upload", unseen: "an upload is nobody's yet",
		do: func(h *hands) { h.put("registry/idle", []byte("an upload"), make([]byte, 24)) },
	},
	{
		name: "objects of an object store that there is not", unseen: "blobs are in files here, and only a registry with blobs in an object store reads it",
		do: func(h *hands) {
			for _, table := range []storage.Table{"s3/objects", "s3/uploads", "s3/parts", "s3/gone"} {
				h.put(table, []byte("0000000000000001.1"), []byte(`{"s":1}`))
			}
		},
	},
	{
		name: "rules of retention approved", unseen: "it says which rules a schedule may apply: anyone who writes the store needs no schedule to remove images",
		do: func(h *hands) { h.put("retention/approved", []byte("rules"), []byte("sha256:00")) },
	},
	{
		name: "through which registries a mirror comes", unseen: "it only has mirrors refused that go round",
		do: func(h *hands) { h.put("mirror/through", []byte(repo), []byte("0123")) },
	},
	{
		name: "the name that other registries know this one by", unseen: "it only has mirrors refused that go round",
		do: func(h *hands) { h.put("mirror/self", []byte("name"), make([]byte, 16)) },
	},
	{
		name: "when a mirror runs next", unseen: "it says only when an upstream is asked; what comes is on record",
		do: func(h *hands) { h.put("mirror/state", []byte("hub"), []byte(`{"next":"2099-01-01T00:00:00Z"}`)) },
	},
	{
		name: "when what a tag means upstream was seen first", unseen: "it says when a mirror lets an image through; that it did is on record",
		do: func(h *hands) { h.put("mirror/waiting", place(repo, []byte("1")), []byte(`{"seen":1}`)) },
	},
	{
		name: "an image said to be held by a mirror", unseen: "it only has pulls of the image refused; what is let through is on record",
		do: func(h *hands) { h.put("registry/withheld", place(repo, h.key("one")), []byte{1}) },
	},
	{
		name: "how far a scrub came", unseen: "it records only the scrub's progress; run a scrub to be sure",
		do: func(h *hands) { h.del("registry/scrub", []byte("state")) },
	},
	{
		name: "when a tag was last pulled", unseen: "pulls are on no record, because they have to be erasable",
		do: func(h *hands) { h.put("registry/pull", place(repo, []byte("1")), []byte{0, 1}) },
	},
	{
		name: "pulls that are due", unseen: "pulls are on no record, because they have to be erasable",
		do: func(h *hands) { h.put("registry/duePull", place(repo, h.key("one")), []byte{0, 1}) },
	},
	{
		name: "since when pulls are counted", unseen: "pulls are on no record, because they have to be erasable",
		do: func(h *hands) { h.put("registry/pullState", []byte("state"), []byte(`{"began":1}`)) },
	},
	{name: "pulls of a tag that cannot be read", do: func(h *hands) { h.put("registry/pull", place(repo, []byte("1")), []byte{0, 1, 5}) }},
	{
		name: "the secret of uploads", unseen: "it makes uploads that are under way hard to guess",
		do: func(h *hands) { h.flip("registry/secret", []byte("secret")) },
	},
}

// tamperedFiles are tamperings with more than the store.
var tamperedFiles = []tamperRow{
	{name: "the bytes of a blob", do: func(h *hands) {
		h.write(filepath.Join(blobsDir, h.blobFile()), "and more")
	}},
	{name: "the file of a blob taken away", do: func(h *hands) {
		h.check(os.Remove(filepath.Join(h.dir, blobsDir, h.blobFile())))
	}},
	{
		name: "keys/log.checkpoint taken away", unseen: "a start without it compares less; nothing else was changed",
		do: func(h *hands) { h.check(os.Remove(filepath.Join(h.dir, keysDir, checkpointFile))) },
	},
	{name: "keys/log.checkpoint made unreadable", do: func(h *hands) { h.write(filepath.Join(keysDir, checkpointFile), "checkpoint") }},
	{
		name: "the key of what is thought taken away", unseen: "opinions are made anew when they are asked for",
		do: func(h *hands) { h.check(os.Remove(filepath.Join(h.dir, keptKeyFile))) },
	},
	{
		name: "the key of bearer tokens taken away", unseen: "another is made: bearer tokens end, and clients fetch the next",
		do: func(h *hands) { h.check(os.Remove(filepath.Join(h.dir, bearerKeyFile))) },
	},
	{name: "an older copy of the store, beside the keys as they are", replace: storeFile},
	{name: "an older copy of everything", replace: ".", unseen: "it fits itself: only somebody else remembers that there was more"},
	{name: "the layout of the store", do: func(h *hands) { h.put("storage", []byte("version"), []byte{0, 0, 0, 6}) }},
	{name: "keys/log.checkpoint of another registry", do: func(h *hands) {
		signed, err := checkpoint.Checkpoint{Origin: "other.example", Size: leaves}.Sign(newKeys(h.t).Logs[0])
		h.check(err)
		h.write(filepath.Join(keysDir, checkpointFile), signed)
	}},
	{
		name: "keys/log.checkpoint of the closed log", unseen: "a crash right after the log was closed leaves the same: the store goes on from there",
		do: func(h *hands) {
			h.write(filepath.Join(keysDir, checkpointFile), string(h.get("log/checkpoint", make([]byte, 4))))
		},
	},
	{
		name: "an older keys/log.checkpoint", unseen: "a crash leaves the same: the log goes on from there",
		do: func(h *hands) { h.write(filepath.Join(keysDir, checkpointFile), h.signedAt(leaves-2)) },
	},
	{name: "the layout of the store taken out", do: func(h *hands) { h.del("storage", []byte("version")) }},
	{name: "the layout of a newer version", do: func(h *hands) { h.put("storage", []byte("version"), []byte{0, 0, 0, 99}) }},
	{name: "a user that nobody made, in a store of the first layout", do: func(h *hands) {
		h.mallory("p-1")
		h.put("storage", []byte("version"), []byte{0, 0, 0, 1})
	}},
	{name: "the blobs of another store", do: func(h *hands) { h.flip("hallmark/settings", []byte("blobs")) }},
	{
		name: "another public name", noted: "an operator may have changed it, and made no record since",
		do: func(h *hands) { h.put("hallmark/settings", []byte("url"), []byte("http://mallory.example")) },
	},
	{
		name: "the mark of the first administrator taken out", unseen: "a start that finds records makes no administrator, and sets the mark again",
		do: func(h *hands) { h.del("hallmark/settings", []byte("admin")) },
	},
}

// keep writes what is thought of an image as the registry keeps it, as if under the key that is named, with the MAC of another.
func (h *hands) keep(layer string, named, key []byte) {
	at := place(repo, h.key(layer))
	row := h.get("registry/kept", at)
	version, n := binary.Uvarint(row)
	body := h.replaced(row[n+1+4+sha256.Size:], `"grade":"F"`, `"grade":"A"`)
	name := sha256.Sum256(append([]byte("hallmark kept key"), named...))
	mac := hmac.New(sha256.New, key)
	for _, part := range [][]byte{recordKey(uint64(len(at))), at, recordKey(version), body} {
		mac.Write(part)
	}
	h.put("registry/kept", at, slices.Concat(row[:n+1], name[:4], mac.Sum(nil), body))
}

func (h *hands) macKey(name string) []byte {
	key, err := os.ReadFile(filepath.Join(h.dir, name))
	h.check(err)
	return key
}

// blobsInFiles returns the rows of blobs whose bytes are not in the store.
func (h *hands) blobsInFiles() []storage.Item {
	return slices.DeleteFunc(h.rows("registry/blob", ""), func(row storage.Item) bool { return bytes.HasSuffix(row.Value, []byte("store")) })
}

// blobFile returns the file of a blob, in the directory of blobs.
func (h *hands) blobFile() (name string) {
	row := h.get("registry/blob", []byte("\x01"+string(sum("three"))))
	at := string(row[2 : 2+row[1]])
	h.check(filepath.WalkDir(filepath.Join(h.dir, blobsDir), func(path string, entry os.DirEntry, err error) error {
		run, _, _ := strings.Cut(filepath.Base(filepath.Dir(path)), "-")
		if err == nil && !entry.IsDir() && strings.HasSuffix(at, "."+run+"."+filepath.Base(path)) {
			name, err = filepath.Rel(filepath.Join(h.dir, blobsDir), path)
		}
		return err
	}))
	if name == "" {
		h.t.Errorf("%q has no file", at)
	}
	return name
}
