package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// notRun are the samples of output in the documentation that no script makes, with the reason.
var notRun = map[string]string{
	"README.md hallmark serve":                                              "it shows a password, which is printed on a terminal only: first_start.txtar",
	"docs/clients.md docker pull registry.example/team/none:1.0":            "it is what docker prints: make e2e",
	"docs/clients.md docker pull registry.example/prod/hello:1.0":           "it is what docker prints: make e2e",
	"docs/clients.md docker push registry.example/prod/hello:1.0":           "it is what docker prints: make e2e",
	"docs/clients.md podman push hello registry.example/release/hello:1.0":  "it is what podman prints: make e2e",
	"docs/clients.md crane push hello.tar registry.example/prod/hello:1.0":  "it is what crane prints: make e2e",
	"docs/clients.md oras push registry.example/prod/hello:1.0 hello.txt":   "it is what oras prints: make e2e",
	"docs/trust.md hallmark inspect host registry.example:5443 --ca ca.pem": "the host is made up: inspect.txtar",
	"docs/trust.md hallmark show team/app:1.0":                              "it wants an image that cosign has signed: TestSignatures, make e2e",
	"docs/trust.md hallmark show mirror/team/app:1.0":                       "it wants a second registry: travel.txtar",
}

// A sample is a command in a page, with the lines that it prints.
type sample struct {
	page, command string
	says          []string
}

// samplesOf are the commands of a page that are shown with what they print.
func samplesOf(page, text string) (all []sample) {
	var last *sample
	for line := range strings.Lines(text) {
		code, isCode := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		command, isCommand := strings.CutPrefix(code, "$ ")
		switch {
		case isCommand:
			command, _, _ = strings.Cut(command, "  ") // what is behind it is for people
			all = append(all, sample{page: page, command: command})
			last = &all[len(all)-1]
		case isCode && last != nil:
			last.says = append(last.says, code)
		case strings.TrimSpace(line) != "":
			last = nil
		}
	}
	return all
}

// TestDocsSamples wants each sample of output in the documentation to be made by a script, or a reason why none makes it.
func TestDocsSamples(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var made strings.Builder
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		made.Write(text)
	}
	excused := 0
	for _, page := range docs(t) {
		for _, s := range samplesOf(page, readDoc(t, page)) {
			name := page + " " + s.command
			switch isMade := strings.Contains(made.String(), "\nsample "+page+" '"+strings.ReplaceAll(s.command, "'", "''")+"'\n"); {
			case len(s.says) == 0:
			case notRun[name] != "":
				excused++
			case !isMade:
				t.Errorf("no script has `sample %s '%s'`", page, s.command)
			}
		}
	}
	if excused != len(notRun) {
		t.Errorf("of %d samples that are not run the documentation has %d", len(notRun), excused)
	}
}

// TestDocsCommands reads every call of hallmark in the blocks of the documentation as the command would.
func TestDocsCommands(t *testing.T) {
	seen := 0
	for _, page := range docs(t) {
		for line := range strings.Lines(readDoc(t, page)) {
			block, isBlock := strings.CutPrefix(line, "    ")
			code := strings.TrimPrefix(strings.TrimSpace(block), "$ ")
			if !isBlock || !docsCall.MatchString(code) {
				continue
			}
			seen++
			words := exampleWords(strings.Join(strings.Fields(docsRemark.ReplaceAllString(code, "")), " "))
			if err := wouldRun((&env{}).root(), words[1:]); err != nil {
				t.Errorf("%s: %q: %v", page, code, err)
			}
		}
	}
	if seen < 100 {
		t.Errorf("there are only %d calls", seen)
	}
}

var (
	docsCall   = regexp.MustCompile(`^(sudo )?hallmark [a-z][^─]*$`)
	docsRemark = regexp.MustCompile(` +#.*$| \|.*$| && .*$|"`)
)

// sampleCmd wants a page to show what the last command printed: each line of the sample, in their order. Digests, times,
// numbers and the registry's address may be others.
func sampleCmd(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(filepath.Join("../..", args[0]))
	ts.Check(err)
	said := alike(ts.ReadFile("stdout"))
	for _, s := range samplesOf(args[0], string(text)) {
		if s.command != args[1] || len(s.says) == 0 {
			continue
		}
		for _, line := range s.says {
			want := alike(line)
			_, rest, ok := strings.Cut(said, want)
			if !ok {
				ts.Fatalf("%s shows the line\n%s\nof %s, which is not in\n%s", args[0], want, args[1], said)
			}
			said = "\n" + rest
		}
		return
	}
	ts.Fatalf("%s has no sample of %s", args[0], args[1])
}

var (
	anyDigest = regexp.MustCompile(`sha256:[0-9a-f]{12,64}`)
	anyTime   = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
	anyURL    = regexp.MustCompile(`https://(registry\.example|localhost:\d+|127\.0\.0\.1:\d+)`)
	anyNumber = regexp.MustCompile(`(^|[\s(])\d+([\s,)]|$)`)
)

// alike is text without what another run prints otherwise, each line between two ends of lines.
func alike(text string) string {
	var b strings.Builder
	b.WriteString("\n")
	for line := range strings.Lines(text) {
		line = anyURL.ReplaceAllString(anyTime.ReplaceAllString(anyDigest.ReplaceAllString(line, "DIGEST"), "TIME"), "URL")
		line = strings.Join(strings.Fields(line), " ")
		b.WriteString(anyNumber.ReplaceAllString(line, "${1}N${2}") + "\n")
	}
	return b.String()
}
