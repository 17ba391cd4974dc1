package api

import (
	"context"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/provenance"
)

// worldMirror is how the world's only mirror is.
func worldMirror() mirror.Status {
	at := provenance.At(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	n := mirror.Counts{Repositories: 1, Images: 1, Refused: 1}
	return mirror.Status{
		Name: "hub", Upstream: "docker.io", Repositories: []string{"library/alpine"}, Tags: []string{"3.*"}, Platforms: []string{"linux/amd64"}, Into: "mirror/hub", Every: "6h", Deleted: mirror.KeepDeleted,
		Hold: "for 1d", Waiting: []mirror.Waiting{{Repository: "mirror/hub/library/alpine", Tag: "3.20", Digest: other.digest, Seen: at, Left: "1h0m0s"}}, WaitingCut: true,
		Running: &n, Began: &at, Ended: &at, By: "admin", Succeeded: &at, Next: &at, Failures: 2, Why: "it is down", Last: &mirror.Followed{Report: mirror.Report{Counts: n}},
	}
}

// Statuses implements Mirrors.
func (w *world) Statuses(context.Context) ([]mirror.Status, error) {
	return []mirror.Status{worldMirror()}, w.asked()
}

// Status implements Mirrors.
func (w *world) Status(context.Context, string) (mirror.Status, error) {
	return worldMirror(), w.asked()
}

// Run implements Mirrors: one image is refused.
func (w *world) Run(_ context.Context, _ provenance.Identity, _ *http.Request, _ string, dry bool, tell func(mirror.Counts)) (mirror.Followed, error) {
	if err := w.asked(); err != nil {
		return mirror.Followed{}, err
	}
	tell(mirror.Counts{Repositories: 1, Images: 1, Refused: 1})
	last := *worldMirror().Last
	last.DryRun = dry
	return last, nil
}

// Approve implements Mirrors.
func (w *world) Approve(_ context.Context, _ provenance.Identity, _ *http.Request, repo, ref string) ([]mirror.Approved, error) {
	record := uint64(7)
	return []mirror.Approved{{Repository: repo, Tag: ref, Digest: other.digest, Record: &record}}, w.asked()
}
