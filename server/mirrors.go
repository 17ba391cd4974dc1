package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

// openMirrors puts the rules of mirrors in force. From then on nobody pushes below their prefixes.
func (s *services) openMirrors(c config.Config, log *slog.Logger) error {
	s.mirrors = mirror.NewMirrors(mirror.Config{Store: s.rows, Registry: s.registry, Log: log, Signatures: signatures{s.engine}})
	s.registry.SetMirrors(s.mirrors)
	set, err := c.Mirrors.Read(c.OwnNames(s.url)...)
	if err == nil {
		s.mirrors.Use(set)
	}
	return err
}

// addMirrorMetrics shows how mirrors are. Each rule in force is there, also one that brought nothing yet.
func (s *Server) addMirrorMetrics() {
	totals := func(value func(mirror.Totals) int64) func() map[string]float64 {
		return func() map[string]float64 {
			all := map[string]float64{}
			for name, t := range s.mirrors.Totals() {
				all[name] = float64(value(t))
			}
			return all
		}
	}
	for _, m := range []struct {
		name, help string
		value      func(mirror.Totals) int64
	}{
		{"images", "Tags that mirrors have brought, by rule.", func(t mirror.Totals) int64 { return t.Came }},
		{"refused", "Tags that mirrors could not bring, by rule, each once a run.", func(t mirror.Totals) int64 { return t.Refused }},
		{"removed", "Tags that mirrors have removed because they are gone upstream, by rule.", func(t mirror.Totals) int64 { return t.Removed }},
		{"failures", "Runs of mirrors that failed, by rule.", func(t mirror.Totals) int64 { return t.Failed }},
	} {
		s.metrics.Counters("hallmark_mirror_"+m.name+"_total", m.help, "rule", totals(m.value))
	}
	s.metrics.Gauges("hallmark_mirror_succeeded_seconds", "When a mirror was last brought up to date, in seconds since 1970; 0 before the first time.", "rule", s.mirrored)
}

func (s *Server) mirrored() map[string]float64 {
	all := map[string]float64{}
	succeeded, _ := s.mirrors.Succeeded(context.Background()) // none where it cannot be read
	for name, at := range succeeded {
		all[name] = seconds(at)
	}
	return all
}

// signatures are those that the trust file lets count, as the policy engine knows them.
type signatures struct{ engine *policy.Engine }

// Signed implements mirror.Signatures.
func (s signatures) Signed(ctx context.Context, repo string, d digest.Digest, signer string) (bool, error) {
	text := `report.check("signature").result == "pass"`
	if signer != "" {
		text = fmt.Sprintf("report.signedBy(%q)", signer)
	}
	x, err := policy.CompileExpression(text)
	if err != nil {
		return false, err
	}
	return s.engine.Holds(ctx, x, repo, d)
}
