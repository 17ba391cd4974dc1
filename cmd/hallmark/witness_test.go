package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWitnessListens starts a witness as a process of its own.
func TestWitnessListens(t *testing.T) {
	t.Parallel()
	hallmark, err := exec.LookPath("hallmark")
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "witness.json")
	const vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
	p, at, err := launch(exec.Command(hallmark, "witness", "--state", state, "--name", "witness.example", "--log", vkey, "--listen", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for body, want := range map[string]int{"hello": 400, "old 0\n\nlog.example\n1\n" + strings.Repeat("A", 43) + "=\n\n": 404, "old 0\n\nPeterNeumann\n1\n" + strings.Repeat("A", 43) + "=\n\n": 403} {
		resp, err := http.Post(at+"/add-checkpoint", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q gets %d, want %d", body, resp.StatusCode, want)
		}
	}
	out, err := verb(t, "witness", "--state", state, "--listen", "0.0.0.0:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another witness runs on it") {
		t.Errorf("two have one file: %v %s", err, out)
	}
}
