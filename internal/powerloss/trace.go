package powerloss

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// calls are those that change or flush files and names, and those that say which file a descriptor means.
var calls = []string{
	"openat", "close", "read", "pread64", "write", "pwrite64", "lseek", "ftruncate", "fsync", "fdatasync",
	"renameat", "renameat2", "rename", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "fchmod", "fchmodat", "chmod",
	// Those that no Disk knows, so that it says so.
	"open", "creat", "truncate", "fallocate", "link", "linkat", "symlink", "symlinkat", "copy_file_range", "sendfile",
	"splice", "writev", "pwritev", "pwritev2", "dup", "dup2", "dup3", "sync_file_range", "syncfs", "sync",
}

// Command lets a command run under strace, which writes to the file trace. The process that is started is strace,
// and the command its child. Without strace the test is skipped, but never in CI.
func Command(t testing.TB, cmd *exec.Cmd, trace string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("install strace, which records system calls: %v", err)
	}
	if err != nil {
		t.Fatalf("install strace, which records system calls: %v", err)
	}
	args := []string{
		strace, "-f", "--seccomp-bpf", "-ttt", "-xx", "-s", strconv.Itoa(64 << 20), "-e", "signal=none", "-o", trace,
		"-e", "trace=" + strings.Join(calls, ","), "--", cmd.Path,
	}
	cmd.Path, cmd.Args = strace, append(args, cmd.Args[1:]...)
}

// An Event is one call that came to its end, or a flush at its beginning.
type Event struct {
	Time  float64 // when it was noted, in seconds since 1970
	Call  string
	Args  []string // as strace writes them
	Ret   int64
	Begin bool // a flush that begins
	Cut   bool // a write in which the process was killed: Disk.Settle knows how much of it came to be
}

// Flush says that the event is the end of a flush.
func (e Event) Flush() bool {
	return (e.Call == "fsync" || e.Call == "fdatasync") && !e.Begin && e.Ret == 0
}

// Read reads what strace wrote.
func Read(trace string) (events []Event, err error) {
	f, err := os.Open(trace)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	p := parser{open: map[string]Event{}}
	for lines := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			for _, thread := range slices.Sorted(maps.Keys(p.open)) {
				p.cutOff(p.open[thread])
			}
			return append(append(p.events, p.cut...), Event{Time: p.last, Call: exited}), nil
		}
		if err == nil {
			err = p.line(string(bytes.TrimSuffix(line, []byte("\n"))))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", trace, err)
		}
	}
}

// exited is the event that ends a process: its descriptors mean nothing any more, and another one may follow.
const exited = "exited"

type parser struct {
	events []Event
	last   float64
	open   map[string]Event // calls that have begun, by thread
	cut    []Event          // writes that nobody saw end
}

// line reads "THREAD TIME call(args) = ret", or the two halves of a call that others interrupted in the log:
// "THREAD TIME call(args <unfinished ...>" and "THREAD TIME <... call resumed>args) = ret".
func (p *parser) line(line string) error {
	thread, rest, _ := strings.Cut(line, " ")
	stamp, rest, ok := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if !ok || strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
		return nil // a thread or process has ended
	}
	time, err := strconv.ParseFloat(stamp, 64)
	if err != nil {
		return fmt.Errorf("no time in %.100q", line)
	}
	p.last = time
	if after, ok := strings.CutPrefix(rest, "<... "); ok {
		_, args, _ := strings.Cut(after, " resumed>")
		e, ok := p.open[thread]
		if !ok {
			return nil // a close, which was noted when it began
		}
		delete(p.open, thread)
		e.Time = time
		return p.end(e, args)
	}
	call, args, ok := strings.Cut(rest, "(")
	if !ok {
		return fmt.Errorf("no call in %.100q", line)
	}
	e := Event{Time: time, Call: call}
	if begun, ok := strings.CutSuffix(args, "<unfinished ...>"); ok {
		e.Args = splitArgs(begun)
		if p.begin(e); call == "close" { // its number may be another file's before it has returned
			p.events = append(p.events, e)
			return nil
		}
		p.open[thread] = e
		return nil
	}
	p.begin(Event{Time: time, Call: call, Args: splitArgs(args)})
	return p.end(e, args)
}

// begin notes that a flush has begun: what is written while it goes on it may miss.
func (p *parser) begin(e Event) {
	if e.Call == "fsync" || e.Call == "fdatasync" {
		e.Args = slices.Clone(e.Args)
		e.Args[0], _, _ = strings.Cut(e.Args[0], ")")
		e.Begin = true
		p.events = append(p.events, e)
	}
}

// end notes a call with the rest of its arguments and what it returned: "args) = ret ERROR (says)".
func (p *parser) end(e Event, rest string) error {
	i := strings.LastIndex(rest, ") = ")
	if j := strings.LastIndex(rest, ")  "); i < 0 && j >= 0 { // strace lines up short ones
		i = j
	}
	if i < 0 {
		i = strings.LastIndex(rest, ")")
	}
	if i < 0 {
		return fmt.Errorf("no end in %.100q", rest)
	}
	_, returned, _ := strings.Cut(rest[i:], "= ")
	returned, _, _ = strings.Cut(returned, " ")
	e.Args = append(slices.Clone(e.Args), splitArgs(rest[:i])...)
	ret, err := strconv.ParseInt(returned, 0, 64)
	if err != nil { // "?": the process ended within it
		p.cutOff(e)
		return nil
	}
	e.Ret = ret
	p.events = append(p.events, e)
	return nil
}

// cutOff notes a write within which the process was killed. It may have been done all the same, or in part.
func (p *parser) cutOff(e Event) {
	if e.Call == "write" || e.Call == "pwrite64" {
		e.Time, e.Cut = p.last, true
		p.cut = append(p.cut, e)
	}
}

// splitArgs cuts arguments apart. Strings are written in hexadecimal, so no comma is within one.
func splitArgs(s string) (args []string) {
	for arg := range strings.SplitSeq(s, ",") {
		if arg = strings.TrimSpace(arg); arg != "" {
			args = append(args, arg)
		}
	}
	return args
}

// unquote reads a string that strace wrote in hexadecimal: "\x61\x62".
func unquote(s string) (b []byte, err error) {
	inner, opens := strings.CutPrefix(s, `"`)
	inner, closes := strings.CutSuffix(inner, `"`)
	if !opens || !closes || len(inner)%4 != 0 {
		return nil, fmt.Errorf("not a whole string: %.40q", s)
	}
	b = make([]byte, 0, len(inner)/4)
	for ; inner != ""; inner = inner[4:] {
		high, low := digit(inner[2]), digit(inner[3])
		b = append(b, high<<4|low)
	}
	return b, nil
}

// Text is a string among the arguments of an event, or "" for what is none.
func Text(arg string) string {
	b, err := unquote(arg)
	if err != nil {
		return ""
	}
	return string(b)
}

func digit(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
