package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
)

// TestRetention plans by rules, holds an image, applies the plan, and applies it again: what is held and what moved stays, and nothing
// else than the plan lists goes.
func TestRetention(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	top := t.TempDir()
	dir, config, file, plan := filepath.Join(top, "data"), filepath.Join(top, "hallmark.yaml"), filepath.Join(top, "rules.yaml"), filepath.Join(top, "plan.jsonl")
	for path, text := range map[string]string{
		file:   "untagged: {keep: 0s}\nrules: [{name: old, repositories: team/**, keep: {newest: 1, tags: lts}}]\n",
		config: "retention: {file: " + file + "}\nregistry: {lease: 1s}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startPlain(t, dir, "--config", config)
	images := map[string]string{}
	for _, tag := range []string{"lts", "1", "2", "3", "4"} {
		images[tag] = s.push("team/app", tag, "layer "+tag, nil)
	}
	s.push("other/app", "1", "layer 1", nil) // it keeps the layer of team/app:1 on the disk
	said := func(want int, verb ...string) string {
		t.Helper()
		out, status := hallmarkOn(t, dir, verb...)
		if status != want {
			t.Fatalf("%q: %d\n%s", verb, status, out)
		}
		return out
	}
	if out := said(0, "retention", "plan"); !strings.Contains(out, "3 tags and 3 manifests would go, 2 tags and 2 manifests stay") {
		t.Errorf("the plan says\n%s", out)
	}
	said(0, "retention", "plan", "-o", plan)
	p := readPlan(t, plan)
	if len(p.Goes) != 6 || p.Summary.Bytes <= 0 {
		t.Fatalf("the plan is %+v", p)
	}
	for tag, want := range map[string]string{"lts": "stays: rule old: its name is to be kept", "1": "goes with the next plan by rule old", "4": "stays: rule old: among the newest 1"} {
		out := said(0, "list", "team/app")
		if !regexp.MustCompile(`(?m)^` + tag + ` .*` + want + `$`).MatchString(out) {
			t.Errorf("the list says of %s not %q:\n%s", tag, want, out)
		}
	}
	if out := said(0, "retention", "show"); !strings.Contains(out, "a schedule applies them never: retention.every is not set") {
		t.Errorf("show says\n%s", out)
	}
	said(0, "hold", "team/app:2", "--until", "1d", "--reason", "an audit")
	s.push("team/app", "3", "another layer", nil) // now it is the newest, and 4 is not
	out := said(0, "retention", "apply", plan)
	for _, want := range []string{"skipped team/app:2 (", "held until", "skipped team/app:3 (", "removed 1 tag and 2 manifests, skipped 3"} {
		if !strings.Contains(out, want) {
			t.Errorf("it says\n%s\nand not %q", out, want)
		}
	}
	for tag, want := range map[string]int{"1": 404, "2": 200, "3": 200, "4": 200, "lts": 200} {
		s.want(want, "GET", "/v2/team/app/manifests/"+tag)
	}
	s.want(404, "GET", "/v2/team/app/manifests/"+images["3"])
	if out := said(0, "records", "--repo", "team/app", "--action", "delete", "--json"); strings.Count(out, p.Digest.String()) != 2 || !strings.Contains(out, `"rule": "untagged"`) {
		t.Errorf("the records say\n%s", out)
	}
	if out := said(0, "retention", "apply", plan); !strings.Contains(out, "removed 0 tags and 0 manifests, skipped 6") {
		t.Errorf("a second time it says\n%s", out)
	}
	if out := said(0, "retention", "show"); !strings.Contains(out, "newest: 1; tags: lts") || strings.Contains(out, "no schedule") {
		t.Errorf("the rules are\n%s", out)
	}
	said(0, "fsck")
	changed := strings.Replace(readText(t, plan), `"tag":"1"`, `"tag":"lts"`, 1)
	if err := os.WriteFile(plan, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	said(2, "retention", "apply", plan)
	s.want(200, "GET", "/v2/team/app/manifests/lts")
}

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// readPlan reads a plan, and wants each of its lines to have a reason.
func readPlan(t *testing.T, path string) *retention.Plan {
	t.Helper()
	p, err := retention.ReadPlan(strings.NewReader(readText(t, path)), func(l retention.Line) {
		if l.Stays != nil && l.Stays.Why == "" || l.Goes != nil && (l.Goes.Rule == "" || l.Goes.Digest == digest.Digest("")) {
			t.Errorf("a line without a reason: %+v", l)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestListedFates wants a list to say of each fate what it is, and not that a tag stays which goes with its image.
func TestListedFates(t *testing.T) {
	noon := provenance.At(time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC))
	for want, e := range map[string]retention.Expiry{
		"stays: immutable":                                    {State: retention.Stays, Why: "immutable"},
		"goes after " + local(noon) + " by rule old":          {State: retention.Until, At: &noon, Rule: "old", Why: "younger than 30d"},
		"goes with the next plan by rule old":                 {State: retention.Goes, Rule: "old"},
		"only a plan tells":                                   {State: retention.Open, Why: "only a plan tells"},
		"it goes with the image whose digest it is made from": {State: retention.Follows, Why: "it goes with the image whose digest it is made from"},
	} {
		if says := (listedTag{Expiry: &e}).says(); says != want {
			t.Errorf("%s: %q, and should be %q", e.State, says, want)
		}
	}
}
