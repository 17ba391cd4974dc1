package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// load lets many clients pull, push, delete and move tags at once, for a while. Every answer is compared
// with what the request deserves. Meanwhile it watches what the server holds: memory, goroutines, files.
type load struct {
	s      *server
	admin  string // the address of the server's metrics
	stable []image

	mu      sync.Mutex
	took    map[string][]time.Duration // guarded by mu
	errs    []error                    // guarded by mu; the first few
	failed  int                        // guarded by mu
	samples []sample                   // by time
}

// sample is what the server holds at a moment.
type sample struct {
	anon              int64 // RssAnon, bytes
	files, goroutines int
}

const loadImages = 50 // that stay, and are pulled

// runLoad is the mode -load.
func runLoad(ctx context.Context, program, dir string, clients int, length time.Duration) error {
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	// Leases are short, so that the collector has as much to do as everybody else.
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"), "HALLMARK_ADMIN_LISTEN="+admin, "HALLMARK_REGISTRY_LEASE=20s")
	if err != nil {
		return err
	}
	defer s.stop()
	l := &load{s: s, admin: admin, took: map[string][]time.Duration{}}
	if err := l.prepare(); err != nil {
		return err
	}
	idle, err := l.look()
	if err != nil {
		return err
	}
	l.drive(ctx, clients, length)
	after, err := l.settle(ctx, idle)
	if err != nil {
		return err
	}
	l.print(os.Stdout, clients, length, idle, after)
	return l.faults(idle, after)
}

func (l *load) prepare() error {
	c, err := l.s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	if l.stable, err = newImagesOf("load/stable", 32<<10, 0, loadImages); err != nil {
		return err
	}
	for _, img := range l.stable {
		if err := img.push(c, patched); err != nil {
			return err
		}
	}
	return nil
}

// drive runs the clients, and takes a sample each second.
func (l *load) drive(ctx context.Context, clients int, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var group sync.WaitGroup
	for n := range clients {
		group.Go(func() {
			if err := l.client(ctx, n); err != nil && ctx.Err() == nil {
				l.fail(fmt.Errorf("client %d: %w", n, err))
			}
		})
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			if now, err := l.look(); err == nil {
				l.samples = append(l.samples, now)
			}
		}
	}
	group.Wait()
}

// client does one thing after another until ctx ends.
func (l *load) client(ctx context.Context, n int) error {
	c, err := l.s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	random := rand.New(rand.NewPCG(uint64(n), 7))
	own := fmt.Sprintf("load/client-%d", n)
	var pushed []image
	for i := 0; ctx.Err() == nil; i++ {
		img := l.stable[random.IntN(len(l.stable))]
		what, do := "pull", func() error { return img.pull(c) }
		switch dice := random.IntN(10); {
		case dice < 2:
			made, err := newImagesOf(own, 32<<10, i, 1)
			if err != nil {
				return err
			}
			what, do = "push", func() error { return made[0].push(c, patched) }
			pushed = append(pushed, made[0])
		case dice == 2 && len(pushed) > 0:
			oldest := pushed[0]
			what, do = "delete", func() error { return oldest.remove(c) }
		case dice == 3:
			what, do = "move a tag", func() error { return img.retag(c, own) }
		}
		begun := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		l.done(what, time.Since(begun))
		if what == "delete" {
			pushed = pushed[1:]
		}
	}
	return nil
}

// remove deletes an image, and wants it to be gone.
func (img image) remove(c *conn) error {
	path := "/v2/" + img.repo + "/manifests/"
	if err := c.want(202, request{method: "DELETE", path: path + newContent(img.text, nil).digest}); err != nil {
		return err
	}
	return c.want(404, request{method: "HEAD", path: path + img.tag})
}

// retag lets the tag `moving` of another repository mean an image, whose blobs it mounts there.
func (img image) retag(c *conn, repo string) error {
	for _, b := range img.blobs() {
		path := "/v2/" + repo + "/blobs/uploads/?from=" + img.repo + "&mount=" + b.digest
		if err := c.want(201, request{method: "POST", path: path}); err != nil {
			return err
		}
	}
	img.repo, img.tag = repo, "moving"
	if err := img.put(c); err != nil {
		return err
	}
	return img.manifest(c, "GET")
}

func (l *load) done(what string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took[what] = append(l.took[what], took)
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if len(l.errs) < 10 {
		l.errs = append(l.errs, err)
	}
}

// look asks what the server holds now.
func (l *load) look() (now sample, err error) {
	if err := l.s.lookAtMemory(); err != nil {
		return now, err
	}
	now.anon = l.s.anon
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.s.cmd.Process.Pid))
	if err != nil {
		return now, err
	}
	now.files = len(files)
	resp, err := http.Get("http://" + l.admin + "/metrics")
	if err != nil {
		return now, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return now, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("go_goroutines ")); ok {
			now.goroutines, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return now, err
}

// settle waits until the server has let go of what the clients, who have left, made it hold.
func (l *load) settle(ctx context.Context, idle sample) (after sample, err error) {
	http.DefaultClient.CloseIdleConnections()
	deadline := time.Now().Add(30 * time.Second)
	for {
		if after, err = l.look(); err != nil {
			return after, err
		}
		if time.Now().After(deadline) || after.files <= idle.files+10 && after.goroutines <= idle.goroutines+20 {
			return after, ctx.Err()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// quarter returns the mean of the samples of a quarter of the time, from 0 to 3.
func (l *load) quarter(n int) (mean sample) {
	part := l.samples[len(l.samples)*n/4 : len(l.samples)*(n+1)/4]
	if len(part) == 0 {
		return mean
	}
	for _, s := range part {
		mean.anon += s.anon
		mean.files += s.files
		mean.goroutines += s.goroutines
	}
	mean.anon /= int64(len(part))
	mean.files /= len(part)
	mean.goroutines /= len(part)
	return mean
}

func (l *load) print(w io.Writer, clients int, length time.Duration, idle, after sample) {
	fmt.Fprintf(w, "%d clients, %s, %d requests failed\n\n", clients, length, l.failed)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(t, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line("", "operations", "/s", "median, ms", "p99, ms")
	line("---", "--:", "--:", "--:", "--:")
	for _, what := range []string{"pull", "push", "delete", "move a tag"} {
		took := l.took[what]
		slices.Sort(took)
		if len(took) > 0 {
			line(what, strconv.Itoa(len(took)), number(float64(len(took))/length.Seconds()), ms(took[len(took)/2]), ms(took[len(took)*99/100]))
		}
	}
	_ = t.Flush() // a terminal's errors are seen there
	fmt.Fprintln(w)
	line("the server holds", "RssAnon, MB", "goroutines", "open files")
	line("---", "--:", "--:", "--:")
	for i, s := range []sample{idle, l.quarter(0), l.quarter(1), l.quarter(2), l.quarter(3), after} {
		when := []string{"before", "1st quarter", "2nd", "3rd", "4th", "when all have left"}[i]
		line(when, number(float64(s.anon)/1e6), strconv.Itoa(s.goroutines), strconv.Itoa(s.files))
	}
	_ = t.Flush()
}

func ms(d time.Duration) string { return number(float64(d.Microseconds()) / 1e3) }

// faults returns what must not be.
func (l *load) faults(idle, after sample) error {
	errs := l.errs
	if len(l.took) < 4 {
		errs = append(errs, fmt.Errorf("only %d kinds of operations were done", len(l.took)))
	}
	if after.files > idle.files+10 || after.goroutines > idle.goroutines+20 {
		errs = append(errs, fmt.Errorf("the server goes on to hold %d files and %d goroutines, and had %d and %d", after.files, after.goroutines, idle.files, idle.goroutines))
	}
	if a, z := l.quarter(1), l.quarter(3); z.anon > a.anon*3/2+16<<20 || z.goroutines > a.goroutines*3/2 || z.files > a.files*3/2 {
		errs = append(errs, fmt.Errorf("what the server holds grows: %+v in the second quarter, %+v in the last", a, z))
	}
	return errors.Join(errs...)
}
