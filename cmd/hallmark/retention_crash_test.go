package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
)

// TestKilledWhileRetaining kills the server again and again while it applies a plan. Then the plan is applied to its end, and once more: all that it
// names went exactly once, with a record each, and nothing else went.
func TestKilledWhileRetaining(t *testing.T) {
	t.Parallel()
	const many, kept, kills = 150, 10, 10
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	text := fmt.Sprintf("untagged: {keep: 0s}\nrules: [{name: old, repositories: team/**, keep: {newest: %d}}]\n", kept)
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v := newVictim(t, "HALLMARK_RETENTION_FILE="+rules)
	v.pushMany(t.Context(), many)
	plan, p := v.planned(t.Context())
	if len(p.Goes) != 2*(many-kept) {
		t.Fatalf("%d things go", len(p.Goes))
	}
	for range kills {
		var asked sync.WaitGroup
		asked.Go(func() { v.retain(t.Context(), plan) }) // its answer is lost with the server
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		v.kill()
		asked.Wait()
		v.start()
	}
	first, second := v.retain(t.Context(), plan), v.retain(t.Context(), plan)
	if !first.Done || !second.Done || second.Tags+second.Manifests > 0 || second.Skipped != len(p.Goes) {
		t.Errorf("after %d kills: %+v, then %+v", kills, first, second)
	}
	t.Logf("%d of %d things were left over by %d kills", first.Tags+first.Manifests, len(p.Goes), kills)
	for i := range many {
		if status, _, _ := v.send(t.Context(), "HEAD", v.manifest(fmt.Sprintf("t%03d", i)), "", ""); (status == 200) != (i >= many-kept) {
			t.Errorf("t%03d: %d", i, status)
		}
	}
	want := make([]string, len(p.Goes))
	for i, item := range p.Goes {
		want[i] = fmt.Sprint(item.Tag, " ", item.Digest)
	}
	slices.Sort(want)
	if got := v.removals(t.Context(), p); !slices.Equal(got, want) {
		t.Errorf("%d removals are on record, want %d", len(got), len(want))
	}
	waitForClean(t, v.program, v.dir)
}

func (v *victim) manifest(ref string) string {
	return "https://" + v.address + "/v2/team/app/manifests/" + ref
}

// pushMany pushes images with the tags t000, t001 and so on.
func (v *victim) pushMany(ctx context.Context, many int) {
	v.t.Helper()
	if _, err := pushOnce(ctx, v.repository("team/app"), acknowledged{tag: "t000", layer: "layer"}); err != nil {
		v.t.Fatal(err)
	}
	_, header, body := v.send(ctx, "GET", v.manifest("t000"), "", "")
	for i := 1; i < many; i++ {
		another := fmt.Sprintf(`%s, "annotations": {"number": "%d"}}`, strings.TrimSuffix(body, "}"), i)
		if status, _, said := v.send(ctx, "PUT", v.manifest(fmt.Sprintf("t%03d", i)), header.Get("Content-Type"), another); status != 201 {
			v.t.Fatal(status, said)
		}
	}
}

func (v *victim) planned(ctx context.Context) (text string, p *retention.Plan) {
	v.t.Helper()
	status, _, text := v.send(ctx, "GET", "https://"+v.address+retentionPath+"plan", "", "")
	p, err := retention.ReadPlan(strings.NewReader(text), nil)
	if err != nil {
		v.t.Fatalf("%d: %v", status, err)
	}
	return text, p
}

// retain applies a plan, and returns how far that came.
func (v *victim) retain(ctx context.Context, plan string) (done retention.Applied) {
	_, _, said := v.send(ctx, "POST", "https://"+v.address+retentionPath+"apply", "application/json", plan)
	for line := range strings.Lines(said) {
		var l struct{ Applied *retention.Applied }
		if err := json.Unmarshal([]byte(line), &l); err == nil && l.Applied != nil {
			done = *l.Applied
		}
	}
	return done
}

// removals are the removals by a plan that are on record: a tag and its digest, or a digest.
func (v *victim) removals(ctx context.Context, p *retention.Plan) (all []string) {
	v.t.Helper()
	for _, r := range v.records(ctx, "") {
		switch {
		case r.Reason == nil || r.Reason.Plan != p.Digest:
			if r.Action != provenance.Push {
				v.t.Errorf("%s %s by nobody's plan", r.Action, r.Digest)
			}
		case len(r.Tags) == 0:
			all = append(all, " "+r.Digest.String())
		default:
			for _, tag := range r.Tags {
				all = append(all, tag.Name+" "+tag.Previous.String())
			}
		}
	}
	slices.Sort(all)
	return all
}
