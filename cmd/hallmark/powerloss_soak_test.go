//go:build soak

package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/powerloss"
)

// TestSoakPowerLoss lets the power fail at every moment of a registry's life, of backups, of a restore, of a change of
// the layout and of the healing of a blob: strictly at each, and in hundreds of other ways.
func TestSoakPowerLoss(t *testing.T) {
	s := recordLife(t, 8)
	s.rec.holds("life", -1, 1000, s.rec.isWhole)
	replayRestore(t, replayBackups(t, -1, 500), -1, 60)
	replayLayout(t, -1, 60)
	replayHeal(t, -1, 60)
}

// TestSoakPowerLossEnds lets the power fail at every moment of a scrub, of the replacement of stolen keys, and of a log that is
// continued after an older store was put back.
func TestSoakPowerLossEnds(t *testing.T) {
	replayStolen(t, -1, 60)
	replayContinued(t, -1, 60)
}

// TestSoakPowerLossControl leaves out the flushes of one file, or of one directory's names, that stand between one fact and
// the next, and lets the power fail before a later one could make up for them. Of each kind one has to be noticed: else
// the tests here show nothing about that kind, or nobody needs it.
func TestSoakPowerLossControl(t *testing.T) {
	s := recordLife(t, 4)
	kinds := map[string][]*flushes{}
	for _, f := range s.rec.flushes() {
		kinds[f.kind] = append(kinds[f.kind], f)
	}
	for _, needed := range []string{". names", "hallmark.db bytes", "blobs bytes", "blobs names", "certs bytes", "certs names", "keys bytes", "keys names"} {
		if len(kinds[needed]) == 0 {
			t.Errorf("there is no flush of the kind %s among %v", needed, slices.Sorted(maps.Keys(kinds)))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		tried, err := s.rec.leaveOut(kinds[kind])
		if err == nil {
			t.Errorf("%s: nobody notices when any of %d is left out", kind, tried)
		}
		t.Logf("%s: number %d of %d, left out, gives: %.300v", kind, tried, len(kinds[kind]), err)
	}
}

// leaveOut leaves out some flushes after the others, until that is noticed.
func (r *recording) leaveOut(all []*flushes) (tried int, err error) {
	for _, f := range all {
		tried++
		forgetful := *r
		for _, end := range slices.Backward(f.ends) {
			forgetful.events = powerloss.Without(forgetful.events, end)
		}
		gone := len(r.events) - len(forgetful.events) // all of them before the moment
		moment := powerloss.Losses{f.next - gone: {{Name: "strict", Keep: powerloss.Strict}}}
		if _, err := forgetful.replay(moment, forgetful.goesOn); err != nil {
			return tried, err
		}
	}
	return tried, nil
}

// flushes are those of one file, or of the names in one directory, between which no fact became known.
type flushes struct {
	kind string // the top of what they are of, below the data directory, and whether they are for bytes or names
	ends []int  // the events that end them
	next int    // the event that begins the next one of the same, or the number of events
}

// flushes are all flushes below the recorded directory.
func (r *recording) flushes() (all []*flushes) {
	open, last := map[string]string{}, map[string]*flushes{} // by descriptor, what it is of; by that, the last ones
	for n, e := range r.events {
		if len(e.Args) == 0 { // the end of a process
			continue
		}
		of := open[e.Args[0]]
		switch {
		case e.Call == "openat" && e.Ret >= 0:
			open[fmt.Sprint(e.Ret)] = r.flushedBy(e)
		case of == "" || e.Call != "fsync" && e.Call != "fdatasync":
		case e.Begin:
			if f := last[of]; f == nil || r.learnt(r.events[f.ends[len(f.ends)-1]].Time, e.Time) {
				if f != nil {
					f.next = n
				}
				delete(last, of)
			}
		case e.Flush() && last[of] != nil:
			last[of].ends = append(last[of].ends, n)
		case e.Flush():
			top, _, _ := strings.Cut(strings.Fields(of)[0], "/")
			last[of] = &flushes{top + " " + strings.Fields(of)[1], []int{n}, len(r.events)}
			all = append(all, last[of])
		}
	}
	return all
}

// flushedBy is what flushes of a file that was opened are of, as "keys/log.pem bytes", or "" for what is elsewhere.
func (r *recording) flushedBy(e powerloss.Event) string {
	path, err := filepath.Rel(r.dir, powerloss.Text(e.Args[1]))
	switch flags := e.Args[2]; {
	case err != nil || strings.HasPrefix(path, ".."):
		return ""
	case strings.Contains(flags, "O_RDWR") || strings.Contains(flags, "O_WRONLY"):
		return strings.TrimSuffix(path, ".new") + " bytes" // the store gets its name when it is whole
	default:
		return path + " names"
	}
}

// learnt says that a fact became known between two moments.
func (r *recording) learnt(after, before float64) bool {
	return slices.ContainsFunc(r.facts, func(f *fact) bool { return after <= f.from && f.from < before })
}

// TestSoakPowerLossAfterKill kills a first start at any moment, starts again, and then lets the power fail: the second
// process must not rely on what the first had not flushed.
func TestSoakPowerLossAfterKill(t *testing.T) {
	for range 6 {
		r := newRecording(t, t.TempDir()) // which is there: the kill may come before anything
		first := r.program("serve", "--data", r.dir, "--listen", "127.0.0.1:0", "--admin-listen", "none")
		first.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		p := &process{cmd: first, done: make(chan error, 1)}
		go func() { p.done <- first.Wait() }()
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // the moment of the kill
		killTraced(p)
		r.end()
		s := recordServer(t, r)
		s.push("team/app", "1", "layer")
		s.kill()
		if _, err := r.replay(powerloss.Moments(r.events, 60, 20, uint64(time.Now().UnixNano())), r.isWhole); err != nil {
			t.Error(err)
		}
	}
}
