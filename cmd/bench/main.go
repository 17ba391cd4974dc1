// Command bench drives Hallmark and distribution's own registry with the same load, in turn, on this
// machine, and prints how they compare. Machines are noisy, so what counts is the ratio within one round;
// the table has the median over all rounds. `make bench` builds both servers and runs it.
//
// Both speak TLS and keep their data in files, with every fsync that they make. Hallmark asks for a login
// and writes a record of each push; upstream, as it is shipped, does neither. The floor is the least that
// a TLS server in Go can do; what is compared with it is the time that the servers compute.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	hallmark := flag.String("hallmark", "bin/hallmark", "the `program` to measure")
	upstream := flag.String("upstream", "bin/tools/registry", "the `program` to compare with")
	before := flag.String("before", "", "compare with an earlier Hallmark, this `program`, and not with upstream")
	rounds := flag.Int("rounds", 5, "how many rounds")
	each := flag.Duration("each", 1500*time.Millisecond, "how long a row takes, for each server")
	only := flag.String("only", "", "run the rows whose name contains this `text`, and those that they need")
	dir := flag.String("dir", "", "where the servers keep their data (default: a new directory beside the program)")
	floorAt := flag.String("floor", "", "serve the floor at this `address`, with its data in -dir")
	loadFor := flag.Duration("load", 0, "instead, let -clients pull, push, delete and move tags for so `long`")
	loadClients := flag.Int("clients", 200, "how many clients -load has")
	fair := flag.Int64("fair", 0, "instead, pull small images while so many `bytes` are pushed")
	picture := flag.String("growth", "", "instead, measure a registry that grows, and draw that into this `file`")
	without := flag.String("without-records", "", "instead, measure what records cost: the same `program`, built with -tags norecords")
	protocols := flag.Bool("protocols", false, "instead, compare HTTP/1.1 with HTTP/2")
	records := flag.Int("records", 0, "instead, fill a store with so many records, and ask it questions")
	starts := flag.Int("starts", 0, "instead, compare a start over so many records with one over 1,000")
	audited := flag.Int("audit", 0, "instead, push so many records, and compare an audit of them with reading them")
	exported := flag.Int("export", 0, "instead, push so many records, and export them with their receipts")
	pages := flag.Int("pages", 0, "instead, fill a registry with so many images, over -records, and read its pages")
	onlyFill := flag.Bool("fill", false, "fill the registry of -pages in -dir, and do not measure: a later run with the same -dir measures it")
	bounds := flag.Bool("bounds", false, "instead, measure what quotas, counts of pulls and the trash cost")
	retained := flag.Int("retention", 0, "instead, fill a repository with so many `tags`, and remove a quarter of them by a rule")
	imported := flag.Int("import", 0, "instead, import so many images from a directory, and up to 500 from a registry that runs")
	access := flag.Bool("access", false, "instead, measure what authorization costs a pull")
	blobs := flag.String("blobs", "", "instead, measure a registry over an object store, of the kind `s3`, beside that store alone")
	gatewayAt := flag.String("gateway", "bin/tools/versitygw", "the `program` of the object store of -blobs")
	flag.Parse()
	if *floorAt != "" {
		fail(serveFloor(*floorAt, *dir))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := withDirectory(*dir, *hallmark, func(dir string) error {
		switch {
		case *blobs == "s3":
			return runBlobs(ctx, *hallmark, *gatewayAt, dir, *rounds)
		case *blobs != "":
			return fmt.Errorf("-blobs is %q, and should be s3", *blobs)
		case *loadFor > 0:
			return runLoad(ctx, *hallmark, dir, *loadClients, *loadFor)
		case *fair > 0:
			return runFair(ctx, *hallmark, dir, *fair)
		case *without != "":
			return runRecords(ctx, *hallmark, *without, dir, *rounds)
		case *pages > 0:
			return runPages(ctx, *hallmark, dir, *pages, max(*records, 1000), *onlyFill)
		case *retained > 0:
			return runRetention(ctx, *hallmark, dir, *retained)
		case *records > 0:
			return runMillion(ctx, *hallmark, dir, *records)
		case *starts > 0:
			return runStarts(ctx, *hallmark, dir, *starts)
		case *audited > 0:
			return runAudit(ctx, *hallmark, dir, *audited, *rounds)
		case *exported > 0:
			return runExport(ctx, *hallmark, dir, *exported, *rounds)
		case *bounds:
			return runBounds(ctx, *hallmark, dir, *rounds, *each)
		case *imported > 0:
			return runImport(ctx, *hallmark, *upstream, dir, *imported)
		case *access:
			return runAccess(ctx, *hallmark, dir, *each)
		case *protocols:
			return runProtocols(ctx, *hallmark, dir, *each)
		case *picture != "":
			return runGrowth(ctx, *hallmark, dir, *picture, *rounds, *each)
		}
		other := func(dir string) (*server, error) { return startUpstream(ctx, *upstream, dir) }
		if *before != "" {
			other = func(dir string) (*server, error) { return startBefore(ctx, *before, dir) }
		}
		return run(ctx, *hallmark, other, dir, *only, *rounds, *each)
	})
	if err != nil {
		fail(err)
	}
}

// withDirectory calls fn with a directory for the servers' data. One that was not named is new, and beside
// the program, which is on a disk: the system's place for temporary files may be memory, where fsync costs
// nothing.
func withDirectory(dir, program string, fn func(dir string) error) error {
	if dir == "" {
		made, err := os.MkdirTemp(filepath.Dir(program), "bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(made) }() // what stays is in the way of nothing
		dir = made
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return fn(dir)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// run measures a Hallmark, another server and the floor in turn.
func run(ctx context.Context, hallmark string, other func(dir string) (*server, error), dir, only string, rounds int, each time.Duration) error {
	ours, err := startHallmark(ctx, hallmark, filepath.Join(dir, "hallmark"))
	if err != nil {
		return err
	}
	defer ours.stop()
	theirs, err := other(filepath.Join(dir, "other"))
	if err != nil {
		return err
	}
	defer theirs.stop()
	least, err := startFloor(ctx, filepath.Join(dir, "floor"))
	if err != nil {
		return err
	}
	defer least.stop()
	b := newBench(only, each)
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		if err := b.round(ctx, i, ours, theirs, least); err != nil {
			return err
		}
	}
	return b.print(os.Stdout, ours, theirs, least)
}

// print writes the table, as Markdown that also reads well as it is.
func (b *bench) print(w io.Writer, ours, theirs, least *server) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(t, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line("", "Hallmark", theirs.name, "ratio", "from–to", "CPU", theirs.name+"'s", "ratio", "floor's", "ratio")
	line("---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "--:")
	for _, r := range b.rows {
		a, z, f := b.results[r.name][ours.name], b.results[r.name][theirs.name], b.results[r.name][least.name]
		if len(a) == 0 {
			continue
		}
		ratios := divide(a, z, rate)
		floorCPU, floorRatio := "", ""
		if !r.noFloor {
			floorCPU, floorRatio = cpuTime(median(each(f, cpu))), fmt.Sprintf("%.2f ×", median(divide(a, f, cpu)))
		}
		line(r.name+", "+r.unit,
			number(median(each(a, rate))*r.worth), number(median(each(z, rate))*r.worth), fmt.Sprintf("%.1f ×", median(ratios)),
			fmt.Sprintf("%.1f–%.1f", slices.Min(ratios), slices.Max(ratios)),
			cpuTime(median(each(a, cpu))), cpuTime(median(each(z, cpu))), fmt.Sprintf("%.2f ×", median(divide(a, z, cpu))),
			floorCPU, floorRatio)
	}
	line("memory of its own (RssAnon), at most, MB", number(float64(ours.peak)/1e6), number(float64(theirs.peak)/1e6),
		fmt.Sprintf("%.1f ×", float64(theirs.peak)/float64(ours.peak)), "", "", "", "", number(float64(least.peak)/1e6), "")
	return t.Flush()
}

func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// cpuTime writes what one operation costs the server, given in seconds.
func cpuTime(s float64) string {
	if s < 1e-3 {
		return fmt.Sprintf("%.0f µs", s*1e6)
	}
	return fmt.Sprintf("%.1f ms", s*1e3)
}
