package server

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/seed-260924e6/hallmark/server/cosigning"
)

// A job goes on beside the requests, until its context ends or it is done. Where several processes work on one store, either one of them at a time
// does it, under a lease, and what it writes after it lost that is refused; or each does it, and the job says why that is right.
type job struct {
	lease string // its name, which never changes: an older and a newer program may be there together
	each  string // why each process does it
	run   func(context.Context)
}

// background is what goes on beside the requests.
func (s *Server) background() []job {
	hup := hangup() // before anybody is told that we are ready
	all := append(s.storeJobs(), s.ownJobs(hup)...)
	if s.replica.Alone() {
		return all
	}
	return append(all,
		job{each: "each has a row of its own", run: s.replica.Keep},
		job{each: "each has a clock of its own, which follows the one that is kept", run: s.registry.FollowClock},
	)
}

// storeJobs look after what is in the store. One process does each.
func (s *Server) storeJobs() []job {
	return []job{
		{lease: "uploads", run: s.whenWhole(func(ctx context.Context) { s.registry.CleanUp(ctx, 10*time.Minute) })},
		{lease: "collector", run: s.whenWhole(s.registry.Collect)},
		{lease: "scrub", run: s.registry.Scrub},
		{lease: "objects", run: s.whenWhole(s.tidyRemote)},
		{lease: "deletions", run: func(ctx context.Context) { s.registry.EndDeletions(ctx, time.Minute) }},
		{lease: "pulls", run: s.registry.SweepPulls},
		{lease: "rendered", run: s.registry.RenderOld},
		{lease: "diffs", run: s.registry.IndexDiffs},
		{lease: "addresses", run: func(ctx context.Context) { s.forget(ctx, time.Duration(s.c.Records.KeepAddresses), s.log) }},
		{lease: "retention", run: s.whenWhole(s.retain)},
		{lease: "mirrors", run: s.whenWhole(s.mirrors.Keep)},
		{lease: "sessions", run: func(ctx context.Context) { s.access.ForgetSessions(ctx, time.Hour, s.registry.Clock) }},
		{lease: "witnesses", run: func(ctx context.Context) { cosigning.Ask(ctx, s.book, s.witnesses, s.log) }},
	}
}

// ownJobs look after what is in this process, and what it is told by its own requests.
func (s *Server) ownJobs(hup chan os.Signal) []job {
	return []job{
		{each: "each adds the pulls that it has counted to the rows", run: s.registry.KeepPulls},
		{each: "each commits what its own requests leave to be remembered", run: s.registry.KeepNotes},
		{each: "each counts the quotas that its own requests find uncounted, in transactions that go on from a row", run: s.registry.CountQuotas},
		{each: "each has files of its own, and a signal of its own", run: func(ctx context.Context) { onHangup(ctx, hup, func() { s.reload(ctx) }) }},
		{each: "each has a certificate of its own", run: s.watchCertificate},
		{each: "each has files of its own", run: s.keepRulesOnRecord},
		{each: "each makes the reports that its own requests want, and a second one of an image is the same", run: s.engine.KeepReports},
		{each: "each writes the uses that it has seen, and the latest stays", run: func(ctx context.Context) {
			s.access.KeepUses(ctx, func(err error) { s.log.Error("last uses of secrets were not written", "err", err) })
		}},
		{each: "each is told by its own appends, and each transaction goes on from a row", run: func(ctx context.Context) {
			s.book.KeepIndexed(ctx, func(err error) { s.log.Error("new records were not indexed; they are found all the same", "err", err) })
		}},
		{each: "each remembers, beside its own keys, the newest checkpoint that it saw", run: func(ctx context.Context) { s.keys.Keep(ctx, time.Minute) }},
	}
}

// do does a job until ctx ends.
func (s *Server) do(ctx context.Context, j job) {
	if j.lease == "" {
		j.run(ctx)
		return
	}
	s.replica.Run(ctx, j.lease, j.run)
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
