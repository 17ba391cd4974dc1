package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// boundsQuotas is how many quotas hold for each repository that is measured, beside the others.
const boundsQuotas = 2

// otherQuotas are quotas that hold for other repositories.
const otherQuotas = 98

// runBounds tells what quotas, counts of pulls and the trash cost: the same load to the program with them, and to itself without. The
// servers take turns, so that what else the machine does meets both.
func runBounds(ctx context.Context, program, dir string, rounds int, long time.Duration) error {
	with, err := startHallmark(ctx, program, filepath.Join(dir, "with"))
	if err != nil {
		return err
	}
	defer with.stop()
	if err := with.setQuotas(ctx); err != nil {
		return err
	}
	without, err := startHallmark(ctx, program, filepath.Join(dir, "without"), "HALLMARK_TRASH_KEEP=0s", "HALLMARK_RETENTION_IGNORE=user:admin")
	if err != nil {
		return err
	}
	defer without.stop()
	without.name = "without"
	b := newBench("pull", long)
	deletion := row{name: "push and delete of a manifest", unit: "/s", worth: 1, do: pushAndDelete}
	b.rows, b.results[deletion.name] = append(b.rows, deletion), map[string][]result{}
	for i := range rounds {
		if err := b.round(ctx, i, with, without); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stdout, "| | with | without | difference | of a round | CPU |\n| --- | --: | --: | --: | --: | --: |\n")
	for _, r := range b.rows {
		a, z := b.results[r.name][with.name], b.results[r.name][without.name]
		ratios := divide(a, z, rate)
		fmt.Fprintf(os.Stdout, "| %s, %s | %s | %s | %+.0f %% | %+.0f to %+.0f %% | %+.0f %% |\n", r.name, r.unit, number(median(each(a, rate))), number(median(each(z, rate))),
			100*(median(ratios)-1), 100*(slices.Min(ratios)-1), 100*(slices.Max(ratios)-1), 100*(median(divide(a, z, cpu))-1))
	}
	return nil
}

// setQuotas sets quotas that refuse nothing.
func (s *server) setQuotas(ctx context.Context) error {
	patterns := []string{"**", "*/**"}[:boundsQuotas]
	for i := range otherQuotas {
		patterns = append(patterns, fmt.Sprintf("other/app%d/**", i))
	}
	for _, p := range patterns {
		if err := s.json(ctx, http.MethodPut, "/api/v1/quota", map[string]any{"pattern": p, "bytes": int64(1) << 50, "soft": int64(1) << 49, "tags": 1 << 40}, nil); err != nil {
			return err
		}
	}
	return nil
}

// deleted counts the manifests that were pushed to be deleted, so that each is another.
var deleted atomic.Int64

func pushAndDelete(c *conn, images []image, i int) error {
	img := images[i%perRound]
	d, err := img.putOf(c, v1.Manifest{
		Config: img.config.descriptor(v1.MediaTypeImageConfig), Layers: []v1.Descriptor{img.layers[0].descriptor(v1.MediaTypeImageLayerGzip)},
		Annotations: map[string]string{"number": strconv.FormatInt(deleted.Add(1), 10)},
	})
	if err != nil {
		return err
	}
	return c.want(202, request{method: "DELETE", path: "/v2/" + img.repo + "/manifests/" + d.Digest.String()})
}
