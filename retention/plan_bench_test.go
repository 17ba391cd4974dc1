package retention

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
)

// BenchmarkPlan makes a plan of a repository of many tags, each of an image of its own: HALLMARK_BENCH_TAGS of them, or 2000.
func BenchmarkPlan(b *testing.B) {
	tags, err := strconv.Atoi(os.Getenv("HALLMARK_BENCH_TAGS"))
	if err != nil {
		tags = 2000
	}
	w := newWorld(b, untagged("0s")+keeping(fmt.Sprint("newest: ", tags-tags/4)))
	w.pushMany(tags)
	var text bytes.Buffer
	perTag := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*tags), "us/tag") }
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			text.Reset()
			if _, s, err := w.Plan(b.Context(), &text); err != nil || s.Tags != tags/4 {
				b.Fatal(s, err)
			}
		}
		perTag(b)
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if p, err := ReadPlan(bytes.NewReader(text.Bytes()), nil); err != nil || len(p.Goes) != tags/2 {
				b.Fatal(err)
			}
		}
		perTag(b)
	})
}

// BenchmarkApply applies a plan of half of the tags.
func BenchmarkApply(b *testing.B) {
	tags, err := strconv.Atoi(os.Getenv("HALLMARK_BENCH_TAGS"))
	if err != nil {
		tags = 500
	}
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b, untagged("0s")+keeping(fmt.Sprint("newest: ", tags/2)))
		w.pushMany(tags)
		p := w.planned()
		b.StartTimer()
		if done, err := w.apply(p); err != nil || done.Tags != tags-tags/2 {
			b.Fatal(done, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*tags), "us/removal")
}

// pushMany pushes images of one tag each.
func (w *world) pushMany(tags int) {
	var pushing sync.WaitGroup
	for part := range 64 {
		pushing.Go(func() {
			for i := part; i < tags; i += 64 {
				w.push(fmt.Sprint("t", i), fmt.Sprint("image ", i), nil)
			}
		})
	}
	pushing.Wait()
}
