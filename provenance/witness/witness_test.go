package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testLog is a log of which each leaf is its number, but for one.
type testLog struct {
	t      *testing.T
	origin string
	key    ed25519.PrivateKey
	hashes []tlog.Hash
	size   int64
}

func newLog(t *testing.T, origin string, size, other int) *testLog {
	seed := sha256.Sum256([]byte(origin))
	l := &testLog{t: t, origin: origin, key: ed25519.NewKeyFromSeed(seed[:])}
	for ; l.size < int64(size); l.size++ {
		leaf := fmt.Appendf(nil, "leaf %d, %v", l.size, int(l.size) == other)
		added, err := tlog.StoredHashes(l.size, leaf, l)
		fatal(t, err)
		l.hashes = append(l.hashes, added...)
	}
	return l
}

func (l *testLog) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, l.hashes[i])
	}
	return hashes, nil
}

func (l *testLog) vkey() string {
	vkey, err := checkpoint.VerifierKey(l.origin, l.key.Public().(ed25519.PublicKey))
	fatal(l.t, err)
	return vkey
}

func (l *testLog) checkpoint(size int64) string {
	root, err := tlog.TreeHash(size, l)
	fatal(l.t, err)
	signed, err := checkpoint.Checkpoint{Origin: l.origin, Size: uint64(size), Root: root}.Sign(l.key)
	fatal(l.t, err)
	return signed
}

func (l *testLog) proof(size, old int64) tlog.TreeProof {
	if old == 0 {
		return nil
	}
	p, err := tlog.ProveTree(size, old, l)
	fatal(l.t, err)
	return p
}

// cosign asks for a checkpoint that continues another one.
func (l *testLog) cosign(w *Witness, old, size int64) (string, error) {
	return w.Cosign(uint64(old), l.proof(size, old), l.checkpoint(size))
}

func newWitness(t *testing.T) (w *Witness, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "witness.json")
	fatal(t, Create(path, "witness.example/w1"))
	w, err := Open(path)
	fatal(t, err)
	t.Cleanup(func() { w.Close() })
	return w, path
}

// wantCosigned checks a cosignature as C2SP tlog-cosignature describes it, and with a library.
func wantCosigned(t *testing.T, w *Witness, signed, line string) {
	t.Helper()
	v, err := torchwood.NewCosignatureVerifier(w.VKey())
	fatal(t, err)
	n, err := note.Open([]byte(signed+line), note.VerifierList(v))
	fatal(t, err)
	data, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	fatal(t, err)
	at := binary.BigEndian.Uint64(data[4:])
	if age := time.Since(time.Unix(int64(at), 0)); age < 0 || age > time.Minute {
		t.Errorf("it was cosigned %s ago", age)
	}
	key := ed25519.NewKeyFromSeed(w.file.Seed).Public().(ed25519.PublicKey)
	if !ed25519.Verify(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, n.Text), data[12:]) {
		t.Error("it is no cosignature")
	}
}

func TestCosign(t *testing.T) {
	t.Parallel()
	w, path := newWitness(t)
	l, other := newLog(t, "log.example", 300, -1), newLog(t, "other.example", 10, -1)
	fatal(t, w.Add(l.vkey()))
	fatal(t, w.Add(other.vkey()))
	old := int64(0)
	for _, size := range []int64{1, 2, 2, 7, 256, 300} {
		line, err := l.cosign(w, old, size)
		fatal(t, err)
		wantCosigned(t, w, l.checkpoint(size), line)
		old = size
	}
	_, err := other.cosign(w, 0, 10)
	fatal(t, err)
	fatal(t, w.Close())
	again, err := Open(path)
	fatal(t, err)
	defer again.Close()
	if known, err := again.Log("log.example"); err != nil || known.Size != 300 || again.VKey() != w.VKey() {
		t.Errorf("after a restart it knows %+v, %v", known, err)
	}
	if got := fmt.Sprint(again.Origins()); got != "[log.example other.example]" {
		t.Error(got)
	}
}

// TestRefuse is every request that must not be cosigned, by the status that C2SP tlog-witness wants.
func TestRefuse(t *testing.T) {
	t.Parallel()
	w, _ := newWitness(t)
	l, forked := newLog(t, "log.example", 20, -1), newLog(t, "log.example", 20, 5)
	stranger := newLog(t, "stranger.example", 20, -1)
	fatal(t, w.Add(l.vkey()))
	_, err := l.cosign(w, 0, 10)
	fatal(t, err)
	server := httptest.NewServer(w)
	defer server.Close()
	request := func(from *testLog, old, size int64) string {
		return FormatRequest(uint64(old), from.proof(size, old), from.checkpoint(size))
	}
	good := request(l, 10, 20)
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"another history of the same size": {409, request(forked, 10, 10)},
		"another history that is longer":   {422, request(forked, 10, 20)},
		"no proof":                         {422, FormatRequest(10, nil, l.checkpoint(20))},
		"a proof of too much":              {422, FormatRequest(10, append(l.proof(20, 10), tlog.Hash{}), l.checkpoint(20))},
		"an older state":                   {409, request(l, 5, 20)},
		"a newer state":                    {409, request(l, 15, 20)},
		"from the beginning":               {409, request(l, 0, 20)},
		"backwards":                        {400, FormatRequest(15, nil, l.checkpoint(10))},
		"a proof from nothing":             {400, FormatRequest(0, l.proof(20, 10), l.checkpoint(20))},
		"a log that is not known":          {404, request(stranger, 0, 20)},
		"a signature of another":           {403, FormatRequest(10, l.proof(20, 10), strings.ReplaceAll(stranger.checkpoint(20), "stranger.example", "log.example"))},
		"a changed signature":              {403, good[:len(good)-9] + "A" + good[len(good)-8:]},
		"no signature":                     {403, good[:strings.Index(good, "—")]},
		"nothing":                          {400, ""},
		"no old size":                      {400, "new 10\n" + good[7:]},
		"an odd size":                      {400, strings.Replace(good, "old 10", "old 010", 1)},
		"no hash":                          {400, strings.Replace(good, "old 10\n", "old 10\nhello\n", 1)},
		"too many hashes":                  {400, strings.Replace(good, "old 10\n", "old 10\n"+strings.Repeat(tlog.Hash{}.String()+"\n", 64), 1)},
		"no checkpoint":                    {400, "old 10\n\nhello\n"},
		"too long":                         {400, good + strings.Repeat("x", maxRequest)},
	} {
		status, header, body := post(t, server.URL+"/add-checkpoint", c.body)
		if status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
		if status == 409 && (body != "10\n" || header.Get("Content-Type") != "text/x.tlog.size") {
			t.Errorf("%s: 409 says %q as %s", name, body, header.Get("Content-Type"))
		}
	}
	status, _, line := post(t, server.URL+"/add-checkpoint", good)
	if status != 200 {
		t.Fatalf("the good one: %d %s", status, line)
	}
	wantCosigned(t, w, l.checkpoint(20), line)
	if status, _, _ := post(t, server.URL+"/elsewhere", good); status != 404 {
		t.Errorf("elsewhere: %d", status)
	}
	resp, err := http.Get(server.URL + "/add-checkpoint")
	fatal(t, err)
	resp.Body.Close()
	if resp.StatusCode != 405 {
		t.Errorf("GET: %d", resp.StatusCode)
	}
}

func post(t *testing.T, url, body string) (status int, header http.Header, answer string) {
	t.Helper()
	resp, err := http.Post(url, "text/plain", strings.NewReader(body))
	fatal(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	fatal(t, err)
	return resp.StatusCode, resp.Header, string(data)
}

// TestRace has many ask at once for checkpoints that continue the same one, of two histories: one history
// alone is cosigned.
func TestRace(t *testing.T) {
	t.Parallel()
	w, _ := newWitness(t)
	l, forked := newLog(t, "log.example", 20, -1), newLog(t, "log.example", 20, 15)
	fatal(t, w.Add(l.vkey()))
	_, err := l.cosign(w, 0, 10)
	fatal(t, err)
	var mu sync.Mutex
	cosigned := map[*testLog]bool{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			from := []*testLog{l, forked}[i%2]
			if _, err := from.cosign(w, 10, 20); err == nil {
				mu.Lock()
				defer mu.Unlock()
				cosigned[from] = true
			}
		})
	}
	wg.Wait()
	if len(cosigned) != 1 {
		t.Errorf("%d histories are cosigned", len(cosigned))
	}
}

// TestCannotKeep has the disk fail: nothing is cosigned that the file does not know, and the witness goes
// on with what it knew.
func TestCannotKeep(t *testing.T) {
	t.Parallel()
	w, path := newWitness(t)
	l := newLog(t, "log.example", 20, -1)
	fatal(t, w.Add(l.vkey()))
	_, err := l.cosign(w, 0, 10)
	fatal(t, err)
	away := filepath.Dir(path) + ".away"
	fatal(t, os.Rename(filepath.Dir(path), away))
	if line, err := l.cosign(w, 10, 20); err == nil || line != "" {
		t.Error("it cosigns what it cannot keep")
	}
	if err := w.Add(newLog(t, "other.example", 1, -1).vkey()); err == nil {
		t.Error("it knows a log that it cannot keep")
	}
	fatal(t, os.Rename(away, filepath.Dir(path)))
	if known, err := w.Log("log.example"); err != nil || known.Size != 10 {
		t.Errorf("it knows %+v, %v", known, err)
	}
	_, err = l.cosign(w, 10, 20)
	fatal(t, err)
}

func TestFile(t *testing.T) {
	t.Parallel()
	w, path := newWitness(t)
	info, err := os.Stat(path)
	fatal(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v", info.Mode())
	}
	if err := Create(path, "again"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a witness is made over another one: %v", err)
	}
	if err := Create(path+"2", "a name"); err == nil {
		t.Error("a name with a space is taken")
	}
	if _, err := Open(path); !errors.Is(err, ErrInUse) {
		t.Errorf("two have one file: %v", err)
	}
	l := newLog(t, "log.example", 1, -1)
	fatal(t, w.Add(l.vkey()))
	fatal(t, w.Add(l.vkey()))
	l.key = newLog(t, "other.example", 0, -1).key
	if err := w.Add(l.vkey()); !errors.Is(err, ErrOtherKey) {
		t.Errorf("a log changes its key: %v", err)
	}
	if err := w.Add("log.example"); err == nil {
		t.Error("that is no key")
	}
	if _, err := w.Log("elsewhere.example"); !errors.Is(err, ErrUnknownLog) {
		t.Error(err)
	}
	fatal(t, os.WriteFile(path+"3", []byte("{}"), 0o600))
	if _, err := Open(path + "3"); err == nil {
		t.Error("that is no file of a witness")
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add("old 10\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nlog.example\n")
	f.Add("old 10\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n\nlog.example\n")
	f.Add("old 10\n\rAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nlog.example\n")
	f.Fuzz(func(t *testing.T, body string) {
		old, proof, signed, err := ParseRequest(body)
		if err == nil && FormatRequest(old, proof, signed) != body {
			t.Errorf("%q is read and written as %q", body, FormatRequest(old, proof, signed))
		}
	})
}

// TestMet remembers where logs were met, over a restart and a cosignature.
func TestMet(t *testing.T) {
	t.Parallel()
	w, path := newWitness(t)
	one, two, other := newLog(t, "one.example", 2, -1), newLog(t, "two.example", 1, -1), newLog(t, "other.example", 1, -1)
	for _, l := range []*testLog{one, two, other} {
		fatal(t, w.Add(l.vkey()))
	}
	fatal(t, w.Met("one.example", "https://registry.example", nil))
	fatal(t, w.Met("other.example", "https://other.example", nil))
	_, err := one.cosign(w, 0, 2)
	fatal(t, err)
	fatal(t, w.Met("two.example", "https://registry.example", []string{"not.known"}))
	fatal(t, w.Close())
	w, err = Open(path)
	fatal(t, err)
	defer w.Close()
	for origin, want := range map[string]Log{
		"one.example": {Registry: "https://registry.example", Next: "two.example", Size: 2}, "two.example": {Registry: "https://registry.example"},
		"other.example": {Registry: "https://other.example"},
	} {
		if got, err := w.Log(origin); err != nil || got.Registry != want.Registry || got.Next != want.Next || got.Size != want.Size {
			t.Errorf("%s is %+v, %v", origin, got, err)
		}
	}
	if err := w.Met("nowhere.example", "https://registry.example", nil); !errors.Is(err, ErrUnknownLog) {
		t.Error(err)
	}
}
