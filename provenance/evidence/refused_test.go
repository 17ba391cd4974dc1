package evidence_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// wantRefused wants a file to be refused with a sentence.
func wantRefused(t *testing.T, name string, file []byte, trust receipt.Trust, says string) {
	t.Helper()
	if _, err := verify(file, trust); !errors.Is(err, evidence.ErrRefused) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want a refusal with %q", name, err, says)
	}
}

// tarOf makes a tar with entries of any kind.
func tarOf(t *testing.T, format tar.Format, heads ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range heads {
		h.Mode, h.Format = 0o644, format
		fatal(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write(make([]byte, h.Size))
			fatal(t, err)
		}
	}
	fatal(t, w.Close())
	return b.Bytes()
}

// TestBadTars are tars that others could read as something else, or that ask for more than they are.
func TestBadTars(t *testing.T) {
	t.Parallel()
	plain := func(names ...string) []byte {
		var heads []tar.Header
		for _, name := range names {
			heads = append(heads, tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 3})
		}
		return tarOf(t, tar.FormatUSTAR, heads...)
	}
	of := func(h tar.Header) []byte { return tarOf(t, tar.FormatUSTAR, h) }
	good := plain("a", "b")
	edit := func(at int, with string) []byte { return slices.Concat(good[:at], []byte(with), good[at+len(with):]) }
	long := strings.Repeat("long/", 30) + "name"
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"a link":                {of(tar.Header{Name: "a", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}), "a is a link, and an evidence file holds files alone"},
		"a hard link":           {of(tar.Header{Name: "a", Linkname: "b", Typeflag: tar.TypeLink}), "a is a link"},
		"a device":              {of(tar.Header{Name: "a", Typeflag: tar.TypeBlock}), "a is a device"},
		"a pipe":                {of(tar.Header{Name: "a", Typeflag: tar.TypeFifo}), "a is a named pipe"},
		"a directory":           {of(tar.Header{Name: "a/", Typeflag: tar.TypeDir}), `"a/" is a directory`},
		"an absolute name":      {plain("/a"), `the name "/a" is absolute`},
		"a name that leads out": {plain("../a"), `"../a" is no name of a file in an evidence file`},
		"one within":            {plain("a/../b"), `"a/../b" is no name`},
		"an empty name":         {plain("a/./b"), `"a/./b" is no name`},
		"a name that hides":     {plain("a\nb"), `"a\nb" is no name`},
		"two of one name":       {plain("a", "a"), "a is there twice"},
		"another order":         {plain("b", "a"), "a comes behind b"},
		"what follows":          {append(slices.Clone(good), 'x'), "1 bytes follow its end"},
		"more zeros":            {append(slices.Clone(good), make([]byte, 512)...), "512 bytes follow its end"},
		"one block of zeros":    {good[:len(good)-512], "ends too early"},
		"no end":                {good[:len(good)-1024], "ends too early"},
		"cut within a file":     {good[:700], "ends too early"},
		"cut behind a file":     {of(tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 512})[:1024], "ends too early"},
		"padding":               {edit(1000, "x"), "behind a there is something else than zeros"},
		"a time":                {edit(136, "00000000001"), "the header of a says more than its name and size"},
		"an owner":              {edit(265, "root"), "the header of a says more"},
		"a mode":                {edit(100, "0000755"), "the header of a says more"},
		"another sum":           {edit(148, "1"), "the header of a says more"},
		"behind the name":       {edit(50, "x"), "the header of a says more"},
		"a size of its own":     {edit(124, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03"), "is no octal number"},
		"a bomb":                {edit(124, "77777777777"), "is there twice|says more|the file ends before"},
		"a negative size":       {edit(124, "-0000000003"), "is no octal number"},
		"sparse":                {edit(156, "S"), "an extension of tar (sparse files"},
		"a global header":       {edit(156, "g"), "an extension of tar"},
		"GNU's long names":      {tarOf(t, tar.FormatGNU, tar.Header{Name: long, Typeflag: tar.TypeReg}), `no name of a file|an extension of tar`},
		"a record of more":      {tarOf(t, tar.FormatPAX, tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"HALLMARK.x": "1"}}), "no name of a file"},
		"a long record":         {tarOf(t, tar.FormatPAX, tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"HALLMARK.x": strings.Repeat("x", 1000)}}), "a PAX header has records of another size"},
		"compressed":            {append([]byte{0x1f, 0x8b}, make([]byte, 600)...), "it is compressed"},
		"nothing":               {nil, "ends too early"},
		"an empty tar":          {make([]byte, 1024), "it is no evidence file"},
		"another tar":           {good, "it is no evidence file"},
		"text":                  {bytes.Repeat([]byte("hello"), 1000), "is of the kind 'e'"},
	} {
		_, err := evidence.Open(bytes.NewReader(c.file), int64(len(c.file)))
		found := slices.ContainsFunc(strings.Split(c.says, "|"), func(s string) bool { return err != nil && strings.Contains(err.Error(), s) })
		if !errors.Is(err, evidence.ErrRefused) || !found {
			t.Errorf("%s: %v, want a refusal with %q", name, err, c.says)
		}
	}
}

// forged makes a file anew of other contents, with the sums that they have: what a forger does who has no keys.
func forged(t *testing.T, file []byte, change func(files map[string]string)) []byte {
	t.Helper()
	files := map[string]string{}
	eachFile(t, file, func(h *tar.Header, content []byte) { files[h.Name] = string(content) })
	delete(files, "sha256sums")
	change(files)
	sums := ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(name, "blobs/") {
			sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(files[name])), name)
		}
	}
	files["sha256sums"] = sums
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fatal(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}))
		_, err := w.Write([]byte(files[name]))
		fatal(t, err)
	}
	fatal(t, w.Close())
	return b.Bytes()
}

// cover changes evidence.json.
func cover(t *testing.T, files map[string]string, change func(*evidence.Cover)) {
	t.Helper()
	var c evidence.Cover
	fatal(t, json.Unmarshal([]byte(files["evidence.json"]), &c))
	change(&c)
	text, err := json.MarshalIndent(c, "", "  ")
	fatal(t, err)
	files["evidence.json"] = string(text) + "\n"
}

// without takes a record out of a file.
func without(t *testing.T, files map[string]string, index uint64) {
	t.Helper()
	cover(t, files, func(c *evidence.Cover) {
		c.Records = slices.DeleteFunc(c.Records, func(i uint64) bool { return i == index })
	})
	delete(files, fmt.Sprintf("records/%012d.json", index))
	delete(files, fmt.Sprintf("records/%012d.tlog-proof", index))
}

// TestFirstWrong wants the same answer each time of a file in which several things are wrong: the first one, in the order of names.
func TestFirstWrong(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	file := forged(t, h.file(h.order("1.0")), func(f map[string]string) {
		for _, name := range []string{"image.json", "keys/logs.json", "keys/receipts.json", "keys/trusted_root.json", "report.json"} {
			f[name] = "{"
		}
	})
	for range 20 {
		wantRefused(t, "several wrong files", file, kept, "refused: image.json: ")
	}
}

// TestForged has somebody change a file who makes its sums anew.
func TestForged(t *testing.T) {
	t.Parallel()
	h, kept := lived(t)
	o := h.order("1.0")
	h.record(provenance.Event{Action: provenance.Rules, Digest: digest.FromString("{}"), Rules: &provenance.RuleFiles{Policy: digest.FromString("rules: []\n")}})
	o.Documents = []evidence.DocumentFile{{Name: evidence.Policy, Content: []byte("rules: []\n")}}
	file := h.file(o)
	if v, err := verify(forged(t, file, func(map[string]string) {}), kept); err != nil || v.Documents[0].Record == nil {
		t.Fatal(err)
	}
	other := map[string]string{}
	eachFile(t, h.file(h.order("other")), func(head *tar.Header, content []byte) { other[head.Name] = string(content) })
	stranger, _ := lived(t)
	const two = "records/000000000002"
	for says, change := range map[string]func(map[string]string){
		"records/000000000002.json is in it, and evidence.json does not name it": func(f map[string]string) { cover(t, f, func(c *evidence.Cover) { c.Records = []uint64{0, 1, 3} }) },
		"records/000000000002.json is not in it":                                 func(f map[string]string) { delete(f, two+".json") },
		"the tag 1.0: refused: there is a gap: record 0":                         func(f map[string]string) { without(t, f, 0) },
		"none of its records is about the image":                                 func(f map[string]string) { without(t, f, 2) },
		"it is signed with the key":                                              func(f map[string]string) { without(t, f, 1) },
		"the receipt is of record 0":                                             func(f map[string]string) { f[two+".json"] = f["records/000000000000.json"] },
		"its tlog-proof is not the one that follows from its receipt":            func(f map[string]string) { f[two+".tlog-proof"] = f["records/000000000000.tlog-proof"] },
		"record 4: refused: it is about team/app@sha256:": func(f map[string]string) {
			for _, name := range []string{"records/000000000004.json", "records/000000000004.tlog-proof"} {
				f[name] = other[name]
			}
			cover(t, f, func(c *evidence.Cover) { c.Records = []uint64{0, 1, 2, 3, 4, 5} })
		},
		"the signature is not of this statement": func(f map[string]string) {
			f[two+".json"] = strings.Replace(f[two+".json"], `"payload":"eyJ`, `"payload":"eyK`, 1)
		},
		"is in it, and proves no record": func(f map[string]string) {
			f["checkpoints/other.example"] = "other.example\n1\n" + hash + "\n\n— other.example AAAAAA==\n"
		},
		"is no checkpoint of that log": func(f map[string]string) { f["checkpoints/other.example"] = "hello" },
		"it is not proved by the checkpoint in checkpoints/": func(f map[string]string) {
			for name := range f {
				if strings.HasPrefix(name, "checkpoints/") {
					f[name] += "— witness.example AAAAAA==\n"
				}
			}
		},
		"does not begin with the image that evidence.json is about": func(f map[string]string) { cover(t, f, func(c *evidence.Cover) { c.Tag = "2.0" }) },
		"evidence.json names no image":                              func(f map[string]string) { cover(t, f, func(c *evidence.Cover) { c.Digest = "hello" }) },
		"it is of version 2 of the format":                          func(f map[string]string) { cover(t, f, func(c *evidence.Cover) { c.Version = 2 }) },
		"names records out of order, or twice": func(f map[string]string) {
			cover(t, f, func(c *evidence.Cover) { c.Records = []uint64{0, 1, 2, 2, 3} })
		},
		"evidence.json is spelled otherwise": func(f map[string]string) { f["evidence.json"] += " " },
		`unknown field "more"`: func(f map[string]string) {
			f["evidence.json"] = strings.Replace(f["evidence.json"], "{", `{"more":1,`, 1)
		},
		"index.json is spelled otherwise":                    func(f map[string]string) { f["index.json"] += "\n" },
		"is not that of an OCI image layout":                 func(f map[string]string) { f["oci-layout"] = "{}" },
		"report.json: ":                                      func(f map[string]string) { f["report.json"] = `{"a":1,"a":2}` },
		"keys/logs.json: ":                                   func(f map[string]string) { f["keys/logs.json"] = `{"logs":[]}` },
		"hello is in it, and evidence.json does not name it": func(f map[string]string) { f["hello"] = "hello" },
		"is in it, and is not about the image": func(f map[string]string) { // it has a tag as if it were about itself
			const body = `{"schemaVersion":2}`
			d := digest.FromString(body)
			f["blobs/sha256/"+d.Encoded()] = body
			head, ends := strings.CutSuffix(f["index.json"], "\n    }\n  ]\n}\n")
			if !ends {
				t.Errorf("index.json: %s", f["index.json"])
			}
			f["index.json"] = head + fmt.Sprintf(`
    },
    {
      "mediaType": "%s",
      "digest": "%s",
      "size": %d,
      "annotations": {
        "org.opencontainers.image.ref.name": "sha256-%s"
      }
    }
  ]
}
`, manifestMT, d, len(body), d.Encoded())
		},
		"is in it, and nothing mentions it":          func(f map[string]string) { f["blobs/sha256/"+digest.FromString("hello").Encoded()] = "hello" },
		"is not named by a digest":                   func(f map[string]string) { f["blobs/hello"] = "hello" },
		"has not the digest that evidence.json says": func(f map[string]string) { f["documents/policy.yaml"] = "rules: [x]\n" },
		"does not put the document policy.yaml in force": func(f map[string]string) {
			f["documents/policy.yaml"] = "rules: [x]\n"
			cover(t, f, func(c *evidence.Cover) { c.Documents[0].Digest = digest.FromString("rules: [x]\n") })
		},
		"belongs to it, is not there, and is not among what was left out": func(f map[string]string) { delete(f, "blobs/sha256/"+digest.FromString(`{"os":"linux"}`).Encoded()) },
		"there is no blobs/sha256/":                                       func(f map[string]string) { delete(f, "blobs/sha256/"+h.tags["1.0"].Encoded()) },
		"has another key than the one that you trust": func(f map[string]string) {
			l, err := stranger.trust().Logs[0].Log()
			fatal(t, err)
			l.Origin = kept.Logs[0].Origin
			text, err := json.Marshal(receipt.LogFile{Logs: []receipt.LogEntry{{Origin: l.Origin, VKey: l.VKey()}}})
			fatal(t, err)
			f["keys/logs.json"] = string(text)
		},
	} {
		_, err := verify(forged(t, file, change), kept)
		if !errors.Is(err, evidence.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want a refusal with %q", err, says)
		}
	}
	if f := forged(t, file, func(f map[string]string) {}); !bytes.Equal(f, file) {
		t.Error("a forger who changes nothing makes another file")
	}
	wantRefused(t, "by a stranger's keys", file, stranger.trust(), "which is not a trusted one")
	wantRefused(t, "a stranger's, by these keys", stranger.file(stranger.order("1.0")), kept, "which is not a trusted one")
}

const hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
