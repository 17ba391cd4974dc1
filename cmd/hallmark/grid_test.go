package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTableFits wants a table to fit its terminal, and what is left of moments and digests to be whole enough to give back.
func TestTableFits(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	show := func(width string, noTrunc bool) string {
		var out bytes.Buffer
		e := &env{stdout: &out, getenv: func(string) string { return width }, noTrunc: noTrunc}
		tab := e.table("RECORD", "TIME", "WHO", "DIGEST", "SOURCE…")
		tab.row("41", "2026-11-23T09:00:00.123456Z", "alice", digest, "https://git.example/team/application/with/a/long/name")
		tab.row("7", "2026-11-23T09:00:00.000000+01:00", "ci:émile", "", "-")
		if err := tab.flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for width, want := range map[string][]string{
		"":    {"00.123456Z ", "sha256:0123456789ab ", "/with/a/long/name\n"},
		"100": {"00.123456Z ", "sha256:0123456789ab ", "https://g", "…\n"},
		"72":  {"00.123456Z ", "sha256:0123456789ab\n", "ci:émile "},
		"69":  {"09:00:00Z ", "09:00:00+01:00 ", "sha256:01234567\n", "ci:émile "},
	} {
		got := show(width, false)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("in %s columns there is no %q:\n%s", width, part, got)
			}
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width != "" && n > map[string]int{"100": 100, "72": 72, "69": 69}[width] {
				t.Errorf("in %s columns a line has %d:\n%s", width, n, got)
			}
		}
	}
	if got := show("40", true); !strings.Contains(got, digest+" ") || !strings.Contains(got, "/long/name\n") {
		t.Errorf("--no-trunc shortens:\n%s", got)
	}
}
