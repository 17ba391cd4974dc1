package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// runPages tells of a registry with so many images, over a store of so many records, how long each page takes, what the
// server's CPU does for it, and how large it is; then what small pulls and pushes take while somebody reads pages, beside
// what they take alone; and what memory pages cost where nobody reads them. It fills the registry first, unless an earlier
// run in the same -dir has done it.
func runPages(ctx context.Context, program, dir string, images, records int, onlyFill bool) error {
	m := million{program, filepath.Join(dir, "hallmark"), records}
	g := &growth{at: filepath.Join(dir, "images")}
	if err := g.fillOver(ctx, m, images); err != nil || onlyFill {
		return err
	}
	if err := warm(m.file()); err != nil {
		return err
	}
	if err := m.idle(ctx); err != nil {
		return err
	}
	s, err := startHallmark(ctx, program, m.dir)
	if err != nil {
		return err
	}
	defer s.stop()
	g.s = s
	if err := g.readPages(m); err != nil {
		return err
	}
	return g.besideReaders(ctx)
}

// fillOver fills a store with records, and then a registry over it with images. If it is stopped, the next run goes on.
func (g *growth) fillOver(ctx context.Context, m million, images int) error {
	if err := g.goOn(); err != nil || g.size >= images {
		return err
	}
	s, err := startHallmark(ctx, m.program, m.dir) // makes the keys
	if err != nil {
		return err
	}
	s.stop()
	err = m.withShelf(ctx, m.file(), func(s *shelf) error {
		if err := s.appendUpTo(ctx, m.records); err != nil {
			return err
		}
		return s.book.Index(ctx)
	})
	if err != nil {
		return err
	}
	if g.s, err = startHallmark(ctx, m.program, m.dir); err != nil {
		return err
	}
	defer g.s.stop()
	if g.size == 0 {
		if err := g.fill(ctx, min(images, perGrowthRepo)); err != nil {
			return err
		}
		if err := g.moveTag(); err != nil {
			return err
		}
	}
	return g.fill(ctx, images)
}

// goOn finds how many images an earlier run has pushed.
func (g *growth) goOn() error {
	text, err := os.ReadFile(g.at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		g.size, err = strconv.Atoi(string(text))
	}
	return err
}

// idle tells the server's own memory a while after a start, with pages and without, in turn.
func (m million) idle(ctx context.Context) error {
	const rounds = 5
	var with, without []float64
	for range rounds {
		for _, of := range []struct {
			pages string
			seen  *[]float64
		}{{"true", &with}, {"false", &without}} {
			anon, err := m.idleMemory(ctx, "HALLMARK_PAGES="+of.pages)
			if err != nil {
				return err
			}
			*of.seen = append(*of.seen, float64(anon)/1e6)
		}
	}
	fmt.Printf("\n| RssAnon %s after a start, median of %d | with pages | `pages: false` | difference |\n| --- | --: | --: | --: |\n| idle | %.2f MB | %.2f MB | %+.2f MB |\n",
		idleFor, rounds, median(with), median(without), median(with)-median(without))
	return nil
}

const idleFor = 10 * time.Second

func (m million) idleMemory(ctx context.Context, setting string) (int64, error) {
	s, err := startHallmark(ctx, m.program, m.dir, setting)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	time.Sleep(idleFor)
	err = s.lookAtMemory()
	return s.anon, err
}

const movedTag = "moved"

// moveTag moves one tag from image to image, so that it has a history.
func (g *growth) moveTag() error {
	c, err := g.s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	repo, _ := g.image(0)
	base, err := newImagesOf(repo, 16<<10, 0, 1)
	if err != nil {
		return err
	}
	for i := range min(200, g.size) {
		img := base[0]
		img.tag = movedTag
		if img.text, err = g.manifest(i, base[0]); err != nil {
			return err
		}
		if err := img.put(c); err != nil {
			return err
		}
	}
	return nil
}

// onePage is a page about the i-th image, or the i-th record.
type onePage struct {
	name string
	path func(i int) string
}

func (g *growth) pages(m million) []onePage {
	image := func(i int) (repo, tag string) { return g.image(i % g.size) }
	search := func(of func(i int) string) func(int) string {
		return func(i int) string { return "/search?" + url.Values{"q": {of(i)}}.Encode() }
	}
	first, _ := g.image(0)
	return []onePage{
		{"home", func(int) string { return "/" }},
		{"a repository of 1,000 tags", func(i int) string { repo, _ := image(i); return "/r/" + repo }},
		{"an image", func(i int) string { repo, tag := image(i); return "/r/" + repo + ":" + tag }},
		{"a history of 200 moves", func(int) string { return "/r/" + first + "/-/history/" + movedTag }},
		{"a record", func(i int) string { return fmt.Sprint("/-/record/", i%m.records) }},
		{"records of a repository", func(i int) string { return "/-/records?repo=" + url.QueryEscape(repoOf(i)) }},
		{"search: a digest", search(func(i int) string { return digestOf(i % m.records).String() })},
		{"search: how a digest begins", search(func(i int) string { return digestOf(i % m.records).Encoded()[:12] })},
		{"search: a commit", search(func(i int) string { return revisionOf(i % m.records) })},
		{"search: a source", search(func(i int) string { return "https://git.example/" + repoOf(i) })},
		{"search: a person", search(personOf)},
		{"search: a word of many names", search(func(int) string { return "app" })},
		{"search: nothing", search(func(i int) string { return fmt.Sprint("zzz", i) })},
	}
}

// readPages reads each page about images here and there, one after another.
func (g *growth) readPages(m million) error {
	c, err := g.s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(t, "\n| a page, of %d images and %d records\t| median\t| p99\t| CPU, median\t| largest\t|\n| ---\t| --:\t| --:\t| --:\t| --:\t|\n", g.size, m.records)
	for _, p := range g.pages(m) {
		if err := g.readPage(c, p, t); err != nil {
			return err
		}
	}
	fmt.Fprintf(t, "| memory of its own (RssAnon), at most\t| %s MB\t|\t|\t|\t|\n", number(float64(g.s.peak)/1e6))
	return t.Flush()
}

// readPage asks for a page in 20 times 50 requests: the system counts CPU in steps of 10 ms, which is more than one takes.
func (g *growth) readPage(c *conn, p onePage, to *tabwriter.Writer) error {
	const rounds, each = 20, 50
	var took, used []float64
	var largest int64
	for round := range rounds + 2 {
		before, err := g.s.cpuSeconds()
		if err != nil {
			return err
		}
		for range each {
			begun := time.Now()
			if err := c.want(200, request{method: "GET", path: p.path(int(rand.Uint32N(1 << 30))), accept: "text/html"}); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if round > 1 { // the first ones find nothing in memory
				took = append(took, time.Since(begun).Seconds()*1e3)
			}
			largest = max(largest, c.read)
		}
		after, err := g.s.cpuSeconds()
		if err != nil {
			return err
		}
		if round > 1 {
			used = append(used, (after-before)*1e3/each)
		}
	}
	slices.Sort(took)
	fmt.Fprintf(to, "| %s\t| %.2f ms\t| %.2f ms\t| %.2f ms\t| %.1f KB\t|\n", p.name, median(took), took[len(took)*99/100], median(used), float64(largest)/1e3)
	return g.s.lookAtMemory()
}

// besideReaders pulls and pushes, one client, alone and while another reads pages at 20 a second, in turn.
func (g *growth) besideReaders(ctx context.Context) error {
	c, err := g.s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	fresh, err := newImagesOf("growth/beside", 16<<10, 0, 1)
	if err != nil {
		return err
	}
	if err := fresh[0].push(c, monolithic); err != nil {
		return err
	}
	acts := []act{
		{"manifest GET by tag", func() error { return fresh[0].manifest(c, "GET") }},
		{"manifest PUT by tag", func() error { return fresh[0].put(c) }},
	}
	took := make([][2][]float64, len(acts)) // alone, and beside readers
	for round := range 10 {
		beside := round % 2
		stop := func() error { return nil }
		if beside == 1 {
			stop = g.keepReading(ctx)
		}
		err := timeActs(acts, func(i int, ms float64) { took[i][beside] = append(took[i][beside], ms) })
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
	}
	fmt.Println("\n| one client | alone, median | while pages are read | ratio | p99 alone | p99 then | ratio |\n| --- | --: | --: | --: | --: | --: | --: |")
	for i, of := range took {
		slices.Sort(of[0])
		slices.Sort(of[1])
		p99 := func(v []float64) float64 { return v[len(v)*99/100] }
		fmt.Printf("| %s | %.2f ms | %.2f ms | %.2f × | %.2f ms | %.2f ms | %.2f × |\n", acts[i].name, median(of[0]), median(of[1]), median(of[1])/median(of[0]), p99(of[0]), p99(of[1]), p99(of[1])/p99(of[0]))
	}
	return nil
}

// act is what a client does again and again.
type act struct {
	name string
	it   func() error
}

// timeActs does each act 200 times, in turn, and tells how many milliseconds it took.
func timeActs(acts []act, took func(i int, ms float64)) error {
	for range 200 {
		for i, do := range acts {
			begun := time.Now()
			if err := do.it(); err != nil {
				return err
			}
			took(i, time.Since(begun).Seconds()*1e3)
		}
	}
	return nil
}

// keepReading reads pages of images until it is stopped.
func (g *growth) keepReading(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		c, err := g.s.dial()
		if err != nil {
			ended <- err
			return
		}
		defer c.close()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			repo, tag := g.image(i * 7919 % g.size)
			err = c.want(200, request{method: "GET", path: "/r/" + repo + ":" + tag, accept: "text/html"})
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		ended <- err
	}()
	return func() error { cancel(); return <-ended }
}
