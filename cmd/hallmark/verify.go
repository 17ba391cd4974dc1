package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"github.com/spf13/cobra"
)

// verifyFlags are what `hallmark verify` relies on.
type verifyFlags struct {
	root, key string
	witnesses []string
	html      string // where to write a page about an evidence file
}

// verify is the verb `hallmark verify`.
func (e *env) verify() *cobra.Command {
	c := &cobra.Command{
		Use: "verify FILE|REF", Short: "Check a receipt, an evidence file, or all receipts of an image",
		Long: "Check what a registry says about its records, against its log and receipt keys. FILE is a receipt (a sigstore\n" +
			"bundle), an evidence file (`hallmark evidence`), a C2SP tlog-proof (`hallmark show --tlog-proof`), which has no\n" +
			"record, or the DSSE envelope in a provenance referrer, which is not proved to be in the log. REF is an image of\n" +
			"the registry, or a provenance referrer, or an image that has some, in any registry.\n\n" +
			"With --trusted-root and --key nothing is believed that the registry says today: keep both files from\n" +
			"a day when you trusted it. Without them its own keys are asked for, or those in an evidence file, which\n" +
			"shows that all fits together, and no more. A witness that is demanded excludes that others are shown another\n" +
			"history.",
		Args: one("a file, - for standard input, or an image"),
		Example: "  hallmark verify receipt.json --trusted-root trusted_root.json --key receipts.json\n" +
			"  hallmark verify app.evidence.tar --trusted-root logs.json --key receipts.json --html evidence.html\n" +
			"  hallmark verify registry.example/team/app:1.0 --witness witness.example/w1+1f0c2a4b+BA…",
	}
	t := addTarget(c)
	var f verifyFlags
	c.Flags().StringVar(&f.root, "trusted-root", "", "`file` of the logs to trust: the registry's /trusted_root.json, or /keys/logs.json, which says more")
	c.Flags().StringVar(&f.key, "key", "", "`file` of the receipt keys to trust: /keys/receipts.json, or public keys in PEM")
	c.Flags().StringArrayVar(&f.witnesses, "witness", nil, "demand a cosignature by the witness with this `key`, NAME+HASH+KEY; may be repeated")
	c.Flags().StringVar(&f.html, "html", "", "write what an evidence file proves into this `file`, as one page for people")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		v := verification{Receipts: []*verified{}}
		err := e.verifyArgument(c.Context(), t, f, args[0], &v)
		if err != nil && !errors.Is(err, receipt.ErrRefused) {
			return err
		}
		if v.Verified = err == nil; v.Verified {
			v.say()
		}
		if *asJSON {
			return errors.Join(writeJSON(e.stdout, v), refused(err))
		}
		v.print(e.stdout)
		return refused(err)
	}
	return c
}

// refused is the error that ends the verb when the answer is no.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return exitError{exitNo, err}
}

// verification is everything that one call of verify found.
type verification struct {
	Verified bool          `json:"verified"`
	Image    string        `json:"image,omitempty"`
	Digest   digest.Digest `json:"digest,omitempty"`
	LogsFrom string        `json:"logsFrom"` // where the trusted logs and keys come from
	KeysFrom string        `json:"keysFrom"`
	Receipts []*verified   `json:"receipts"`
	Chain    *tagChain     `json:"chain,omitempty"` // of an image that was named by a tag

	Evidence  *evidence.Proof `json:"evidenceFile,omitempty"`
	Proves    string          `json:"proves,omitempty"`    // in one sentence, and by which keys
	NotProved []string        `json:"notProved,omitempty"` // what is not

	trust receipt.Trust
	kept  bool // all that was needed of logs and keys was given
}

// verified is one receipt, and what it proves.
type verified struct {
	Record    uint64          `json:"record"`
	Error     string          `json:"error,omitempty"` // why it was refused
	Log       string          `json:"log,omitempty"`
	Leaf      uint64          `json:"leaf"`
	Size      uint64          `json:"size,omitempty"`
	RootHash  string          `json:"rootHash,omitempty"`
	Key       string          `json:"key,omitempty"`
	Cosigned  []string        `json:"cosigned,omitempty"`
	Unchecked []string        `json:"unchecked,omitempty"` // names of signatures that nobody asked to check
	Statement json.RawMessage `json:"statement,omitempty"`
	// UnknownNotes are the annotations of an artifact that this version does not know.
	UnknownNotes []string `json:"unknownAnnotations,omitempty"`

	// Entry is the SHA-256 of the log's entry, of a C2SP tlog-proof: which record it is of stands in a receipt alone.
	Entry string `json:"entry,omitempty"`

	record *provenance.Record
}

// verifyArgument checks a file or an image. ErrRefused when the answer is no.
func (e *env) verifyArgument(ctx context.Context, t *target, f verifyFlags, arg string, v *verification) error {
	if err := f.load(v); err != nil {
		return err
	}
	if is, err := e.verifiedEvidence(f, arg, v); is || err != nil {
		return err
	}
	data, isFile, err := e.receiptFile(arg)
	if err != nil {
		return err
	}
	v.kept = isFile && f.knowsAll(data) || f.root != "" && f.key != ""
	switch {
	case v.kept && isFile:
		return e.addFollowing(ctx, t, v, data, v.add(data))
	case isFile:
		return e.askWithin(ctx, time.Hour, t, func(ctx context.Context, cl *client) error {
			if err := v.fetchTrust(ctx, cl); err != nil {
				return err
			}
			return v.add(data)
		})
	}
	return e.verifyReference(ctx, t, arg, v)
}

// verifiedEvidence checks an evidence file, and says whether there is one.
func (e *env) verifiedEvidence(f verifyFlags, arg string, v *verification) (is bool, err error) {
	if arg == "-" {
		if is, err = e.fromInput(func(path string) error { return verifyEvidence(path, f, v) }); is || err != nil {
			return true, err
		}
	}
	if isEvidenceFile(arg) {
		return true, verifyEvidence(arg, f, v)
	}
	if f.html != "" {
		return false, usagef("--html is for evidence files, and %s is none", arg)
	}
	return false, nil
}

// verifyReference checks what a registry has of an image.
func (e *env) verifyReference(ctx context.Context, t *target, arg string, v *verification) error {
	ref, err := parseReference(arg)
	if err != nil {
		return err
	}
	ref.aim(t)
	if done, err := e.elsewhere(ctx, t, ref, v); done || err != nil {
		return err
	}
	return e.askWithin(ctx, time.Hour, t, func(ctx context.Context, cl *client) error { // an image may have many records
		if err := v.fetchTrust(ctx, cl); err != nil {
			return err
		}
		if ref, err = ref.settle(ctx, cl); err != nil {
			return err
		}
		return v.image(ctx, cl, ref)
	})
}

// knowsAll says that the files that are given are all that is needed to check a file: a proof has no receipt key, and an
// envelope no log.
func (f verifyFlags) knowsAll(data []byte) bool {
	needsLog, needsKey := !receipt.IsEnvelope(data), !receipt.IsProof(data)
	return (f.root != "" || !needsLog) && (f.key != "" || !needsKey)
}

// receiptFile reads a receipt where the argument names a file.
func (e *env) receiptFile(arg string) (data []byte, isFile bool, err error) {
	if arg == "-" {
		data, err = io.ReadAll(io.LimitReader(e.stdin, receipt.MaxBundle+1))
		return data, true, err
	}
	info, err := os.Stat(arg)
	if errors.Is(err, fs.ErrNotExist) && isPath(arg) {
		return nil, false, usagef("there is no file %s", arg)
	}
	if err != nil || info.IsDir() {
		return nil, false, nil // then it is an image
	}
	file, err := os.Open(arg)
	if err != nil {
		return nil, true, usagef("%w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	data, err = io.ReadAll(io.LimitReader(file, receipt.MaxBundle+1))
	return data, true, err
}

// isPath says whether an argument is meant as a file, though there may be none: no image is named so.
func isPath(arg string) bool {
	if strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, ".") || strings.HasPrefix(arg, "~") {
		return true
	}
	return !strings.ContainsAny(arg, ":@") && slices.Contains([]string{".json", ".tar", ".txt"}, filepath.Ext(arg))
}

// load reads the files that are given, and the witnesses.
func (f verifyFlags) load(v *verification) error {
	if f.root != "" {
		data, err := os.ReadFile(f.root)
		if err == nil {
			v.trust.Logs, err = receipt.ParseLogs(data)
		}
		if err != nil {
			return usagef("--trusted-root %s: %w", f.root, err)
		}
		v.LogsFrom = f.root
	}
	if f.key != "" {
		data, err := os.ReadFile(f.key)
		if err == nil {
			v.trust.Keys, err = receipt.ParseKeyFile(data)
		}
		if err != nil {
			return usagef("--key %s: %w", f.key, err)
		}
		v.KeysFrom = f.key
	}
	for _, vkey := range f.witnesses {
		w, err := witness.ParseKey(vkey)
		if err != nil {
			return usagef("--witness %w", err)
		}
		v.trust.Witnesses = append(v.trust.Witnesses, w)
	}
	return nil
}

// The longest lists of logs and keys that are read, in bytes.
const maxKeyFile = 4 << 20

// fetchTrust asks the registry for what was not given.
func (v *verification) fetchTrust(ctx context.Context, cl *client) error {
	if v.LogsFrom == "" {
		data, err := cl.fetch(ctx, "/keys/logs.json", maxKeyFile)
		if err != nil {
			return err
		}
		if v.trust.Logs, err = receipt.ParseLogs(data); err != nil {
			return askf("%s/keys/logs.json: %w", cl.Base, err)
		}
		v.LogsFrom = cl.Name
	}
	if v.KeysFrom == "" {
		data, err := cl.fetch(ctx, "/keys/receipts.json", maxKeyFile)
		if err != nil {
			return err
		}
		if v.trust.Keys, err = receipt.ParseKeyFile(data); err != nil {
			return askf("%s/keys/receipts.json: %w", cl.Base, err)
		}
		v.KeysFrom = cl.Name
	}
	return nil
}

// add checks a file of any kind that proves something of a record and notes what it proves, or why it is refused.
func (v *verification) add(data []byte) error {
	r := &verified{}
	switch {
	case receipt.IsProof(data):
		v.Receipts = append(v.Receipts, r)
		return r.prove(data, v.trust)
	case receipt.IsEnvelope(data):
		v.Receipts = append(v.Receipts, r)
		return r.signed(data, v.trust)
	}
	_, err := v.addReceipt(data)
	return err
}

// addReceipt is add for a receipt alone: where a registry is asked for one, what proves less of the record will not do.
func (v *verification) addReceipt(data []byte) (*verified, error) {
	r := &verified{}
	v.Receipts = append(v.Receipts, r)
	found, err := receipt.Verify(data, v.trust)
	if err == nil {
		if r.record, err = provenance.ParseStatement(found.Statement); err != nil {
			err = fmt.Errorf("%w: %w", receipt.ErrRefused, err)
		}
	}
	if err != nil {
		r.Error = err.Error()
		return r, err
	}
	r.Record, r.Log, r.Leaf, r.Size = found.Index, found.Checkpoint.Origin, found.Leaf, found.Checkpoint.Size
	r.RootHash, r.Key, r.Statement = found.Checkpoint.Root.String(), found.Key.Hint(), found.Statement
	r.Cosigned, r.Unchecked = found.Cosigned, found.Unchecked
	return r, nil
}

// prove checks a C2SP tlog-proof and notes what it proves, or why it is refused.
func (r *verified) prove(data []byte, trust receipt.Trust) error {
	found, err := receipt.VerifyProof(data, trust)
	if err != nil {
		r.Error = err.Error()
		return err
	}
	if found.Log.First != nil {
		r.Record = *found.Log.First + found.Leaf
	}
	r.Log, r.Leaf, r.Size = found.Checkpoint.Origin, found.Leaf, found.Checkpoint.Size
	r.RootHash, r.Cosigned, r.Unchecked = found.Checkpoint.Root.String(), found.Cosigned, found.Unchecked
	r.Entry = fmt.Sprintf("sha256:%x", sha256.Sum256(found.Entry))
	return nil
}

// signed checks a DSSE envelope and notes what it proves, or why it is refused: nothing of the log.
func (r *verified) signed(data []byte, trust receipt.Trust) error {
	found, err := receipt.VerifyEnvelope(data, trust)
	if err == nil {
		if r.record, err = provenance.ParseStatement(found.Statement); err != nil {
			err = fmt.Errorf("%w: %w", receipt.ErrRefused, err)
		}
	}
	if err != nil {
		r.Error = err.Error()
		return err
	}
	r.Record, r.Key, r.Statement = found.Index, found.Key.Hint(), found.Statement
	return nil
}
