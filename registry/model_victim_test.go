package registry_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/retention"
)

// A victim is a process that opens the registry of a world, does one step of it, and gets SIGKILL in that: behind one of its commits, or at some time. The
// world's own process then looks for what the registry has come to, as where it died itself.

// victim is what such a process is told.
type victim struct {
	Dir          string
	Act          act
	Keep, Most   int
	Now          int
	Start, Ticks uint64
	Commit       int // behind which it dies; 0: it is killed from outside
	Receipts     []byte
	Log          ed25519.PrivateKey
}

// victimFile names the file that says what a victim does, in its environment.
const victimFile = "HALLMARK_MODEL_VICTIM"

// stepOfVictim has a process do a step that is killed in it.
func (w *world) stepOfVictim(o op) {
	must(w.t, w.registry.StopPulls(background)) // what a server does that stops in order
	w.m.flush()
	before := w.m.clone()
	must(w.t, w.store.Close())
	_ = os.Remove(w.planFile())
	w.kill(o)
	w.ticks += 1000 // far more than it has looked at the clock
	w.plan = nil
	if text, err := os.ReadFile(w.planFile()); err == nil { // else it came to no plan
		w.plan, _ = retention.ReadPlan(bytes.NewReader(text), nil)
	}
	w.m.trail = []*model{}
	w.store.dead = true
	o.model(w.m, w)
	trail := w.m.trail
	w.m.trail = nil
	w.revive(append(append([]*model{before}, trail...), w.m))
	w.victims++
	if !slices.Equal(before.lines(), w.m.lines()) {
		w.moved++
	}
}

// kill starts a victim, and returns when it is dead.
func (w *world) kill(o op) {
	receipts, err := w.keys.Receipts[0].PEM()
	must(w.t, err)
	told, err := json.Marshal(victim{w.dir, o.act, w.m.keep, w.m.max, w.m.now, w.start, w.ticks, o.killed, receipts, w.keys.Logs[0]})
	must(w.t, err)
	file := filepath.Join(w.dir, "victim.json")
	must(w.t, os.WriteFile(file, told, 0o600))
	within, cancel := context.WithTimeout(background, 5*time.Minute)
	defer cancel()
	program, err := os.Executable() // its name is another where it runs without the race detector
	must(w.t, err)
	cmd := exec.CommandContext(within, program, "-test.run=^TestModelVictim$")
	cmd.Env = append(os.Environ(), victimFile+"="+file)
	out, err := cmd.StdoutPipe()
	must(w.t, err)
	must(w.t, cmd.Start())
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil || first != victimReady {
		w.t.Errorf("a process did not come to its step: %q, %v", first, err)
	}
	if o.killed == 0 {
		time.Sleep(rand.N(10 * time.Millisecond)) // the moment of the kill
		_ = cmd.Process.Kill()
	}
	rest, _ := io.ReadAll(lines)
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != -1 || strings.Contains(string(rest), victimWrong) {
		w.t.Errorf("a process was not killed, or found something wrong: %v\n%s", err, rest)
	}
}

const (
	victimReady = "ready\n"
	victimWrong = "wrong: "
)

// printing tells what is wrong to whoever has started a victim.
type printing struct{}

func (printing) Helper() {}

func (printing) Errorf(format string, args ...any) { fmt.Printf(victimWrong+format+"\n", args...) }

func (p printing) Fatal(args ...any) {
	p.Errorf("%s", fmt.Sprint(args...))
	os.Exit(3)
}

// TestModelVictim is the life of a victim. It never ends by itself.
func TestModelVictim(t *testing.T) {
	file := os.Getenv(victimFile)
	if file == "" {
		t.Skip("TestModelKilled starts it")
	}
	var v victim
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, json.Unmarshal(text, &v))
	signer, err := receipt.ParseSigner(v.Receipts)
	must(t, err)
	w := &world{things: newThings(), t: printing{}, dir: v.Dir, start: v.Start, ticks: v.Ticks}
	w.keys = provenance.Keys{Receipts: []*receipt.Signer{signer}, Logs: []ed25519.PrivateKey{v.Log}}
	w.m = newModel(w.things, v.Keep, v.Most)
	w.m.now = v.Now
	w.open()
	if v.Commit > 0 {
		w.store.left, w.store.victim = v.Commit, true
	}
	fmt.Print(victimReady)
	v.Act.on(w)
	killSelf() // it has done everything, with fewer commits
}

// killSelf is kill -9 of this process.
func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
