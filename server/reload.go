package server

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/retention"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// reload reads the configuration and the certificate again: all of it, or nothing.
func (s *Server) reload(ctx context.Context) {
	next, rules, trust, retained, mirrors, err := s.readAgain()
	if err == nil && s.keeper != nil {
		err = s.keeper.Refresh()
	}
	if err != nil {
		s.log.Error("nothing was reloaded", "err", err)
		return
	}
	needRestart := s.c.Reload(next)
	if err := s.registry.IgnorePulls(s.c.Retention.PullConfig); err != nil {
		s.log.Error("whose pulls are not counted stays as it was", "err", err) // a bug: it was checked
	}
	s.recordRules(ctx, s.log, rules, trust)
	if err := s.ruling.use(ruleFiles{rules, trust}); err != nil {
		s.log.Error("the issuers of CI jobs stay as they were", "err", err) // a bug: they were checked
	}
	s.ruling.compare(s.c)
	s.retention.Use(retained)
	s.mirrors.Use(mirrors)
	l, _ := obs.ParseLevel(next.Log.Level) // it was checked
	s.level.Set(l)
	s.log.Info("configuration, policy, retention, mirrors and certificate reloaded", "needRestart", needRestart)
}

// readAgain reads the configuration, and the files that it names.
func (s *Server) readAgain() (next config.Config, rules *policy.Set, trust *signature.Trust, retained *retention.Set, mirrors *mirror.Set, err error) {
	next = s.c
	if s.options.Reload != nil {
		if next, err = s.options.Reload(); err != nil {
			return next, nil, nil, nil, nil, err
		}
	}
	if rules, err = next.Policy.Read(); err != nil {
		return next, nil, nil, nil, nil, err
	}
	if trust, err = next.Trust.Read(); err != nil {
		return next, nil, nil, nil, nil, err
	}
	if retained, err = next.Retention.Read(expressions{s.engine}); err != nil {
		return next, nil, nil, nil, nil, err
	}
	mirrors, err = next.Mirrors.Read(s.c.OwnNames(s.url)...)
	return next, rules, trust, retained, mirrors, err
}

// hangup returns where each SIGHUP is told from now on: without it, one ends the process.
func hangup() chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup
}

// onHangup calls fn for each SIGHUP until ctx ends.
func onHangup(ctx context.Context, hup chan os.Signal, fn func()) {
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			fn()
		}
	}
}
