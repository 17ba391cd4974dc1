package audit

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
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
