package main

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"

	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/host"
	"github.com/spf13/cobra"
)

// inspect is the verb `hallmark inspect`.
func (e *env) inspect() *cobra.Command {
	c := &cobra.Command{
		Use: "inspect", Short: "Grade a registry, a repository or an image: can you trust it?",
		Long: "Look at a registry or an image as a careful person would, and grade what is found, with the evidence of each check.\n" +
			"What cannot be learned is unknown: it lowers the coverage, not the grade, and under 60 % there is no grade.",
	}
	c.AddCommand(e.inspectHost(), e.inspectImage(), e.inspectRepository())
	return c
}

// inspectHost is the verb `hallmark inspect host`.
func (e *env) inspectHost() *cobra.Command {
	c := &cobra.Command{
		Use: "host HOST[:PORT]", Short: "Grade any registry from outside", Args: one("a host, as registry.example or registry.example:5443"),
		Long: "Grade any registry from outside: whose certificate it shows and who trusts it, which versions of TLS it speaks,\n" +
			"how it asks for a login, what strangers can read, whether the pull side does what OCI's specification says.\n" +
			"It only reads. With a login (docker's own, or --user) it looks with that login too; one is sent only to a host\n" +
			"whose certificate is trusted.",
		Example: "  hallmark inspect host registry.example\n  hallmark inspect host registry.example:5443 --ca ca.pem --min B",
	}
	t, out := &target{}, addReportFlags(c)
	f := c.Flags()
	f.StringVar(&t.ca, "ca", "", "`file` of a certificate authority that you trust")
	f.StringVar(&t.user, "user", "", "user `name` there (default: docker's login)")
	f.BoolVar(&t.passwordStdin, "password-stdin", false, "read the password from standard input")
	repo := f.String("repo", "", "look at this `repository` (default: the first that is listed)")
	public := f.Bool("public", false, "strangers are meant to pull from it")
	c.RunE = func(c *cobra.Command, args []string) error {
		config, err := e.hostConfig(c.Context(), t, args[0])
		if err != nil {
			return err
		}
		config.Repository, config.Public = *repo, *public
		report, err := host.Inspect(c.Context(), args[0], config)
		if errors.Is(err, host.ErrUnreachable) {
			return exitError{exitAsk, err}
		}
		if err != nil {
			return usagef("%w", err)
		}
		return e.printReport(report, report, out)
	}
	return c
}

// hostConfig finds out who is trusted here, and with which login to look.
func (e *env) hostConfig(ctx context.Context, t *target, address string) (c host.Config, err error) {
	if c.Roots, err = namedRoots(firstOf(t.ca, e.getenv("HALLMARK_CA")), address); err != nil {
		return c, usagef("--ca: %w", err)
	}
	c.Login, _, err = e.remoteLogin(ctx, t, address)
	return c, err
}

// namedRoots are the authorities that are trusted for a host, by who trusts them.
func namedRoots(file, address string) ([]host.Roots, error) {
	sets, err := ask.RootSets(file, address)
	if err != nil {
		return nil, err
	}
	var all []host.Roots
	if system, err := x509.SystemCertPool(); err == nil {
		all = append(all, host.Roots{Name: "the system", Pool: system})
	}
	for _, set := range sets {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(strings.Join(texts(set.PEM), "\n")))
		all = append(all, host.Roots{Name: set.By, Pool: pool})
	}
	return all, nil
}

func texts(all [][]byte) (s []string) {
	for _, b := range all {
		s = append(s, string(b))
	}
	return s
}

// reportFlags say how a report is shown, and how good it has to be.
type reportFlags struct {
	json     bool
	evidence bool
	least    string
}

func addReportFlags(c *cobra.Command) *reportFlags {
	r := &reportFlags{}
	f := c.Flags()
	f.BoolVar(&r.json, "json", false, "print JSON, for programs")
	f.BoolVar(&r.evidence, "evidence", false, "show the evidence of every check")
	f.StringVar(&r.least, "min", "", "exit with 1 unless the `grade` is at least this: A, B, C, D or F")
	return r
}

// printReport shows a report, and compares its grade with the one that is wanted. whole is what programs
// get of it.
func (e *env) printReport(report *trust.Report, whole any, out *reportFlags) error {
	if err := out.check(); err != nil {
		return err
	}
	if out.json {
		if err := writeJSON(e.stdout, whole); err != nil {
			return err
		}
	} else {
		e.reportPrinter(out).print(report)
	}
	return out.compare(report.Subject, report.Grade)
}

func (e *env) reportPrinter(out *reportFlags) reportPrinter {
	return reportPrinter{w: e.stdout, colour: e.colours(), evidence: out.evidence}
}

// check refuses a grade that there is not.
func (r *reportFlags) check() error {
	if least := trust.Grade(strings.ToUpper(r.least)); least != "" && !least.Valid() {
		return usagef("--min is %q, and should be A, B, C, D or F", r.least)
	}
	return nil
}

// compare is an error where a grade is not as good as is wanted.
func (r *reportFlags) compare(subject string, grade trust.Grade) error {
	least := trust.Grade(strings.ToUpper(r.least))
	switch {
	case least == "" || grade.AtLeast(least):
		return nil
	case grade == "":
		return nof("%s has no grade, because too little is known of it; wanted is at least %s", subject, least)
	}
	return nof("%s has grade %s; wanted is at least %s", subject, grade, least)
}
