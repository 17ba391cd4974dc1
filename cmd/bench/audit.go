package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// auditRepositories is how many repositories the records of an audit are about.
const auditRepositories = 200

// runAudit pushes so many small indexes, unless an earlier run in the same -dir has, and compares how long an audit of their
// records takes with reading them, in turn.
func runAudit(ctx context.Context, program, dir string, records, rounds int) error {
	s, err := startFilled(ctx, program, dir, records)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("| of %d records | wall | CPU of the server | own CPU |\n| --- | --: | --: | --: |\n", records)
	for range rounds {
		if err := s.timed("reading", func() (time.Duration, error) { return 0, s.readStatements(records) }); err != nil {
			return err
		}
		if err := s.timed("audit", func() (time.Duration, error) { return s.audit(ctx, program, filepath.Join(dir, "audit-state")) }); err != nil {
			return err
		}
	}
	return nil
}

// startFilled starts a registry with so many records: it pushes them, unless an earlier run in the same -dir has.
func startFilled(ctx context.Context, program, dir string, records int) (*server, error) {
	data := filepath.Join(dir, "hallmark")
	_, err := os.Stat(data)
	fresh := os.IsNotExist(err)
	s, err := startHallmark(ctx, program, data)
	if err != nil || !fresh {
		return s, err
	}
	if err := fillForAudit(ctx, s, records); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// timed prints what something takes.
func (s *server) timed(what string, fn func() (own time.Duration, err error)) error {
	before, err := s.cpuSeconds()
	if err != nil {
		return err
	}
	begin := time.Now()
	own, err := fn()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := s.cpuSeconds()
	fmt.Printf("| %s | %.1f s | %.1f s | %.1f s |\n", what, took.Seconds(), after-before, own.Seconds())
	return err
}

// readStatements reads all statements, and drops them.
func (s *server) readStatements(records int) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	for from := 0; from < records; from += 1000 {
		if err := c.want(200, request{method: "GET", path: fmt.Sprintf("/api/v1/records/statements?from=%d&limit=1000", from)}); err != nil {
			return err
		}
	}
	return nil
}

// audit runs a whole audit, which remembers nothing from before.
func (s *server) audit(ctx context.Context, program, state string) (own time.Duration, err error) {
	if err := os.RemoveAll(state); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program, "audit", "--server", "https://"+s.address, "--ca", filepath.Join(s.dir, "certs/ca.pem"), "--state", state, "--proof", state+".proof")
	cmd.Env = append(os.Environ(), "HALLMARK_USER=admin", "HALLMARK_PASSWORD="+password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// fillForAudit pushes indexes that list nothing, by tags that move: each says its source and its commit.
func fillForAudit(ctx context.Context, s *server, records int) error {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, 4*clients)
	for range 4 * clients {
		group.Go(func() {
			c, err := s.dial()
			if err != nil {
				failed <- err
				return
			}
			defer c.close()
			for i := int(next.Add(1) - 1); i < records && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if err := c.want(201, auditPush(i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

func auditPush(i int) request {
	repo := fmt.Sprintf("team%d/app%d", i%auditRepositories%20, i%auditRepositories)
	const kind = "application/vnd.oci.image.index.v1+json"
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"org.opencontainers.image.source":"https://git.example/%s","org.opencontainers.image.revision":"%s"}}`,
		kind, repo, digest.FromString(fmt.Sprint(i)).Encoded()[:40])
	return request{
		method: "PUT", path: fmt.Sprintf("/v2/%s/manifests/v%d", repo, i/auditRepositories%50), contentType: kind,
		body: strings.NewReader(body), length: int64(len(body)),
	}
}
