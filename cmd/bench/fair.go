package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// runFair pulls small things, one after another, alone and while another client pushes a large blob as
// fast as it can.
func runFair(ctx context.Context, program, dir string, size int64) error {
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"))
	if err != nil {
		return err
	}
	defer s.stop()
	l := &load{s: s}
	if err := l.prepare(); err != nil {
		return err
	}
	alone, err := l.pullUntil(ctx, time.After(10*time.Second), nil)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	begun := time.Now()
	go func() { sent <- s.pushLarge(size) }()
	beside, err := l.pullUntil(ctx, nil, sent)
	if err != nil {
		return err
	}
	took := time.Since(begun)
	fmt.Fprintf(os.Stdout, "| a client's small pulls | pulls | median, ms | p99, ms |\n| --- | --: | --: | --: |\n")
	fmt.Fprintf(os.Stdout, "| alone | %d | %s | %s |\n", len(alone), ms(alone[len(alone)/2]), ms(alone[len(alone)*99/100]))
	fmt.Fprintf(os.Stdout, "| beside a push of %d MB at %.0f MB/s | %d | %s | %s |\n", size/1e6, float64(size)/1e6/took.Seconds(),
		len(beside), ms(beside[len(beside)/2]), ms(beside[len(beside)*99/100]))
	return nil
}

// pullUntil pulls images until it is told that it is time, or that something has ended, with an error or none.
func (l *load) pullUntil(ctx context.Context, over <-chan time.Time, ended <-chan error) ([]time.Duration, error) {
	c, err := l.s.dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	var took []time.Duration
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-over:
			return sorted(took), nil
		case err := <-ended:
			return sorted(took), err
		default:
		}
		begun := time.Now()
		if err := l.stable[i%len(l.stable)].pull(c); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
	}
}

func sorted(took []time.Duration) []time.Duration {
	slices.Sort(took)
	return took
}

// pushLarge sends one blob, and drops it.
func (s *server) pushLarge(size int64) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	begun, err := c.wantLocation(202, request{method: "POST", path: "/v2/load/large/blobs/uploads/"})
	if err != nil {
		return err
	}
	at, err := c.wantLocation(202, request{
		method: "PATCH", path: goOn(begun, ""), contentType: "application/octet-stream", body: io.LimitReader(endless{}, size), length: size,
	})
	if err != nil {
		return err
	}
	return c.want(204, request{method: "DELETE", path: goOn(at, "")})
}

// endless repeats the tail of all layers.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, tail), nil }
