package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// faulty is a store that fails from some moment on.
type faulty struct {
	storage.Store
	err error
}

func (f *faulty) View(ctx context.Context, fn func(storage.Reader) error) error {
	if f.err != nil {
		return fmt.Errorf("reading: %w", f.err)
	}
	return f.Store.View(ctx, fn)
}

func (f *faulty) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if f.err != nil {
		return fmt.Errorf("writing: %w", f.err)
	}
	return f.Store.Update(ctx, fn)
}

// TestTroubles has every error of the store under every kind of route: the same answer, in the shape of the route.
func TestTroubles(t *testing.T) {
	t.Parallel()
	opened, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	store := &faulty{Store: opened}
	a, images := newAPIOver(t, store)
	troubles := []struct {
		err    error
		status int
		says   string
		again  bool
	}{
		{storage.ErrFull, 507, "nearly full", false},
		{storage.ErrUnknownOutcome, 500, "not known yet", false},
		{storage.ErrCorrupt, 500, "damaged", false},
		{storage.ErrClosed, 503, "shutting down", true},
		{storage.ErrReadOnly, 503, "reading only", false},
		{storage.ErrBusy, 503, "try again", true},
		{provenance.ErrNoKey, 503, "signing key", false},
		{errors.New("a secret of the disk"), 500, "the registry failed", false},
		// What may have happened counts before what did not, whichever comes first.
		{errors.Join(storage.ErrFull, storage.ErrUnknownOutcome), 500, "not known yet", false},
		{fmt.Errorf("%w: %w", storage.ErrClosed, storage.ErrFull), 507, "nearly full", false},
		{errors.Join(provenance.ErrNoRecord, storage.ErrCorrupt), 500, "damaged", false},
		{errors.Join(access.ErrUnknownUser, storage.ErrClosed), 503, "shutting down", true},
	}
	for _, route := range []string{
		"GET /v2/team/app/tags/list", "GET /v2/team/app/manifests/1.0", "GET /v2/_catalog", "PUT /v2/team/app/manifests/1.0", "DELETE /v2/team/app/manifests/1.0",
		"GET /api/v1/records", "GET /api/v1/records/0", "GET /api/v1/records/0/receipt", "GET /api/v1/records/0/tlog-proof", "GET /api/v1/repositories", "GET /api/v1/tags?repo=team/app", "GET /api/v1/users",
		"GET /api/v1/image?repo=team/app&ref=1.0", "GET /api/v1/report?repo=team/app&ref=1.0", "POST /api/v1/users", "POST /api/v1/access/teams", "DELETE /api/v1/users/bob",
		"GET /token?service=registry.example&scope=repository:team/app:pull", "GET /log/checkpoint", "GET /log/tile/0/000.p/1", "GET /keys/receipts.json", "GET /keys/log.vkey", "GET /trusted_root.json",
	} {
		for _, want := range troubles {
			store.err = want.err
			w := ask(a, images, route)
			text := w.Body.String()
			if w.Code != want.status || !strings.Contains(text, want.says) || (w.Header().Get("Retry-After") != "") != want.again {
				t.Errorf("%s, %v: %d %v\n%s", route, want.err, w.Code, w.Header(), text)
			}
			if strings.Contains(text, "secret of the disk") {
				t.Errorf("%s tells what is for the log: %s", route, text)
			}
			wantShape(t, route, w)
		}
		store.err = nil
	}
}

// ask asks as the operator, and for a token as a user: who it is, is looked up in the store.
func ask(a *API, images http.Handler, route string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(route, " ")
	body := map[string]string{
		"POST /api/v1/users": `{"name":"bob","password":"correct horse battery"}`, "POST /api/v1/access/teams": `{"name":"testers"}`,
		"PUT /v2/team/app/manifests/1.0": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
	}[route]
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if strings.HasPrefix(path, "/token") {
		r.SetBasicAuth("alice", "correct horse battery")
		a.ServeToken(w, r)
		return w
	}
	r = r.WithContext(access.WithOperator(r.Context()))
	if strings.HasPrefix(path, "/v2/") {
		r.Header.Del("Content-Type")
		images.ServeHTTP(w, r)
		return w
	}
	a.ServeHTTP(w, r)
	return w
}

func wantShape(t *testing.T, route string, w *httptest.ResponseRecorder) {
	t.Helper()
	var said struct {
		Detail string
		Status int
		Error  string
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Errorf("%s: %v", route, err)
	}
	_, path, _ := strings.Cut(route, " ")
	switch {
	case strings.HasPrefix(path, "/v2/") && (len(said.Errors) != 1 || said.Errors[0].Code != map[int]string{500: "UNKNOWN", 503: "UNAVAILABLE", 507: "UNAVAILABLE"}[w.Code]),
		strings.HasPrefix(path, "/token") && said.Error != map[int]string{500: "server_error", 503: "temporarily_unavailable", 507: "temporarily_unavailable"}[w.Code],
		!strings.HasPrefix(path, "/v2/") && !strings.HasPrefix(path, "/token") && (said.Status != w.Code || said.Detail == ""):
		t.Errorf("%s: %d %s", route, w.Code, w.Body)
	}
	if w.Code == http.StatusInternalServerError && w.Header().Get("Retry-After") != "" {
		t.Errorf("%s says to try again what failed", route)
	}
}
