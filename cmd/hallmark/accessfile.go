package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

const documentPath = "/api/v1/access/document"

// access is the verb `hallmark access`.
func (e *env) access() *cobra.Command {
	c := &cobra.Command{
		Use: "access", Short: "Keep teams, grants and immutable tags in a file",
		Long: "Keep teams, grants and immutable tags in a file, for those who keep rights in git. The file says all there is: what\n" +
			"it does not name is taken away. Users and robots have to be there already.",
	}
	t := addTarget(c)
	dryRun := false
	apply := &cobra.Command{
		Use: "apply FILE", Short: "Show what a file changes, then apply it in one step", Args: one("a file, or - for standard input"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := e.readAccessFile(args[0])
			if err != nil {
				return err
			}
			return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.applyAccess(ctx, cl, f, dryRun) })
		},
	}
	apply.Flags().BoolVar(&dryRun, "dry-run", false, "only show it")
	export := &cobra.Command{Use: "export", Short: "Print what is in force, as a file to apply", Args: cobra.NoArgs}
	asJSON := addJSON(export)
	export.RunE = func(c *cobra.Command, _ []string) error {
		return e.ask(c.Context(), t, func(ctx context.Context, cl *client) error { return e.exportAccess(ctx, cl, *asJSON) })
	}
	c.AddCommand(apply, export, e.accessAdopt(t))
	return c
}

// yamlAccess is access.yaml.
type yamlAccess struct {
	Teams     map[string][]word `yaml:"teams,omitempty"`
	Grants    []yamlGrant       `yaml:"grants,omitempty"`
	Immutable []yamlFixed       `yaml:"immutable,omitempty"`
}

type yamlGrant struct {
	Subject word `yaml:"subject"`
	Pattern word `yaml:"pattern"`
	Role    word `yaml:"role"`
}

type yamlFixed struct {
	Repositories word   `yaml:"repositories"`
	Tags         word   `yaml:"tags"`
	Except       []word `yaml:"except,omitempty"`
}

// word is a scalar that remembers its line.
type word = yamlfile.Word

// accessFile is a file that was read, with the line of each entry, as the server names it.
type accessFile struct {
	access.File
	path  string
	lines map[string]int
}

// maxAccessFile bounds the file, in bytes.
const maxAccessFile = 4 << 20

// readAccessFile reads a file strictly: what it does not understand is an error that names its line.
func (e *env) readAccessFile(path string) (*accessFile, error) {
	in := e.stdin
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer opened.Close() //nolint:errcheck // it was only read
		in = opened
	}
	data, err := io.ReadAll(io.LimitReader(in, maxAccessFile+1))
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if len(data) > maxAccessFile {
		return nil, usagef("%s: it may have %d bytes", path, maxAccessFile)
	}
	var y yamlAccess
	if err := yamlfile.Load(path, data, &y); err != nil {
		return nil, err
	}
	return y.parse(path)
}

// parse reads the words of the file.
func (y yamlAccess) parse(path string) (*accessFile, error) {
	f := &accessFile{path: path, lines: map[string]int{}}
	f.Teams = map[string][]string{}
	for name, members := range y.Teams {
		f.Teams[name] = []string{}
		for _, m := range members {
			f.Teams[name] = append(f.Teams[name], m.Text)
			f.lines["teams."+name] = max(f.lines["teams."+name], m.Line)
		}
	}
	for i, g := range y.Grants {
		var grant access.Grant
		for _, part := range []struct {
			name string
			from word
			into interface{ UnmarshalText([]byte) error }
		}{{"subject", g.Subject, &grant.Subject}, {"pattern", g.Pattern, &grant.Pattern}, {"role", g.Role, &grant.Role}} {
			if err := f.read(part.name, part.from, part.into, g.Subject.Line); err != nil {
				return nil, err
			}
		}
		f.lines[fmt.Sprintf("grants[%d]", i)] = g.Subject.Line
		f.Grants = append(f.Grants, grant)
	}
	for i, r := range y.Immutable {
		rule, err := f.readFixed(r)
		if err != nil {
			return nil, err
		}
		f.lines[fmt.Sprintf("immutable[%d]", i)] = r.Repositories.Line
		f.Immutable = append(f.Immutable, rule)
	}
	return f, nil
}

func (f *accessFile) readFixed(r yamlFixed) (rule access.FixedTags, err error) {
	if err := f.read("repositories", r.Repositories, &rule.Repositories, r.Tags.Line); err != nil {
		return rule, err
	}
	if err := f.read("tags", r.Tags, &rule.Tags, r.Repositories.Line); err != nil {
		return rule, err
	}
	for _, w := range r.Except {
		var g access.Glob
		if err := f.read("except", w, &g, r.Tags.Line); err != nil {
			return rule, err
		}
		rule.Except = append(rule.Except, g)
	}
	return rule, nil
}

// read reads one word; where it is missing, near is the line of its neighbour.
func (f *accessFile) read(name string, w word, into interface{ UnmarshalText([]byte) error }, near int) error {
	if w.Text == "" {
		return usagef("%s:%d: %s is missing", f.path, max(w.Line, near), name)
	}
	if err := into.UnmarshalText([]byte(w.Text)); err != nil {
		return usagef("%s:%d: %s: %w", f.path, w.Line, name, err)
	}
	return nil
}

// difference is what the server says of a document.
type difference struct {
	Version uint64          `json:"version"`
	Changes []access.Change `json:"changes"`
}

// applyAccess shows the difference, and applies the file to the very document that it was shown for.
func (e *env) applyAccess(ctx context.Context, cl *client, f *accessFile, dryRun bool) error {
	var d difference
	if err := cl.send(ctx, "PUT", documentPath+"?dryRun=true", f.File, &d); err != nil {
		return f.withLine(err)
	}
	if len(d.Changes) == 0 {
		fmt.Fprintln(e.stdout, "nothing to change")
		return nil
	}
	for _, c := range d.Changes {
		fmt.Fprintln(e.stdout, clean(describeChange(c)))
	}
	for _, rule := range f.Immutable {
		if rule.KeepsAttached() {
			fmt.Fprintf(e.stderr, keepsAttached, rule.Repositories, rule.Tags, `add sha256-* and sha512-* to its "except"`)
		}
	}
	if dryRun {
		fmt.Fprintf(e.stdout, "%d changes, not made\n", len(d.Changes))
		return nil
	}
	f.Version = d.Version
	if err := cl.send(ctx, "PUT", documentPath, f.File, &d); err != nil {
		return f.withLine(err)
	}
	fmt.Fprintf(e.stdout, "%d changes made\n", len(d.Changes))
	return nil
}

var entryError = regexp.MustCompile(`^((?:teams\.|grants\[|immutable\[)[^ ]*): `)

// withLine puts the line of an entry in the place of its name.
func (f *accessFile) withLine(err error) error {
	m := entryError.FindStringSubmatch(err.Error())
	if m == nil || f.lines[m[1]] == 0 {
		return err
	}
	return usagef("%s:%d: %s", f.path, f.lines[m[1]], strings.TrimPrefix(err.Error(), m[0]))
}

// describeChange is one line of a difference.
func describeChange(c access.Change) string {
	sign := "+"
	if c.Action == provenance.Revoke {
		sign = "-"
	}
	switch {
	case c.Tags != "" && sign == "-":
		return fmt.Sprintf("+ immutable: tags %s in %s%s", c.Tags, c.Pattern, exceptions(c.Except))
	case c.Tags != "":
		return fmt.Sprintf("- immutable: tags %s in %s%s", c.Tags, c.Pattern, exceptions(c.Except))
	case c.Team != "" && c.Subject != "":
		return fmt.Sprintf("%s team %s: %s", sign, c.Team, c.Subject)
	case c.Team != "":
		return fmt.Sprintf("%s team %s", sign, c.Team)
	default:
		return fmt.Sprintf("%s grant %s %s %s", sign, c.Subject, c.Pattern, c.Role)
	}
}

func exceptions(except []string) string {
	if len(except) == 0 {
		return ""
	}
	return " but " + strings.Join(except, ", ")
}

// exportAccess prints what is in force.
func (e *env) exportAccess(ctx context.Context, cl *client, asJSON bool) error {
	var f access.File
	if err := cl.get(ctx, documentPath, nil, &f); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(e.stdout, f)
	}
	data, err := yaml.Dump(exported(f))
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(data)
	return err
}

func exported(f access.File) (y yamlAccess) {
	y.Teams = map[string][]word{}
	for name, members := range f.Teams {
		y.Teams[name] = []word{}
		for _, m := range members {
			y.Teams[name] = append(y.Teams[name], word{Text: m})
		}
	}
	for _, g := range f.Grants {
		y.Grants = append(y.Grants, yamlGrant{word{Text: g.Subject.String()}, word{Text: g.Pattern.String()}, word{Text: g.Role.String()}})
	}
	for _, r := range f.Immutable {
		rule := yamlFixed{Repositories: word{Text: r.Repositories.String()}, Tags: word{Text: r.Tags.String()}}
		for _, g := range r.Except {
			rule.Except = append(rule.Except, word{Text: g.String()})
		}
		y.Immutable = append(y.Immutable, rule)
	}
	return y
}
