package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// runGrowth fills a registry step by step, and measures at each what a push, a pull and a list of referrers
// cost: beside a new registry of 10 images, in turn, because machines are noisy. It prints a table, and draws
// it into a file.
func runGrowth(ctx context.Context, program, dir, picture string, rounds int, long time.Duration) error {
	s, err := startHallmark(ctx, program, filepath.Join(dir, "hallmark"))
	if err != nil {
		return err
	}
	defer s.stop()
	g := &growth{s: s}
	sizes := []int{smallest, 100, 1000, 10_000, 50_000, 200_000}
	costs := map[string][]cost{}
	for _, size := range sizes {
		if err := g.fill(ctx, size); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "measuring %d images beside %d\n", size, smallest)
		beside, err := startHallmark(ctx, program, filepath.Join(dir, fmt.Sprintf("beside-%d", size)))
		if err != nil {
			return err
		}
		err = g.compare(ctx, &growth{s: beside}, rounds, long, costs)
		beside.stop()
		if err != nil {
			return err
		}
	}
	g.print(os.Stdout, sizes, costs)
	return os.WriteFile(picture, []byte(draw(sizes, costs)), 0o644)
}

const smallest = 10 // images

// cost is the server's CPU of an operation, in seconds, and as a multiple of that in the smallest registry.
type cost struct{ cpu, ratio float64 }

// compare measures each operation here and in a new registry, and adds what it costs.
func (g *growth) compare(ctx context.Context, small *growth, rounds int, long time.Duration, costs map[string][]cost) error {
	if err := small.fill(ctx, smallest); err != nil {
		return err
	}
	of, beside := map[string][]result{}, map[string][]result{}
	for round := range rounds {
		fresh, err := newImagesOf(fmt.Sprintf("growth/fresh-%d-%d", g.size, round), 16<<10, 0, perRound)
		if err != nil {
			return err
		}
		if err := g.measure(ctx, fresh, long, of); err != nil {
			return err
		}
		if err := small.measure(ctx, fresh, long, beside); err != nil {
			return err
		}
	}
	for name, results := range of {
		costs[name] = append(costs[name], cost{cpu: median(each(results, cpu)), ratio: median(divide(results, beside[name], cpu))})
	}
	return nil
}

func (g *growth) measure(ctx context.Context, fresh []image, long time.Duration, into map[string][]result) error {
	for _, r := range g.rows() {
		got, err := measure(ctx, g.s, r, fresh, long)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		into[r.name] = append(into[r.name], got)
	}
	return nil
}

// growth is a registry that grows. Every image has its own manifest and tag; the blobs of a repository are
// shared, because bytes in files are not what grows here. Each tenth has a referrer.
type growth struct {
	s    *server
	size int
	one  bool   // all images are in one repository
	at   string // if not empty, the file that keeps size, so that a run that was stopped goes on
}

const perGrowthRepo = 1000

func (g *growth) image(i int) (repo, tag string) {
	if g.one {
		return "growth/app", fmt.Sprintf("v%d", i)
	}
	return fmt.Sprintf("growth/app-%d", i/perGrowthRepo), fmt.Sprintf("v%d", i%perGrowthRepo)
}

func (g *growth) manifest(i int, base image) ([]byte, error) {
	var m v1.Manifest
	if err := json.Unmarshal(base.text, &m); err != nil {
		return nil, err
	}
	m.Annotations = map[string]string{"org.opencontainers.image.source": fmt.Sprintf("https://git.example/growth/app-%d", i), "number": fmt.Sprint(i)}
	return json.Marshal(m)
}

func referrerTo(subject []byte, config content) ([]byte, error) {
	return json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: "application/spdx+json",
		Config: config.descriptor(v1.MediaTypeEmptyJSON), Layers: []v1.Descriptor{},
		Subject: &v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromBytes(subject), Size: int64(len(subject))},
	})
}

// fill pushes images until there are so many.
func (g *growth) fill(ctx context.Context, size int) error {
	fmt.Fprintf(os.Stderr, "growing to %d images\n", size)
	for g.size < size {
		repo, _ := g.image(g.size)
		base, err := newImagesOf(repo, 16<<10, 0, 1)
		if err != nil {
			return err
		}
		if err := g.fillRepo(ctx, base[0], g.size, min(size, g.size-g.size%perGrowthRepo+perGrowthRepo)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err() // not all of this repository is there
		}
		g.size = min(size, g.size-g.size%perGrowthRepo+perGrowthRepo)
		if g.at != "" {
			if err := os.WriteFile(g.at, []byte(strconv.Itoa(g.size)), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *growth) fillRepo(ctx context.Context, base image, from, to int) error {
	var next atomic.Int64
	next.Store(int64(from))
	var group sync.WaitGroup
	failed := make(chan error, 4*clients)
	for n := range 4 * clients {
		group.Go(func() {
			c, err := g.s.dial()
			if err != nil {
				failed <- err
				return
			}
			defer c.close()
			if err := base.push(c, monolithic); err != nil {
				failed <- fmt.Errorf("client %d: %w", n, err)
				return
			}
			for i := int(next.Add(1) - 1); i < to && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if err := g.push(c, base, i); err != nil {
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

func (g *growth) push(c *conn, base image, i int) error {
	text, err := g.manifest(i, base)
	if err != nil {
		return err
	}
	img := base
	img.repo, img.tag = g.image(i)
	img.text = text
	if err := img.put(c); err != nil || i%10 != 0 {
		return err
	}
	if img.text, err = referrerTo(text, base.config); err != nil {
		return err
	}
	img.tag = newContent(img.text, nil).digest
	return img.put(c)
}

// rows are what is measured, spread over all images by a stride that meets them in no order.
func (g *growth) rows() []row {
	at := func(i int) int { return int(uint64(i) * 7919 % uint64(g.size)) }
	return []row{
		{name: "push", unit: "images/s", worth: 1, fixed: true, do: func(c *conn, fresh []image, i int) error { return fresh[i].push(c, patched) }},
		{name: "manifest GET by tag", unit: "/s", worth: 1, do: func(c *conn, _ []image, i int) error {
			img := image{}
			img.repo, img.tag = g.image(at(i))
			return img.manifest(c, "GET")
		}},
		{name: "pull", unit: "images/s", worth: 1, do: func(c *conn, _ []image, i int) error {
			repo, tag := g.image(at(i))
			made, err := newImagesOf(repo, 16<<10, 0, 1)
			if err != nil {
				return err
			}
			made[0].tag = tag
			return made[0].pull(c)
		}},
		{name: "referrers", unit: "/s", worth: 1, do: func(c *conn, _ []image, i int) error {
			i = at(i) / 10 * 10
			repo, _ := g.image(i)
			made, err := newImagesOf(repo, 16<<10, 0, 1)
			if err != nil {
				return err
			}
			text, err := g.manifest(i, made[0])
			if err != nil {
				return err
			}
			return c.want(200, request{method: "GET", path: "/v2/" + repo + "/referrers/" + newContent(text, nil).digest})
		}},
	}
}

var grown = []string{"push", "pull", "manifest GET by tag", "referrers"}

func (g *growth) print(w io.Writer, sizes []int, costs map[string][]cost) {
	fmt.Fprintf(w, "| server CPU an operation, µs |%s\n| --- |%s\n", joined(sizes, func(n int) string { return fmt.Sprintf(" %d images |", n) }), strings.Repeat(" --: |", len(sizes)))
	for _, name := range grown {
		fmt.Fprintf(w, "| %s |%s\n", name, joined(costs[name], func(c cost) string { return fmt.Sprintf(" %.0f (%.2f ×) |", c.cpu*1e6, c.ratio) }))
	}
	fmt.Fprintf(w, "\nRssAnon at most %s MB\n", number(float64(g.s.peak)/1e6))
}

func joined[T any](values []T, text func(T) string) (all string) {
	for _, v := range values {
		all += text(v)
	}
	return all
}

// draw makes a picture: the cost of each operation, as a multiple of that in the smallest registry, over
// the number of images on a logarithmic scale.
func draw(sizes []int, costs map[string][]cost) string {
	const width, height, left, bottom = 660, 300, 50, 40
	x := func(size int) float64 {
		span := math.Log(float64(sizes[len(sizes)-1]) / float64(sizes[0]))
		return left + (width-left-170)*math.Log(float64(size)/float64(sizes[0]))/span
	}
	y := func(ratio float64) float64 { return height - bottom - ratio/3*(height-bottom-20) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<title>Server CPU an operation, as a multiple of that in a registry of %d images beside it</title><rect width="%d" height="%d" fill="white"/>`+"\n", sizes[0], width, height)
	for ratio := range 4 {
		fmt.Fprintf(&b, `<path d="M%d %.0fH%.0f" stroke="#ddd"/><text x="%d" y="%.0f" text-anchor="end">%d ×</text>`+"\n",
			left, y(float64(ratio)), x(sizes[len(sizes)-1]), left-6, y(float64(ratio))+4, ratio)
	}
	for _, size := range sizes {
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%d</text>`+"\n", x(size), height-bottom+18, size)
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">images in the registry</text>`+"\n", (x(sizes[0])+x(sizes[len(sizes)-1]))/2, height-4)
	for i, name := range grown {
		color := []string{"#0b6e4f", "#1d4ed8", "#b45309", "#9d174d"}[i]
		var path []string
		for j, c := range costs[name] {
			path = append(path, fmt.Sprintf("%.1f %.1f", x(sizes[j]), y(c.ratio)))
		}
		fmt.Fprintf(&b, `<path d="M%s" fill="none" stroke="%s" stroke-width="2"/><path d="M%d %dh20" stroke="%s" stroke-width="2"/><text x="%d" y="%d">%s</text>`+"\n",
			strings.Join(path, "L"), color, width-165, 30+20*i, color, width-140, 34+20*i, name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
