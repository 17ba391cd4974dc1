package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// rulesAgain is how often it is tried again to put on record by which files the registry decides.
const rulesAgain = 5 * time.Second

// decideBy puts in force what the configuration names, and the documents that the store has. A document comes in the place of a file.
func (s *Server) decideBy(ctx context.Context, rules *policy.Set) error {
	files := ruleFiles{rules, s.signatures.Trust()}
	s.recordRules(ctx, s.log, files.policy, files.trust)
	if err := s.ruling.begin(ctx); err != nil {
		return err
	}
	s.ruling.compare(s.c)
	return s.ruling.use(files)
}

// recordRules puts on record by which files the registry decides from now on, before they are in force. They come into
// force where that fails too, as on a full disk or without the key that signs: a registry that did not start, or
// went on with rules that its operator has changed, would be worse. keepRulesOnRecord tries again.
func (s *services) recordRules(ctx context.Context, log *slog.Logger, rules *policy.Set, trust *signature.Trust) {
	var now provenance.RuleFiles
	if rules != nil {
		now.Policy = rules.Digest
	}
	if trust != nil {
		now.Trust = digest.NewDigestFromEncoded(digest.SHA256, trust.Fingerprint())
	}
	s.unrecorded.Store(&now)
	if err := s.recordWaiting(ctx); err != nil {
		log.Error("by which policy and trust file the registry decides is not on record yet; it is tried again", "err", err)
	}
}

// recordWaiting records what waits for it, unless nothing can be recorded: /readyz?write says why then.
func (s *services) recordWaiting(ctx context.Context) error {
	if s.unrecorded.Load() == nil || s.book.Stopped() != nil {
		return nil
	}
	var now *provenance.RuleFiles
	err := s.book.RecordRules(ctx, access.Operator, func() *provenance.RuleFiles {
		now = s.unrecorded.Load()
		return now
	})
	if err == nil {
		s.unrecorded.CompareAndSwap(now, nil) // unless others wait by now
	}
	return err
}

// keepRulesOnRecord tries again, until ctx ends, what recordRules could not do.
func (s *services) keepRulesOnRecord(ctx context.Context) {
	tick := time.NewTicker(rulesAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.recordWaiting(ctx) // it was said when it failed first
		}
	}
}
