package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal of Linux of so many columns: what a program sees of it, and all that is printed there, once
// the program's end is closed.
func terminal(t *testing.T, columns uint16) (inside *os.File, printed func() string) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	fd := int(outside.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if inside, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(inside.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 25}); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&all, outside) // it ends with an error where the other side is closed
	}()
	return inside, func() string {
		_ = inside.Close()
		<-done
		return strings.ReplaceAll(all.String(), "\r\n", "\n")
	}
}

// TestTerminal wants tables to be as wide as a real terminal and no wider, but where COLUMNS or --no-trunc says so; and
// colours there alone, and none under NO_COLOR.
func TestTerminal(t *testing.T) {
	long := strings.Repeat("x", 200)
	coloured := regexp.MustCompile("\x1b\\[")
	for name, c := range map[string]struct {
		env     map[string]string
		whole   bool
		columns int // of the widest line
		colours bool
	}{
		"a terminal":              {columns: 60, colours: true},
		"COLUMNS":                 {env: map[string]string{"COLUMNS": "80"}, columns: 80, colours: true},
		"COLUMNS is no number":    {env: map[string]string{"COLUMNS": "wide"}, columns: 60, colours: true},
		"NO_COLOR":                {env: map[string]string{"NO_COLOR": "1"}, columns: 60},
		"an empty NO_COLOR":       {env: map[string]string{"NO_COLOR": ""}, columns: 60, colours: true},
		"--no-trunc":              {whole: true, columns: 207, colours: true},
		"--no-trunc over COLUMNS": {env: map[string]string{"COLUMNS": "80"}, whole: true, columns: 207, colours: true},
	} {
		t.Run(name, func(t *testing.T) {
			inside, printed := terminal(t, 60)
			e := &env{stdout: inside, getenv: func(name string) string { return c.env[name] }, noTrunc: c.whole}
			table := e.table("NAME…", "SHORT")
			table.row(long, "1")
			if err := table.flush(); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(inside, reportPrinter{w: inside, colour: e.colours()}.paint(red, "a word"))
			out := printed()
			widest := 0
			for line := range strings.Lines(out) {
				widest = max(widest, len([]rune(strings.TrimRight(line, "\n"))))
			}
			if widest < c.columns-10 || widest > c.columns {
				t.Errorf("the widest line has %d characters, want up to %d:\n%s", widest, c.columns, out)
			}
			if got := coloured.MatchString(out); got != c.colours {
				t.Errorf("colours: %v, want %v: %q", got, c.colours, out)
			}
		})
	}
}

// TestNoTerminal wants no colours in a file.
func TestNoTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if e := (&env{stdout: file, getenv: func(string) string { return "" }}); e.colours() || e.columns() != 0 {
		t.Error("a file is taken for a terminal")
	}
}
