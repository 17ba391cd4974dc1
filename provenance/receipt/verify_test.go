package receipt_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/note"
)

func newWitness(t testing.TB, name string) *torchwood.CosignatureSigner {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	fatal(t, err)
	w, err := torchwood.NewCosignatureSigner(name, key)
	fatal(t, err)
	return w
}

// trust is what a verifier of this log relies on.
func (l *testLog) trust(witnesses ...note.Verifier) receipt.Trust {
	first := uint64(firstRecord)
	return receipt.Trust{
		Logs:      []receipt.LogEntry{{Origin: l.origin, VKey: l.log.VKey(), First: &first}},
		Keys:      []receipt.KeyEntry{{Hint: l.signer.Key().Hint(), PEM: string(l.signer.Key().PEM()), Ranges: []receipt.Range{{From: firstRecord}}}},
		Witnesses: witnesses,
	}
}

func wantRefused(t *testing.T, what string, data []byte, trust receipt.Trust, says string) {
	t.Helper()
	_, err := receipt.Verify(data, trust)
	if !errors.Is(err, receipt.ErrRefused) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want a refusal with %q", what, err, says)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	w, other := newWitness(t, "witness.example/w1"), newWitness(t, "other.example")
	for _, size := range []int{1, 2, 3, 8, 300} {
		l := newLog(t, "log.example").grow(size)
		for leaf := 0; leaf < size; leaf += 1 + size/7 {
			v, err := receipt.Verify(l.receipt(leaf, w, other), l.trust(w.Verifier()))
			if err != nil {
				t.Fatalf("leaf %d of %d: %v", leaf, size, err)
			}
			if v.Leaf != uint64(leaf) || v.Index != uint64(leaf)+firstRecord || v.Checkpoint.Size != uint64(size) || v.Key.Hint() != l.signer.Key().Hint() ||
				!slices.Equal(v.Cosigned, []string{"witness.example/w1"}) || !slices.Equal(v.Unchecked, []string{"other.example"}) {
				t.Errorf("leaf %d of %d: %+v", leaf, size, v)
			}
		}
	}
}

// TestOtherWriters takes a receipt that a tool has written anew, with other spaces and another order.
func TestOtherWriters(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example").grow(5)
	var v any
	fatal(t, json.Unmarshal(l.receipt(3), &v))
	again, err := json.MarshalIndent(v, "", "\t")
	fatal(t, err)
	if _, err := receipt.Verify(again, l.trust()); err != nil {
		t.Error(err)
	}
}

// TestOtherTrust has a good receipt meet a verifier who relies on something else.
func TestOtherTrust(t *testing.T) {
	t.Parallel()
	w, stranger := newWitness(t, "witness.example"), newWitness(t, "witness.example")
	l, other := newLog(t, "log.example").grow(9), newLog(t, "other.example").grow(9)
	data := l.receipt(5, w)
	for says, change := range map[string]func(*receipt.Trust){
		`in the log "log.example", which is not a trusted one`: func(trust *receipt.Trust) { trust.Logs = other.trust().Logs },
		"the log log.example has not signed its checkpoint":    func(trust *receipt.Trust) { trust.Logs[0].VKey = renamed(t, other, "log.example") },
		"which is not a trusted one":                           func(trust *receipt.Trust) { trust.Keys = other.trust().Keys },
		"was not in force for record 105": func(trust *receipt.Trust) {
			end := uint64(firstRecord + 5)
			trust.Keys[0].Ranges = []receipt.Range{{From: firstRecord, To: &end}, {From: end + 1}}
		},
		"begins with record 99, so its leaf 5 is not record 105": func(trust *receipt.Trust) { *trust.Logs[0].First = 99 },
		"witness.example has not cosigned the checkpoint of 9":   func(trust *receipt.Trust) { trust.Witnesses = []note.Verifier{stranger.Verifier()} },
		"was closed at 4 leaves (stolen), and this checkpoint has 9": func(trust *receipt.Trust) {
			trust.Logs[0].Closed = &receipt.Closing{Reason: "stolen", Checkpoint: newLog(t, "log.example").grow(4).checkpoint()}
		},
		"was closed with another root hash": func(trust *receipt.Trust) {
			forked := newLog(t, "log.example").grow(8)
			forked.add(statement("log.example", 99))
			trust.Logs[0].Closed = &receipt.Closing{Checkpoint: forked.checkpoint()}
		},
	} {
		trust := l.trust(w.Verifier())
		_, err := receipt.Verify(data, trust)
		fatal(t, err)
		change(&trust)
		wantRefused(t, says, data, trust, says)
	}
	trust := l.trust()
	trust.Logs[0].Closed = &receipt.Closing{Checkpoint: l.checkpoint()}
	if _, err := receipt.Verify(data, trust); err != nil {
		t.Errorf("against the last checkpoint of a closed log: %v", err)
	}
}

// TestClosed has a thief of a closed log's keys sign a shorter history, and honest receipts from before the end.
func TestClosed(t *testing.T) {
	t.Parallel()
	w := newWitness(t, "witness.example")
	honest, thief := newLog(t, "log.example").grow(3), newLog(t, "log.example").grow(2)
	thief.add([]byte(strings.Replace(string(statement("log.example", 2)), `"push"`, `"grant"`, 1)))
	forged, early := thief.receipt(2), honest.receipt(2)
	seen, atThree := honest.receipt(2, w), honest.checkpoint()
	honest.grow(4)
	closing := receipt.Closing{Reason: "stolen", Checkpoint: honest.checkpoint()}
	const late = "was closed at 7 leaves (stolen), and this checkpoint of 3 may be signed after that"
	const unknown = "it is not known with which checkpoint"
	for name, c := range map[string]struct {
		data    []byte
		closed  *receipt.Closing
		witness bool
		says    string // "" is good
	}{
		"forged, by what was kept before":        {forged, nil, false, ""},
		"forged":                                 {forged, &closing, false, late},
		"forged, beside what is kept":            {forged, &receipt.Closing{Reason: "stolen", Checkpoint: closing.Checkpoint, Kept: atThree}, false, late},
		"forged, by a trusted root":              {forged, &receipt.Closing{}, false, unknown},
		"honest, by an earlier checkpoint":       {early, &closing, false, late},
		"honest, cosigned":                       {seen, &closing, true, ""},
		"honest, cosigned, and nobody demands":   {seen, &closing, false, late},
		"honest, by the last checkpoint":         {honest.receipt(2), &closing, false, ""},
		"honest, by that of what is kept":        {early, &receipt.Closing{Checkpoint: closing.Checkpoint, Kept: atThree}, false, ""},
		"honest, by a trusted root":              {honest.receipt(2), &receipt.Closing{}, false, unknown},
		"honest, by a trusted root and cosigned": {seen, &receipt.Closing{}, true, ""},
		"the list says nothing that can be read": {early, &receipt.Closing{Checkpoint: closing.Checkpoint, Kept: "x"}, false, "what is kept of the log"},
	} {
		trust := honest.trust()
		if c.witness {
			trust.Witnesses = []note.Verifier{w.Verifier()}
		}
		trust.Logs[0].Closed = c.closed
		_, err := receipt.Verify(c.data, trust)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// renamed is the key of a log under another name.
func renamed(t *testing.T, l *testLog, origin string) string {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(origin, l.log.Key)
	fatal(t, err)
	return vkey
}

// TestUnfitStatements has the registry itself sign and log what is not a record at its place.
func TestUnfitStatements(t *testing.T) {
	t.Parallel()
	good := string(statement("log.example", 2))
	for says, payload := range map[string]string{
		"another leaf than 2":                            string(statement("log.example", 7)),
		"in another log than log.example":                string(statement("other.example", 2)),
		"none of a record that all readers read alike: ": `[]`,
		"none of a record of Hallmark":                   strings.Replace(good, "record/v1", "record/v2", 1),
		"does not say where in the log it is":            strings.Replace(good, `"log":`, `"block":`, 1),
		"none of a record of Hallmark, version 1":        strings.Replace(good, `"index":`, `"number":`, 1),
		`read alike: the key "Index" should be "index"`:  strings.Replace(good, `"version":1`, `"Index":1`, 1),
		"all readers read alike: something follows":      good + "{}",
		"all readers read alike: it is nested more":      strings.Repeat("[", 80) + strings.Repeat("]", 80),
	} {
		l := newLog(t, "log.example").grow(2)
		l.add([]byte(payload))
		wantRefused(t, says, l.receipt(2), l.trust(), says)
	}
}

// TestBeforeTheLog takes a record that was signed without saying where in the log it is: its leaf is its
// number.
func TestBeforeTheLog(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example").grow(2)
	payload := strings.Replace(string(statement("log.example", 2)), `"log":`, `"block":`, 1)
	l.add([]byte(strings.Replace(payload, `"index":102`, `"index":2`, 1)))
	trust := l.trust()
	*trust.Logs[0].First, trust.Keys[0].Ranges[0].From = 0, 0
	v, err := receipt.Verify(l.receipt(2), trust)
	fatal(t, err)
	if v.Index != 2 {
		t.Errorf("it is record %d", v.Index)
	}
}

// TestUnfitFiles wants refusals, and no panics, from what is no receipt.
func TestUnfitFiles(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example").grow(3)
	good := string(l.receipt(1))
	for says, file := range map[string]string{
		"ends too early":                     "",
		"it is no sigstore bundle":           "[]",
		"has no more than":                   good + strings.Repeat(" ", receipt.MaxBundle),
		`"mediaType" is there twice`:         strings.Replace(good, "{", `{"mediaType":"x",`, 1),
		"something follows the document":     good + good,
		`its mediaType is ""`:                "{}",
		"it has 0 log entries":               `{"mediaType":"` + receipt.MediaType + `"}`,
		"its checkpoint is no signed note":   strings.Replace(good, `\n\n`, `\n`, 1),
		"a hash of the proof has 0 bytes":    strings.Replace(good, `"hashes":["`, `"hashes":["","`, 1),
		"mediaType is \"application/vnd.dev": strings.Replace(good, "v0.3", "v0.2", 1),
	} {
		wantRefused(t, says, []byte(file), l.trust(), says)
	}
}

func TestTrustFiles(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example").grow(3)
	trust := l.trust()
	file, err := json.Marshal(receipt.LogFile{Logs: trust.Logs})
	fatal(t, err)
	trust.Logs, err = receipt.ParseLogs(file)
	fatal(t, err)
	file, err = json.Marshal(receipt.KeyFile{Keys: trust.Keys})
	fatal(t, err)
	trust.Keys, err = receipt.ParseKeyFile(file)
	fatal(t, err)
	_, err = receipt.Verify(l.receipt(2), trust)
	fatal(t, err)
	trust.Keys, err = receipt.ParseKeyFile(l.signer.Key().PEM())
	fatal(t, err)
	_, err = receipt.Verify(l.receipt(2), trust)
	fatal(t, err)
	root, err := receipt.TrustedRoot([]receipt.Log{l.log})
	fatal(t, err)
	trust.Logs, err = receipt.ParseLogs(root)
	fatal(t, err)
	_, err = receipt.Verify(l.receipt(2), trust)
	fatal(t, err)
	other := newLog(t, "other.example")
	for _, bad := range []string{
		"", "{}", `{"logs":[]}`, `{"logs":[{"origin":"x","vkey":"y"}]}`, `{"logs":[{"origin":"x","vkey":"` + l.log.VKey() + `"}]}`,
	} {
		if _, err := receipt.ParseLogs([]byte(bad)); err == nil {
			t.Errorf("%s names logs", bad)
		}
	}
	file, err = json.Marshal(receipt.KeyFile{Keys: []receipt.KeyEntry{{Hint: l.signer.Key().Hint(), PEM: string(other.signer.Key().PEM())}}})
	fatal(t, err)
	for _, bad := range []string{"", "{}", `{"keys":[]}`, string(file)} {
		if _, err := receipt.ParseKeyFile([]byte(bad)); err == nil {
			t.Errorf("%s names keys", bad)
		}
	}
}

func FuzzVerify(f *testing.F) {
	l := newLog(f, "log.example").grow(3)
	f.Add(l.receipt(1))
	f.Add([]byte(`{"mediaType":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := receipt.Verify(data, l.trust()); err != nil && !errors.Is(err, receipt.ErrRefused) {
			t.Error(err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	l := newLog(b, "log.example").grow(1000)
	data, trust := l.receipt(500), l.trust()
	for b.Loop() {
		_, err := receipt.Verify(data, trust)
		fatal(b, err)
	}
}
