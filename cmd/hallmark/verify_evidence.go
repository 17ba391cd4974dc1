package main

import (
	"bufio"
	"errors"
	"io"
	"os"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
)

// isEvidenceFile says whether a file is to be an evidence file: a tar, or one that was compressed.
func isEvidenceFile(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	return isEvidence(bufio.NewReader(f))
}

func isEvidence(r *bufio.Reader) bool {
	head, _ := r.Peek(512) // less where there is no more
	return evidence.IsFile(head)
}

// fromInput has something done with the evidence file in the standard input, if it is one: it is read in places, so a pipe is kept
// beside others' temporary files meanwhile. Of anything else nothing is taken.
func (e *env) fromInput(do func(path string) error) (is bool, err error) {
	in := bufio.NewReader(e.stdin)
	e.stdin = in
	if !isEvidence(in) {
		return false, nil
	}
	kept, err := os.CreateTemp("", "hallmark-evidence-*.tar")
	if err != nil {
		return true, usagef("an evidence file from standard input is kept meanwhile: %w", err)
	}
	defer os.Remove(kept.Name()) //nolint:errcheck // it is among temporary files
	var from io.Reader = in
	if head, _ := in.Peek(2); head[0] == 0x1f { // it is compressed, and refused for that
		from = io.LimitReader(in, 512)
	}
	_, err = io.Copy(kept, from)
	if err = errors.Join(err, kept.Close()); err != nil {
		return true, usagef("standard input: %w", err)
	}
	return true, do(kept.Name())
}

// verifyEvidence checks an evidence file, by the keys that were given, or else by its own.
func verifyEvidence(path string, f verifyFlags, v *verification) error {
	file, err := os.Open(path)
	if err != nil {
		return usagef("%w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return usagef("%w", err)
	}
	const own = "the file itself"
	v.LogsFrom, v.KeysFrom = firstOf(v.LogsFrom, own), firstOf(v.KeysFrom, own)
	opened, err := evidence.Open(file, info.Size())
	if err != nil {
		return err
	}
	if v.Evidence, err = opened.Verify(v.trust); err != nil {
		return err
	}
	v.Image, v.Digest = v.Evidence.Repository, v.Evidence.Digest
	if f.html == "" {
		return nil
	}
	err = durable.Write(f.html, 0o644, func(w io.Writer) error { return opened.HTML(w, v.Evidence) })
	if err != nil {
		return usagef("--html: %w", err)
	}
	return nil
}

// printEvidence writes for people what an evidence file proves, but for the sentence about all of it.
func printEvidence(e *evidence.Proof, line func(name, format string, args ...any)) {
	for _, p := range e.Records {
		line("verified", "record %d (%s): %s of %s by %s, %s", p.Index, p.About, p.Record.Action, placed(p.Record.Repository, p.Record.Digest), who(p.Record.Actor), local(p.Record.Time))
	}
	for _, l := range e.Logs {
		line("  in", "the log %s of %d leaves", l.Origin, l.Size)
		for _, name := range l.Cosigned {
			line("  cosigned", "by %s", name)
		}
	}
	for _, k := range e.Keys {
		if k.By != nil {
			line("  key", "%.12s…, which record %d put in force", k.Hint, *k.By)
		}
	}
	if c := e.Chain; c != nil {
		line("history", "%s of the tag %s, back to record %d: %s", numberOf(c.Moves, "move"), c.Tag, c.From, c.Ends)
	}
	for _, d := range e.Documents {
		if d.Record != nil {
			line("document", "%s is in force by record %d", d.Name, *d.Record)
		}
	}
	for _, l := range e.Cover.LeftOut {
		line("left out", "%s: %s", l.What, l.Why)
	}
}
