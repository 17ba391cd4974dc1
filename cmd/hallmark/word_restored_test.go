package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	others "github.com/seed-260924e6/hallmark/trust/word"
)

// TestWordAfterRestore restores a backup of a registry whose records others keep. What is proved to the end that it declares counts,
// also a record that the backup has lost, and whose number another one has since, and so does what is proved to the end of what is kept;
// what is proved to less is claimed.
func TestWordAfterRestore(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir, saved := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "saved")
	s := startServer(t, dir)
	kept := s.push("team/app", "1.0", "one", nil)
	newest := s.push("team/app", "1.1", "one and a half", nil)
	s.hallmark("backup", saved)
	lost := s.push("team/app", "2.0", "two", nil)
	receiptOf := func(record, size int) []byte {
		return []byte(s.want(200, "GET", fmt.Sprintf("/api/v1/records/%d/receipt?at=%d", record, size)))
	}
	keptThen, keptToEnd, newestThen, lostThen := receiptOf(1, 2), receiptOf(1, 4), receiptOf(2, 3), receiptOf(3, 4)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil { // it writes keys/log.checkpoint, which is not in the backup
		t.Fatal(err)
	}
	<-s.done
	s.cmd = nil

	back := filepath.Join(t.TempDir(), "back")
	out, err := exec.Command(plainProgram(t), "restore", saved, "--data", back, "--checkpoint", filepath.Join(dir, keysDir, checkpointFile)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s = startServer(t, back)
	again := s.push("team/app", "2.0", "another two", nil)
	mapping, err := others.NewMapping("team/**", "mirror/team/**")
	if err != nil {
		t.Fatal(err)
	}
	a, err := others.NewRegistry("a", []byte(s.want(200, "GET", "/keys/logs.json")), []byte(s.want(200, "GET", "/keys/receipts.json")), nil, []others.Mapping{mapping})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := others.NewTrust([]*others.Registry{a})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		image  string
		bundle []byte
		class  provenance.Class
		says   string
	}{
		"at its own size":                {kept, keptThen, provenance.Claimed, "closed its log"},
		"proved to the end, before":      {kept, keptToEnd, provenance.Attested, "attested by registry a"},
		"the last that is kept":          {newest, newestThen, provenance.Attested, "attested by registry a"},
		"lost, and the last of that log": {lost, lostThen, provenance.Attested, "attested by registry a"},
		"of the log that follows":        {again, receiptOf(4, 2), provenance.Attested, "attested by registry a"},
	} {
		layer := others.Layer{MediaType: receipt.LayerType, Digest: digest.FromBytes(c.bundle), Body: c.bundle}
		w, err := trust.Look(t.Context(), others.Artifact{Subject: digest.Digest(c.image), Layers: []others.Layer{layer}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := trust.Weigh(w, "mirror/team/app")
		if said := got.Says + " " + got.Standing.Detail; got.Class != c.class || !strings.Contains(said, c.says) {
			t.Errorf("%s: %s: %s", name, got.Class, said)
		}
	}
}
