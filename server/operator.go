package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	checkpoints "github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/backup"
)

// What an older version left, and nobody is known to have seen happen, comes into force by the operator's hand alone:
// through the socket, or on the files. A start that did it would do it for anyone who can write the store, too.
const (
	AdoptLogPath    = "/operator/log/adopt"
	AdoptAccessPath = "/operator/access/adopt"
)

// ContinueLogPath is beside the paths of what is adopted, and for the same reason on no listener but the socket.
const ContinueLogPath = "/operator/log/continue"

// Continuing is what the operator knows of a log that went further than its store.
type Continuing struct {
	Checkpoint string `json:"checkpoint,omitempty"` // a signed one, later than any that the registry has
}

// operatorRoutes are what only the operator's own command asks, before everything that others may ask too.
func (s *services) operatorRoutes(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	(&backup.Source{Dir: s.data, Registry: s.registry, URL: s.url}).Routes(mux)
	mux.HandleFunc("POST "+AdoptLogPath, operatorDoes("adopt-log", s.adoptLog))
	mux.HandleFunc("POST "+ContinueLogPath, operatorDoes("continue-log", s.continueLog))
	mux.HandleFunc("POST "+AdoptAccessPath, operatorDoes("adopt-access", s.adoptAccess))
	mux.Handle("/", next)
	return mux
}

// Adopted is what became of accounts.
type Adopted struct {
	Accounts int             `json:"accounts"`
	Changes  []access.Change `json:"changes"`
}

func (s *services) adoptLog(ctx context.Context, _ *http.Request) (any, error) {
	r, err := s.keys.Adopt(ctx, access.Operator)
	if !errors.Is(err, provenance.ErrAdopted) {
		return r, err
	}
	r, baseline := s.access.Baseline(ctx, access.Operator)
	if errors.Is(baseline, access.ErrAdopted) {
		return nil, err
	}
	return r, baseline
}

func (s *services) adoptAccess(ctx context.Context, _ *http.Request) (any, error) {
	accounts, changes, err := s.access.Adopt(ctx, access.Operator)
	return Adopted{accounts, changes}, err
}

// operatorDoes answers the operator, who is told of an error in its own words.
func operatorDoes(route string, do func(context.Context, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		obs.SetRoute(r.Context(), route)
		value, err := do(r.Context(), r)
		switch {
		case errors.Is(err, provenance.ErrAdopted), errors.Is(err, access.ErrAdopted), errors.Is(err, provenance.ErrNotBehind),
			errors.Is(err, api.ErrNoNextKey):
			api.WriteProblem(w, http.StatusConflict, err.Error())
		case errors.Is(err, checkpoints.ErrInvalid):
			api.WriteProblem(w, http.StatusBadRequest, err.Error())
		case err != nil:
			api.WriteProblem(w, access.TroubleOf(err, "").Status, err.Error())
		default:
			w.Header().Set("Content-Type", "application/json")
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			_ = enc.Encode(value) // a client that left does not matter any more
		}
	}
}

func (s *services) continueLog(ctx context.Context, r *http.Request) (any, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, 2*checkpoints.MaxText))
	if err != nil {
		return nil, err
	}
	var c Continuing
	if err := strictjson.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if err := registry.RestartPulls(ctx, s.rows); err != nil { // others may have pulled from the newer store
		return nil, err
	}
	return s.keys.Continue(ctx, access.Operator, c.Checkpoint)
}
