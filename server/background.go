package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed-260924e6/hallmark/server/cosigning"
)

// background is what goes on beside the requests, each until its context ends.
func (s *Server) background() []func(context.Context) {
	hup := hangup() // before anybody is told that we are ready
	return []func(context.Context){
		s.whenWhole(func(ctx context.Context) { s.registry.CleanUp(ctx, 10*time.Minute) }),
		s.whenWhole(s.registry.Collect),
		s.registry.Scrub,
		s.whenWhole(s.tidyRemote),
		func(ctx context.Context) { s.registry.EndDeletions(ctx, time.Minute) },
		s.registry.KeepPulls,
		s.registry.KeepNotes,
		s.registry.SweepPulls,
		s.registry.RenderOld,
		s.registry.CountQuotas,
		s.registry.IndexDiffs,
		func(ctx context.Context) { s.forget(ctx, time.Duration(s.c.Records.KeepAddresses), s.log) },
		func(ctx context.Context) { onHangup(ctx, hup, func() { s.reload(ctx) }) },
		s.watchCertificate,
		s.keepRulesOnRecord,
		s.engine.KeepReports,
		s.whenWhole(s.retain),
		s.whenWhole(s.mirrors.Keep),
		func(ctx context.Context) {
			s.access.KeepUses(ctx, func(err error) { s.log.Error("last uses of secrets were not written", "err", err) })
		},
		func(ctx context.Context) { s.access.ForgetSessions(ctx, time.Hour, s.registry.Clock) },
		func(ctx context.Context) {
			s.book.KeepIndexed(ctx, func(err error) { s.log.Error("new records were not indexed; they are found all the same", "err", err) })
		},
		func(ctx context.Context) { cosigning.Ask(ctx, s.book, s.witnesses, s.log) },
		func(ctx context.Context) { s.keys.Keep(ctx, time.Minute) },
	}
}

// whenWhole does what removes files that no row names, but not before the records and the log fit together: beside an
// older copy of the store it would remove the blobs that the newer one has, which may still be put back.
func (s *Server) whenWhole(work func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		for s.book.Stopped() != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second): // the operator may put an end to it: `hallmark log continue`
			}
		}
		work(ctx)
	}
}

func (s *Server) watchCertificate(ctx context.Context) {
	if s.keeper != nil {
		s.keeper.Watch(ctx, 5*time.Second, s.log)
	}
}

// forget erases addresses from records that are old enough, now and every hour until ctx ends.
func (s *services) forget(ctx context.Context, keep time.Duration, log *slog.Logger) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		n, err := s.forgetOld(ctx, keep)
		if err != nil && ctx.Err() == nil {
			log.Error("erasing addresses from old records failed", "err", err)
		} else if n > 0 {
			log.Info("erased addresses from old records", "records", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forgetOld erases what is old enough by the clock that counts while the registry runs.
func (s *services) forgetOld(ctx context.Context, keep time.Duration) (erased int, err error) {
	return s.book.Forget(ctx, s.registry.Clock, keep)
}
