package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/powerloss"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/server"
)

// TestPowerLossEnds lets the power fail at a few moments of what ends a log, and of a scrub; TestSoakPowerLossEnds at all of them.
func TestPowerLossEnds(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	replayStolen(t, 3, 2)
	replayContinued(t, 3, 2)
}

// replayStolen lets the power fail while a registry is scrubbed, and while its keys are replaced because they were stolen.
func replayStolen(t *testing.T, strict, others int) {
	t.Helper()
	s := recordServer(t, newRecording(t, filepath.Join(t.TempDir(), "data")))
	s.push("team/app", "1", "layer")
	s.command("", "scrub", "now")
	s.rec.know("the scrub", (*survivor).wasScrubbed)
	s.endsLog("stolen", func() { s.command("", "key", "rotate", "--stolen") })
	s.push("team/app", "2", "layer behind stolen keys")
	s.kill()
	s.rec.holds("stolen keys", strict, others, s.rec.isWhole)
}

// wasScrubbed wants it to be known that everything was read, and that nothing was damaged.
func (v *survivor) wasScrubbed() error {
	var state struct{ Last *struct{ Blobs, Damaged int } }
	status, body := v.do("GET", scrubPath, "")
	if err := json.Unmarshal([]byte(body), &state); status != http.StatusOK || err != nil {
		return fmt.Errorf("status %d, %w", status, err)
	}
	if state.Last == nil || state.Last.Damaged > 0 || state.Last.Blobs == 0 {
		return fmt.Errorf("it is said that %s", body)
	}
	return nil
}

// endsLog ends a log, and knows that it ended, and why.
func (s *recordedServer) endsLog(reason string, end func()) {
	s.t.Helper()
	for _, f := range s.rec.facts {
		if f.says == "the log goes on" {
			f.until = seconds()
		}
	}
	end()
	s.state = follow.State{}
	s.keys()
	s.rec.know("its log ended", func(v *survivor) error { return v.ended(reason) })
	s.sawLog()
}

// ended wants one log to have ended for a reason, and another to go on.
func (v *survivor) ended(reason string) error {
	var logs struct {
		Logs []struct{ Closed *struct{ Reason string } }
	}
	_, body := v.do("GET", "/keys/logs.json", "")
	if err := json.Unmarshal([]byte(body), &logs); err != nil {
		return err
	}
	if n := len(logs.Logs); n != 2 || logs.Logs[0].Closed == nil || logs.Logs[0].Closed.Reason != reason || logs.Logs[1].Closed != nil {
		return fmt.Errorf("the logs are %s", body)
	}
	return nil
}

// replayContinued lets the power fail while a log is continued whose older store was put back. Once that is acknowledged, the registry
// takes pushes; before, it takes none, or the operator says it again.
func replayContinued(t *testing.T, strict, others int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	use := func(tag string) {
		s := startServer(t, dir)
		s.push("team/app", tag, "layer "+tag, nil)
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil { // it writes keys/log.checkpoint at its end
			t.Fatal(err)
		}
		<-s.done
		s.cmd = nil
	}
	use("1")
	store, err := os.ReadFile(filepath.Join(dir, storeFile))
	use("2")
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, storeFile), store, 0o600)); err != nil {
		t.Fatal(err)
	}
	r := newRecording(t, dir)
	if r.disk, err = powerloss.Load(dir); err != nil {
		t.Fatal(err)
	}
	r.older = true // it signs nothing before the operator has said what it is
	s := recordServer(t, r)
	r.imageThere(s.testServer, "team/app", "1")
	s.endsLog("restored", func() { s.command("", "log", "continue", "--restored") })
	done := seconds()
	s.push("team/app", "3", "layer behind the restore")
	s.kill()
	r.holds("a continued log", strict, others, func(dir string, at float64) error {
		v, err := survive(dir)
		if err != nil {
			return fmt.Errorf("it does not start: %w", err)
		}
		defer v.Stop()
		if err := holds(v, r.facts, at); err != nil {
			return err
		}
		if at <= done {
			if status, said := v.do("POST", server.ContinueLogPath, "", `{}`); status >= 300 && status != http.StatusConflict {
				return fmt.Errorf("it cannot be continued: %d %s", status, said)
			}
		}
		if err := errors.Join(v.push(), holds(v, r.facts, at), v.ended("restored")); err != nil {
			return fmt.Errorf("after it goes on: %w", err)
		}
		return v.clean()
	})
}
