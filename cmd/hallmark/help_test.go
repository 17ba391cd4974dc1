package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/version"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// eachVerb calls fn for every verb.
func eachVerb(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, verb := range c.Commands() {
		eachVerb(verb, fn)
	}
}

// TestExamples reads every example of the help as the command would: its verb, its flags and its arguments.
func TestExamples(t *testing.T) {
	seen := 0
	eachVerb((&env{}).root(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			seen++
			words := exampleWords(line)
			if len(words) == 0 {
				t.Errorf("%s: the example %q runs no hallmark", c.CommandPath(), line)
				continue
			}
			if err := wouldRun((&env{}).root(), words[1:]); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
			}
		}
	})
	if seen < 20 {
		t.Errorf("there are only %d examples", seen)
	}
}

var (
	remark = regexp.MustCompile(`   .*$`)
	quoted = regexp.MustCompile(`'[^']*'|\S+`)
)

// exampleWords are the words of the call of hallmark in a line of a shell, without what is written behind it for people.
func exampleWords(line string) []string {
	line = remark.ReplaceAllString(strings.TrimSpace(line), "")
	line, _, _ = strings.Cut(line, " > ")
	i := strings.Index(line, "hallmark ")
	if i < 0 {
		return nil
	}
	var words []string
	for _, w := range quoted.FindAllString(line[i:], -1) {
		words = append(words, strings.Trim(w, "'"))
	}
	return words
}

// wouldRun parses a command line up to where its verb would be run.
func wouldRun(root *cobra.Command, args []string) error {
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

// TestMan makes the manual pages, in the directory that HALLMARK_MAN names: `make man` is this test.
func TestMan(t *testing.T) {
	dir := os.Getenv("HALLMARK_MAN")
	if dir == "" {
		dir = t.TempDir()
	}
	root := (&env{}).root()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "Hallmark " + version.String(), Manual: "Hallmark"}
	if err := doc.GenManTreeFromOpts(root, doc.GenManTreeOptions{Path: dir, Header: header, CommandSeparator: "-"}); err != nil {
		t.Fatal(err)
	}
	eachVerb(root, func(c *cobra.Command) {
		page := filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		text, err := os.ReadFile(page)
		if c.IsAvailableCommand() && (err != nil || !strings.Contains(string(text), ".SH SYNOPSIS")) {
			t.Errorf("there is no page of `%s`: %v", c.CommandPath(), err)
		}
	})
}

// TestGroups wants each verb in the help to stand under a title.
func TestGroups(t *testing.T) {
	for _, verb := range (&env{}).root().Commands() {
		if verb.GroupID == "" {
			t.Errorf("`%s` is in no group", verb.CommandPath())
		}
	}
}
