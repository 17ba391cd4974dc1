package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/e2e/independent"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"golang.org/x/mod/sumdb/tlog"
)

// tape keeps the answers of a registry, and plays them again for those who ask once more, some of them changed.
type tape struct {
	to      http.RoundTripper
	kept    map[string]*played
	changes map[string]func(*played) // by method and path; nil: nothing is changed
	changed int
}

// played is an answer.
type played struct {
	status int
	header http.Header
	body   []byte
}

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.Method + " " + r.URL.RequestURI()
	a := p.kept[name]
	if a == nil {
		resp, err := p.to.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		a = &played{resp.StatusCode, resp.Header, body}
		p.kept[name] = a
	}
	if change := p.changes[name]; change != nil {
		p.changed++
		a = &played{a.status, a.header.Clone(), bytes.Clone(a.body)}
		change(a)
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// replaced changes a text in an answer, where it stands first.
func replaced(t *testing.T, old, new string) func(*played) {
	return func(a *played) {
		if !bytes.Contains(a.body, []byte(old)) {
			t.Errorf("%q is not there:\n%.500s", old, a.body)
		}
		a.body = bytes.Replace(a.body, []byte(old), []byte(new), 1)
	}
}

// edited changes an answer of JSON.
func edited(t *testing.T, edit func(map[string]any)) func(*played) {
	return func(a *played) {
		var fields map[string]any
		d := json.NewDecoder(bytes.NewReader(a.body))
		d.UseNumber()
		if err := d.Decode(&fields); err != nil {
			t.Error(err)
			return
		}
		edit(fields)
		a.body = mustMarshal(fields)
	}
}

func listIn(of any, names ...any) []any {
	for _, name := range names {
		if i, ok := name.(int); ok {
			of = of.([]any)[i]
		} else {
			of = of.(map[string]any)[name.(string)]
		}
	}
	return of.([]any)
}

func objectIn(of any, names ...any) map[string]any {
	at := listIn(of, names[:len(names)-1]...)
	return at[names[len(names)-1].(int)].(map[string]any)
}

// wantTamperingRefused plays an honest visit again with one answer changed, in each of many ways, and wants the verifier to
// say what is wrong.
func (l *life) wantTamperingRefused(t *testing.T, memory independent.Memory) {
	t.Helper()
	p := &tape{to: l.client.Transport, kept: make(map[string]*played)}
	verifier := independentOf(l.testServer, 100)
	verifier.Client = &http.Client{Transport: p}
	visit := func() error {
		seen := memory
		seen.Logs = slices.Clone(memory.Logs)
		_, err := verifier.Visit(t.Context(), &seen)
		return err
	}
	if err := visit(); err != nil {
		t.Fatal(err)
	}
	for name, c := range l.tamperings(t, memory, p) {
		p.changes, p.changed = c.changes, 0
		err := visit()
		if !errors.Is(err, independent.ErrRefused) || !strings.Contains(err.Error(), c.says) || p.changed == 0 {
			t.Errorf("%s: %v; it should say %q (%d answers were changed)", name, err, c.says, p.changed)
		}
	}
	p.changes = nil
	if err := visit(); err != nil {
		t.Error(err)
	}
}

// tampering is a change of answers, and what has to be said of it.
type tampering struct {
	changes map[string]func(*played)
	says    string
}

func (l *life) tamperings(t *testing.T, memory independent.Memory, p *tape) map[string]tampering {
	t.Helper()
	stolen, restored, newest := memory.Logs[0], memory.Logs[1], memory.Logs[2]
	last := newest.Seen[len(newest.Seen)-1]
	own := "/log/" + newest.Origin + "/checkpoint"
	const pages, logs, keys, trust, newestAlone = "GET /api/v1/records/statements?from=0&limit=1000", "GET /keys/logs.json", "GET /keys/receipts.json", "GET /trusted_root.json", "GET /log/checkpoint"
	one := func(path, says string, change func(*played)) tampering {
		return tampering{map[string]func(*played){path: change}, says}
	}
	// What is served of a log, at both of its addresses.
	checkpoints := func(says string, change func(*played)) tampering {
		return tampering{map[string]func(*played){newestAlone: change, "GET " + own: change}, says}
	}
	tag, digest := p.find(t, "HEAD /v2/team/app/manifests/t", 200), p.find(t, "HEAD /v2/app/manifests/sha256:", 200)
	gone := p.find(t, "HEAD /v2/", 404)
	older := func(a *played) { a.body = []byte(newest.Seen[0].Signed) }
	statements := func(says string, edit func(all []any) []any) tampering {
		return one(pages, says, edited(t, func(page map[string]any) { page["statements"] = edit(listIn(page, "statements")) }))
	}
	set := func(name, value string) func(*played) { return func(a *played) { a.header.Set(name, value) } }
	all := map[string]tampering{
		"a record changed": statements("record 40 is not leaf 40 of the log "+stolen.Origin, func(all []any) []any {
			s := objectIn(all, 40)
			payload := strings.Replace(decoded(t, s["payload"]), `"handle":"admin"`, `"handle":"alice"`, 1)
			s["payload"] = []byte(payload)
			return all
		}),
		"a signature of another record": statements("record 41 is not leaf 41", func(all []any) []any {
			objectIn(all, 41)["signature"] = objectIn(all, 42)["signature"]
			return all
		}),
		"a record left out": statements("up to 1000 there are 999 statements", func(all []any) []any { return slices.Delete(all, 50, 51) }),
		"two records exchanged": statements("where record 60 should be, is record 61", func(all []any) []any {
			all[60], all[61] = all[61], all[60]
			return all
		}),
		"two contents exchanged": statements("record 62 is not leaf 62", func(all []any) []any {
			a, b := objectIn(all, 62), objectIn(all, 63)
			a["index"], b["index"] = b["index"], a["index"]
			all[62], all[63] = b, a
			return all
		}),
		"another key named": one(pages, "is signed with a key that is not there", edited(t, func(page map[string]any) {
			objectIn(page, "statements", 3)["key"] = strings.Repeat("0", 64)
		})),

		"a tag that means another": one(tag, "; by the records it is sha256:", set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))),
		"a tag of another record":  one(tag, "by record 7; by the records it is", set("Hallmark-Record", "7")),
		"a tag that is not pulled": one(tag, "status 404", func(a *played) { a.status = 404 }),
		"a tag left out": one("GET /v2/team/app/tags/list?n=1000", "is not there, and by the records it is", edited(t, func(m map[string]any) {
			m["tags"] = listIn(m, "tags")[1:]
		})),
		"a tag made": one("GET /v2/team/app/tags/list?n=1000", "the tags of team/app: made is there", edited(t, func(m map[string]any) {
			m["tags"] = append(listIn(m, "tags"), "made")
		})),
		"a manifest lost":          one(digest, "status 404", func(a *played) { a.status = 404 }),
		"a manifest that was gone": one(gone, "was removed by record", func(a *played) { a.status = 200 }),
		"a repository left out": one("GET /v2/_catalog?n=1000", "base/debian is not there", edited(t, func(m map[string]any) {
			m["repositories"] = slices.DeleteFunc(listIn(m, "repositories"), func(s any) bool { return s == "base/debian" })
		})),
		"a repository made": one("GET /v2/_catalog?n=1000", "team/gone is there", edited(t, func(m map[string]any) {
			m["repositories"] = append(listIn(m, "repositories"), "team/gone")
		})),
		"rights changed": one("GET /api/v1/access/document", "the access document is sha256:0", set("ETag", `"sha256:0"`)),
		"a user made": one("GET /api/v1/users?limit=100", "the accounts: user:mallory is there", edited(t, func(m map[string]any) {
			m["users"] = append(listIn(m, "users"), map[string]any{"name": "mallory", "account": "none"})
		})),

		"a root changed":       checkpoints("a checkpoint of "+newest.Origin, replaced(t, tlog.Hash(last.Root).String(), tlog.Hash{1}.String())),
		"an older checkpoint":  checkpoints(fmt.Sprintf("has %d leaves, and had %d", newest.Seen[0].Size, last.Size), older),
		"another history":      checkpoints("does not continue its checkpoint of", func(a *played) { a.body = l.fork(t, newest, last.Size) }),
		"another, longer":      checkpoints("the tiles of "+newest.Origin, func(a *played) { a.body = l.fork(t, newest, last.Size+9) }),
		"two newest":           one(newestAlone, "is not the newest checkpoint", older),
		"a tile changed":       one(p.find(t, "GET /log/"+newest.Origin+"/tile/0/", 200), "the tiles of "+newest.Origin, func(a *played) { a.body[40] ^= 1 }),
		"an entry changed":     one(p.find(t, "GET /log/"+newest.Origin+"/tile/entries/", 200), "is the leaf of no record", func(a *played) { a.body[40] ^= 1 }),
		"an entry left out":    one(p.find(t, "GET /log/"+newest.Origin+"/tile/entries/", 200), "ends before its entry", func(a *played) { a.body = a.body[:len(a.body)-1] }),
		"a log left out":       one(logs, "there are 2 logs, and 3 were seen", edited(t, func(m map[string]any) { m["logs"] = listIn(m, "logs")[1:] })),
		"a log of another key": one(logs, "with another name, key or beginning", replaced(t, newest.VKey, vkeyOf(t, newest.Origin))),
		"a log begun later":    one(logs, "with another name, key or beginning", edited(t, func(m map[string]any) { objectIn(m, "logs", 2)["first"] = newest.First + 1 })),
		"an end moved": one(logs, "was closed at", edited(t, func(m map[string]any) {
			objectIn(m, "logs", 1)["closed"].(map[string]any)["size"] = 1 << 20
		})),
		"an earlier end": one(logs, "was closed at", edited(t, func(m map[string]any) {
			c := objectIn(m, "logs", 0)["closed"].(map[string]any)
			c["checkpoint"], c["size"] = stolen.Seen[0].Signed, stolen.Seen[0].Size
		})),
		"a loss kept quiet": one(logs, "does not name the end of "+restored.Origin, edited(t, func(m map[string]any) {
			c := objectIn(m, "logs", 1)["closed"].(map[string]any)
			kept := restored.Seen[len(restored.Seen)-1]
			c["checkpoint"], c["size"] = kept.Signed, kept.Size
			delete(c, "kept")
		})),
		"a trusted key changed": one(trust, "another key of the log "+newest.Origin, l.trust(t, newest.Origin)),
		"a range moved":         one(keys, "signed other records than", edited(t, func(m map[string]any) { objectIn(m, "keys", 0, "ranges", 0)["from"] = 1 })),
		"a key exchanged":       one(keys, "is another one", edited(t, func(m map[string]any) { objectIn(m, "keys", 0)["pem"] = objectIn(m, "keys", 1)["pem"] })),

		"a receipt changed":     one("GET /api/v1/records/100/receipt", "the receipt of record 100: ", replaced(t, `"payload":"ey`, `"payload":"ez`)),
		"a receipt of another":  one("GET /api/v1/records/100/receipt", "the receipt of record 100: ", func(a *played) { a.body = []byte(l.want(200, "GET", "/api/v1/records/101/receipt")) }),
		"a receipt from before": one("GET /api/v1/records/100/receipt", "does not end in the closing checkpoint but at 400 leaves", func(a *played) { a.body = []byte(l.want(200, "GET", "/api/v1/records/100/receipt?at=400")) }),
	}
	return all
}

// find returns a request that was answered so.
func (p *tape) find(t *testing.T, begins string, status int) string {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(p.kept)) {
		if strings.HasPrefix(name, begins) && p.kept[name].status == status {
			return name
		}
	}
	t.Fatalf("there is no answer %d to %s", status, begins)
	return ""
}

func decoded(t *testing.T, text any) string {
	t.Helper()
	var data []byte
	if err := json.Unmarshal([]byte(strconv.Quote(text.(string))), &data); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fork signs a checkpoint of a history that never was, with the log's own key, as its operator can.
func (l *life) fork(t *testing.T, of independent.SeenLog, size uint64) []byte {
	t.Helper()
	keys, err := keyring.New(nil, filepath.Join(l.dir, keysDir), config.Keys{}, nil).Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys.Logs {
		if vkey, err := checkpoint.VerifierKey(of.Origin, key.Public().(ed25519.PublicKey)); err == nil && vkey == of.VKey {
			signed, err := checkpoint.Checkpoint{Origin: of.Origin, Size: size, Root: tlog.Hash{1}}.Sign(key)
			if err != nil {
				t.Fatal(err)
			}
			return []byte(signed)
		}
	}
	t.Fatal("the log's key is not there")
	return nil
}

// vkeyOf is another key of a log's name.
func vkeyOf(t *testing.T, origin string) string {
	t.Helper()
	vkey, err := checkpoint.VerifierKey(origin, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

// trust puts the key of one log in the place of another's.
func (l *life) trust(t *testing.T, origin string) func(*played) {
	return edited(t, func(m map[string]any) {
		of := func(base string) map[string]any {
			for _, entry := range listIn(m, "tlogs") {
				if (entry.(map[string]any)["baseUrl"] == "https://"+origin) == (base == origin) {
					return entry.(map[string]any)
				}
			}
			t.Fatal(base)
			return nil
		}
		of(origin)["publicKey"].(map[string]any)["rawBytes"] = of("another")["publicKey"].(map[string]any)["rawBytes"]
	})
}
