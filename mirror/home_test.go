package mirror

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPublic asks a registry for what it publishes beside its images: a path of its own and nothing else, and no more than is read.
func TestPublic(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/log/checkpoint":
			_, _ = w.Write([]byte("signed"))
		case "/log/large":
			_, _ = w.Write(make([]byte, maxPublic+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer upstream.Close()
	from, err := OpenRemote(Remote{Where: upstream.URL})
	if err != nil {
		t.Fatal(err)
	}
	ask := from.(publisher).Public //nolint:forcetypeassert // it is one
	if answer, err := ask(t.Context(), "/log/checkpoint"); err != nil || string(answer) != "signed" {
		t.Errorf("%q, %v", answer, err)
	}
	for path, want := range map[string]string{
		"/log/none": ErrAbsent.Error(), "/log/large": "more than 65536 bytes", "http://elsewhere.example/log/checkpoint": "is no path",
		"//elsewhere.example/log/checkpoint": "is no path",
	} {
		if answer, err := ask(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", path, answer, err)
		}
	}
}

// TestHome remembers tiles, and that a registry does not answer; not what grows, nor that one thing is not there.
func TestHome(t *testing.T) {
	var h home
	h.note("/log/x/checkpoint.cosigned", []byte("old"), nil)
	h.note("/log/x/tile/0/000", []byte("tile"), nil)
	h.note("/log/x/tile/0/001", nil, ErrAbsent)
	h.note("/log/x/tile/0/002", nil, context.Canceled)
	for path, want := range map[string]string{"/log/x/checkpoint.cosigned": "", "/log/x/tile/0/000": "tile", "/log/x/tile/0/001": ""} {
		if answer, err := h.known(path); string(answer) != want || err != nil {
			t.Errorf("%s: %q, %v", path, answer, err)
		}
	}
	down := errors.New("down")
	h.note("/log/x/tile/0/003", nil, down)
	if _, err := h.known("/log/x/checkpoint.cosigned"); !errors.Is(err, down) {
		t.Error(err)
	}
}
