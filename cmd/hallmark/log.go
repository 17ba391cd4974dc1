package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/spf13/cobra"
)

// log is the verb `hallmark log`.
func (e *env) log() *cobra.Command {
	c := &cobra.Command{
		Use: "log", Short: "Follow a registry's log, and prove that nothing was rewritten", Args: cobra.NoArgs,
	}
	t := addTarget(c)
	c.AddCommand(e.logCheckpoint(t), e.logCheck(t), e.logProof(), e.logFork(t), e.logAdopt(t), e.logContinue(t))
	return c
}

func (e *env) logCheckpoint(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "checkpoint", Short: "Print the newest checkpoint of the log, a signed note", Args: cobra.NoArgs,
	}
	cosigned := c.Flags().Bool("cosigned", false, "print the newest one that a witness cosigned instead")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error {
			path := "/log/checkpoint"
			if *cosigned {
				path += ".cosigned"
			}
			return e.printCheckpoint(ctx, cl, path, *asJSON)
		})
	}
	return c
}

// printCheckpoint prints a checkpoint whose signature is that of the registry's newest log.
func (e *env) printCheckpoint(ctx context.Context, cl *client, path string, asJSON bool) error {
	logs, err := cl.logs(ctx)
	if err != nil {
		return err
	}
	remote, err := follow.NewRemote(cl.source, logs[len(logs)-1].VKey)
	if err != nil {
		return askf("%s/keys/logs.json: %w", cl.Base, err)
	}
	signed, err := cl.fetch(ctx, path, maxKeyFile)
	if err != nil {
		return err
	}
	cp, err := remote.Open(string(signed))
	if err != nil {
		return nof("%s%s: %w", cl.Base, path, err)
	}
	if asJSON {
		return writeJSON(e.stdout, map[string]any{"origin": cp.Origin, "size": cp.Size, "rootHash": cp.Root, "checkpoint": string(signed)})
	}
	_, err = e.stdout.Write(signed)
	return err
}

// logs returns the registry's logs, of which there is one at least.
func (c *client) logs(ctx context.Context) ([]receipt.LogEntry, error) {
	data, err := c.fetch(ctx, "/keys/logs.json", maxKeyFile)
	if err != nil {
		return nil, err
	}
	logs, err := receipt.ParseLogs(data)
	if err != nil {
		return nil, askf("%s/keys/logs.json: %w", c.Base, err)
	}
	return logs, nil
}

// source is a follow.Source.
func (c *client) source(ctx context.Context, path string) ([]byte, error) {
	return c.fetch(ctx, path, maxKeyFile)
}

func (e *env) logCheck(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "check", Short: "Compare the log with what you saw before, and remember what is new", Args: cobra.NoArgs,
		Long: "Compare the registry's log with the checkpoints that earlier checks saw, and remember the newest one.\n\n" +
			"Run it again and again, from a machine that the registry's operator does not control. When history was\n" +
			"rewritten or cut, it says so, exits with 1, and writes both signed checkpoints to a file: the proof.\n\n" +
			"With --witness or --policy it takes the checkpoint that it sees, and waits for cosignatures of one that is\n" +
			"at least as large: so it is sure that others are shown the same history, now.",
		Example: "  hallmark log check --server https://registry.example\n" +
			"  hallmark log check --witness witness.example/w1+1f0c2a4b+BA…                              asked by the registry\n" +
			"  hallmark log check --witness witness.example/w1+1f0c2a4b+BA… --max-lag -1 --max-age 48h   comes once a day",
	}
	f := addCheckFlags(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		check, err := e.newLogCheck(c, f)
		if err != nil {
			return err
		}
		return e.askWithin(c.Context(), time.Hour+check.demand.wait, t, func(ctx context.Context, cl *client) error {
			report, err := check.run(ctx, cl)
			if report == nil {
				return err
			}
			if *asJSON {
				return errors.Join(writeJSON(e.stdout, report), err)
			}
			printReport(e.stdout, report)
			return err
		})
	}
	return c
}

// statePath is a file that a verb keeps for the user: the given one, or the one of this name among the
// user's configuration.
func (e *env) statePath(given, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	dir := e.getenv("XDG_CONFIG_HOME")
	if dir == "" && e.getenv("HOME") != "" {
		dir = filepath.Join(e.getenv("HOME"), ".config")
	}
	if dir == "" {
		return "", usagef("there is no home directory to keep %s in: name a file with --state", name)
	}
	dir = filepath.Join(dir, "hallmark")
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return "", usagef("%w", err)
	}
	return filepath.Join(dir, name), nil
}

// logCheck is one `hallmark log check`.
type logCheck struct {
	state, proof string
	entries      bool
	demand       demand
	now          time.Time
}

// checkFlags are those of `hallmark log check`.
type checkFlags struct {
	state, proof string
	entries      bool
	demand       demandFlags
}

func addCheckFlags(c *cobra.Command) *checkFlags {
	f := &checkFlags{}
	c.Flags().StringVar(&f.state, "state", "", "`file` of what was seen (default hallmark/log.json among the user's configuration)")
	c.Flags().StringVar(&f.proof, "proof", "", "write the proof to this `file` (default hallmark-proof-TIME.json here)")
	c.Flags().BoolVar(&f.entries, "entries", false, "read every entry of the log as well, and compare it with the tree")
	f.demand.add(c)
	return f
}

func (e *env) newLogCheck(c *cobra.Command, f *checkFlags) (l logCheck, err error) {
	l.now = time.Now().UTC().Truncate(time.Second)
	l.proof, l.entries = firstOf(f.proof, l.now.Format("hallmark-proof-20060102T150405Z.json")), f.entries
	if l.demand, err = f.demand.parse(c); err != nil {
		return l, err
	}
	l.state, err = e.statePath(f.state, "log.json")
	return l, err
}

// seenFile is what the state file holds.
type seenFile struct {
	// Sum is the SHA-256 of the registries, as they are written: a file that was edited accuses nobody. Older versions wrote
	// none.
	Sum        digest.Digest            `json:"sum,omitempty"`
	Registries map[string]*follow.State `json:"registries"` // by URL, or by data directory
}

// run checks one registry, and writes the state, or the proof that something is wrong. What is wrong beside that is
// said as well: a record that is lost does not wait for a witness to come.
func (l logCheck) run(ctx context.Context, cl *client) (*follow.Report, error) {
	seen, err := readSeen(l.state)
	if err != nil {
		return nil, err
	}
	state := seen.Registries[cl.Name]
	if state == nil {
		state = &follow.State{}
		seen.Registries[cl.Name] = state
	}
	report, err := follow.Check(ctx, cl.source, state, l.now)
	if err != nil {
		return nil, answered(err)
	}
	lost := lostRecords(report)
	if !report.Outcome.Bad() {
		err = answered(l.more(ctx, cl, state, report))
	}
	if report.Outcome.Bad() {
		err = l.shout(cl.Name, report)
	} else {
		// Also where a witness does not say the same: what the log signed binds it all the more.
		err = errors.Join(err, writeSeen(l.state, seen))
	}
	if err = errors.Join(lost, err); err != nil && !report.Outcome.Bad() {
		report.Failed = err.Error()
	}
	return report, err
}

// answered gives an error its status: an answer that contradicts itself or its signatures is one.
func answered(err error) error {
	switch {
	case err == nil || errors.As(err, new(exitError)):
		return err
	case errors.Is(err, follow.ErrState):
		return usagef("%w", err)
	case errors.Is(err, follow.ErrBroken) || errors.Is(err, checkpoint.ErrInvalid):
		return nof("%w", err)
	default:
		return askf("%w", err)
	}
}

// lostRecords says which records that were seen a registry lost openly, or nil.
func lostRecords(report *follow.Report) error {
	for _, c := range report.Closings {
		if c.Lost != nil {
			return nof("records that were seen are lost: %s", report.Says)
		}
	}
	return nil
}

// more checks what is asked for beside consistency: that logs name those before them, entries, and witnesses.
func (l logCheck) more(ctx context.Context, cl *client, state *follow.State, report *follow.Report) error {
	if err := l.checkNamed(ctx, cl, state, report); err != nil {
		return err
	}
	newest := state.Logs[len(state.Logs)-1]
	remote, err := follow.NewRemote(cl.source, newest.VKey)
	if err != nil {
		return err
	}
	if l.entries {
		cp, err := remote.Open(newest.Sightings[len(newest.Sightings)-1].Checkpoint)
		if err == nil {
			err = remote.Entries(ctx, cp, 0, cp.Size)
		}
		if err != nil {
			return err
		}
	}
	return l.demand.check(ctx, remote, state, report)
}

// shout writes the proof to a file, and returns the outcome as an error.
func (l logCheck) shout(name string, report *follow.Report) error {
	if err := (keptProof{Registry: name, Checked: l.now, Report: report}).write(l.proof, 0o600); err != nil {
		return errors.Join(nof("%s", report.Says), fmt.Errorf("and the proof could not be written: %w", err))
	}
	return nof("%s. The proof is in %s: keep it, and show it to others", report.Says, l.proof)
}

func readSeen(path string) (*seenFile, error) {
	seen := &seenFile{}
	data, err := os.ReadFile(path)
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields() // another file is not to be written over
		err = dec.Decode(seen)
	}
	if err == nil && seen.Sum != "" && seen.Sum != seen.sum() {
		err = errors.New("this file was changed since a check wrote it, so it says nothing about a registry: put the right one back, or move it away to begin anew")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("what was seen, in %s: %w", path, err)
	}
	if seen.Registries == nil {
		seen.Registries = map[string]*follow.State{}
	}
	return seen, nil
}

// sum is over what is remembered, whatever the file's white space.
func (f *seenFile) sum() digest.Digest {
	text, err := json.Marshal(f.Registries)
	if err != nil {
		return "" // it was read from JSON, or will not be written
	}
	return digest.FromBytes(text)
}

func writeSeen(path string, seen *seenFile) error {
	seen.Sum = seen.sum()
	data, err := json.MarshalIndent(seen, "", "  ")
	if err == nil {
		err = durable.WriteFile(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return usagef("remembering what was seen: %w", err)
	}
	return nil
}

// printReport writes a report for people.
func printReport(w io.Writer, r *follow.Report) {
	fmt.Fprintf(w, "%s: %s\n", r.Outcome, clean(r.Says))
	for _, s := range r.More {
		fmt.Fprintln(w, clean(s))
	}
	if !r.Outcome.Bad() {
		return
	}
	for _, s := range []*follow.Sighting{r.Then, r.Now} {
		if s != nil {
			fmt.Fprintf(w, "\nseen at %s:\n%s", s.Time.Format(time.RFC3339), indent(s.Checkpoint))
		}
	}
}

// indent shows a signed note.
func indent(note string) string {
	var b strings.Builder
	for line := range strings.Lines(note) {
		b.WriteString("  " + clean(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}
