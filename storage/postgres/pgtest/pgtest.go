// Package pgtest starts real PostgreSQL servers for tests, from Debian's packages or whatever is in PATH.
package pgtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Cluster is a PostgreSQL server with a data directory of its own, on a free port of this machine.
type Cluster struct {
	// Port is where it listens, on 127.0.0.1.
	Port int
	// Dir is its data directory.
	Dir string

	t        testing.TB
	programs string
	server   *exec.Cmd
	log      bytes.Buffer
	n        int // databases made
}

// Start makes a cluster and starts it. It ends with the test. Where PostgreSQL is not installed the test is skipped, but never in CI.
// Settings are those of postgresql.conf, as "fsync=off".
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c := newCluster(t)
	t.Cleanup(func() {
		c.Stop(syscall.SIGQUIT)
		if err := os.RemoveAll(filepath.Dir(c.Dir)); err != nil {
			t.Error(err)
		}
	})
	c.Begin(settings...)
	return c
}

// newCluster makes a cluster that does not run, in a directory of its own.
func newCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t, programs: programs(t), Port: freePort(t)}
	root, err := os.MkdirTemp("", "hallmark-pg")
	if err != nil {
		t.Fatal(err)
	}
	c.Dir = filepath.Join(root, "data")
	c.own(root)
	c.Run("initdb", "-D", c.Dir, "-U", "hallmark", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
	return c
}

// programs is the directory of PostgreSQL's programs.
func programs(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil { // the others are beside it
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(found)
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("PostgreSQL is not installed")
		}
		t.Skip("PostgreSQL is not installed (CI has it)")
	}
	return filepath.Dir(found[len(found)-1])
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was sent
	return l.Addr().(*net.TCPAddr).Port
}

// own gives a directory to who runs the server: it refuses to run as root.
func (c *Cluster) own(dir string) {
	c.t.Helper()
	if id := runsAs(); id != nil {
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// runsAs is another user where this one is root, or nil.
func runsAs() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.programs, name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: runsAs(), Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// Run runs one of PostgreSQL's programs to its end, and returns what it printed.
func (c *Cluster) Run(name string, args ...string) string {
	c.t.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Begin starts the server of a cluster that does not run, and waits until it answers.
func (c *Cluster) Begin(settings ...string) {
	c.t.Helper()
	c.server = c.command("postgres", c.args(settings...)...)
	c.server.Stdout, c.server.Stderr = &c.log, &c.log
	if err := c.server.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.await()
}

// await waits until the server answers.
func (c *Cluster) await() {
	c.t.Helper()
	for ended := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ready := c.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(c.Port))
		out, err := ready.CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(ended) {
			log, _ := os.ReadFile(filepath.Join(filepath.Dir(c.Dir), "log")) // a shared one has its log there
			c.t.Fatalf("PostgreSQL does not start: %v %s\n%s%s", err, out, c.log.String(), log)
		}
	}
}

// Stop ends the server with a signal, if it runs: SIGINT in order, SIGQUIT at once, as a crash does.
func (c *Cluster) Stop(signal syscall.Signal) {
	if c.server == nil {
		return
	}
	_ = c.server.Process.Signal(signal)
	_ = c.server.Wait() // it ends with what it was told
	c.server = nil
}

// Database makes a new database and returns its URL.
func (c *Cluster) Database() string {
	c.t.Helper()
	c.n++
	name := fmt.Sprintf("d%d", c.n)
	c.SQL("postgres", "CREATE DATABASE "+name)
	return c.URL(name)
}

// URL is that of a database.
func (c *Cluster) URL(name string) string {
	return fmt.Sprintf("postgres://hallmark@127.0.0.1:%d/%s?sslmode=disable", c.Port, name)
}

// SQL runs a statement in a database, and returns what it answers.
func (c *Cluster) SQL(database, statement string) string {
	c.t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := exec.Command(psql, "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, c.URL(database)).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return strings.TrimSpace(string(out))
}
