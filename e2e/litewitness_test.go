//go:build e2e

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// litewitness is a witness of another project, with its key in an agent as it wants it.
type litewitness struct {
	t                         *testing.T
	dir, vkey, address, print string
	cmd                       *exec.Cmd
}

func newLitewitness(t *testing.T) *litewitness {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner("litewitness.example/w1", key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	w := &litewitness{
		t: t, dir: shortDir(t), vkey: signer.Verifier().String(),
		address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), print: ssh.FingerprintSHA256(public),
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(w.dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // nobody asks it any more
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				_ = agent.ServeAgent(keys, conn) // it ends when the witness hangs up; what it lacks then, the witness says
				_ = conn.Close()                 // as above
			}()
		}
	}()
	w.run()
	t.Cleanup(w.stop)
	return w
}

func (w *litewitness) run() {
	w.t.Helper()
	w.cmd = exec.Command(tool(w.t, "litewitness"), "-name", "litewitness.example/w1", "-key", w.print, "-listen", w.address,
		"-db", filepath.Join(w.dir, "db"), "-ssh-agent", filepath.Join(w.dir, "agent"))
	w.cmd.Stderr = os.Stderr
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, time.Minute, "litewitness listens", func() error {
		conn, err := net.Dial("tcp", w.address)
		if err == nil {
			_ = conn.Close() // that it listens is all that was asked
		}
		return err
	})
}

func (w *litewitness) stop() {
	_ = w.cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = w.cmd.Wait()                       // its status is that of the interrupt
}

// know tells it of the newest log of a registry, by hand, as its operator does.
func (w *litewitness) know(s *server) {
	w.t.Helper()
	mustRun(w.t, exec.Command(tool(w.t, "knowlog"), "-db", filepath.Join(w.dir, "db"), "-key", strings.TrimSpace(s.get("/keys/log.vkey"))))
}

// witnesses are a registry, the witness of another project that it asks, and ours, which comes by itself.
type witnesses struct {
	*server
	lite       *litewitness
	state      string // of our witness
	ours, seen string
	ca         string
}

// TestLitewitness has a witness of another project cosign beside ours: through its restart, and over the end of a log whose
// store was put back. Neither cosigns a second history.
func TestLitewitness(t *testing.T) {
	lite, dir := newLitewitness(t), t.TempDir()
	state, config := filepath.Join(dir, "witness.json"), filepath.Join(dir, "hallmark.yaml")
	ours := strings.TrimSpace(sh(t, tool(t, "hallmark"), "witness", "--state", state, "--name", "hallmark.example/w2"))
	write(t, config, fmt.Sprintf("witnesses:\n  - %s http://%s\n  - %s\n", lite.vkey, lite.address, ours))
	s := start(t, "--config", config)
	w := &witnesses{s, lite, state, ours, filepath.Join(dir, "seen.json"), filepath.Join(s.dir, "certs/ca.pem")}
	w.push("1.0")
	mustFail(t, w.check("0s"), "no witness has cosigned the log") // litewitness does not know it
	lite.know(s)
	w.wantCosigned()

	lite.stop()
	w.push("2.0")
	mustFail(t, w.check("0s"), "litewitness.example/w1 has cosigned")
	lite.run()
	w.wantCosigned()

	// An older store is put back: the log is closed, and another begins.
	w.halt()
	older := filepath.Join(dir, "older")
	mustRun(t, exec.Command("cp", "-a", s.dir, older))
	s.run("--config", config)
	w.push("3.0")
	w.wantCosigned()
	w.halt()
	mustRun(t, exec.Command("cp", filepath.Join(older, "hallmark.db"), filepath.Join(s.dir, "hallmark.db")))
	s.run("--config", config)
	mustRun(t, s.hallmark("log", "continue", "--restored"))
	w.push("4.0")
	if said := mustRun(t, w.cosign()); !strings.Contains(said, "goes on in the log") {
		t.Errorf("our witness says %s", said)
	}
	mustFail(t, w.check("0s"), "litewitness.example/w1") // it knows nothing of the new log, until a person tells it
	lite.know(s)
	w.wantCosigned()

	// An older copy of everything, keys and all, goes on as if nothing had been: that is a second history.
	w.halt()
	mustRun(t, exec.Command("rm", "-r", s.dir))
	mustRun(t, exec.Command("cp", "-a", older, s.dir))
	s.run("--config", config)
	w.push("other")
	w.push("history")
	mustFail(t, w.cosign(), "not cosigned")
	w.seen = filepath.Join(dir, "stranger.json") // who has seen nothing yet, and demands the witness of the others
	mustFail(t, w.check("12s", lite.vkey), "litewitness.example/w1 has cosigned")
}

// push makes a record: the manifest needs no blobs.
func (w *witnesses) push(tag string) {
	w.t.Helper()
	sh(w.t, "curl", "-sS", "--fail-with-body", "--cacert", w.ca, "-u", "admin:"+adminPassword, "-X", "PUT", "-H", "Content-Type: application/vnd.oci.image.index.v1+json",
		"--data", fmt.Sprintf(`{"schemaVersion":2,"manifests":[],"annotations":{"tag":%q}}`, tag), w.url+"/v2/team/app/manifests/"+tag)
}

// halt ends the registry, and waits.
func (w *witnesses) halt() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

// cosign has our witness visit the registry.
func (w *witnesses) cosign() *exec.Cmd {
	return exec.Command(tool(w.t, "hallmark"), "witness", "--state", w.state, "--ca", w.ca, w.url)
}

// check follows the log, and demands some witnesses, or both.
func (w *witnesses) check(wait string, demanded ...string) *exec.Cmd {
	if len(demanded) == 0 {
		demanded = []string{w.lite.vkey, w.ours}
	}
	args := []string{"log", "check", "--server", w.url, "--ca", w.ca, "--state", w.seen, "--wait", wait, "--proof", w.seen + ".proof"}
	for _, vkey := range demanded {
		args = append(args, "--witness", vkey)
	}
	return exec.Command(tool(w.t, "hallmark"), args...)
}

// wantCosigned wants both to have cosigned all that there is.
func (w *witnesses) wantCosigned() {
	w.t.Helper()
	mustRun(w.t, w.cosign())
	said := mustRun(w.t, w.check("2m"))
	for _, name := range []string{"litewitness.example/w1 cosigned at", "hallmark.example/w2 cosigned at"} {
		if !strings.Contains(said, name) {
			w.t.Errorf("it does not say %q:\n%s", name, said)
		}
	}
}
