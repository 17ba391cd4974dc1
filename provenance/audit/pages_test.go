package audit

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/replay"
)

// TestListsEnd asks a server whose lists go round for them: it is told of, and not asked for ever.
func TestListsEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const page = `{"repositories":["app"],"Repositories":["app"],"next":"/api/v1/repositories?limit=1000"}`
	r := &run{Audit: &Audit{
		Fetch: func(ctx context.Context, _ string) ([]byte, error) {
			return []byte(`{"repositories":[{"name":"app"}],"next":"/api/v1/repositories?limit=1000"}`), ctx.Err()
		},
		Ask: func(ctx context.Context, _, _ string) (*Answer, error) {
			return &Answer{Status: http.StatusOK, Body: []byte(page)}, ctx.Err()
		},
	}}
	for name, list := range map[string]func(context.Context) ([]string, error){"repositories": r.repositories, "catalog": r.catalog} {
		if _, err := list(ctx); err == nil || !strings.Contains(err.Error(), "the list has no end") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTooLarge asks for something whose answer is not read to its end: the audit says so, accuses nobody, and goes on.
func TestTooLarge(t *testing.T) {
	byRecords := func(*replay.State) view { return view{"1.0": {digest: "sha256:0"}} }
	asked := 0
	served := func(err error) *question {
		return &question{byRecords: byRecords, served: func(context.Context) (view, error) { asked++; return byRecords(nil), err }}
	}
	r := &run{Audit: &Audit{}, memory: &Memory{}, report: &Report{}}
	open, kept, err := r.ask(t.Context(), []*question{served(fmt.Errorf("/v2/app: %w", ErrTooLarge)), served(nil)})
	if len(open) != 0 || kept != 0 || err != nil || asked != 2 {
		t.Errorf("%d differ, %d kept back, %d asked, %v", len(open), kept, asked, err)
	}
	if said := strings.Join(r.report.NotCompared, "; "); said != "/v2/app: the answer is larger than an audit reads" {
		t.Errorf("not compared: %s", said)
	}
}
