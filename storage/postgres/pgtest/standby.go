package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Standby makes a server that follows a primary by streaming, and starts it.
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	root, err := os.MkdirTemp("", "hallmark-pg")
	if err != nil {
		t.Fatal(err)
	}
	s := &Cluster{t: t, programs: c.programs, Port: freePort(t), Dir: filepath.Join(root, "data")}
	t.Cleanup(func() {
		s.Stop(syscall.SIGQUIT)
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	s.own(root)
	s.Run("pg_basebackup", "-d", fmt.Sprintf("host=127.0.0.1 port=%d user=hallmark", c.Port), "-D", s.Dir, "-R", "-X", "stream", "-c", "fast")
	s.Begin()
	return s
}

// Promote lets a standby take over.
func (c *Cluster) Promote() {
	c.t.Helper()
	c.Run("pg_ctl", "promote", "-w", "-D", c.Dir)
}
