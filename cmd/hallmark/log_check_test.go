package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestLogCheckAgainstWitness has an operator show an auditor, who sees the log for the first time, another history than
// the one that a witness has cosigned, under the witness's own cosignature.
func TestLogCheckAgainstWitness(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := t.TempDir()
	verb := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), args, func(string) string { return "" }, nil, &out, &out)
		return strings.TrimSpace(out.String()), err
	}
	state := filepath.Join(dir, "witness.json")
	vkey, err := verb("witness", "--state", state, "--name", "witness.example")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "hallmark.yaml"), []byte("witnesses:\n  - "+vkey+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(vkey, err)
	}
	shown, hidden := filepath.Join(dir, "shown"), filepath.Join(dir, "hidden")
	s := startServer(t, shown)
	s.push("team/app", "1", "one", nil)
	s.kill()
	if err := os.Remove(filepath.Join(shown, socketFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(hidden, os.DirFS(shown)); err != nil {
		t.Fatal(err)
	}

	s = startServer(t, hidden)
	s.push("team/app", "2", "what the witness sees", nil)
	if said, err := verb("witness", "--state", state, "--ca", filepath.Join(hidden, "certs/ca.pem"), s.url); err != nil {
		t.Fatal(said, err)
	}
	s.kill()
	var cosignatures []storage.Item
	change(t, filepath.Join(hidden, storeFile), func(tx storage.Tx) {
		for row, err := range tx.Scan("log/cosignature", nil, nil) {
			if err != nil {
				t.Error(err)
			}
			cosignatures = append(cosignatures, storage.Item{Key: bytes.Clone(row.Key), Value: bytes.Clone(row.Value)})
		}
	})

	s = startServer(t, shown)
	s.push("team/app", "2", "what the auditor sees", nil)
	s.push("team/app", "3", "and more", nil)
	s.kill()
	change(t, filepath.Join(shown, storeFile), func(tx storage.Tx) {
		for _, row := range cosignatures {
			tx.Put("log/cosignature", row.Key, row.Value)
		}
	})
	startServer(t, shown)
	proof := filepath.Join(dir, "proof.json")
	said, err := verb("log", "check", "--data", shown, "--state", filepath.Join(dir, "seen.json"), "--witness", vkey, "--proof", proof)
	if exitCode(err) != exitNo || !strings.Contains(said, "shows you another history than the one whose 3 leaves its witnesses cosigned") {
		t.Errorf("%v\n%s", err, said)
	}
	text, err := os.ReadFile(proof)
	if err != nil || !bytes.Contains(text, []byte("witness.example")) {
		t.Errorf("the proof has no cosignature: %v\n%s", err, text)
	}
	said, err = verb("log", "proof", proof, "--witness", vkey)
	if err != nil || !strings.Contains(said, "two histories: the root hash of its first 3 leaves") || !strings.Contains(said, "witness.example cosigned that of 3 leaves at 2") {
		t.Errorf("%v\n%s", err, said)
	}
}

// cosignAt puts a cosignature into the store, with the time that is wanted, as a witness whose clock says so makes it.
func cosignAt(t *testing.T, dir string, key ed25519.PrivateKey, at time.Time) {
	t.Helper()
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		tree, err := log.Open(tx, "")
		if err != nil {
			t.Fatal(err)
		}
		signed, err := tree.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(signed, "\n\n")
		v := witnessOf(t, key)
		data := binary.BigEndian.AppendUint32(nil, v.KeyHash())
		data = binary.BigEndian.AppendUint64(data, uint64(at.Unix()))
		data = append(data, ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at.Unix(), text))...)
		err = tree.PutCosignature(tx, tree.Size, signed, fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()), "— "+v.Name()+" "+base64.StdEncoding.EncodeToString(data))
		if err != nil {
			t.Fatal(err)
		}
	})
}

func witnessOf(t *testing.T, key ed25519.PrivateKey) *torchwood.CosignatureVerifier {
	t.Helper()
	signer, err := torchwood.NewCosignatureSigner("witness.example", key)
	if err != nil {
		t.Fatal(err)
	}
	return signer.Verifier()
}

// TestLogCheckWitnessTime wants the witness's word to be fresh, from its own clock and about enough of what was seen here.
func TestLogCheckWitnessTime(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := t.TempDir()
	data, state := filepath.Join(dir, "data"), filepath.Join(dir, "seen.json")
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	s := startServer(t, data)
	s.push("team/app", "1", "one", nil)
	s.kill()
	if err := os.Remove(filepath.Join(data, socketFile)); err != nil {
		t.Fatal(err)
	}
	check := func(says string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		args = append([]string{"log", "check", "--data", data, "--state", state, "--witness", witnessOf(t, key).String(), "--wait", "0s"}, args...)
		err := run(t.Context(), args, func(string) string { return "" }, nil, &out, &out)
		said := out.String()
		if err != nil {
			said += err.Error()
		}
		if want := strings.HasPrefix(says, "is good: "); (exitCode(err) == 0) != want || !want && exitCode(err) != exitNo || !strings.Contains(said, strings.TrimPrefix(says, "is good: ")) {
			t.Errorf("%q: %v\n%s; want %q", args[8:], err, said, says)
		}
	}
	at := time.Now().Add(-30 * time.Hour)
	cosignAt(t, data, key, at)
	check("cosigned the log ")
	check(" last at " + at.UTC().Format(time.RFC3339) + ", more than 1d ago: what is shown may be an old view")
	check("is good: 2 of 2 leaves are cosigned by witness.example", "--max-age", "48h")
	check("is good: cosigned at "+at.UTC().Format(time.RFC3339), "--max-age", "48h", "--max-lag", "-1")
	cosignAt(t, data, key, time.Now().Add(24*time.Hour))
	check("one of both clocks is wrong")
	cosignAt(t, data, key, time.Now())
	check("is good: 2 of 2 leaves")

	// The log grew, and the witness does not come: what was seen just now may wait for it, and what was seen long ago may not.
	s = startServer(t, data)
	s.push("team/app", "2", "two", nil)
	s.kill()
	if err := os.Remove(filepath.Join(data, socketFile)); err != nil {
		t.Fatal(err)
	}
	check("has cosigned 2 of 3 leaves of the log ")
	check("is good: 2 of 3 leaves", "--max-lag", "1")
	check("is good: 2 of 3 leaves", "--max-lag", "-1", "--max-age", "48h")
	seen, err := readSeen(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, registry := range seen.Registries {
		for i := range registry.Logs[0].Sightings {
			registry.Logs[0].Sightings[i].Time = time.Now().Add(-72 * time.Hour)
		}
	}
	if err := writeSeen(state, seen); err != nil {
		t.Fatal(err)
	}
	check("has cosigned 2 leaves of the log ", "--max-lag", "-1", "--max-age", "48h")
	check("and 3 were seen here more than 2d ago", "--max-lag", "-1", "--max-age", "48h")

	// A signature that is to be the witness's, and is not, is an answer.
	var rows []storage.Item
	change(t, filepath.Join(data, storeFile), func(tx storage.Tx) {
		for row, err := range tx.Scan("log/cosignature", nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, storage.Item{Key: bytes.Clone(row.Key), Value: bytes.Clone(row.Value)})
		}
		last := rows[len(rows)-1]
		if at := &last.Value[len(last.Value)-20]; *at == 'A' { // another letter of base64
			*at = 'B'
		} else {
			*at = 'A'
		}
		tx.Put("log/cosignature", last.Key, last.Value)
	})
	check("does not fit its own signed checkpoint", "--max-lag", "-1")
	check("invalid signature for key witness.example+", "--max-lag", "-1")
}

// TestLogCheckRareWitness demands a witness that comes once a day, where another one has cosigned since: each is asked for by
// its key.
func TestLogCheckRareWitness(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := t.TempDir()
	data, state := filepath.Join(dir, "data"), filepath.Join(dir, "seen.json")
	daily, often, never := ed25519.NewKeyFromSeed(make([]byte, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	at := time.Now().Add(-20 * time.Hour)
	for n, key := range []ed25519.PrivateKey{daily, often} {
		s := startServer(t, data)
		s.push("team/app", fmt.Sprint(n), fmt.Sprint(n), nil)
		s.kill()
		if err := os.Remove(filepath.Join(data, socketFile)); err != nil {
			t.Fatal(err)
		}
		cosignAt(t, data, key, at.Add(time.Duration(n)*time.Hour))
	}
	check := func(want int, says string, keys ...ed25519.PrivateKey) {
		t.Helper()
		var out bytes.Buffer
		args := []string{"log", "check", "--data", data, "--state", state, "--wait", "0s", "--max-lag", "-1", "--max-age", "48h"}
		for _, key := range keys {
			args = append(args, "--witness", witnessOf(t, key).String())
		}
		err := run(t.Context(), args, func(string) string { return "" }, nil, &out, &out)
		if said := fmt.Sprint(out.String(), err); exitCode(err) != want || !strings.Contains(said, says) {
			t.Errorf("%d %s; want %d %q", exitCode(err), said, want, says)
		}
	}
	check(0, "2 of 3 leaves are cosigned by witness.example\nwitness.example cosigned at "+at.UTC().Format(time.RFC3339), daily)
	check(0, "3 of 3 leaves are cosigned by witness.example\n2 of 3 leaves", daily, often)
	check(exitNo, "the witness witness.example has not cosigned the log", never)

	// A file that was edited is refused, and accuses nobody.
	written, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{`\n3\n`: `\n4\n`, `"first": 0`: `"first": 1`, `"time": "20`: `"time": "19`, `localhost+`: `localhosd+`} {
		edited := bytes.ReplaceAll(written, []byte(from), []byte(to))
		if bytes.Equal(edited, written) {
			t.Errorf("%q is not in %s", from, written)
		}
		for _, sum := range []string{"sum", "other"} { // without its sum, as older versions wrote it
			if sum == "other" && from != `\n3\n` && from != `localhost+` {
				continue // only what a log signed can be told then
			}
			old := regexp.MustCompile(`(?m)^  "sum": .*\n`)
			if sum == "other" {
				edited = old.ReplaceAll(edited, nil)
			}
			if err := os.WriteFile(state, edited, 0o600); err != nil {
				t.Fatal(err)
			}
			check(exitUsage, "to begin anew", daily)
		}
	}
}
