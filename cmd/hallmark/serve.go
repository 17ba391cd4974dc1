package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/pace"
	"github.com/seed-260924e6/hallmark/trust/policy"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"github.com/spf13/cobra"
)

// serve is the verb `hallmark serve`.
func (e *env) serve() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the registry", Args: cobra.NoArgs,
		Long: "Run the registry. No flag is needed: the data is in ./hallmark-data, the address is :5443, and a first start\n" +
			"makes a certificate and the user admin. SIGTERM ends it when the requests under way are answered; SIGHUP reads\n" +
			"the configuration and the certificate again.",
	}
	flags := addConfigFlags(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(e.getenv)
		if err != nil {
			return err
		}
		return e.runServer(cmd.Context(), cfg, flags)
	}
	return c
}

// runServer serves until ctx ends.
func (e *env) runServer(ctx context.Context, cfg config.Config, flags *configFlags) error {
	if e.getenv("GOGC") == "" { // nobody knows better
		pace.Start()
	}
	level := new(slog.LevelVar)
	log, err := obs.NewLogger(e.stderr, cfg.Log.LogConfig, level)
	if err != nil {
		return usagef("%w", err)
	}
	metrics := obs.NewMetrics()
	d, err := datadir.Open(ctx, cfg.Data, datadir.ToServe, datadir.Options{OnCommit: metrics.Commit, Say: e.dataOptions().Say})
	if err != nil {
		return exitError{exitAsk, err}
	}
	defer func() {
		if err := d.Close(); err != nil {
			log.Error("closing the store failed", "err", err)
		}
	}()
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return askf("listen on %s: %w", cfg.Listen, err)
	}
	defer listener.Close() //nolint:errcheck // the server closes it before
	s, err := open(ctx, d, cfg, listener.Addr().String(), log)
	if err != nil {
		return err
	}
	if err := s.openKeeper(cfg); err != nil {
		return err
	}
	if err := e.firstStart(ctx, s); err != nil {
		return err
	}
	rules, err := cfg.Policy.Read()
	if err != nil {
		return err
	}
	s.recordRules(ctx, log, rules, s.signatures.Trust())
	s.judge.Use(rules)
	srv := &server{services: s, c: cfg, log: log, metrics: metrics}
	srv.reload = func() { srv.reloadConfig(ctx, flags, e.getenv, level) }
	return srv.run(ctx, listener, func() { fmt.Fprintf(e.stdout, "hallmark: ready at %s\n", s.url) })
}

// firstStart makes the first administrator, once, and tells whoever started the registry what they need
// to know of it.
func (e *env) firstStart(ctx context.Context, s *services) error {
	made, err := s.data.Setting(ctx, datadir.SettingAdmin)
	if err != nil || made != "" {
		return err
	}
	// The user is made together with the first record. Where there are records the mark was taken away, or we stopped
	// before it: whoever takes it away gets no administrator for it.
	if n, err := s.book.Len(ctx); err != nil || n > 0 {
		return errors.Join(err, s.data.Set(ctx, datadir.SettingAdmin, "made"))
	}
	if s.book.Stopped() != nil {
		return nil // nothing can be recorded; /readyz says why
	}
	password, shown, err := e.adminPassword(s)
	if err != nil {
		return err
	}
	// If we stop after this and before the setting is kept, the next start finds its records, and goes on.
	_, err = s.access.AddUser(ctx, access.Operator, "admin", password, true)
	if errors.Is(err, access.ErrPassword) {
		return usagef("HALLMARK_ADMIN_PASSWORD: %w", err)
	}
	if err != nil && !errors.Is(err, access.ErrUserExists) {
		return err
	}
	if err := s.data.Set(ctx, datadir.SettingAdmin, "made"); err != nil {
		return err
	}
	e.welcome(s, shown)
	return nil
}

// adminPassword returns the first administrator's password, and a sentence that says where it is. Where
// nobody looks at the output it is in a file, written before the user is made: if we stop between the
// two, the next start writes another.
func (e *env) adminPassword(s *services) (password, shown string, err error) {
	if p := e.getenv("HALLMARK_ADMIN_PASSWORD"); p != "" {
		return p, "the one in HALLMARK_ADMIN_PASSWORD", nil
	}
	password = access.NewPassword()
	if isTerminal(e.stdout) {
		return password, password + "   (shown only now)", nil
	}
	path := s.data.File(datadir.PasswordFile)
	return password, "in " + path, durable.WriteFile(path, []byte(password+"\n"), 0o600)
}

func (e *env) welcome(s *services, password string) {
	fmt.Fprintf(e.stdout, "hallmark: new registry in %s\n", s.data.Path)
	fmt.Fprintf(e.stdout, "  URL        %s\n", s.url)
	fmt.Fprintf(e.stdout, "  user       admin\n  password   %s\n", password)
	address := addressOf(s.url)
	if s.keeper != nil && s.keeper.CA() != nil {
		fmt.Fprintf(e.stdout, "  CA         %s\n  SHA-256    %s\n", s.keeper.CAPath(), certs.Fingerprint(s.keeper.CA()))
		fmt.Fprintln(e.stdout, "Let your tools trust its certificate:")
		if os.Getpid() != 1 { // the first process of a container has no tools beside it
			for _, client := range []string{"docker", "podman", "containerd", "buildkit"} {
				fmt.Fprintf(e.stdout, "  sudo %s cert trust %s --data %s\n", self(), client, s.data.Path)
			}
			fmt.Fprintln(e.stdout, "or on another machine:")
		}
		fmt.Fprintf(e.stdout, "  hallmark cert trust docker --server %s --fingerprint %s\n", s.url, certs.Fingerprint(s.keeper.CA()))
	}
	fmt.Fprintf(e.stdout, "Then push:\n  docker login %s -u admin\n  docker tag IMAGE %s/IMAGE && docker push %s/IMAGE\n", address, address, address)
}

// self is how to call this program again.
func self() string {
	path, err := os.Executable()
	switch {
	case err != nil:
		return "hallmark"
	case strings.Contains(path, "/go-build"):
		return "go run ./cmd/hallmark" // the file is gone when `go run` ends
	case filepath.Base(path) == "hallmark":
		return path
	}
	return "hallmark"
}

// addressOf is host[:port] of a URL, as it stands in image names.
func addressOf(publicURL string) string {
	_, address, _ := strings.Cut(publicURL, "://")
	return strings.TrimSuffix(address, "/")
}

// reloadConfig reads the configuration and the certificate again: all of it, or nothing.
func (s *server) reloadConfig(ctx context.Context, flags *configFlags, getenv func(string) string, level *slog.LevelVar) {
	next, err := flags.load(getenv)
	var rules *policy.Set
	var trust *signature.Trust
	if err == nil {
		rules, err = next.Policy.Read()
	}
	if err == nil {
		trust, err = next.Trust.Read()
	}
	if err == nil && s.keeper != nil {
		err = s.keeper.Refresh()
	}
	if err != nil {
		s.log.Error("nothing was reloaded", "err", err)
		return
	}
	restart := s.c.Reload(next)
	s.recordRules(ctx, s.log, rules, trust)
	s.signatures.SetTrust(trust.Of(s.hosts(s.c)...))
	s.judge.Use(rules)
	l, _ := obs.ParseLevel(next.Log.Level) // load has checked it
	level.Set(l)
	s.log.Info("configuration, policy and certificate reloaded", "needRestart", restart)
}

// hangups calls fn for each SIGHUP until ctx ends.
func hangups(ctx context.Context, fn func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
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
