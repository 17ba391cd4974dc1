package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

// Retention knows neither CEL nor reports: the policy engine compiles and asks the expressions of its rules.

// expressions are those of the policy engine.
type expressions struct{ engine *policy.Engine }

// Compile implements retention.Expressions.
func (x expressions) Compile(text string) (retention.Expression, error) {
	compiled, err := policy.CompileExpression(text)
	if err != nil {
		return nil, err
	}
	return expression{x.engine, compiled}, nil
}

// expression implements retention.Expression.
type expression struct {
	engine *policy.Engine
	*policy.Expression
}

// Holds implements retention.Expression.
func (x expression) Holds(ctx context.Context, repository, _ string, d digest.Digest) (bool, error) {
	return x.engine.Holds(ctx, x.Expression, repository, d)
}

// pulls are those that the registry counts.
type pulls struct{ registry *registry.Registry }

// Flush implements retention.Pulls.
func (p pulls) Flush(ctx context.Context) error { return p.registry.FlushPulls(ctx) }

// NoneAfter implements retention.Pulls.
func (p pulls) NoneAfter(ctx context.Context, repo string, refs []string) ([]time.Time, error) {
	asked, times := make([]registry.PullRef, len(refs)), make([]time.Time, len(refs))
	for i, ref := range refs {
		asked[i] = registry.PullRef{Repository: repo, Ref: ref}
	}
	found, err := p.registry.PullsOf(ctx, asked)
	for i, f := range found {
		times[i] = f.NoneAfter()
	}
	return times, err
}

// openRetention puts the rules of retention in force.
func (s *services) openRetention(c config.Config, log *slog.Logger) error {
	s.retention = retention.NewKeeper(retention.Config{
		Store: s.rows, Registry: s.registry, Book: s.book, Pulls: pulls{s.registry}, Log: log, Most: float64(c.Retention.Most) / 100,
	})
	set, err := c.Retention.Read(expressions{s.engine})
	if err == nil {
		s.retention.Use(set)
	}
	return err
}

// retain applies rules of retention by a schedule, where there is one.
func (s *Server) retain(ctx context.Context) {
	if every := time.Duration(s.c.Retention.Every); every > 0 {
		s.retention.Schedule(ctx, every)
	}
}

// addRetentionMetrics shows what rules of retention have removed.
func (s *Server) addRetentionMetrics() {
	s.metrics.Counters("hallmark_retention_total", "Tags and manifests that rules of retention have removed, and those that were skipped when a plan was applied.",
		"what", func() map[string]float64 {
			tags, manifests, skipped := s.retention.Removed()
			return map[string]float64{"tag": float64(tags), "manifest": float64(manifests), "skipped": float64(skipped)}
		})
	s.metrics.Gauge("hallmark_retention_stopped_repositories", "Repositories that the last run of the schedule left alone, because more would go than retention.most.",
		func() float64 {
			if r := s.retention.LastRun(); r != nil {
				return float64(len(r.Stopped) + r.StoppedMore)
			}
			return 0
		})
}
