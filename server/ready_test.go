package server_test

import (
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// TestNotReadyStore closes the store under a server.
func TestNotReadyStore(t *testing.T) {
	t.Parallel()
	s, err := server.Open(t.Context(), filepath.Join(t.TempDir(), "data"), servertest.Options())
	if err != nil {
		t.Fatal(err)
	}
	if parts := s.Unready(t.Context()); len(parts) > 0 {
		t.Errorf("at first: %+v", parts)
	}
	s.Close()
	if parts := s.Unready(t.Context()); len(parts) != 1 || parts[0].Part != "store" || !parts[0].StopsPulls() {
		t.Errorf("with a closed store: %+v", parts)
	}
}
