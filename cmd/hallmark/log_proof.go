package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// keptProof is the file that `hallmark log check` writes when a registry contradicts what it signed.
type keptProof struct {
	Registry string         `json:"registry"` // as the check was asked for it
	Checked  time.Time      `json:"checked"`
	Report   *follow.Report `json:"report"`
}

// proofFlags are what `hallmark log proof` relies on.
type proofFlags struct {
	log, root string
	witnesses []string
}

// provedHistories is what `hallmark log proof --json` prints.
type provedHistories struct {
	Proved   bool                 `json:"proved"`
	Says     string               `json:"says"`
	Origin   string               `json:"origin"`
	VKey     string               `json:"vkey"`
	KeyFrom  string               `json:"keyFrom"`
	Then     *follow.Sighting     `json:"then,omitempty"`
	Now      *follow.Sighting     `json:"now,omitempty"`
	Cosigned []follow.Cosignature `json:"cosigned,omitempty"`
}

func (e *env) logProof() *cobra.Command {
	c := &cobra.Command{
		Use: "proof FILE", Short: "Check a proof that `hallmark log check` kept, offline", Args: one("the file of a proof, or - for standard input"),
		Long: "Check that a file of `hallmark log check` holds two checkpoints which the log signed and which contradict each\n" +
			"other: so its history was rewritten. Nothing is asked of anybody. The log's key is that of --log or\n" +
			"--trusted-root; without them it is the one in the file, which has to be compared with one that you trust.\n\n" +
			"The exit status is 0 when the file proves it, and 1 when it does not.",
		Example: "  hallmark log proof hallmark-proof-20261129T120000Z.json --trusted-root logs.json",
	}
	var f proofFlags
	c.Flags().StringVar(&f.log, "log", "", "the log's `key`, NAME+HASH+KEY, as its /keys/log.vkey was")
	c.Flags().StringVar(&f.root, "trusted-root", "", "`file` of the logs to trust: the registry's /trusted_root.json, or /keys/logs.json")
	c.Flags().StringArrayVar(&f.witnesses, "witness", nil, "say what the witness with this `key`, NAME+HASH+KEY, cosigned of it; may be repeated")
	asJSON := addJSON(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		kept, err := e.readProof(args[0])
		if err != nil {
			return err
		}
		p, err := f.prove(kept)
		if err != nil && !errors.Is(err, follow.ErrNoProof) {
			return err
		}
		if *asJSON {
			return errors.Join(writeJSON(e.stdout, p), refused(err))
		}
		p.print(e.stdout)
		return refused(err)
	}
	return c
}

// maxProofFile is the longest proof that is read, in bytes: two checkpoints and 63 hashes are far less.
const maxProofFile = 1 << 20

func (e *env) readProof(path string) (*keptProof, error) {
	in := e.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxProofFile+1))
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	kept := &keptProof{}
	if len(data) > maxProofFile || json.Unmarshal(bytes.TrimSpace(data), kept) != nil || kept.Report == nil || kept.Report.Origin == "" {
		return nil, usagef("%s is no proof that `hallmark log check` or `hallmark log fork` wrote", path)
	}
	return kept, nil
}

// write writes a proof to a file.
func (p keptProof) write(path string, mode fs.FileMode) error {
	var b strings.Builder
	if err := writeJSON(&b, p); err != nil {
		return err
	}
	return durable.WriteFile(path, []byte(b.String()), mode)
}

// prove says what a proof proves. ErrNoProof when it does not.
func (f proofFlags) prove(kept *keptProof) (p provedHistories, err error) {
	r := kept.Report
	p = provedHistories{Origin: r.Origin, Then: r.Then, Now: r.Now}
	if p.VKey, p.KeyFrom, err = f.keyOf(r); err != nil {
		return p, err
	}
	log, err := note.NewVerifier(p.VKey)
	if err != nil {
		return p, usagef("%q, from %s, is not the key of a log, NAME+HASH+KEY: %w", p.VKey, p.KeyFrom, err)
	}
	witnesses := make([]note.Verifier, len(f.witnesses))
	for i, vkey := range f.witnesses {
		if witnesses[i], err = witness.ParseKey(vkey); err != nil {
			return p, usagef("--witness %w", err)
		}
	}
	p.Says, err = r.Proves(log)
	if err == nil {
		p.Cosigned, err = cosignedIn(log, witnesses, r.Then, r.Now)
	}
	p.Proved = err == nil
	if err != nil {
		p.Says = err.Error()
	}
	return p, err
}

// keyOf returns the key of the log that a report is of, and where it is from.
func (f proofFlags) keyOf(r *follow.Report) (vkey, from string, err error) {
	switch {
	case f.log != "" && f.root != "":
		return "", "", usagef("--log and --trusted-root both name the log's key: give one")
	case f.log != "":
		return f.log, "--log", nil
	case f.root == "" && r.VKey == "":
		return "", "", usagef("the file does not name the log's key: give --log or --trusted-root")
	case f.root == "":
		return r.VKey, "the file itself", nil
	}
	data, err := os.ReadFile(f.root)
	if err != nil {
		return "", "", usagef("--trusted-root: %w", err)
	}
	logs, err := receipt.ParseLogs(data)
	if err != nil {
		return "", "", usagef("--trusted-root %s: %w", f.root, err)
	}
	for _, l := range logs {
		if l.Origin == r.Origin {
			return l.VKey, f.root, nil
		}
	}
	return "", "", nof("%s does not list the log %s", f.root, r.Origin)
}

// cosignedIn returns what these witnesses cosigned of the checkpoints of a log.
func cosignedIn(log note.Verifier, witnesses []note.Verifier, sightings ...*follow.Sighting) (all []follow.Cosignature, err error) {
	for _, s := range sightings {
		c, err := checkpoint.Open(s.Checkpoint, log)
		if err != nil {
			return nil, err
		}
		by, err := follow.Cosignatures(s.Checkpoint, c, witnesses)
		if err != nil {
			return nil, fmt.Errorf("%w: a cosignature of the checkpoint of %d leaves: %w", follow.ErrNoProof, c.Size, err)
		}
		all = append(all, by...)
	}
	return all, nil
}

// print says what is proved, or that nothing is.
func (p *provedHistories) print(w io.Writer) {
	if !p.Proved {
		fmt.Fprintf(w, "not proved: %s\n", clean(p.Says))
		return
	}
	fmt.Fprintf(w, "proved: %s\n", clean(p.Says))
	for _, c := range p.Cosigned {
		fmt.Fprintf(w, "%s cosigned that of %d leaves at %s\n", clean(c.Witness), c.Size, c.Time.Format(time.RFC3339))
	}
	if p.KeyFrom == "the file itself" {
		fmt.Fprintf(w, "The log's key is from %s: compare %s with what you or others kept of it.\n", p.KeyFrom, clean(p.VKey))
	} else {
		fmt.Fprintf(w, "The log's key is from %s.\n", clean(p.KeyFrom))
	}
	for _, s := range []*follow.Sighting{p.Then, p.Now} {
		fmt.Fprintf(w, "\nseen, as the file says, at %s:\n%s", s.Time.Format(time.RFC3339), indent(s.Checkpoint))
	}
}
