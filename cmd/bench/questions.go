package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// question is one that people ask, about the i-th push.
type question struct {
	name string
	path string
	of   func(i int) url.Values
}

var questions = []question{
	{"by digest", "records", func(i int) url.Values { return url.Values{"digest": {digestOf(i).String()}} }},
	{"by repository", "records", func(i int) url.Values { return url.Values{"repo": {repoOf(i)}} }},
	{"by tag", "records", func(i int) url.Values { return url.Values{"repo": {repoOf(i)}, "tag": {tagOf(i)}} }},
	{"by identity", "records", func(i int) url.Values { return url.Values{"identity": {personOf(i)}} }},
	{"by source", "records", func(i int) url.Values { return url.Values{"source": {"https://git.example/" + repoOf(i)}} }},
	{"by source and commit", "records", func(i int) url.Values {
		return url.Values{"source": {"git@git.example:" + repoOf(i)}, "revision": {revisionOf(i)}}
	}},
	{"by base", "records", func(i int) url.Values { return url.Values{"base": {baseOf(i).String()}} }},
	{"by action and class", "records", func(int) url.Values { return url.Values{"action": {"push"}, "class": {"claimed"}} }},
	{"by time", "records", func(i int) url.Values { return url.Values{"until": {momentOf(i)}} }},
	{"by identity, between two dates", "records", func(i int) url.Values {
		return url.Values{"identity": {personOf(i)}, "since": {start.Format(time.RFC3339)}, "until": {momentOf(i)}}
	}},
	{"by repository and identity", "records", func(i int) url.Values { return url.Values{"repo": {repoOf(i)}, "identity": {personOf(i)}} }},
	{"history of a tag", "history", func(i int) url.Values { return url.Values{"repo": {repoOf(i)}, "tag": {tagOf(i)}} }},
	{"what a tag meant then", "history", func(i int) url.Values {
		return url.Values{"repo": {repoOf(i)}, "tag": {tagOf(i)}, "at": {time.Now().UTC().Format(time.RFC3339)}}
	}},
	{"all built from a commit", "sources", func(i int) url.Values { return url.Values{"revision": {revisionOf(i)}} }},
	{"all built from a source", "sources", func(i int) url.Values { return url.Values{"source": {"https://git.example/" + repoOf(i)}} }},
	{"all on a base", "descendants", func(i int) url.Values { return url.Values{"base": {baseOf(i).String()}} }},
}

var start = time.Now().UTC()

// momentOf is a moment since the bench began.
func momentOf(i int) string {
	return start.Add(time.Duration(i%1000) * time.Since(start) / 1000).Format(time.RFC3339Nano)
}

// ask asks each question about pushes here and there, one after another.
func (m million) ask(s *server) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(t, "\n| a page of an answer, of %d records\t| median\t| p99\t|\n| ---\t| --:\t| --:\t|\n", m.records)
	if err := warm(m.file()); err != nil {
		return err
	}
	for _, q := range questions {
		var took []float64
		for n := range 1000 {
			i := m.anyOf(rand.Uint64N(1 << 40))
			begun := time.Now()
			if err := c.want(200, request{method: "GET", path: "/api/v1/" + q.path + "?" + q.of(i).Encode()}); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			if n >= 100 { // the first ones find nothing in memory
				took = append(took, time.Since(begun).Seconds()*1e3)
			}
		}
		slices.Sort(took)
		fmt.Fprintf(t, "| %s\t| %.2f ms\t| %.2f ms\t|\n", q.name, median(took), took[len(took)*99/100])
		if err := s.lookAtMemory(); err != nil {
			return err
		}
	}
	fmt.Fprintf(t, "| memory of its own (RssAnon), at most\t| %s MB\t|\t|\n", number(float64(s.peak)/1e6))
	return t.Flush()
}
