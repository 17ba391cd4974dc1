package server_test

import (
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestNotReadyForWrites has changes wait for one that does not end: pulls go on.
func TestNotReadyForWrites(t *testing.T) {
	t.Parallel()
	s, err := server.Open(t.Context(), filepath.Join(t.TempDir(), "data"), servertest.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if parts := s.Unready(t.Context()); len(parts) > 0 {
		t.Errorf("at first: %+v", parts)
	}
	s.StallAt(0)
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.Store().Update(t.Context(), func(storage.Tx) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	if parts := s.Unready(t.Context()); len(parts) != 1 || parts[0].Part != "store" || parts[0].StopsPulls() {
		t.Errorf("while changes wait: %+v", parts)
	}
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if parts := s.Unready(t.Context()); len(parts) > 0 {
		t.Errorf("when none waits: %+v", parts)
	}
}

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
