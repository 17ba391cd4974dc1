package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

const tamperingFile = "testdata/tampering.txt"

// readTampering returns what is said about each tampering.
func readTampering(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(tamperingFile)
	if err != nil && !*updateTampering {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for _, part := range strings.Split("\n"+string(text), "\n# ")[min(1, len(text)):] {
		name, _, _ := strings.Cut(part, "\n")
		said[name] = "# " + strings.TrimSpace(part) + "\n"
	}
	return said
}

func writeTampering(t *testing.T, said map[string]sayings) {
	t.Helper()
	var all []string
	for _, row := range tamperings() {
		all = append(all, said[row.name].text(row.name))
	}
	if err := os.WriteFile(tamperingFile, []byte(strings.Join(all, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The parts of what is said that are others each time.
var variable = []struct {
	is *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`sha256-[0-9a-f.]+`), "FILE"},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "sha256:…"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "HASH"},
	{regexp.MustCompile(`[0-9a-f]{12}…`), "KEY…"},
	{regexp.MustCompile(`[0-9a-f]{16}\.localhost\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+`), "LOG+KEY"},
	{regexp.MustCompile(`[0-9a-f]{16}\.localhost`), "LOG"},
	{regexp.MustCompile(`\b(http://)?(localhost|127\.0\.0\.1):[0-9]+`), "HOST"},
	{regexp.MustCompile(`[A-Za-z0-9+/]{43}=`), "ROOT"},
	{regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z?\b`), "TIME"},
	{regexp.MustCompile(`\b[a-z2-7]{26}\b`), "ID"},
	{regexp.MustCompile(`witness\.example/w1\+[0-9a-f]{8}`), "witness.example/w1+KEY"},
	{regexp.MustCompile(`this one reads [0-9]+`), "this one reads N"},
	{regexp.MustCompile(`request [0-9a-f-]+`), "request ID"},
	{regexp.MustCompile(`key LOG([0-9]*)\+[0-9a-f]{8}`), "key LOG$1+KEY"},
}

// same writes what is another each time as it is in testdata/tampering.txt.
func (l *looking) same(line string) string {
	for d, name := range l.names {
		line = strings.ReplaceAll(line, d, "("+name+")")
	}
	for _, dir := range []string{l.dir, l.outside, l.tamperStore.dir} {
		line = strings.ReplaceAll(line, dir, "DIR")
	}
	for i, origin := range l.origins {
		line = strings.ReplaceAll(line, origin, fmt.Sprintf("LOG%d", i+1))
	}
	for account, name := range l.accounts {
		line = strings.ReplaceAll(line, account, "<"+name+">")
	}
	for _, v := range variable {
		line = v.is.ReplaceAllString(line, v.to)
	}
	return line
}

// tableTitle begins the part of docs/verify.md that this test writes; it goes to the end.
const tableTitle = "## Who notices what\n"

// wantTable wants docs/verify.md to have the table of who notices what.
func wantTable(t *testing.T, said map[string]sayings, touched map[string]map[storage.Table]bool) {
	t.Helper()
	const path = "../../docs/verify.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, is, _ := strings.Cut(string(text), tableTitle)
	should := tamperTable(said, touched)
	if is == should {
		return
	}
	if !*updateTampering {
		t.Fatalf("%s does not have the table of who notices what: run this test with -update-tampering", path)
	}
	if err := os.WriteFile(path, []byte(before+tableTitle+should), 0o600); err != nil {
		t.Fatal(err)
	}
}

func tamperTable(said map[string]sayings, touched map[string]map[storage.Table]bool) string {
	var b strings.Builder
	b.WriteString(`
A test changes the store of a stopped registry in each of these ways, past the program, starts it again, and has everybody
look ([what they say](../cmd/hallmark/testdata/tampering.txt), word by word). The start looks at the ends of the records and
of the logs, and at ` + "`keys/log.checkpoint`" + `, so that it costs the same at any size; ` + "`fsck`" + ` is ` + "`fsck --deep`" + `. The others are outside:
` + "`log check --entries --witness`" + ` and ` + "`audit --all`" + ` remember what they saw before, ` + "`verify`" + ` is asked for one image with the files that were kept,
and a witness comes that came before. They see what is served of records, logs, tags and rights.
`)
	for _, part := range tamperParts {
		fmt.Fprintf(&b, "\n| %s | %s |\n|---%s|\n", part.title, strings.Join(tamperColumns, " | "), strings.Repeat("|---", len(tamperColumns)))
		for _, row := range part.rows {
			if row.unseen != "" {
				continue
			}
			fmt.Fprintf(&b, "| %s |", row.name)
			for _, column := range tamperColumns {
				fmt.Fprintf(&b, " %s |", cmp.Or(said[row.name].mark(column), string(excusedBy(row, column, touched[row.name]))))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString(excuseTable())
	b.WriteString("\n| What nobody notices from inside | because | who does |\n|---|---|---|\n")
	for _, row := range tamperings() {
		if row.unseen != "" {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", row.name, row.unseen, strings.Join(said[row.name].who(), ", "))
		}
	}
	return b.String()
}

func (s sayings) mark(column string) string {
	if len(s[column]) > 0 {
		return "●"
	}
	return ""
}

// who notices something.
func (s sayings) who() (who []string) {
	for _, column := range tamperColumns {
		if s.mark(column) != "" {
			who = append(who, column)
		}
	}
	return who
}
