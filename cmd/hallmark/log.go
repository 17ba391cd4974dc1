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

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// log is the verb `hallmark log`.
func (e *env) log() *cobra.Command {
	c := &cobra.Command{
		Use: "log", Short: "Follow a registry's log, and prove that nothing was rewritten", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	t := addTarget(c)
	c.AddCommand(e.logCheckpoint(t), e.logCheck(t), e.logAdopt(t), e.logContinue(t))
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
		return askf("%s/keys/logs.json: %w", cl.base, err)
	}
	signed, err := cl.fetch(ctx, path, maxKeyFile)
	if err != nil {
		return err
	}
	cp, err := remote.Open(string(signed))
	if err != nil {
		return nof("%s%s: %w", cl.base, path, err)
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
		return nil, askf("%s/keys/logs.json: %w", c.base, err)
	}
	return logs, nil
}

// source is a follow.Source.
func (c *client) source(ctx context.Context, path string) ([]byte, error) {
	return c.fetch(ctx, path, maxKeyFile)
}

func (e *env) logCheck(t *target) *cobra.Command {
	c := &cobra.Command{
		Use: "check", Short: "Compare the log with what was seen of it before, and remember what is new", Args: cobra.NoArgs,
		Long: "Compare the registry's log with the checkpoints that earlier checks saw, and remember the newest one.\n\n" +
			"Run it again and again, from a machine that the registry's operator does not control. When history was\n" +
			"rewritten or cut, it says so, exits with 1, and writes both signed checkpoints to a file: the proof.",
		Example: "  hallmark log check --server https://registry.example",
	}
	state := c.Flags().String("state", "", "`file` of what was seen (default hallmark/log.json among the user's configuration)")
	proof := c.Flags().String("proof", "", "write the proof to this `file` (default hallmark-proof-TIME.json here)")
	witnesses := c.Flags().StringArray("witness", nil, "demand that the witness with this `key`, NAME+HASH+KEY, has cosigned the log; may be repeated")
	entries := c.Flags().Bool("entries", false, "read every entry of the log as well, and compare it with the tree")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		path, err := e.statePath(*state, "log.json")
		if err != nil {
			return err
		}
		now := time.Now().UTC().Truncate(time.Second)
		check := logCheck{state: path, proof: firstOf(*proof, now.Format("hallmark-proof-20060102T150405Z.json")), entries: *entries, now: now}
		for _, vkey := range *witnesses {
			w, err := witness.ParseKey(vkey)
			if err != nil {
				return usagef("--witness %w", err)
			}
			check.witnesses = append(check.witnesses, w)
		}
		return e.askWithin(c.Context(), time.Hour, t, func(ctx context.Context, cl *client) error {
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
	witnesses    []note.Verifier
	now          time.Time
}

// seenFile is what the state file holds.
type seenFile struct {
	Registries map[string]*follow.State `json:"registries"` // by URL, or by data directory
}

// run checks one registry, and writes the state, or the proof that something is wrong.
func (l logCheck) run(ctx context.Context, cl *client) (*follow.Report, error) {
	seen, err := readSeen(l.state)
	if err != nil {
		return nil, err
	}
	state := seen.Registries[cl.name]
	if state == nil {
		state = &follow.State{}
		seen.Registries[cl.name] = state
	}
	report, err := follow.Check(ctx, cl.source, state, l.now)
	if err == nil && !report.Verdict.Bad() {
		err = l.more(ctx, cl, state, report)
	}
	switch {
	case errors.Is(err, follow.ErrBroken):
		return report, nof("%w", err)
	case err != nil:
		return nil, err
	case report.Verdict.Bad():
		return report, l.shout(cl.name, report)
	}
	if err := writeSeen(l.state, seen); err != nil {
		return report, err
	}
	for _, c := range report.Closings {
		if c.Lost != nil {
			return report, nof("records that were seen are lost: %s", report.Says)
		}
	}
	return report, nil
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
	cp, err := remote.Open(newest.Sightings[len(newest.Sightings)-1].Checkpoint)
	if err == nil && l.entries {
		err = remote.Entries(ctx, cp, 0, cp.Size)
	}
	if err == nil && len(l.witnesses) > 0 {
		err = l.checkWitnesses(ctx, remote, cp, report)
	}
	return err
}

// shout writes the proof to a file, and returns the verdict as an error.
func (l logCheck) shout(name string, report *follow.Report) error {
	var b strings.Builder
	err := writeJSON(&b, map[string]any{"registry": name, "checked": l.now, "report": report})
	if err == nil {
		err = durable.WriteFile(l.proof, []byte(b.String()), 0o600)
	}
	if err != nil {
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
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("what was seen, in %s: %w", path, err)
	}
	if seen.Registries == nil {
		seen.Registries = map[string]*follow.State{}
	}
	return seen, nil
}

func writeSeen(path string, seen *seenFile) error {
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
	fmt.Fprintf(w, "%s: %s\n", r.Verdict, clean(r.Says))
	for _, s := range r.More {
		fmt.Fprintln(w, clean(s))
	}
	if !r.Verdict.Bad() {
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
