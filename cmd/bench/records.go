package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// runRecords tells what a record costs, with its signature, its leaf and the checkpoint: the same pushes
// to the program as it is, and to one whose recorder is empty. They take turns, push by push or round by
// round, so that what else the machine does meets both.
func runRecords(ctx context.Context, program, without, dir string, rounds int) error {
	with, err := startHallmark(ctx, program, filepath.Join(dir, "with"))
	if err != nil {
		return err
	}
	defer with.stop()
	empty, err := startHallmark(ctx, without, filepath.Join(dir, "without"))
	if err != nil {
		return err
	}
	defer empty.stop()
	empty.name = "empty"
	fmt.Fprintf(os.Stdout, "| | with records | without | difference |\n| --- | --: | --: | --: |\n")
	if err := printLatency(with, empty); err != nil {
		return err
	}
	b := newBench("none but those that push", 0)
	for i := range rounds {
		if err := b.round(ctx, i, with, empty); err != nil {
			return err
		}
	}
	for _, r := range b.rows {
		a, z := b.results[r.name][with.name], b.results[r.name][empty.name]
		fmt.Fprintf(os.Stdout, "| %s, %s | %s | %s | %+.0f %% |\n", r.name, r.unit, number(median(each(a, rate))),
			number(median(each(z, rate))), 100*(median(divide(a, z, rate))-1))
		fmt.Fprintf(os.Stdout, "| … CPU an image | %s | %s | %+.0f %% |\n", cpuTime(median(each(a, cpu))), cpuTime(median(each(z, cpu))),
			100*(median(divide(a, z, cpu))-1))
	}
	return nil
}

// printLatency puts manifests, one at a time, to one server and the other in turn.
func printLatency(servers ...*server) error {
	const puts = 1000
	images, err := newImagesOf("latency/app", 1<<10, 0, 1)
	if err != nil {
		return err
	}
	took := make([][]float64, len(servers))
	conns := make([]*conn, len(servers))
	for i, s := range servers {
		if conns[i], err = s.dial(); err != nil {
			return err
		}
		defer conns[i].close()
		if err := images[0].push(conns[i], monolithic); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for n := range puts {
		for i := range servers {
			at := (n + i) % len(servers)
			begun := time.Now()
			if err := images[0].put(conns[at]); err != nil {
				return fmt.Errorf("%s: %w", servers[at].name, err)
			}
			took[at] = append(took[at], time.Since(begun).Seconds())
		}
	}
	a, z := median(took[0]), median(took[1])
	fmt.Fprintf(os.Stdout, "| PUT of a manifest by tag, one client, median of %d | %s | %s | %+.0f µs |\n", puts, cpuTime(a), cpuTime(z), (a-z)*1e6)
	return nil
}
