package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/internal/durable"
)

// Reverse takes back what Do did, and says on out what it does. What somebody changed since stays, and is named.
func (p Plan) Reverse(ctx context.Context, out io.Writer) error {
	for _, f := range p.Files {
		if err := f.takeBack(out); err != nil {
			return err
		}
	}
	if err := p.run(ctx, out); err != nil {
		return err
	}
	for _, note := range p.Undo {
		fmt.Fprintf(out, "\n%s\n", note)
	}
	return nil
}

// PrintReverse says on out what Reverse would do.
func (p Plan) PrintReverse(out io.Writer) {
	for _, f := range p.Files {
		verb := "remove"
		if f.Section != "" {
			verb = "remove " + f.Section + " from"
		}
		fmt.Fprintf(out, "%s %s\n", verb, f.Path)
	}
	for _, command := range p.Commands {
		fmt.Fprintf(out, "run %s\n", joined(command))
	}
	for _, note := range p.Undo {
		fmt.Fprintf(out, "\n%s\n", note)
	}
}

func (f File) takeBack(out io.Writer) error {
	old, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return asRoot(err)
	}
	switch rest, ours := f.without(old); {
	case !ours:
		fmt.Fprintf(out, "left %s as it is: it was changed since\n", f.Path)
		return nil
	case len(bytes.TrimSpace(rest)) > 0:
		fmt.Fprintf(out, "remove %s from %s\n", f.Section, f.Path)
		return asRoot(durable.WriteFile(f.Path, rest, 0o644))
	}
	fmt.Fprintf(out, "remove %s\n", f.Path)
	if err := os.Remove(f.Path); err != nil {
		return asRoot(err)
	}
	_ = os.Remove(filepath.Dir(f.Path)) // which is not empty where it is others' too
	return nil
}

// without returns what is left of a file, and whether what is taken away is ours. An authority is, whichever it is: its file is
// named after the registry, and the authority may have been renewed.
func (f File) without(old []byte) (rest []byte, ours bool) {
	switch {
	case f.Section != "":
		before, after, found := bytes.Cut(old, f.Content)
		return append(bytes.TrimRight(before, "\n"), append([]byte("\n"), bytes.TrimLeft(after, "\n")...)...), found
	case bytes.HasPrefix(f.Content, []byte("-----BEGIN CERTIFICATE")):
		return nil, true
	}
	return nil, bytes.Equal(old, f.Content)
}
