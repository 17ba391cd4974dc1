//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// name is the registry's host. It means ::1, because the Docker engine skips verification for every name
// that means 127.0.0.0/8.
const name = "hallmark-e2e.test"

const (
	adminPassword = "correct horse"
	alicePassword = "wonderland-1"
)

func TestMain(m *testing.M) {
	code, err := withHostName(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// withHostName lets the name mean ::1 while fn runs.
func withHostName(fn func() int) (int, error) {
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return 0, err
	}
	with := fmt.Appendf(bytes.TrimRight(before, "\n"), "\n::1 %s\n", name)
	if err := os.WriteFile("/etc/hosts", with, 0o644); err != nil {
		return 0, fmt.Errorf("this wants root: %w", err)
	}
	code := fn()
	return code, os.WriteFile("/etc/hosts", before, 0o644)
}

// root is the repository.
func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// tool is the path of a program that `make tools` or `make build` made.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"bin/tools", "bin"} {
		path := filepath.Join(root(t), dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("there is no %s: run `make e2e`", name)
	return ""
}

// server is a running registry.
type server struct {
	t    *testing.T
	dir  string // its data
	host string // name:port
	url  string
	env  []string  // of it and of commands about it, beside our own
	cmd  *exec.Cmd // that runs
}

// start runs a registry with the users admin and alice.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	var env []string
	if s3test.Wanted() {
		env = s3test.Start(t).Environ("e2e/")
	}
	if engines.InDatabase() {
		env = append(env, "HALLMARK_STORE="+engines.Database(t, t.TempDir()))
	}
	return startWith(t, env, args...)
}

// startWith is start with variables.
func startWith(t *testing.T, env []string, args ...string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "data"), host: fmt.Sprintf("%s:%d", name, port), env: env}
	s.url = "https://" + s.host
	s.run(args...)
	in := s.hallmark("user", "add", "alice", "--password-stdin")
	in.Stdin = strings.NewReader(alicePassword)
	mustRun(t, in)
	mustRun(t, s.hallmark("grant", "user:alice", "**", "delete"))
	return s
}

// run starts the process, and ends it with the test.
func (s *server) run(args ...string) *exec.Cmd {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.host)
	cmd := exec.Command(tool(s.t, "hallmark"), append([]string{
		"serve", "--data", s.dir, "--url", s.url, "--listen", "[::1]:" + port, "--admin-listen", "none",
	}, args...)...)
	cmd.Env = append(append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_LOG_LEVEL=warn"), s.env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "hallmark: ready at ") {
			go func() {
				for lines.Scan() { // so that it never waits for us
				}
			}()
			return cmd
		}
	}
	s.t.Fatal("the server ended before it was ready")
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// hallmark is a command about this registry's data directory.
func (s *server) hallmark(args ...string) *exec.Cmd {
	cmd := exec.Command(tool(s.t, "hallmark"), append(args, "--data", s.dir)...)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

// command makes a command with an input.
func command(input, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	return cmd
}

// mustRun runs a command and returns what it printed.
func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

func sh(t *testing.T, name string, args ...string) string {
	t.Helper()
	return mustRun(t, exec.Command(name, args...))
}

// mustFail runs a command that has to fail, and wants its output to say something.
func mustFail(t *testing.T, cmd *exec.Cmd, says string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("%s: it succeeded\n%s", strings.Join(cmd.Args, " "), out)
	}
	if !strings.Contains(string(out), says) {
		t.Errorf("%s: it does not say %q\n%s", strings.Join(cmd.Args, " "), says, out)
	}
}

// trust makes a client trust the registry, with the command that users have, and puts the machine back
// with the test.
func (s *server) trust(client string) {
	s.t.Helper()
	mustRun(s.t, s.hallmark("cert", "trust", client))
	s.t.Cleanup(func() {
		for _, dir := range []string{"/etc/docker/certs.d", "/etc/containers/certs.d", "/etc/containerd/certs.d"} {
			if err := os.RemoveAll(filepath.Join(dir, s.host)); err != nil {
				s.t.Error(err)
			}
		}
	})
}

// scratch makes a directory with a Dockerfile of an image that needs no other: a static program, with
// the labels of its source.
func scratch(t *testing.T, source, revision string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { println(\"hello from "+revision+"\") }\n")
	write(t, filepath.Join(dir, "go.mod"), "module hello\n\ngo 1.26\n")
	build := exec.Command("go", "build", "-o", "hello", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	mustRun(t, build)
	write(t, filepath.Join(dir, "Dockerfile"), fmt.Sprintf(
		"FROM scratch\nLABEL org.opencontainers.image.source=%s org.opencontainers.image.revision=%s\nCOPY hello /hello\nENTRYPOINT [\"/hello\"]\n",
		source, revision))
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantHistory asks the two ways that users have who pushed a tag, from which source.
func (s *server) wantHistory(ref, digest, user, source, revision string) {
	s.t.Helper()
	repo, tag, _ := strings.Cut(ref, ":")
	table := mustRun(s.t, s.hallmark("history", ref))
	for _, want := range []string{"push", user, digest[:19], source} {
		if !strings.Contains(table, want) {
			s.t.Errorf("the history of %s does not say %q:\n%s", ref, want, table)
		}
	}
	out := s.get("/api/v1/history?repo=" + repo + "&tag=" + tag)
	var history struct {
		Moves []struct {
			To     string
			Record struct {
				Tags          []struct{ Name string }
				Actor         struct{ Handle string }
				Authenticated struct{ Identity string }
				Claimed       []struct{ Fact, Value, From string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &history); err != nil || len(history.Moves) == 0 {
		s.t.Fatalf("the API says %v: %s", err, out)
	}
	move := history.Moves[0]
	if move.To != digest || move.Record.Actor.Handle != user || move.Record.Authenticated.Identity != user || move.Record.Tags[0].Name != tag {
		s.t.Errorf("the API says %s", out)
	}
	facts := map[string]string{}
	for _, c := range move.Record.Claimed {
		facts[c.Fact] = c.Value
	}
	if facts["source"] != source || facts["revision"] != revision {
		s.t.Errorf("the API knows source %q, revision %q; want %q, %q", facts["source"], facts["revision"], source, revision)
	}
}

// get asks with curl, as alice.
func (s *server) get(path string) string {
	s.t.Helper()
	return s.curl(path)
}

// wantClean runs fsck.
func (s *server) wantClean() {
	s.t.Helper()
	mustRun(s.t, s.hallmark("fsck", "--deep"))
}

// eventually tries until it works, or for too long.
func eventually(t *testing.T, within time.Duration, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// dockerHome keeps docker's logins of a test to itself.
func dockerHome(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(dir, "config.json"))
	return dir
}

// shortDir is a directory whose sockets have paths that are short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// daemon runs a command until the test ends, and shows what it said when the test failed.
func daemon(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // its status is that of the interrupt
		if t.Failed() {
			t.Logf("%s says:\n%s", cmd.Args[0], said.String())
		}
	})
}
