package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/storage"
)

// UnreadyPart is a part of the registry that cannot do its work.
type UnreadyPart struct {
	Part string `json:"part"`
	Says string `json:"says"` // what is wrong, and what to do; strangers read it too
	// reads says that pulls fail too, and not only what changes something.
	reads bool
}

// serveHealth tells whether the process lives, and whether it can do its work. Whether it lives is asked of nothing
// that can fail: a process that is killed for a full disk comes back to the same disk.
//
// GET /readyz fails while pulls do: who sends requests to a registry, or starts it again, goes by it, and takes none away that still
// serves what it has. GET /readyz?write fails while anything is refused that the registry is for: somebody has to look. GET /readyz?read
// is another name of /readyz.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "health")
	if r.URL.Path == "/readyz" {
		parts := s.unready(r.Context())
		if !asksForWrites(r) {
			parts = onlyReads(parts)
		}
		if len(parts) > 0 {
			writeUnready(w, parts)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n") // a client that left does not matter any more
}

// asksForWrites says that a request is /readyz?write, as tools may write it.
func asksForWrites(r *http.Request) bool {
	return r.URL.RawQuery == "write" || r.URL.RawQuery == "write="
}

func onlyReads(parts []UnreadyPart) (left []UnreadyPart) {
	for _, p := range parts {
		if p.reads {
			left = append(left, p)
		}
	}
	return left
}

func writeUnready(w http.ResponseWriter, parts []UnreadyPart) {
	var says []string
	for _, p := range parts {
		says = append(says, p.Part+": "+p.Says)
	}
	api.WriteProblemWith(w, http.StatusServiceUnavailable, strings.Join(says, "; "), map[string]any{"parts": parts})
}

// unready returns the parts that cannot do their work, in the order in which somebody should look at them.
func (s *Server) unready(ctx context.Context) (parts []UnreadyPart) {
	add := func(part, says string, reads bool) { parts = append(parts, UnreadyPart{part, says, reads}) }
	if s.draining.Load() {
		add("server", "the registry is shutting down", true)
	}
	parts = append(parts, s.storeUnready()...)
	if err := s.book.Stopped(); err != nil {
		add("log", err.Error(), false)
	} else if why, err := s.book.Missing(ctx); fault.Of(err) == fault.Away {
		add("store", "the database does not answer, or refuses to; the log says more", true)
	} else if err != nil && !errors.Is(err, storage.ErrClosed) {
		add("log", "the log cannot be read: run `hallmark fsck`", true)
	} else if why != "" {
		add("keys", "a signing key is missing or wrong, so nothing can be pushed or deleted; the log of the registry's start says which", false)
	}
	if k, err := s.ruling.stuck(); err != nil {
		add("rules", fmt.Sprintf("the %s document in the store cannot be put in force, so what was in force before is; the log says why", k), false)
	}
	room := s.registry.Room()
	if errors.Is(room, storage.ErrFull) {
		add("disk", "less is free than registry.reserve, so nothing can be pushed. Make room, or delete images", false)
	}
	if err := s.data.Blobs.Here(); err != nil || room != nil && !errors.Is(room, storage.ErrFull) {
		add("blobs", s.blobsAway(), true)
	}
	if s.keeper != nil && time.Now().After(s.keeper.Certificate().NotAfter) {
		add("certificate", "the server's certificate has expired, so clients refuse it. Run `hallmark cert renew`, or replace tls.cert", true)
	}
	return parts
}

// storeUnready says why the store takes no changes.
func (s *Server) storeUnready() []UnreadyPart {
	err := s.data.Store.Err()
	switch {
	case err == nil && s.data.Store.Stalled() > s.stalled:
		return []UnreadyPart{{"store", "changes wait: the disk or the database that the store is on, or its standby, does not take them", false}}
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrClosed):
		return []UnreadyPart{{"store", "the store is closed", true}}
	case s.data.Embedded() == nil:
		return []UnreadyPart{{"store", "the store in the database is not used any more: " + err.Error() + ". Restart the registry when the database is well", true}}
	}
	return []UnreadyPart{{"store", "the store takes no changes: its disk failed; the log says more. Restart the registry when the disk is well", false}}
}
