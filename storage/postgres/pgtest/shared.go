package pgtest

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// shared is the cluster of all tests of this process that ask for it.
var shared struct {
	sync.Mutex
	cluster *Cluster        // guarded by the mutex; nil until somebody asks
	life    io.WriteCloser  // it runs as long as this is open: until this process ends, however it does
	schemas map[string]bool // guarded by the mutex
}

// runUntil runs a server, in a directory that is removed behind it, until its standard input ends. Its processes may be there for a moment longer.
const runUntil = `dir=$1; shift; "$@" </dev/null & read -r _; kill -QUIT $!; wait; rm -rf "$dir" || { sleep 1; rm -rf "$dir"; }`

// Shared is one cluster for all tests of this process: starting one takes longer than most tests do. It keeps nothing on a disk.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		shared.cluster, shared.schemas = startShared(t), map[string]bool{}
	}
	return &Cluster{Port: shared.cluster.Port, Dir: shared.cluster.Dir, programs: shared.cluster.programs, t: t}
}

func startShared(t testing.TB) *Cluster {
	t.Helper()
	c := newCluster(t)
	root := filepath.Dir(c.Dir)
	args := append([]string{"-c", runUntil, "sh", root, filepath.Join(c.programs, "postgres")}, c.args(
		"fsync=off", "full_page_writes=off", "max_connections=400", "max_wal_size=64MB", "wal_level=minimal", "max_wal_senders=0",
	)...)
	cmd := c.command("/bin/sh", args...)
	cmd.SysProcAttr.Pdeathsig = 0
	log, err := os.Create(filepath.Join(root, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the server has it too
	cmd.Stdout, cmd.Stderr = log, log
	if shared.life, err = cmd.StdinPipe(); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.await()
	return c
}

// Schema is the URL of a database of which one schema alone is seen: that of a name, which is made when it is first asked for. It is made
// sooner than a database, and takes less room.
func (c *Cluster) Schema(name string) string {
	c.t.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // which never fails
	schema := fmt.Sprintf("s%x", h.Sum64())
	shared.Lock()
	defer shared.Unlock()
	if !shared.schemas[schema] {
		c.SQL("postgres", "CREATE SCHEMA "+schema)
		shared.schemas[schema] = true
	}
	return c.URL("postgres") + "&search_path=" + schema
}

// args are those of the server.
func (c *Cluster) args(settings ...string) []string {
	args := []string{"-D", c.Dir, "-h", "127.0.0.1", "-p", strconv.Itoa(c.Port), "-k", ""}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}
