package follow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/tlog"
)

// registry serves a sequence of logs, as a real one does, and does whatever its operator wants.
type registry struct {
	t    *testing.T
	logs []*testLog
	down bool
	gets int
}

// testLog is one log, kept with sumdb/tlog alone.
type testLog struct {
	receipt.LogEntry
	key     ed25519.PrivateKey
	entries [][]byte
	hashes  []tlog.Hash
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRegistry(t *testing.T, size int) *registry {
	r := &registry{t: t}
	r.begin("one.example", 0)
	r.grow(size)
	return r
}

// begin begins a log with a record.
func (r *registry) begin(origin string, first uint64) {
	seed := sha256.Sum256([]byte(origin))
	l := &testLog{key: ed25519.NewKeyFromSeed(seed[:])}
	vkey, err := checkpoint.VerifierKey(origin, l.key.Public().(ed25519.PublicKey))
	fatal(r.t, err)
	l.LogEntry = receipt.LogEntry{Origin: origin, VKey: vkey, First: &first}
	r.logs = append(r.logs, l)
}

func (r *registry) newest() *testLog { return r.logs[len(r.logs)-1] }

// grow appends records to the newest log.
func (r *registry) grow(n int) {
	for range n {
		r.newest().add(r.t, fmt.Appendf(nil, "record %d", len(r.newest().entries)))
	}
}

func (l *testLog) add(t *testing.T, entry []byte) {
	added, err := tlog.StoredHashes(int64(len(l.entries)), entry, l)
	fatal(t, err)
	l.hashes = append(l.hashes, added...)
	l.entries = append(l.entries, entry)
}

// rewrite changes one record, and everything that follows from it.
func (l *testLog) rewrite(t *testing.T, at int, entry string) {
	old := l.entries
	l.entries, l.hashes = nil, nil
	for i, e := range old {
		if i == at {
			e = []byte(entry)
		}
		l.add(t, e)
	}
}

// cut forgets the last records.
func (l *testLog) cut(t *testing.T, size int) {
	old := l.entries[:size]
	l.entries, l.hashes = nil, nil
	for _, e := range old {
		l.add(t, e)
	}
}

func (l *testLog) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, l.hashes[i])
	}
	return hashes, nil
}

func (l *testLog) checkpoint(t *testing.T) string {
	root, err := tlog.TreeHash(int64(len(l.entries)), l)
	fatal(t, err)
	signed, err := checkpoint.Checkpoint{Origin: l.Origin, Size: uint64(len(l.entries)), Root: root}.Sign(l.key)
	fatal(t, err)
	return signed
}

// restore closes the newest log at a size, and begins another one.
func (r *registry) restore(origin, reason string, size int) {
	l := r.newest()
	l.cut(r.t, size)
	l.Closed = &receipt.Closing{Reason: reason, Checkpoint: l.checkpoint(r.t)}
	r.begin(origin, *l.First+uint64(size))
	r.grow(1)
}

var errDown = errors.New("connection refused")

func (r *registry) get(_ context.Context, path string) ([]byte, error) {
	r.gets++
	if r.down {
		return nil, errDown
	}
	if path == "/keys/logs.json" {
		file := receipt.LogFile{}
		for _, l := range r.logs {
			file.Logs = append(file.Logs, l.LogEntry)
		}
		return json.Marshal(file)
	}
	for _, l := range r.logs {
		rest, ok := strings.CutPrefix(path, "/log/"+l.Origin+"/")
		if ok && rest == "checkpoint" {
			return []byte(l.checkpoint(r.t)), nil
		}
		if ok {
			return l.tile(rest)
		}
	}
	return nil, fmt.Errorf("there is no %s", path)
}

func (l *testLog) tile(path string) ([]byte, error) {
	tile, err := log.ParseTile(path)
	if err != nil {
		return nil, err
	}
	if tile.L != log.Entries {
		return tlog.ReadTileData(tile, l)
	}
	var b bytes.Buffer
	for _, e := range l.entries[tile.N*log.TileWidth:][:tile.W] {
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(e))))
		b.Write(e)
	}
	return b.Bytes(), nil
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// check runs one check, through the file that the state is kept in.
func (r *registry) check(state *State) *Report {
	r.t.Helper()
	file, err := json.Marshal(state)
	fatal(r.t, err)
	*state = State{}
	fatal(r.t, json.Unmarshal(file, state))
	report, err := Check(context.Background(), r.get, state, noon)
	fatal(r.t, err)
	return report
}

// want runs a check, and wants an outcome that says something. It returns the report.
func (r *registry) want(state *State, outcome Outcome, says string) *Report {
	r.t.Helper()
	before, err := json.Marshal(state)
	fatal(r.t, err)
	report := r.check(state)
	if report.Outcome != outcome || !strings.Contains(report.Says, says) {
		r.t.Fatalf("%s: %s\nwant %s: …%s…", report.Outcome, report.Says, outcome, says)
	}
	if after, _ := json.Marshal(state); report.Outcome.Bad() && !bytes.Equal(before, after) {
		r.t.Errorf("a bad outcome changes what is remembered")
	}
	return report
}

func TestHonest(t *testing.T) {
	t.Parallel()
	r, state := newRegistry(t, 0), &State{}
	r.want(state, New, "this is the beginning")
	for _, more := range []int{0, 1, 1, 5, 250, 300, 0, 70000} {
		r.grow(more)
		report := r.want(state, Consistent, fmt.Sprintf("to %d leaves", len(r.newest().entries)))
		if more != 0 && report.Same != uint64(len(r.newest().entries)-more) {
			t.Errorf("%d leaves are proved the same, with %d more", report.Same, more)
		}
	}
}

// TestCost wants the same few requests, however often a log was seen.
func TestCost(t *testing.T) {
	t.Parallel()
	r, state := newRegistry(t, 1000), &State{}
	for range 200 {
		r.grow(7)
		r.check(state)
	}
	r.gets = 0
	r.grow(7)
	r.check(state)
	if r.gets > 10 {
		t.Errorf("a check makes %d requests", r.gets)
	}
	if n := len(state.Logs[0].Sightings); n > mostSightings || n < mostSightings/2 {
		t.Errorf("%d checkpoints are kept", n)
	}
}

// TestRewritten wants a rewritten history found, the place narrowed down, and a proof that others can check.
func TestRewritten(t *testing.T) {
	t.Parallel()
	for _, grown := range []int{0, 40, 700} {
		r, state := newRegistry(t, 100), &State{}
		for range 5 {
			r.check(state)
			r.grow(100)
		}
		r.check(state)
		r.newest().rewrite(t, 250, "another record")
		r.grow(grown)
		report := r.want(state, Rewritten, "its first 300 leaves are not those that it signed for")
		if report.Same != 200 {
			t.Errorf("%d leaves are proved the same", report.Same)
		}
		wantProof(t, r.newest().VKey, report)
		r.want(state, Rewritten, "was rewritten") // and again, until somebody does something about it
	}
}

// wantProof checks a report as somebody does who has it alone.
func wantProof(t *testing.T, vkey string, report *Report) {
	t.Helper()
	remote, err := NewRemote(nil, vkey)
	fatal(t, err)
	then, err := remote.Open(report.Then.Checkpoint)
	fatal(t, err)
	now, err := remote.Open(report.Now.Checkpoint)
	fatal(t, err)
	if *report.Other == then.Root {
		t.Error("the checkpoints do not contradict each other")
	}
	if now.Size == then.Size {
		if now.Root == then.Root {
			t.Error("the checkpoints are the same")
		}
		return
	}
	fatal(t, tlog.CheckTree(report.Proof, int64(now.Size), now.Root, int64(then.Size), *report.Other))
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	r, state := newRegistry(t, 100), &State{}
	r.check(state)
	r.grow(50)
	r.check(state)
	r.newest().cut(t, 120)
	report := r.want(state, Truncated, "records 120 to 149 are gone, and the registry does not say so")
	if report.Same != 100 {
		t.Errorf("%d leaves are proved the same", report.Same)
	}
	r.newest().add(t, []byte("what came instead"))
	r.want(state, Truncated, "records 121 to 149")
	r.grow(100)
	r.want(state, Rewritten, "its first 150 leaves are not")
}

// TestRestored tells a declared restore from a rewrite.
func TestRestored(t *testing.T) {
	t.Parallel()
	r, state := newRegistry(t, 100), &State{}
	r.check(state)
	r.grow(50)
	r.check(state)
	r.restore("two.example", "restore", 130)
	report := r.want(state, Restored, "records 130 to 149, which were seen, are lost")
	if len(report.Closings) != 1 || report.Closings[0].Next != "two.example" || report.Same != 100 {
		t.Errorf("%+v", report)
	}
	r.grow(10)
	r.want(state, Consistent, "the log two.example goes on from 1 to 11 leaves")
	r.restore("three.example", "key", 11)
	r.want(state, Restored, "(key) and goes on in the log three.example; no record that was seen is lost")
	r.grow(1)
	r.want(state, Consistent, "three.example goes on from 1 to 2")
}

// TestKnownEnd closes a log at a checkpoint that somebody else kept, of more leaves than the backup has.
func TestKnownEnd(t *testing.T) {
	t.Parallel()
	begin := func() (*registry, *State) {
		r, state := newRegistry(t, 100), &State{}
		r.check(state)
		r.grow(50)
		return r, state
	}
	r, state := begin()
	known := r.newest().checkpoint(t)
	r.check(state)
	r.restore("two.example", "restored", 130)
	r.logs[0].Closed.Checkpoint = known
	report := r.want(state, Restored, "at 150 leaves (restored) and goes on in the log two.example; it has 130 of them; records 130 to 149, which were seen, are lost")
	if report.Same != 100 {
		t.Errorf("%d leaves are proved the same", report.Same)
	}
	r.want(state, Consistent, "two.example")
	r, state = begin() // what was seen of the same size is another history
	r.check(state)
	forked := newRegistry(t, 149)
	forked.newest().add(t, []byte("another record"))
	r.restore("two.example", "restored", 130)
	r.logs[0].Closed.Checkpoint = forked.newest().checkpoint(t)
	wantProof(t, r.logs[0].VKey, r.want(state, Rewritten, "was closed with other leaves than the 150 that it signed for"))
	r, state = begin() // the next log does not begin where this one ends
	r.check(state)
	r.restore("two.example", "restored", 130)
	*r.logs[1].First = 140
	if _, err := Check(context.Background(), r.get, state, noon); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
}

// TestLies are restores that do not add up.
func TestLies(t *testing.T) {
	t.Parallel()
	for says, lie := range map[string]func(*registry){
		"was rewritten: its first 100 leaves": func(r *registry) { // the declared end hides another history
			r.newest().rewrite(t, 50, "another record")
			r.restore("two.example", "restore", 130)
		},
		"names the log two.example with another key": func(r *registry) { // the old log is not mentioned
			r.restore("two.example", "restore", 130)
			r.logs = r.logs[1:]
		},
		"names the log one.example with another key": func(r *registry) { // another key for the same name
			other := newRegistry(t, 0)
			other.begin("other.example", 0)
			vkey, err := checkpoint.VerifierKey("one.example", other.newest().key.Public().(ed25519.PublicKey))
			fatal(t, err)
			r.newest().VKey, r.newest().key = vkey, other.newest().key
		},
		"with another key or beginning": func(r *registry) { *r.newest().First = 7 },
	} {
		r, state := newRegistry(t, 100), &State{}
		r.check(state)
		r.grow(50)
		r.check(state)
		lie(r)
		if report := r.check(state); !report.Outcome.Bad() || !strings.Contains(report.Says, says) {
			t.Errorf("%s: %s, want …%s…", report.Outcome, report.Says, says)
		}
	}
}

// TestClosedStaysClosed changes the end of a log that was closed, and takes the later logs away.
func TestClosedStaysClosed(t *testing.T) {
	t.Parallel()
	begin := func() (*registry, *State) {
		r, state := newRegistry(t, 100), &State{}
		r.check(state)
		r.restore("two.example", "key", 100)
		r.check(state)
		return r, state
	}
	r, state := begin()
	r.logs[0].add(t, []byte("after the end"))
	r.logs[0].Closed.Checkpoint = r.logs[0].checkpoint(t)
	r.want(state, Replaced, "was closed at 100 leaves, and the registry says now that it was at 101")
	r, state = begin()
	r.logs = r.logs[:1]
	r.logs[0].Closed = nil
	r.want(state, Replaced, "the log two.example, of 1 leaves on 2026-11-24 12:00:00, is gone")
}

// TestEntries finds a record that was changed behind the log's back.
func TestEntries(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, 600)
	remote, err := NewRemote(r.get, r.newest().VKey)
	fatal(t, err)
	_, cp, err := remote.Checkpoint(context.Background())
	fatal(t, err)
	fatal(t, remote.Entries(context.Background(), cp, 0, cp.Size))
	fatal(t, remote.Entries(context.Background(), cp, 300, 301))
	r.newest().entries[517] = []byte("another record")
	err = remote.Entries(context.Background(), cp, 0, cp.Size)
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "leaf 517 is not the one that was logged") {
		t.Error(err)
	}
	r.newest().entries[517] = bytes.Repeat([]byte("x"), 1000)
	if err := remote.Entries(context.Background(), cp, 600-88, cp.Size); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
}

// TestNoAnswer tells what could not be learned from what is wrong.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	r, state := newRegistry(t, 100), &State{}
	r.check(state)
	r.grow(100)
	r.down = true
	if _, err := Check(context.Background(), r.get, state, noon); !errors.Is(err, errDown) || errors.Is(err, ErrBroken) {
		t.Errorf("a registry that is down: %v", err)
	}
	r.down = false
	tiles := func(_ context.Context, path string) ([]byte, error) {
		data, err := r.get(context.Background(), path)
		if strings.Contains(path, "/tile/") {
			data[5] ^= 1
		}
		return data, err
	}
	if _, err := Check(context.Background(), tiles, state, noon); !errors.Is(err, ErrBroken) {
		t.Errorf("tiles that are not those of the checkpoint: %v", err)
	}
	noTiles := func(_ context.Context, path string) ([]byte, error) {
		if strings.Contains(path, "/tile/") {
			return nil, errDown
		}
		return r.get(context.Background(), path)
	}
	if _, err := Check(context.Background(), noTiles, state, noon); !errors.Is(err, errDown) || errors.Is(err, ErrBroken) {
		t.Errorf("tiles that do not come: %v", err)
	}
	r.want(state, Consistent, "from 100 to 200")
	bad := &State{Logs: []Seen{{Origin: "one.example"}}}
	if _, err := Check(context.Background(), r.get, bad, noon); !errors.Is(err, ErrState) {
		t.Errorf("a damaged file: %v", err)
	}
	r.logs[0].First = nil
	if _, err := Check(context.Background(), r.get, state, noon); err == nil || !strings.Contains(err.Error(), "/keys/logs.json: it does not say") {
		t.Errorf("a list that says too little: %v", err)
	}
}
