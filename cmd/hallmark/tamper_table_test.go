package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/audit"
	"github.com/seed-260924e6/hallmark/storage"
)

// A tamperRow is one way to change a stopped registry past the program.
type tamperRow struct {
	name    string
	do      func(*hands)
	run     func(b *tamperStore, t *testing.T, dir string) // does it instead, with the data directory
	replace string                                         // what of the data directory is replaced by what it was some records before; "." is all of it
	image   string                                         // that `hallmark verify` is asked for; team/app:1 if empty
	// noted says why fsck is content, though it says something.
	noted string
	// unseen says why nothing inside can notice it. fsck then has to be silent, else it has to say something.
	unseen string
}

// The columns of the table: who may notice.
var tamperColumns = []string{"start", "fsck", "log check", "audit", "verify", "witness"}

// tamperParts are the parts of the table.
var tamperParts = []struct {
	title string
	rows  []tamperRow
}{
	{"Records, without keys", tamperedRecords},
	{"Logs, without keys", tamperedLogs},
	{"Images", tamperedImages},
	{"Who may do what", tamperedAccess},
	{"Files, and the store as a whole", tamperedFiles},
	{"With the registry's keys", tamperedWithKeys},
}

// tamperings is the whole table.
func tamperings() (all []tamperRow) {
	for _, part := range tamperParts {
		all = append(all, part.rows...)
	}
	return all
}

var updateTampering = flag.Bool("update-tampering", false, "write testdata/tampering.txt and the table in docs/verify.md anew")

// TestTampering tampers with a registry in each of these ways, starts it again, and has everybody look: what they say, word by
// word, is in testdata/tampering.txt. Who notices is the table in docs/verify.md.
func TestTampering(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	b := newTamperStore(t)
	want := readTampering(t)
	var mu sync.Mutex // guards what follows
	said, touched := make(map[string]sayings), make(map[string]map[storage.Table]bool)
	for name := range excused {
		if !slices.ContainsFunc(tamperings(), func(row tamperRow) bool { return row.name == name }) {
			t.Errorf("there is no tampering %q", name)
		}
	}
	t.Run("rows", func(t *testing.T) {
		for _, row := range tamperings() {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				got, tables := b.try(t, row)
				mu.Lock()
				said[row.name] = got
				touched[row.name] = tables
				mu.Unlock()
				if (len(got["fsck"]) == 0) != (row.unseen != "") {
					t.Errorf("fsck says %q; and that nobody can notice it from inside: %q", got["fsck"], row.unseen)
				}
				wantExcused(t, row, got, tables)
				if text := got.text(row.name); text != want[row.name] && !*updateTampering {
					t.Errorf("they say\n%s\nand should say\n%s", text, want[row.name])
				}
			})
		}
	})
	t.Run("honest", func(t *testing.T) {
		for _, row := range honestRows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				b.everybodyIsQuiet(t, row)
			})
		}
	})
	for _, table := range declaredTables(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(touched)), func(of map[storage.Table]bool) bool { return of[table] }) {
			t.Errorf("no row of the table writes to %s", table)
		}
	}
	if *updateTampering {
		writeTampering(t, said)
	}
	if !t.Failed() {
		wantTable(t, said, touched)
	}
}

// declaredTables are all tables that the program has.
func declaredTables(t *testing.T) (tables []storage.Table) {
	t.Helper()
	declared := regexp.MustCompile(`storage\.Table\("([^"]+)"\)`)
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(text, -1) {
			tables = append(tables, storage.Table(found[1]))
		}
		return err
	})
	if err != nil || len(tables) < 50 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	return tables
}

// sayings is what each column says, line by line.
type sayings map[string][]string

// text is how they stand in testdata/tampering.txt.
func (s sayings) text(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", name)
	for _, column := range tamperColumns {
		for _, line := range s[column] {
			fmt.Fprintf(&b, "%s: %s\n", column, line)
		}
	}
	return b.String()
}

// try tampers with a copy, and has everybody look at it.
func (b *tamperStore) try(t *testing.T, row tamperRow) (sayings, map[storage.Table]bool) {
	t.Helper()
	l := &looking{tamperStore: b, t: t, dir: filepath.Join(t.TempDir(), "data"), outside: filepath.Join(t.TempDir(), "outside"), said: make(sayings), config: b.config, noted: row.noted != ""}
	from := b.dir
	if row.replace == "." {
		from = b.older
	}
	b.must(t, os.CopyFS(l.dir, os.DirFS(from)))
	b.must(t, os.CopyFS(l.outside, os.DirFS(b.outside)))
	var touched map[storage.Table]bool
	if row.do != nil {
		touched = b.tamper(t, l.dir, row.do)
	} else if row.run != nil {
		row.run(b, t, l.dir)
	} else if row.replace != "." {
		older, err := os.ReadFile(filepath.Join(b.older, row.replace))
		b.must(t, err)
		b.must(t, os.WriteFile(filepath.Join(l.dir, row.replace), older, 0o600))
	}
	l.look(firstOf(row.image, "team/app:1"))
	for column, lines := range l.said { // the order is that of digests and of chance
		slices.Sort(lines)
		l.said[column] = slices.Compact(lines)
	}
	return l.said, touched
}

// looking is everybody looking at one copy.
type looking struct {
	*tamperStore
	t            *testing.T
	config       string // with which it starts
	dir, outside string
	url          string        // of the server
	log          *bytes.Buffer // what it logs; the server writes it until it ends
	said         sayings
	noted        bool // fsck may be content, and say something
}

// look has everybody look; verify is asked for an image.
func (l *looking) look(image string) {
	l.fsck()
	if stop := l.start(); stop != nil {
		l.logCheck()
		l.audit()
		l.verify(image)
		l.witness()
		l.signsNothing()
		stop()
		l.warnings()
	}
}

func (l *looking) must(err error) { l.t.Helper(); l.tamperStore.must(l.t, err) }

// verb runs a verb, and returns its output, its last words, and whether it was content.
func (l *looking) verb(verb ...string) (lines []string, last string, good bool) {
	l.t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute) // a verb that does not end is a finding
	defer cancel()
	err := run(ctx, verb, noEnvironment, nil, &out, io.Discard)
	if err != nil {
		last = err.Error()
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n"), last, err == nil
}

func noEnvironment(name string) string {
	if name == "GOGC" {
		return "100" // so that a server in this process leaves it alone
	}
	return ""
}

func (l *looking) say(column, line string) {
	l.said[column] = append(l.said[column], l.same(line))
}

// fsck checks the files, of which no byte may change.
func (l *looking) fsck() {
	store := filepath.Join(l.dir, storeFile)
	before, err := os.ReadFile(store)
	l.must(err)
	lines, last, good := l.verb("fsck", "--data", l.dir, "--deep")
	for _, line := range lines {
		if line != "" && !strings.HasPrefix(line, "checked ") {
			l.say("fsck", line)
		}
	}
	if !good && (len(l.said["fsck"]) == 0 || !strings.HasSuffix(strings.TrimSuffix(last, "s"), "problem")) {
		l.say("fsck", last)
	}
	if good && len(l.said["fsck"]) > 0 && !l.noted {
		l.t.Errorf("it is content, and says %q", l.said["fsck"])
	}
	after, err := os.ReadFile(store)
	l.must(err)
	if !bytes.Equal(before, after) {
		l.t.Error("fsck changed the store")
	}
}

// start starts a server in this process, and returns what ends it; nil where it does not start.
func (l *looking) start() (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	read, write := io.Pipe()
	l.log = new(bytes.Buffer)
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"serve", "--data", l.dir, "--listen", "127.0.0.1:0", "--admin-listen", "none", "--insecure-http", "--config", l.config},
			noEnvironment, nil, write, l.log)
		write.CloseWithError(errors.Join(io.EOF, err))
		ended <- err
	}()
	scan := bufio.NewScanner(read)
	for scan.Scan() {
		if url, ok := strings.CutPrefix(scan.Text(), "hallmark: ready at "); ok {
			l.url = url
			go io.Copy(io.Discard, read)
			l.ready()
			return func() { cancel(); <-ended }
		}
	}
	cancel()
	l.say("start", "it does not start: "+(<-ended).Error())
	return nil
}

func (l *looking) ready() {
	cl := connectSocket(l.dir)
	defer cl.close()
	answer, err := cl.answer(l.t.Context(), "GET", "/readyz?write")
	l.must(err)
	if answer.Status != 200 {
		l.say("start", regexp.MustCompile(`"detail":"((?:[^"\\]|\\.)*)"`).FindStringSubmatch(string(answer.Body))[1])
	}
}

// warnings are what a start logged about its store. The server has ended.
func (l *looking) warnings() {
	for line := range strings.Lines(l.log.String()) {
		if found := regexp.MustCompile(`msg="(the public name that the data directory keeps[^"]*)"`).FindStringSubmatch(line); found != nil {
			l.say("start", "it logs: "+found[1])
		}
	}
}

// signsNothing wants a registry that says at its start that something contradicts something to sign nothing.
func (l *looking) signsNothing() {
	if len(l.said["start"]) == 0 {
		return
	}
	newest := func() string {
		lines, _, _ := l.verb("log", "checkpoint", "--data", l.dir)
		return strings.Join(lines, "\n")
	}
	before := newest()
	if _, _, good := l.verb("team", "add", "testers", "--data", l.dir); good {
		l.t.Error("it takes changes")
	}
	if newest() != before {
		l.t.Error("it signs something")
	}
}

func (l *looking) logCheck() {
	state := filepath.Join(l.outside, "seen")
	seen, err := readSeen(state)
	l.must(err)
	for _, s := range seen.Registries {
		seen.Registries[l.dir] = s
	}
	l.must(writeSeen(state, seen))
	lines, last, good := l.verb("log", "check", "--data", l.dir, "--state", state, "--proof", state+".proof", "--entries", "--witness", l.vkey, "--wait", "0s", "--max-lag", "10")
	if good {
		return
	}
	if !strings.Contains(last, strings.TrimLeft(lines[0], "abcdefghijklmnopqrstuvwxyz: ")) && !strings.HasPrefix(lines[0], "consistent") {
		l.say("log check", lines[0])
	}
	l.say("log check", last)
}

func (l *looking) audit() {
	path := filepath.Join(l.outside, "audit")
	file, err := audit.OpenFile(path)
	l.must(err)
	m, err := file.Memory(l.tamperStore.dir)
	l.must(err)
	l.must(file.Keep(l.dir, m))
	lines, last, good := l.verb("audit", "--data", l.dir, "--state", path, "--proof", path+".proof", "--all", "--anew")
	for _, line := range lines {
		if good || line == "" || strings.HasPrefix(line, "read ") {
			break
		}
		l.say("audit", line)
	}
	if !good && len(l.said["audit"]) == 0 {
		l.say("audit", last)
	}
}

func (l *looking) verify(image string) {
	lines, last, good := l.verb("verify", image, "--data", l.dir, "--trusted-root", filepath.Join(l.outside, "logs.json"), "--key", filepath.Join(l.outside, "receipts.json"))
	if good {
		return
	}
	for _, line := range lines {
		if refused, ok := strings.CutPrefix(line, "REFUSED"); ok {
			l.say("verify", strings.TrimSpace(refused))
		}
	}
	if len(l.said["verify"]) == 0 {
		l.say("verify", last)
	}
}

func (l *looking) witness() {
	if !provenance.DefaultName(l.url) {
		return // nothing answers there, and a witness keeps the address that it was given
	}
	state := filepath.Join(l.outside, "witness")
	text, err := os.ReadFile(state)
	l.must(err)
	l.must(os.WriteFile(state, bytes.ReplaceAll(text, []byte(l.tamperStore.url), []byte(l.url)), 0o600))
	if _, last, good := l.verb("witness", "--state", state, l.url); !good {
		l.say("witness", last)
	}
}
