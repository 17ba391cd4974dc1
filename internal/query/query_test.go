package query_test

import (
	"net/url"
	"slices"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/query"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"x=application/spdx+json":   "application/spdx+json",
		"x=application/spdx%2Bjson": "application/spdx+json",
		"x=application/spdx%2bjson": "application/spdx+json",
		"x=a%20b":                   "a b",
		"x=10:00:00+02:00&y=1":      "10:00:00+02:00",
		"y=1":                       "",
	} {
		values, err := query.Parse(raw)
		if got := values.Get("x"); got != want || err != nil {
			t.Errorf("%s is %q, %v, want %q", raw, got, err, want)
		}
	}
	if values, err := query.Parse("x=%zz&y+z=1"); err == nil || values.Get("y+z") != "1" {
		t.Errorf("%v, %v", values, err)
	}
}

// TestReadings wants what every kind of client writes to be among what it can mean.
func TestReadings(t *testing.T) {
	for _, meant := range []string{"application/spdx+json", "application/x", "application/spdx+json; version=2", `a/b+c; x="1 + 2"`, "no slash+plus"} {
		for how, raw := range map[string]string{
			"as a form": url.Values{"x": {meant}}.Encode(),
			"as a path": "x=" + url.PathEscape(meant),
		} {
			if got := query.Readings(raw, "x"); !slices.Contains(got, meant) {
				t.Errorf("%s, %s: %q", raw, how, got)
			}
		}
	}
	if got := query.Readings("x=application/spdx+json;+version=2", "x"); !slices.Contains(got, "application/spdx+json; version=2") {
		t.Errorf("%q", got)
	}
	for _, raw := range []string{"", "x=", "y=1", "x"} {
		if got := query.Readings(raw, "x"); len(got) != 0 {
			t.Errorf("%q means %q", raw, got)
		}
	}
}
