package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	ask "github.com/seed-260924e6/hallmark/client"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/audit"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"github.com/spf13/cobra"
)

// The bounds of an audit.
const (
	auditTime   = 24 * time.Hour
	auditSample = 1000     // tags and manifests that are pulled
	auditPage   = 64 << 20 // bytes of an answer
)

// auditFlags are what `hallmark audit` is told.
type auditFlags struct {
	state, proof     string
	all, anew        bool
	identity, expect string

	expected *expectation // what expect says
}

// wants says whether a record is to be reported, and as names the report.
func (f *auditFlags) wants(r *provenance.Record) bool {
	return isBy(f.identity, r.Actor) || f.expected.forbids(r)
}

func (f *auditFlags) as() string { return fmt.Sprintf("identity %s, expect %s", f.identity, f.expect) }

func (f *auditFlags) parse(cl *client) (err error) {
	if f.expect != "" {
		f.expect = ask.Absolute(f.expect)
		if f.expected, err = readExpectation(f.expect); err != nil {
			return err
		}
	}
	if f.identity == "me" {
		if f.identity = cl.User; f.identity == "" {
			return usagef("--identity me: you did not sign in with a name; give a name or an account")
		}
	}
	return nil
}

// audit is the verb `hallmark audit`.
func (e *env) audit() *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "Replay all records, and compare what is served with them", Args: cobra.NoArgs,
		Long: "Read all records that you may see, and compare what the registry serves with what follows from them.\n\n" +
			"Each record has to be signed, and to be its leaf of the log, whose history has to continue what earlier audits\n" +
			"saw. The records are replayed, and what they give is compared with the tags of every repository, with the\n" +
			"access document, and with what is pulled by 1,000 tags, 1,000 digests and 1,000 digests that were removed, at\n" +
			"random. Each difference is a sentence, and the exit status 1. Run it from a machine that the registry's operator\n" +
			"does not control: an audit goes on where the last one ended.\n\n" +
			"Anyone who may see only some repositories audits those. That nothing newer is kept back only an audit of everything\n" +
			"can tell: by somebody with admin on **.",
		Example: "  hallmark audit --server https://registry.example",
	}
	t := addTarget(c)
	var f auditFlags
	c.Flags().StringVar(&f.state, "state", "", "`file` of what was read (default hallmark/audit among the user's configuration)")
	c.Flags().StringVar(&f.proof, "proof", "", "write the proof of a rewritten log to this `file` (default hallmark-proof-TIME.json here)")
	c.Flags().BoolVar(&f.all, "all", false, "pull every tag and every digest, also those that were removed, not 1,000 of each")
	c.Flags().BoolVar(&f.anew, "anew", false, "read all records again, also those of earlier audits")
	c.Flags().StringVar(&f.identity, "identity", "", "list what was done by this `user`, robot:NAME or account since the last such audit, wherever it was; me: by you")
	c.Flags().StringVar(&f.expect, "expect", "", "`file` that says who may push what: pushes by others since the last such audit are reported")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), auditTime)
		defer cancel()
		cl, err := e.connectServer(ctx, t) // what is served needs a server
		if err != nil {
			return err
		}
		defer cl.close() //nolint:errcheck // what was asked is answered
		if err := f.parse(cl); err != nil {
			return err
		}
		report, err := e.auditOf(ctx, cl, &f)
		if err != nil {
			return err
		}
		if *asJSON {
			return errors.Join(writeJSON(e.stdout, report), e.auditOutcome(cl, &f, report))
		}
		return errors.Join(printAudit(e.stdout, &f, report), e.auditOutcome(cl, &f, report))
	}
	return c
}

// auditOf audits a registry, and remembers what was read.
func (e *env) auditOf(ctx context.Context, cl *client, f *auditFlags) (*audit.Report, error) {
	path, err := e.statePath(f.state, "audit")
	if err != nil {
		return nil, err
	}
	file, err := audit.OpenFile(path)
	if err != nil {
		return nil, usagef("%w", err)
	}
	memory, err := file.Memory(cl.Name)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if f.anew {
		memory.State = nil
	}
	line := e.newProgress("records read")
	defer line.end()
	a := audit.Audit{
		Fetch:    func(ctx context.Context, path string) ([]byte, error) { return cl.fetch(ctx, path, auditPage) },
		Ask:      cl.answer,
		Replay:   replay.Options{Covers: coversTag, Secrets: true},
		Sample:   auditSample,
		Progress: line.at,
		Keep:     func() error { return file.Keep(cl.Name, memory) },
		Now:      func() time.Time { return time.Now().UTC().Truncate(time.Second) },
	}
	if f.all {
		a.Sample = -1
	}
	if f.identity != "" || f.expect != "" {
		a.Wanted, a.As = f.wants, f.as()
	}
	report, err := a.Run(ctx, memory)
	if err != nil {
		return nil, askf("%w", err) // whatever it was: the registry is not accused
	}
	return report, nil
}

// coversTag says whether a rule for tags, as its record has it, covers a tag.
func coversTag(rule provenance.RightsChange, repository, tag string) bool {
	fixed, err := access.ParseFixed(rule)
	return err == nil && fixed.Covers(repository, tag)
}

// answer asks for a path, and returns the answer, whatever it is: an audit.Ask.
func (c *client) answer(ctx context.Context, method, path string) (*audit.Answer, error) {
	resp, err := c.Do(ctx, method, path, nil)
	if err != nil {
		return nil, status(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, auditPage))
	if err != nil {
		return nil, askf("%s%s: %w", c.Base, path, err)
	}
	return &audit.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// auditOutcome is the error that the verb ends with. A log that contradicts what it signed is proved by a file.
func (e *env) auditOutcome(cl *client, f *auditFlags, report *audit.Report) error {
	unexpected := slices.ContainsFunc(report.Acts, f.expected.forbids)
	switch n := len(report.Findings) + report.More; {
	case n == 0 && unexpected:
		return nof("somebody pushed who is not expected to")
	case n == 0:
		return nil
	case report.Log.Outcome.Bad():
		now := time.Now().UTC()
		l := logCheck{proof: firstOf(f.proof, now.Format("hallmark-proof-20060102T150405Z.json")), now: now}
		return l.shout(cl.Name, report.Log)
	case n == 1:
		return nof("1 thing is not as the records have it")
	default:
		return nof("%d things are not as the records have it", n)
	}
}

// printAudit writes a report for people.
func printAudit(w io.Writer, f *auditFlags, r *audit.Report) error {
	if r.Log.Outcome.Bad() {
		printReport(w, r.Log)
		return nil
	}
	for _, s := range r.Findings {
		fmt.Fprintln(w, clean(s))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	for _, s := range r.Renamed {
		fmt.Fprintln(w, clean(s))
	}
	for _, act := range r.Acts {
		if f.expected.forbids(act) {
			fmt.Fprintln(w, clean(saysUnexpected(act)))
		}
	}
	fmt.Fprintf(w, "read %s, and compared with what follows: %s, %s, %s\n",
		number(r.Records-r.Hidden, "record"), number(r.Repositories, "repository"), number(r.Tags, "tag"), number(r.Asked, "pull"))
	for _, s := range r.NotCompared {
		fmt.Fprintf(w, "not compared: %s\n", clean(s))
	}
	if r.Found > 0 {
		fmt.Fprintf(w, "%d records are from before there was a log: nobody is known to have seen them happen\n", r.Found)
	}
	if r.Hidden > 0 {
		fmt.Fprintf(w, "%d more records are not shown to you. The histories that you see are complete up to their newest record, because each\n"+
			"record names the one before it. That none is newer only an audit of everything can tell\n", r.Hidden)
	}
	if f.identity == "" {
		return nil
	}
	fmt.Fprintln(w)
	return printActs(w, slices.DeleteFunc(slices.Clone(r.Acts), func(act *provenance.Record) bool { return !isBy(f.identity, act.Actor) }))
}
