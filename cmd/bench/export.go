package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// runExport measures `hallmark records --format jsonl --receipts` over so many records.
func runExport(ctx context.Context, program, dir string, records, rounds int) error {
	s, err := startFilled(ctx, program, dir, records)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("| of %d records | records/s | MB | CPU of the server | own CPU | memory of the server | own memory |\n| --- | --: | --: | --: | --: | --: | --: |\n", records)
	for range rounds {
		for _, receipts := range []string{"--receipts=false", "--receipts"} {
			if err := s.export(ctx, program, receipts); err != nil {
				return err
			}
		}
	}
	return nil
}

// export prints what one export takes.
func (s *server) export(ctx context.Context, program, receipts string) error {
	before, err := s.cpuSeconds()
	if err != nil {
		return err
	}
	var out, said counted
	cmd := exec.CommandContext(ctx, program, "records", "--format", "jsonl", receipts, "--server", "https://"+s.address, "--ca", filepath.Join(s.dir, "certs/ca.pem"))
	cmd.Env = append(os.Environ(), "HALLMARK_USER=admin", "HALLMARK_PASSWORD="+password)
	cmd.Stdout, cmd.Stderr = &out, &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := s.watchMemory()
	err = cmd.Wait()
	took := time.Since(begin).Seconds()
	if lookErr := stop(); err == nil {
		err = lookErr
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, said.last)
	}
	after, err := s.cpuSeconds()
	if err != nil {
		return err
	}
	own, most := cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	fmt.Printf("| %s | %.0f | %.0f | %.1f s | %.1f s | %.0f MB | %.0f MB |\n", receipts, float64(out.lines)/took, float64(out.bytes)/1e6,
		after-before, own.Seconds(), float64(s.peak)/1e6, float64(most)*1024/1e6)
	return nil
}

// watchMemory looks at the server's memory again and again until it is stopped: then peak is the most that it saw.
func (s *server) watchMemory() (stop func() error) {
	s.peak = 0
	ended, seen := make(chan struct{}), make(chan error)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := s.lookAtMemory(); err != nil {
					seen <- err
					return
				}
			case <-ended:
				seen <- s.lookAtMemory()
				return
			}
		}
	}()
	return func() error { close(ended); return <-seen }
}

// counted counts what is written, and keeps the last of it.
type counted struct {
	lines, bytes int
	last         []byte
}

func (c *counted) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	c.bytes += len(p)
	c.last = append(c.last[:0], p[max(0, len(p)-1000):]...)
	return len(p), nil
}
