package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"github.com/seed-260924e6/hallmark/storage/postgres/pgtest"
)

// open opens a store that is closed with the test.
func open(t *testing.T, url, process string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(background, postgres.Config{URL: url, Process: process, Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(s storage.Store, key, value string) error {
	return s.Update(background, func(tx storage.Tx) error {
		tx.Put(table, []byte(key), []byte(value))
		return nil
	})
}

// get returns a value, or "absent", or what went wrong.
func get(s storage.Store, key string) (value string) {
	err := s.View(background, func(r storage.Reader) error {
		found, err := r.Get(table, []byte(key))
		value = string(found)
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return "absent"
	}
	if err != nil {
		return err.Error()
	}
	return value
}

// TestTakenOver lets a second process take the store over, and wants the first neither to write nor to read any more.
func TestTakenOver(t *testing.T) {
	c := pgtest.Start(t, "fsync=off")
	url := c.Database()
	first := open(t, url, "one")
	if err := put(first, "k", "1"); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.Open(background, postgres.Config{URL: url, Process: "two"})
	if !errors.Is(err, storage.ErrInUse) || !strings.Contains(err.Error(), "one works on it") || !strings.Contains(err.Error(), " s,") {
		t.Errorf("a second process: %v", err)
	}
	reading, err := postgres.Open(background, postgres.Config{URL: url, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	if got := get(reading, "k"); got != "1" {
		t.Errorf("beside the one that writes %s is read", got)
	}
	if err := put(reading, "k", "2"); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("the one that reads writes: %v", err)
	}

	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	c.SQL(name, "UPDATE hallmark_lease SET until = 'epoch'") // as time does, while the first is paused
	second := open(t, url, "two")
	if err := put(second, "k", "2"); err != nil {
		t.Fatal(err)
	}
	if err := put(first, "k", "3"); !errors.Is(err, postgres.ErrTakenOver) {
		t.Errorf("the first wrote: %v", err)
	}
	if got := get(first, "k"); !strings.Contains(got, "taken the store over") {
		t.Errorf("the first reads %s", got)
	}
	if got := get(second, "k"); got != "2" {
		t.Errorf("the second reads %s", got)
	}
	if got := get(open(t, url, "two"), "k"); got != "2" { // as after kill -9: nobody waits for the end of its lease
		t.Errorf("the second, started again, reads %s", got)
	}
}

// TestCut cuts the connection at COMMIT, before the database has it and behind. The caller is told what is true.
func TestCut(t *testing.T) {
	c := pgtest.Start(t, "fsync=off")
	direct := c.Database()
	p := pgtest.Before(t, c)
	s := open(t, p.URL(direct), "one")
	for i := range 5 {
		behind, before := fmt.Sprint("behind", i), fmt.Sprint("before", i)
		p.CutBehind.Store(true)
		want := "1" // unless the driver, which gives the connection up, has the statement before COMMIT cancelled in time
		if err := put(s, behind, "1"); fault.Of(err) == fault.Away {
			want = "absent"
		} else if err != nil {
			t.Errorf("a commit whose answer was lost: %v", err)
		}
		p.CutBefore.Store(true)
		if err := put(s, before, "1"); fault.Of(err) != fault.Away {
			t.Errorf("a commit that was lost: %v", err)
		}
		if got := get(s, behind); got != want {
			t.Errorf("after an answer was lost there is %s, and the caller was told of %s", got, want)
		}
		if got := get(s, before); got != "absent" {
			t.Errorf("after a COMMIT was lost there is %s", got)
		}
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// TestCrashes kills the database, again and again, while many write. What was acknowledged is there, and what was said not to have happened
// is not.
func TestCrashes(t *testing.T) {
	c := pgtest.Start(t)
	s := open(t, c.Database(), "one")
	ctx, stop := context.WithCancel(background)
	var mu sync.Mutex
	outcome := map[string]error{}
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("%d-%05d", w, i)
				err := put(s, key, "1")
				mu.Lock()
				outcome[key] = err
				mu.Unlock()
			}
		})
	}
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		c.Stop(syscall.SIGQUIT)
		c.Begin()
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	group.Wait()
	wantOutcomes(t, s, outcome)
}

func wantOutcomes(t *testing.T, s *postgres.Store, outcome map[string]error) {
	t.Helper()
	acknowledged := 0
	for key, err := range outcome {
		switch got := get(s, key); {
		case err == nil && got != "1":
			t.Errorf("%s was acknowledged, and is %s", key, got)
		case err != nil && fault.Of(err) != fault.Away:
			t.Errorf("%s: %v", key, err)
		case err != nil && got != "absent":
			t.Errorf("%s was refused with %v, and is %s", key, err, got)
		}
		if err == nil {
			acknowledged++
		}
	}
	if acknowledged < 10 {
		t.Errorf("only %d of %d were acknowledged", acknowledged, len(outcome))
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// TestOlderCopy puts an older copy of the database in its place, behind the back of a process that runs.
func TestOlderCopy(t *testing.T) {
	c := pgtest.Start(t, "fsync=off")
	s := open(t, c.Database(), "one")
	if err := put(s, "k", "1"); err != nil {
		t.Fatal(err)
	}
	c.Stop(syscall.SIGINT)
	older := filepath.Join(filepath.Dir(c.Dir), "older")
	copyDir(t, c.Dir, older)
	c.Begin("fsync=off")
	if err := put(s, "k", "2"); err != nil {
		t.Fatal(err)
	}
	c.Stop(syscall.SIGINT)
	if out, err := exec.Command("rm", "-r", c.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	copyDir(t, older, c.Dir)
	c.Begin("fsync=off")
	if err := put(s, "k", "3"); !errors.Is(err, postgres.ErrRewound) {
		t.Errorf("over an older copy it writes: %v", err)
	}
	if got := get(s, "k"); !strings.Contains(got, "older copy") {
		t.Errorf("of an older copy it reads %s", got)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// await asks until a statement counts something.
func await(t *testing.T, c *pgtest.Cluster, statement string) {
	t.Helper()
	for ended := time.Now().Add(time.Minute); c.SQL("postgres", statement) == "0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(ended) {
			t.Fatalf("nothing is counted by %s", statement)
		}
	}
}

// TestCloseWhileWaiting closes a store whose COMMIT waits for a standby that is not there: the process ends all the same.
func TestCloseWhileWaiting(t *testing.T) {
	c := pgtest.Start(t, "fsync=off")
	s := open(t, c.Database(), "one")
	c.SQL("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
	c.SQL("postgres", "SELECT pg_reload_conf()")
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // until the setting is in force
			err = put(s, "k", "1")
		}
		done <- err
	}()
	await(t, c, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'`)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, storage.ErrUnknownOutcome) {
		t.Errorf("it is told %v", err)
	}
}

// TestStandby lets the only standby of a synchronous pair stop, and an administrator cancel the COMMIT that waits for it. It is not
// acknowledged before the standby has it. Then the primary is lost, and the standby takes over.
func TestStandby(t *testing.T) {
	settings := []string{"fsync=off", "synchronous_standby_names=*"}
	c := pgtest.Start(t, "fsync=off")
	database := c.Database()
	name := database[strings.LastIndex(database, "/")+1 : strings.Index(database, "?")]
	standby := c.Standby(t)
	c.Stop(syscall.SIGINT)
	c.Begin(settings...)

	if _, err := postgres.Open(background, postgres.Config{URL: standby.URL(name), Process: "one"}); err == nil || !strings.Contains(err.Error(), "it is a standby") {
		t.Errorf("opened on the standby: %v", err)
	}
	both := fmt.Sprintf("postgres://hallmark@127.0.0.1:%d,127.0.0.1:%d/%s?sslmode=disable&target_session_attrs=read-write", standby.Port, c.Port, name)
	s := open(t, both, "one")
	if err := put(s, "k", "1"); err != nil {
		t.Fatal(err)
	}
	standby.Stop(syscall.SIGINT)
	done := make(chan error, 1)
	go func() { done <- put(s, "k", "2") }()
	await(t, c, `SELECT count(CASE WHEN wait_event = 'SyncRep' THEN pg_cancel_backend(pid) END) FROM pg_stat_activity`)
	select {
	case err := <-done:
		t.Errorf("without the standby it is told: %v", err)
	case <-time.After(time.Second):
	}
	standby.Begin("fsync=off")
	if err := <-done; err != nil {
		t.Errorf("with the standby: %v", err)
	}
	c.Stop(syscall.SIGQUIT)
	standby.Promote()
	if err := put(s, "l", "3"); err != nil {
		t.Errorf("after the standby took over: %v", err)
	}
	if got := get(s, "k") + get(s, "l"); got != "23" {
		t.Errorf("there is %s", got)
	}
}

// TestReadAfterRestart reads on connections that the database has closed since they were last used.
func TestReadAfterRestart(t *testing.T) {
	c := pgtest.Start(t, "fsync=off")
	s := open(t, c.Database(), "one")
	if err := put(s, "k", "1"); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGINT} {
		var group sync.WaitGroup
		for range 4 { // as many connections as there are
			group.Go(func() { get(s, "k") })
		}
		group.Wait()
		c.Stop(signal)
		c.Begin("fsync=off")
		for range 4 {
			group.Go(func() {
				if got := get(s, "k"); got != "1" {
					t.Errorf("after a restart it reads %s", got)
				}
			})
		}
		group.Wait()
	}
}
