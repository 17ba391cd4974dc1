package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A treatment is what becomes of a block of the documentation that is neither of calls of hallmark, which TestDocsCommands reads, nor of
// commands that docCommands knows.
type treatment struct {
	reads   func(*docWorld, string) error // what is in it is read as the program reads it
	test    string                        // runs it, elsewhere
	because string                        // it is not run
}

// docBlocks are those blocks, by their page and their first line.
var docBlocks = map[string]treatment{
	"README.md docker push ──TLS──▶ login ──▶ blobs: hashed while they stream, one fsync ─────▶ files": {because: "it is a picture"},

	"docs/access.md teams:": {reads: asAccess},

	"docs/ci.md oidc:": {reads: asConfig},
	"docs/ci.md gh api repos/octo/app --jq .id                  # 4711": {because: "it asks GitHub, about a repository that is made up"},
	"docs/ci.md permissions:": {because: "it runs at GitHub; TestGitHub signs in with such a token"},
	"docs/ci.md push:":        {because: "it runs at GitLab; TestGitLab signs in with such a token"},

	"docs/configuration.md url: https://registry.example": {reads: asConfig},

	"docs/design/backup.md DIR/hallmark-backup                marks the directory": {because: "it is a listing: TestBackupUnderLoad looks at one"},
	"docs/design/rooms.md cmd/hallmark/   the command line: one verb a file":       {reads: asRooms},
	"docs/design/witness.md witnessctl add-log -origin ORIGIN":                     {test: "TestLitewitness"},
	"docs/mirrors.md mirrors:":        {reads: asFileOf("mirrors")},
	"docs/mirrors.md hold:":           {reads: asHold},
	"docs/object-stores.md blobs:":    {reads: asStore},
	"docs/object-stores.md [default]": {reads: asCredentials},
	"docs/operations.md make image                                     # FROM scratch: it pulls nothing":              {test: "TestCompose"},
	"docs/operations.md install bin/hallmark /usr/local/bin/":                                                         {because: "it changes the machine: it makes a user and starts a service"},
	"docs/operations.md trustedProxies: [127.0.0.1, 10.0.0.0/8]":                                                      {reads: asConfig},
	"docs/operations.md location / {":                                                                                 {because: "it wants nginx"},
	"docs/operations.md scrape_configs:":                                                                              {because: "it wants Prometheus: metrics.txtar reads the metrics with such a token"},
	"docs/operations.md # /etc/systemd/system/hallmark-backup.service":                                                {reads: asUnits},
	"docs/operations.md systemctl stop hallmark                                            # on the old host":         {because: "it takes two machines"},
	"docs/operations.md semanage fcontext -a -e /var/lib /srv/hallmark && restorecon -R /srv/hallmark":                {because: "it wants SELinux"},
	"docs/operations.md HALLMARK_PORT=6443 HALLMARK_URL=https://registry.example:6443 docker-compose -p team-b up -d": {test: "TestCompose"},

	"docs/postgresql.md store: postgres://hallmark@db.example/hallmark?sslmode=verify-full": {reads: asConfig},

	"docs/postgresql.md store: postgres://hallmark@db-1.example,db-2.example/hallmark?sslmode=verify-full&target_session_attrs=read-write": {reads: asConfig},

	"docs/policy.md rules:": {reads: asFileOf("policy")},
	"docs/policy.md denied: rule prod-grade: grade D; worst is no-secrets: label TOKEN: a GitHub token; #platform can change it": {because: "it is what a client prints: policy.txtar"},

	"docs/quickstart.md make build                                 # or: go build -o bin/hallmark ./cmd/hallmark":                                                                                                      {because: "it installs into the reader's home: first_start.txtar has the first start"},
	"docs/questions.md contradictions: these cannot all be true, and nothing here says which are":                                                                                                                      {because: "it is cut to fit: sources.txtar"},
	"docs/questions.md pushed         First pushed here by a job of https://github.com/acme/app at 0123456789abcdef0123456789abcdef01234567 (its login proves that, not the build); copied by alice; tagged by alice.": {because: "it takes a job of GitHub: TestActsElsewhere has the sentence"},
	"docs/retention.md untagged:": {reads: asFileOf("retention")},
	"docs/trust.md keys:":         {reads: asFileOf("trust")},
	"docs/trust.md registries:":   {reads: asFileOf("trust")},
	"docs/verify.md proved       https://registry.example signed 3 records about team/app:1.0@sha256:…, and cannot take them back: they are in": {because: "it is cut to fit: evidence.txtar has it whole"},
	"docs/verify.md team/app:1.0 means sha256:1f3d… since record 40; by the records it means sha256:9c2a… since record 57":                      {because: "it is what a changed registry gets: TestTampering"},
	"docs/verify.md pushes:": {reads: asExpectation},
}

// TestDocsBlocks wants each block of each page to be run or read by a test as it stands, or a reason in docBlocks why it is not.
func TestDocsBlocks(t *testing.T) {
	w := newDocWorld(t)
	seen := map[string]bool{}
	for _, page := range docs(t) {
		for _, b := range blocksOf(page, readDoc(t, page)) {
			seen[b.name()] = true
			if err := w.treat(b); err != nil {
				t.Errorf("%s:%d: %v, in the block\n%s", b.page, b.line, err, b.text)
			}
		}
	}
	for name := range docBlocks {
		if !seen[name] {
			t.Errorf("no page has the block %q", name)
		}
	}
	if len(seen) < 100 {
		t.Errorf("there are only %d blocks", len(seen))
	}
}

// A docBlock is an indented or fenced block of a page.
type docBlock struct {
	page string
	line int
	text string
}

func (b docBlock) name() string {
	first, _, _ := strings.Cut(strings.TrimLeft(b.text, " "), "\n")
	return b.page + " " + first
}

// blocksOf are the blocks of a page: fenced, or indented by 4 behind an empty line. Items of lists go on indented by less.
func blocksOf(page, text string) (all []docBlock) {
	var in *docBlock
	fenced, empty := false, true
	for i, line := range strings.Split(text, "\n") {
		code, indented := strings.CutPrefix(line, "    ")
		switch fence := strings.HasPrefix(line, "```"); {
		case fence && fenced:
			in, fenced = nil, false
		case fence:
			all = append(all, docBlock{page: page, line: i + 2})
			in, fenced = &all[len(all)-1], true
		case fenced:
			in.text += line + "\n"
		case in != nil && (indented || line == ""):
			in.text += code + "\n"
		case indented && empty:
			all = append(all, docBlock{page, i + 1, code + "\n"})
			in = &all[len(all)-1]
		default:
			in = nil
		}
		empty = line == ""
	}
	for i := range all {
		all[i].text = strings.TrimRight(all[i].text, "\n") + "\n"
	}
	return all
}

// docWorld is where commands of the documentation are run.
type docWorld struct {
	t       *testing.T
	server  *testServer
	program string
	targets string // the Makefile
	flags   string // of cmd/bench
	tests   string // the names of all tests
	byHand  string // what TestByHand runs
}

func newDocWorld(t *testing.T) *docWorld {
	t.Helper()
	wantTools(t, "curl", "sh")
	w := &docWorld{t: t, program: plainProgram(t), targets: readDoc(t, "Makefile"), flags: readDoc(t, "cmd/bench/main.go"), byHand: byHand(t)}
	w.server = startPlain(t, filepath.Join(t.TempDir(), "data"))
	for n := range 41 {
		w.server.push("team/app", "1.0", fmt.Sprint("layer ", n), nil) // so that there is a record 41
	}
	root := os.DirFS("../..")
	w.check(fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(root, path)
		w.tests += strings.Join(aTest.FindAllString(string(text), -1), "\n") + "\n"
		return err
	}))
	return w
}

var aTest = regexp.MustCompile(`(?m)^func (Test|Benchmark)\w+\(`)

func (w *docWorld) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// treat runs a block, or reads it, or finds who does.
func (w *docWorld) treat(b docBlock) error {
	if how, ok := docBlocks[b.name()]; ok {
		switch {
		case how.reads != nil:
			return how.reads(w, b.text)
		case how.test != "":
			return w.hasTest(how.test)
		}
		return w.hasNamed(how.because)
	}
	if strings.Contains(w.byHand, b.text) {
		return nil
	}
	text := b.text
	if silent, is := shown(b); is {
		text = strings.Join(silent, "\n")
	}
	for _, command := range commandsOf(text) {
		if err := w.command(b, command); err != nil {
			return err
		}
	}
	return nil
}

// shown are the commands of a block that shows what they print. TestDocsSamples wants a script to make that, where it is shown.
func shown(b docBlock) (silent []string, is bool) {
	samples := samplesOf(b.page, "    "+strings.ReplaceAll(b.text, "\n", "\n    "))
	for _, s := range samples {
		if len(s.says) == 0 {
			silent = append(silent, s.command)
		}
	}
	return silent, strings.HasPrefix(strings.TrimSpace(b.text), "$ ")
}

// hasTest wants a test to be there.
func (w *docWorld) hasTest(name string) error {
	if !strings.Contains(w.tests, "func "+name+"(") {
		return fmt.Errorf("there is no test %s", name)
	}
	return nil
}

// hasNamed wants the tests and scripts to be there that a reason names.
func (w *docWorld) hasNamed(reason string) error {
	for _, name := range regexp.MustCompile(`Test\w+|\w+\.txtar`).FindAllString(reason, -1) {
		if !strings.HasSuffix(name, ".txtar") {
			if err := w.hasTest(name); err != nil {
				return err
			}
		} else if _, err := os.Stat(filepath.Join("testdata/script", name)); err != nil {
			return err
		}
	}
	return nil
}

// commandsOf are the commands of a block, without remarks and without what is set for them.
func commandsOf(text string) (all []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), "  #")
		for command := range strings.SplitSeq(line, " && ") {
			command = strings.Trim(strings.TrimSpace(command), "()")
			for docsVariable.MatchString(command) {
				command = docsVariable.ReplaceAllString(command, "")
			}
			if command != "" && !strings.HasPrefix(command, "#") {
				all = append(all, command)
			}
		}
	}
	return all
}

var docsVariable = regexp.MustCompile(`^[A-Z_]+=("[^"]*"|\S+)( |$)`)

// command runs a command, or looks whether what it names is there: what takes hours is not run again.
func (w *docWorld) command(b docBlock, command string) error {
	words := strings.Fields(command)
	switch {
	case words[0] == "hallmark" || strings.HasPrefix(command, "sudo hallmark"):
		return nil // TestDocsCommands
	case clientTest(command) != "":
		return w.hasTest(clientTest(command))
	case words[0] == "curl":
		return w.curl(command)
	case words[0] == "make":
		return w.make(words[1:])
	case strings.HasPrefix(command, "go run ./cmd/bench "):
		return w.bench(words[3:])
	case strings.HasPrefix(command, "go run ./cmd/hallmark "):
		return wouldRun((&env{}).root(), words[3:])
	case words[0] == "go" && (words[1] == "test" || words[1] == "build"):
		return w.goTool(words[1:])
	case words[0] == "cd" || words[0] == "git":
		return nil // a place to be in
	}
	return fmt.Errorf("nobody runs %q: give it a test, or a reason in docBlocks", command)
}

// clientTests are the tests, of make e2e, that run what documentation has clients do.
var clientTests = []struct{ command, test string }{
	{"docker login ", "TestDocker"},
	{"docker build ", "TestDocker"},
	{"docker push ", "TestDocker"},
	{"docker pull ", "TestDocker"},
	{"oras discover ", "TestProvenanceReferrer"},
	{"regctl artifact ", "TestProvenanceReferrer"},
	{"cosign verify-blob-attestation ", "TestProvenanceReferrer"},
	{"cosign sign ", "TestCosignVerdicts"},
	{"cosign attest ", "TestCosignVerdicts"},
	{"cosign verify ", "TestCosignVerdicts"},
	{"skopeo copy ", "TestPolicy"},
	{"crane tag ", "TestPolicy"},
}

// clientTest is the test that runs a client's command, or "".
func clientTest(command string) string {
	for _, c := range clientTests {
		if strings.HasPrefix(command, c.command) {
			return c.test
		}
	}
	return ""
}

// curl asks the registry of the test, which has the image that the documentation asks for.
func (w *docWorld) curl(command string) error {
	dir := w.t.TempDir()
	ca := filepath.Join(w.server.dir, certsDir, "ca.pem")
	command = anyURL.ReplaceAllString(command, w.server.url)
	command = regexp.MustCompile(`--cacert \S+`).ReplaceAllString(command, "--fail -sS --cacert "+ca)
	command = strings.ReplaceAll(command, "-u alice", "-u 'admin:"+adminPassword+"'")
	run := exec.Command("sh", "-euc", command)
	run.Dir = dir
	out, err := run.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	files, err := os.ReadDir(dir)
	w.check(err)
	if len(out) == 0 && len(files) == 0 {
		return fmt.Errorf("%s prints nothing", command)
	}
	return nil
}

func (w *docWorld) make(targets []string) error {
	for _, target := range targets {
		if !strings.Contains(w.targets, "\n"+target+":") {
			return fmt.Errorf("the Makefile has no %s", target)
		}
	}
	return nil
}

// bench wants the benchmark to have some flags.
func (w *docWorld) bench(args []string) error {
	for _, arg := range args {
		if name, isFlag := strings.CutPrefix(arg, "-"); isFlag && !regexp.MustCompile(`flag\.\w+\("`+name+`"`).MatchString(w.flags) {
			return fmt.Errorf("cmd/bench has no flag -%s", name)
		}
	}
	return nil
}

// goTool wants a package to be there, with the test that -run or -bench names.
func (w *docWorld) goTool(words []string) error {
	last := words[len(words)-1]
	if _, err := os.Stat(filepath.Join("../..", last)); err != nil {
		return err
	}
	for i, word := range words[:len(words)-1] {
		name := strings.Trim(words[i+1], "'$")
		switch {
		case word == "-bench":
			return w.hasTest("Benchmark" + name)
		case word == "-run" && name != "xxx":
			return w.hasTest(name)
		}
	}
	return nil
}

// hallmark runs the command on files in a directory.
func (w *docWorld) hallmark(dir string, args ...string) error {
	run := exec.Command(w.program, args...)
	run.Dir = dir
	out, err := run.CombinedOutput()
	if err != nil {
		return fmt.Errorf("hallmark %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// withFiles makes a directory with the files that samples name.
func (w *docWorld) withFiles(files map[string]string) string {
	dir := w.t.TempDir()
	w.check(os.Mkdir(filepath.Join(dir, "upstream"), 0o700))
	key := w.server.want(200, "GET", "/keys/receipts.pem")
	for name, text := range map[string]string{
		"release.pub": key, "verifier.pub": key, "trusted_root.json": w.identifies(),
		"upstream.policy":    "log " + w.server.want(200, "GET", "/keys/log.vkey") + "quorum none\n",
		"upstream/logs.json": w.server.want(200, "GET", "/keys/logs.json"), "upstream/receipts.json": w.server.want(200, "GET", "/keys/receipts.json"),
	} {
		w.check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for name, text := range files {
		w.check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// identifies is the trusted root of a sigstore with a certificate authority: the registry's own.
func (w *docWorld) identifies() string {
	text, err := os.ReadFile(filepath.Join(w.server.dir, certsDir, "ca.pem"))
	w.check(err)
	block, _ := pem.Decode(text)
	return fmt.Sprintf(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","certificateAuthorities":[{"subject":{},"uri":"","certChain":{"certificates":[{"rawBytes":%q}]},"validFor":{"start":"2026-01-01T00:00:00Z"}}]}`,
		base64.StdEncoding.EncodeToString(block.Bytes))
}

// asConfig checks a configuration as an operator does. A call below it is read by TestDocsCommands.
func asConfig(w *docWorld, text string) error {
	text, _, _ = strings.Cut(text, "\nhallmark ")
	dir := w.withFiles(map[string]string{"keys": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n"})
	text = strings.ReplaceAll(text, "/etc/hallmark/s3-keys", filepath.Join(dir, "keys"))
	w.check(os.WriteFile(filepath.Join(dir, "hallmark.yaml"), []byte(text), 0o600))
	return w.hallmark(dir, "config", "check", "hallmark.yaml")
}

// asStore checks settings of an object store; where they do not say which, of the one that the page shows first.
func asStore(w *docWorld, text string) error {
	if !strings.Contains(text, "endpoint:") {
		const page = "docs/object-stores.md"
		first := blocksOf(page, readDoc(w.t, page))[0].text
		_, settings, _ := strings.Cut(text, "s3:\n")
		text = first + settings
	}
	return asConfig(w, text)
}

// asCredentials checks the keys of an object store, with a configuration that names them.
func asCredentials(w *docWorld, text string) error {
	dir := w.withFiles(map[string]string{"keys": text, "hallmark.yaml": "blobs:\n  s3:\n    endpoint: https://s3.example\n    bucket: images\n    credentials: keys\n"})
	return w.hallmark(dir, "config", "check", "hallmark.yaml")
}

// asFileOf checks a file that a key of the configuration names.
func asFileOf(key string) func(*docWorld, string) error {
	return func(w *docWorld, text string) error {
		text = strings.ReplaceAll(text, "sha256:…", "sha256:"+strings.Repeat("0", 64))
		dir := w.withFiles(map[string]string{"file.yaml": text, "hallmark.yaml": key + ":\n  file: file.yaml\n"})
		return w.hallmark(dir, "config", "check", "hallmark.yaml")
	}
}

// asHold checks a part of a rule of a mirror in the rule that the page shows.
func asHold(w *docWorld, text string) error {
	for _, b := range blocksOf("docs/mirrors.md", readDoc(w.t, "docs/mirrors.md")) {
		if strings.HasSuffix(b.name(), " mirrors:") {
			return asFileOf("mirrors")(w, b.text+"  "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")+"\n")
		}
	}
	return fmt.Errorf("the page has no rule")
}

// asAccess applies a document of rights.
func asAccess(w *docWorld, text string) error {
	for _, name := range []string{"alice", "bob"} {
		body := fmt.Sprintf(`{"name":%q,"password":"correct horse battery"}`, name)
		if status, _, says := w.server.do("POST", "/api/v1/users", "admin:"+adminPassword, body, "Content-Type", "application/json"); status != 201 {
			return fmt.Errorf("%d: %s", status, says)
		}
	}
	dir := w.withFiles(map[string]string{"access.yaml": text})
	return w.hallmark(dir, "access", "apply", "access.yaml", "--data", w.server.dir)
}

// asExpectation reads who is expected to push what, as an audit does.
func asExpectation(w *docWorld, text string) error {
	_, err := readExpectation(filepath.Join(w.withFiles(map[string]string{"expect.yaml": text}), "expect.yaml"))
	return err
}

// asRooms wants each room to be a directory.
func asRooms(w *docWorld, text string) error {
	above := ""
	for line := range strings.Lines(text) {
		names, _, _ := strings.Cut(strings.TrimLeft(line, " "), "  ")
		for _, name := range strings.Fields(names) {
			if !strings.HasSuffix(name, "/") {
				break
			}
			if !strings.HasPrefix(line, " ") {
				above = name
			} else {
				name = above + name
			}
			if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// asUnits has systemd check units, with the program of this test.
func asUnits(w *docWorld, text string) error {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		return nil // a machine without systemd
	}
	dir := w.t.TempDir()
	args := []string{"verify", "--man=no"}
	for unit := range strings.SplitSeq(text, "# /etc/systemd/system/") {
		name, body, _ := strings.Cut(unit, "\n")
		if name == "" {
			continue
		}
		body = strings.ReplaceAll(body, "/usr/local/bin/hallmark", w.program)
		w.check(os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
		args = append(args, filepath.Join(dir, name))
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), dir) {
		return fmt.Errorf("systemd-analyze: %w\n%s", err, out)
	}
	return nil
}
