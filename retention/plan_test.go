package retention

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

func planText(t *testing.T) string {
	t.Helper()
	var text bytes.Buffer
	w := newPlanWriter(&text)
	for _, l := range []Line{
		{Plan: &Heading{Version: 1, Rules: digest.FromString("rules"), Time: provenance.At(noon)}},
		{Goes: &Item{Repository: "team/app", Tag: "1", Digest: digestOf("a"), Record: 4, Rule: "old"}},
		{Stays: &Item{Repository: "team/app", Tag: "2", Digest: digestOf("b"), Record: 5, Why: "rule old: among the newest 1"}},
		{Summary: &Summary{Tags: 1}},
	} {
		if err := w.write(l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.end(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestReadPlan reads a plan as it was made, and no other.
func TestReadPlan(t *testing.T) {
	text := planText(t)
	p, err := ReadPlan(strings.NewReader(text), nil)
	if err != nil || len(p.Goes) != 1 || p.Goes[0].Tag != "1" || p.Summary.Tags != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	lines := strings.SplitAfter(text, "\n")
	for name, changed := range map[string]string{
		"nothing":            "",
		"cut":                strings.Join(lines[:4], ""),
		"a changed line":     strings.Replace(text, `"tag":"1"`, `"tag":"2"`, 1),
		"a line taken out":   strings.Join(append(append([]string{}, lines[:2]...), lines[3:]...), ""),
		"a line behind":      text + lines[1],
		"another beginning":  strings.Join(lines[1:], ""),
		"two beginnings":     lines[0] + text,
		"an unknown field":   strings.Replace(text, `"tags":1`, `"tags":1,"x":1`, 1),
		"an unknown version": strings.Replace(text, `"version":1`, `"version":2`, 1),
		"a long line":        strings.Replace(text, `"tag":"1"`, `"tag":"`+strings.Repeat("1", MaxLine)+`"`, 1),
		"no JSON":            "plan\n" + text,
	} {
		if _, err := ReadPlan(strings.NewReader(changed), nil); !errors.Is(err, ErrPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOrder wants what lists a manifest to go before it.
func TestOrder(t *testing.T) {
	r := newRepo("x@1 i>x j>i j>x k>j x>y")
	at := map[int]int{}
	for n, i := range inOrder(&r.Facts, func(i int) []int { return r.Manifests[i].Lists }) {
		at[i] = n
	}
	for i, m := range r.Manifests {
		for _, listed := range m.Lists {
			if at[i] > at[listed] {
				t.Errorf("%d goes before %d, which lists it", listed, i)
			}
		}
	}
	if len(at) != len(r.Manifests) {
		t.Errorf("%d of %d manifests", len(at), len(r.Manifests))
	}
}
