package server_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/seed-260924e6/hallmark/server"
)

// TestInProcessCut wants a handler that cuts its answer to end the answer, as over a network, and not the process.
func TestInProcessCut(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"", "half"} {
		cut := server.InProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if said != "" {
				_, _ = io.WriteString(w, said)
			}
			panic(http.ErrAbortHandler)
		}))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		resp, err := cut.RoundTrip(r)
		if err == nil {
			got, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if string(got) != said || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut behind %q: got %q, %v", said, got, err)
		}
	}
}
