package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// parsedOnly are the beginnings of the examples that are parsed and not run, and why.
var parsedOnly = map[string]string{
	"hallmark user add alice":                       "it asks a person for a password: users.txtar",
	"sudo hallmark cert trust docker":               "it changes this machine; certs.txtar prints what it would do, and e2e does it",
	"hallmark move":                                 "it wants a registry that is stopped, and an object store: remote_move_test.go",
	"hallmark log check --witness":                  "it wants a cosigned checkpoint: witness.txtar",
	"hallmark log fork":                             "it wants a registry that forked its log: travel_fork.txtar",
	"hallmark log proof":                            "it wants the proof of a fork: travel_fork.txtar",
	"hallmark trash empty team/app@":                "it wants a deleted image: trash.txtar",
	"hallmark import":                               "it wants another registry, or its directory: import.txtar",
	"hallmark mirror":                               "it wants a file of mirrors: mirror.txtar",
	"hallmark undelete team/app":                    "it wants a deleted image: trash.txtar",
	"hallmark verify registry.example/team/app:1.0": "it wants a cosigned checkpoint: witness.txtar",
	"hallmark witness https://registry.example":     "the registry has to name the witness: witness.txtar",
	"hallmark witness --listen":                     "it goes on until it is ended: witness.txtar",
}

// mayExit1 says that an example asks a question to which this registry's answer may be no.
func mayExit1(line string) bool { return strings.Contains(line, "--min ") }

// examplesCmd runs the examples of the help as a shell does. What they name is there: examples.txtar. Deletions come last.
func examplesCmd(ts *testscript.TestScript, _ bool, _ []string) {
	var lines, last []string
	eachVerb((&env{}).root(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "hallmark delete") {
				last = append(last, line)
			} else if line != "" {
				lines = append(lines, line)
			}
		}
	})
	here := strings.NewReplacer(
		"https://registry.example:5443", ts.Getenv("URL"), "https://registry.example", ts.Getenv("URL"),
		"registry.example:5443", ts.Getenv("HOST"), "registry.example", ts.Getenv("HOST"),
		"descendants sha256:…", "descendants "+ts.Getenv("BASE"), "sha256:…", ts.Getenv("DIGEST"), "1f0c2a4…", "1f0c2a4", "show 41", "show 3", "/etc/hallmark/", "",
		"pass show registry/alice | hallmark user add alice", "hallmark user add bob",
	)
	run, failed := 0, false
	for _, line := range slices.Concat(lines, last) {
		if isParsedOnly(line) {
			continue
		}
		run++
		if says, err := inShell(ts, here.Replace(remark.ReplaceAllString(line, ""))); err != nil {
			ts.Logf("%s: %v\n%s", line, err, says)
			failed = true
		}
	}
	if failed || run < 30 {
		ts.Fatalf("of %d examples of the help, some fail", run)
	}
}

func isParsedOnly(line string) bool {
	for begin := range parsedOnly {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}

// inShell runs a line, with a password where it reads one.
func inShell(ts *testscript.TestScript, line string) (says []byte, err error) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Stdin = ts.MkAbs("."), strings.NewReader("a good long password\n")
	cmd.Env = os.Environ()
	for _, name := range []string{"PATH", "HOME", "HALLMARK_CA"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	says, err = cmd.CombinedOutput()
	if mayExit1(line) && cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 1 {
		err = nil
	}
	return says, err
}
