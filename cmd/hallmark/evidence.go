package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance/evidence"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/spf13/cobra"
)

// evidenceTimeout bounds the making of an evidence file, which may have the layers of an image in it.
const evidenceTimeout = 24 * time.Hour

// evidence is the verb `hallmark evidence`.
func (e *env) evidence() *cobra.Command {
	c := &cobra.Command{
		Use: "evidence REF -o FILE.tar", Short: "Write one file with all that an auditor needs to check an image",
		Long: "Write one file with all that an auditor needs to check where an image came from, offline: the manifest and what is\n" +
			"attached to it, every record about it with its receipt, the moves of its tag, the logs' checkpoints, the keys, the\n" +
			"policy, trust and access documents (where you may see them), and how to check all that with openssl.\n" +
			"`hallmark verify FILE.tar` reads it.",
		Example: "  hallmark evidence team/app:1.0 -o app.evidence.tar\n  hallmark evidence registry.example/team/app@sha256:… -o app.evidence.tar --layers",
		Args:    one("an image, as team/app:1.0 or team/app@sha256:…"),
	}
	t := addTarget(c)
	out := c.Flags().StringP("output", "o", "", "write this `file`; - is standard output")
	layers := c.Flags().Bool("layers", false, "put the image's layers into it, too")
	bare := c.Flags().Bool("no-documents", false, "leave the policy, trust and access documents out: the access document names people")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseReference(args[0])
		if err != nil {
			return err
		}
		if *out == "" {
			return usagef("where to? give -o FILE.tar, or -o - for standard output")
		}
		ref.aim(t)
		return e.askWithin(c.Context(), evidenceTimeout, t, func(ctx context.Context, cl *client) error {
			query, err := ref.query(ctx, cl)
			if err != nil {
				return err
			}
			if *layers {
				query.Set("layers", "true")
			}
			if *bare {
				query.Set("documents", "false")
			}
			return e.fetchEvidence(ctx, cl, "/api/v1/evidence?"+query.Encode(), *out)
		})
	}
	return c
}

// fetchEvidence writes an evidence file, and says what is in it. The file is there whole, or not at all.
func (e *env) fetchEvidence(ctx context.Context, cl *client, path, out string) error {
	resp, err := cl.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if out == "-" {
		_, err := io.Copy(e.stdout, resp.Body)
		return askOr(err)
	}
	var v *evidence.Proof
	var size int64
	sum := sha256.New()
	err = durable.Write(out, 0o644, func(w io.Writer) (err error) {
		if size, err = io.Copy(io.MultiWriter(w, sum), resp.Body); err != nil {
			return askOr(err)
		}
		written, err := os.Open(out + ".new") // where durable.Write writes
		if err != nil {
			return err
		}
		v, err = openEvidence(written, size, receipt.Trust{})
		if err != nil {
			err = askf("%s gives an evidence file that does not fit together: %w", cl.Name, err)
		}
		return errors.Join(err, written.Close())
	})
	if err != nil {
		return fmt.Errorf("-o %s: %w", out, err)
	}
	line(e.stdout, "evidence", "%s", v.Image)
	line(e.stdout, "  records", "%d, in %s", len(v.Records), numberOf(len(v.Logs), "log"))
	for _, l := range v.Cover.LeftOut {
		line(e.stdout, "  left out", "%s: %s", l.What, l.Why)
	}
	line(e.stdout, "  file", "%s, %d bytes, sha256:%x", out, size, sum.Sum(nil))
	return nil
}

func numberOf(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// askOr is an error of the transfer, or nil.
func askOr(err error) error {
	if err == nil {
		return nil
	}
	return askf("the file broke off: %w", err)
}

// openEvidence reads an evidence file, and checks it.
func openEvidence(r io.ReaderAt, size int64, trust receipt.Trust) (*evidence.Proof, error) {
	f, err := evidence.Open(r, size)
	if err != nil {
		return nil, err
	}
	return f.Verify(trust)
}
