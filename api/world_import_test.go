package api

import (
	"context"
	"net/http"

	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Import implements Imports: one image is refused.
func (w *world) Import(_ context.Context, _ provenance.Identity, _ *http.Request, o mirror.Options, tell func(mirror.Counts)) (mirror.Report, error) {
	if err := w.asked(); err != nil {
		return mirror.Report{}, err
	}
	n := mirror.Counts{Repositories: 1, Images: 1, Refused: 1}
	tell(n)
	return mirror.Report{Counts: n, DryRun: o.DryRun, Refused: []mirror.Remark{{Reference: "team/app:1.0", Why: "it is damaged there"}}}, nil
}
