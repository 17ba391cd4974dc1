package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onDisk counts the bytes of the blobs of a data directory, as their files are long: a file system rounds each up to whole blocks.
func onDisk(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) { // one goes while we look
		t.Fatal(err)
	}
	return bytes
}

func noise(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + rand.IntN(26))
	}
	return string(text)
}

// TestPlanBytes wants the bytes of a plan to be what the disk gives back: a layer counts once that several images which go share, and not at all where
// an image that stays needs it, in this repository or another. All blobs are files here: what lives in the store leaves free pages there.
func TestPlanBytes(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, config, rules, plan := filepath.Join(top, "data"), filepath.Join(top, "hallmark.yaml"), filepath.Join(top, "rules.yaml"), filepath.Join(top, "plan.jsonl")
	for path, text := range map[string]string{
		rules:  "untagged: {keep: 0s}\nrules: [{name: old, repositories: team/**, keep: {newest: 2}}]\n",
		config: "retention: {file: " + rules + "}\nregistry: {lease: 1s, smallBlobs: 1}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startPlain(t, dir, "--config", config)
	own := func(i int) string { return fmt.Sprint("own layer ", i, noise(100_000+i)) }
	shared, kept, elsewhere, both := noise(300_000), noise(310_000), noise(320_000), noise(330_000)
	for i, layer := range []string{own(0), own(1), shared, shared, kept, elsewhere, both, kept, own(2)} {
		s.push("team/app", fmt.Sprint("t", i), layer, map[string]string{"number": fmt.Sprint(i)})
	}
	s.push("other/app", "1", elsewhere, nil) // no rule names it
	s.push("team/lib", "1", both, nil)       // it goes from here too
	s.push("team/lib", "2", own(3), map[string]string{"number": "of a library"})
	s.push("team/lib", "3", own(4), nil)
	said := func(verb ...string) string {
		t.Helper()
		out, status := hallmarkOn(t, dir, verb...)
		if status != 0 {
			t.Fatalf("%q: %d\n%s", verb, status, out)
		}
		return out
	}
	said("retention", "plan", "-o", plan)
	p := readPlan(t, plan)
	if len(p.Goes) != 2*8 || p.Summary.Bytes < 830_000 || p.Summary.Bytes > 840_000 { // 100+100+300+330, and configurations
		t.Errorf("%d things go, with %d bytes", len(p.Goes), p.Summary.Bytes)
	}
	before := onDisk(t, dir)
	if out := said("retention", "apply", plan); !strings.Contains(out, "removed 8 tags and 8 manifests, skipped 0") {
		t.Errorf("it says\n%s", out)
	}
	if now := onDisk(t, dir); now != before {
		t.Errorf("the disk has given back %d bytes before the trash is empty", before-now)
	}
	said("trash", "empty", "--all")
	for deadline := time.Now().Add(time.Minute); before-onDisk(t, dir) < p.Summary.Bytes && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Second) // the collector takes no more than that
	if got := before - onDisk(t, dir); got != p.Summary.Bytes {
		t.Errorf("the disk has given back %d bytes, and the plan says %d", got, p.Summary.Bytes)
	}
	s.want(200, "GET", "/v2/team/app/manifests/t8")
	said("fsck")
}
