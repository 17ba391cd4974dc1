// Hallmark is a private container registry that knows where every image came from.
//
// Each verb has a file here, which wires the rooms below and does little else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		complain(os.Stderr, err)
	}
	os.Exit(exitCode(err))
}

// env is the world as a verb sees it.
type env struct {
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	environ func() []string // all variables, as os.Environ
	noTrunc bool            // --no-trunc of the verb that runs
}

// run runs one command line.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	root := (&env{getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr, environ: os.Environ}).root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// root is the command with all its verbs.
func (e *env) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "hallmark",
		Short: "A private container registry that knows where every image came from",
		Long: "Hallmark is a private container registry that knows where every image came from: who pushed what, from\n" +
			"which source, and how well each of these facts is known.\n\n" +
			"Exit status: 0 good, 1 the answer is no, 2 wrong use, 3 could not ask.",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs, PersistentPreRun: e.readNoTrunc,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return wantsVerb(c, args)
			}
			return c.Help()
		},
	}
	for _, g := range e.groups() {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title + ":"})
		for _, verb := range g.verbs {
			verb.GroupID = g.id
			root.AddCommand(verb)
		}
	}
	root.Version = version.String()
	root.SetVersionTemplate("hallmark {{.Version}}\n")
	root.SetHelpCommandGroupID(forItself)
	root.SetCompletionCommandGroupID(forItself)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	e.addCompletions(root)
	strictGroups(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; see `%s --help`", err, c.CommandPath())
	})
	return root
}

// exitError is an error with the status that the process ends with.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// The statuses, as INTERFACE and the help state them.
const (
	exitNo    = 1 // the answer is no
	exitUsage = 2 // wrong use
	exitAsk   = 3 // could not ask: network, server
)

func usagef(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

func askf(format string, args ...any) error {
	return exitError{exitAsk, fmt.Errorf(format, args...)}
}

func nof(format string, args ...any) error {
	return exitError{exitNo, fmt.Errorf(format, args...)}
}

// exitCode is the status for an error. One that says nothing of it is cobra's own, about wrong use.
func exitCode(err error) int {
	var e exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.As(err, new(*server.UnavailableError)):
		return exitAsk
	default:
		return exitUsage
	}
}

// one is cobra.ExactArgs(1) with words.
func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s wants %s; see `%s --help`", c.CommandPath(), what, c.CommandPath())
		}
		return nil
	}
}

// isTerminal says whether people look at a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
