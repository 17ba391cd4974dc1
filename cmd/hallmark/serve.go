package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/pace"
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

// passwordCost is the work that checking a password takes: 0 is access's own. Tests start many servers, and
// under the race detector each password would take seconds.
var passwordCost int

// runServer serves until ctx ends.
func (e *env) runServer(ctx context.Context, cfg config.Config, flags *configFlags) error {
	if e.getenv("GOGC") == "" { // nobody knows better
		pace.Start()
	}
	s, err := server.Open(ctx, cfg.Data, server.Options{
		Config:        cfg,
		Reload:        func() (config.Config, error) { return flags.load(e.getenv) },
		AdminPassword: e.getenv("HALLMARK_ADMIN_PASSWORD"),
		Watched:       isTerminal(e.stdout) && cfg.Log.Format != "json", // a log is no place for a password
		PasswordCost:  passwordCost,
		Output:        e.stderr,
		Say:           e.sayUpgrade,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	if w := s.Welcome(); w != nil && cfg.Log.Format == "json" {
		err = e.logWelcome(w, cfg.Log.LogConfig)
	} else if w != nil {
		e.welcome(w)
	}
	if err != nil {
		return err
	}
	return s.Run(ctx, func() { fmt.Fprintf(e.stdout, "hallmark: ready at %s\n", s.URL()) })
}

// sayUpgrade says on standard error what is done to a store of an older version.
func (e *env) sayUpgrade(sentence string) { fmt.Fprintln(e.stderr, "hallmark:", sentence) }

// welcome tells the one who started a new registry what they need to know of it.
func (e *env) welcome(w *server.Welcome) {
	fmt.Fprintf(e.stdout, "hallmark: new registry in %s\n", w.Data)
	fmt.Fprintf(e.stdout, "  URL        %s\n", w.URL)
	fmt.Fprintf(e.stdout, "  user       %s\n  password   %s\n", w.User, shownPassword(w))
	if w.CA != nil {
		e.welcomeCA(w)
	}
	address := addressOf(w.URL)
	fmt.Fprintf(e.stdout, "Then push:\n  docker login %s -u admin\n  docker tag IMAGE %s/IMAGE && docker push %s/IMAGE\n", address, address, address)
}

// logWelcome is welcome as a line of the log, for those whose log is read by programs.
func (e *env) logWelcome(w *server.Welcome, c obs.LogConfig) error {
	log, err := obs.NewLogger(e.stderr, c, new(slog.LevelVar))
	if err != nil {
		return err
	}
	fields := []any{"data", w.Data, "url", w.URL, "user", w.User, "password", shownPassword(w)}
	if w.CA != nil {
		fields = append(fields, "ca", w.CAFile, "sha256", certs.Fingerprint(w.CA))
	}
	log.Info("new registry", fields...)
	return nil
}

func shownPassword(w *server.Welcome) string {
	switch {
	case w.Password != "":
		return w.Password + "   (shown only now)"
	case w.PasswordFile != "":
		return "in " + w.PasswordFile
	}
	return "the one in HALLMARK_ADMIN_PASSWORD"
}

func (e *env) welcomeCA(w *server.Welcome) {
	fingerprint := certs.Fingerprint(w.CA)
	fmt.Fprintf(e.stdout, "  CA         %s\n  SHA-256    %s\n", w.CAFile, fingerprint)
	fmt.Fprintln(e.stdout, "Let your tools trust its certificate:")
	if os.Getpid() != 1 { // the first process of a container has no tools beside it
		for _, client := range []string{"docker", "podman", "containerd", "buildkit"} {
			fmt.Fprintf(e.stdout, "  sudo %s cert trust %s --data %s\n", self(), client, w.Data)
		}
		fmt.Fprintln(e.stdout, "or on another machine:")
	}
	fmt.Fprintf(e.stdout, "  hallmark cert trust docker --server %s --fingerprint %s\n", w.URL, fingerprint)
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
