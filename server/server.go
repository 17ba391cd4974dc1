// Package server is one process over its data: it opens a data directory, wires the rooms over it, listens, and does the
// background work, until it is told to end.
//
// It returns what it has to say: the command line prints it, and turns its errors into exit codes. [Open] and [Server.Run]
// are a server; [OpenFiles] answers the same API when no server runs.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/listen"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/lease"
)

// Options are what a server is started with.
type Options struct {
	// Config is the configuration in force, which was checked.
	Config config.Config
	// Reload returns the configuration anew, on SIGHUP. Default: Config.
	Reload func() (config.Config, error)
	// AdminPassword is the first administrator's, at a first start. Default: one is made.
	AdminPassword string
	// Watched says that somebody sees what Welcome says: a password that was made is there alone, and in no file.
	Watched bool
	// PasswordCost is the work that checking a password takes, as bcrypt's cost. Default: access's own.
	PasswordCost int
	// Output gets the log. Default: nothing is logged.
	Output io.Writer
	// Say is told what is done to a store of an older version. Default: nobody is.
	Say func(sentence string)
	// Wrap puts something between the rooms and the store, for tests. Default: nothing.
	Wrap func(storage.Store) storage.Store
	// Among has the server be one of several in this process that work on one data directory, for tests. Default: it opens the directory for itself,
	// alone.
	Among *Among
}

// Among says among which servers of this process one is.
type Among struct {
	// Dir is the directory that they work on. Whoever opened it closes it, when all of them have ended.
	Dir *datadir.Dir
	// Socket says that this one has the socket in it.
	Socket bool
	// ID is its name among them.
	ID string
	// Clock is what its machine's clock shows. Default: time.Now.
	Clock func() time.Time
}

// An UnavailableError says that a registry cannot be had here and now: its directory is in use or not to be read, its port
// taken. Nothing is wrong with how it was asked.
type UnavailableError struct{ err error }

func (e *UnavailableError) Error() string { return e.err.Error() }

// Unwrap returns why.
func (e *UnavailableError) Unwrap() error { return e.err }

func unavailablef(format string, args ...any) error {
	return &UnavailableError{fmt.Errorf(format, args...)}
}

// Server is the rooms over one data directory, behind their listeners.
type Server struct {
	*services
	options  Options
	c        config.Config // one goroutine reloads it
	log      *slog.Logger
	level    *slog.LevelVar
	metrics  *obs.Metrics
	replica  *lease.Replica
	open     listeners
	welcome  *Welcome
	draining atomic.Bool
	stall    *listen.Stall
	stalled  time.Duration // how long no change may be answered before somebody should look; does not change while it runs
}

// stalledAfter is longer than a database that stops may keep changes waiting: they are refused then.
const stalledAfter = 20 * time.Second

// Open opens a data directory, and makes it where there is none, and listens. Nobody is answered before Run. Errors:
// *UnavailableError, *config.Error.
func Open(ctx context.Context, dir string, o Options) (_ *Server, err error) {
	s := &Server{options: o, c: o.Config, level: new(slog.LevelVar), metrics: obs.NewMetrics(), stalled: stalledAfter}
	if s.log, err = newLog(o, s.level); err != nil {
		return nil, err
	}
	d, err := s.openDir(ctx, dir)
	if err != nil {
		return nil, &UnavailableError{err}
	}
	if s.open, err = openListeners(d, s.c, o.Among == nil || o.Among.Socket); err != nil {
		return nil, errors.Join(err, s.closeDir(d))
	}
	if err := s.begin(ctx, d); err != nil {
		s.open.close()
		return nil, errors.Join(err, s.closeDir(d))
	}
	return s, nil
}

func (s *Server) openDir(ctx context.Context, dir string) (*datadir.Dir, error) {
	o := datadir.Options{OnCommit: s.metrics.Commit, Say: s.options.Say, Wrap: s.options.Wrap, S3: remoteOf(s.c), Database: s.c.Store, Log: s.log}
	if among := s.options.Among; among != nil {
		return among.Dir.Again(ctx, o)
	}
	return datadir.Open(ctx, dir, datadir.ToServe, o)
}

// closeDir closes what openDir opened.
func (s *Server) closeDir(d *datadir.Dir) error {
	if s.options.Among != nil {
		return nil
	}
	return d.Close()
}

// join makes this process one of those that work on the store. Alone, it has nobody to agree with: the lock of the store's file, or the
// lease that the database's engine holds, proves that nobody else is there, so that work which a killed process did is done at once.
func (s *Server) join(ctx context.Context, d *datadir.Dir) (err error) {
	c := lease.Config{ID: d.Process(), Version: version.String(), Alone: true, Log: s.log}
	if among := s.options.Among; among != nil {
		c.ID, c.Machine, c.Alone = among.ID, among.Clock, false
	}
	if !c.Alone || c.ID != "" {
		s.log = s.log.With("replica", c.ID)
		c.Log = s.log
	}
	s.replica, err = lease.Join(ctx, d.Rows(), c)
	return err
}

func newLog(o Options, level *slog.LevelVar) (*slog.Logger, error) {
	if o.Output == nil {
		return slog.New(slog.DiscardHandler), nil
	}
	log, err := obs.NewLogger(o.Output, o.Config.Log.LogConfig, level)
	if err != nil {
		return nil, config.Errorf("%w", err)
	}
	return log, nil
}

// begin wires the rooms, and does what a start does once. What may refuse the configuration comes before what keeps any of it.
func (s *Server) begin(ctx context.Context, d *datadir.Dir) (err error) {
	if err := s.checkFirstPassword(ctx, d); err != nil {
		return err
	}
	if err := s.join(ctx, d); err != nil {
		return err
	}
	rules, err := s.c.Policy.Read()
	if err != nil {
		return err
	}
	if s.services, err = wire(ctx, d, s.c, wiring{s.open.main.Addr().String(), s.options.PasswordCost, s.log, s.replica}); err != nil {
		return err
	}
	if err := s.openKeeper(s.c); err != nil {
		return err
	}
	if err := d.KeepURL(ctx, s.c); err != nil {
		return err
	}
	s.saysName(ctx)
	if s.welcome, err = s.firstStart(ctx); err != nil {
		return err
	}
	return s.decideBy(ctx, rules)
}

// stopCounting writes the pulls of the last minute, when nobody is answered and nothing in the background goes on any more.
func (s *Server) stopCounting(ctx context.Context) {
	if err := s.registry.StopPulls(ctx); err != nil {
		s.log.Error("the last pulls were not written: the next start begins to count anew", "err", err)
	}
}

// leave gives back what this process had to do, so that others go on with it at once.
func (s *Server) leave(ctx context.Context) {
	if err := s.replica.Leave(ctx); err != nil {
		s.log.Error("the work of this replica was not given back; others take it over in a moment", "err", err)
	}
}

// URL is the registry's one public name.
func (s *Server) URL() string { return s.url }

// Addr is where clients connect.
func (s *Server) Addr() net.Addr { return s.open.main.Addr() }

// Welcome is what the first start has to say; nil at any later one.
func (s *Server) Welcome() *Welcome { return s.welcome }

// Run serves until ctx ends, then lets the requests under way come to an end. It calls ready when it answers.
func (s *Server) Run(ctx context.Context, ready func()) error {
	s.addMetrics()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer s.keys.KeepNow(context.WithoutCancel(ctx)) // when nothing appends any more
	if err := s.registry.CountPulls(ctx); err != nil {
		s.log.Error("the store does not say yet that pulls are counted; it is tried again", "err", err)
	}
	defer s.leave(context.WithoutCancel(ctx)) // when nothing is done any more under its leases
	defer s.stopCounting(context.WithoutCancel(ctx))
	if err := s.mirrors.Draw(ctx); err != nil {
		s.log.Error("the registry could not draw a name that mirrors of it know it by; the next start or mirror tries again", "err", err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	servers, failed, err := s.listen()
	if err != nil {
		return err
	}
	for _, j := range s.background() {
		group.Go(func() { s.do(running, j) })
	}
	ready()
	select {
	case <-ctx.Done():
		s.log.Info("shutting down: waiting for requests under way", "limit", s.c.Shutdown)
	case err = <-failed:
	}
	return errors.Join(err, s.drain(servers))
}

// Close closes what Open opened.
func (s *Server) Close() {
	s.open.close()
	if err := s.closeDir(s.data); err != nil {
		s.log.Error("closing the store failed", "err", err)
	}
}
