//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLoad lets 200 clients pull, push, delete and move tags at once, for a while: `make load` does it for
// longer. The program ends with an error when a request got what it did not deserve, or when the server
// holds more and more.
func TestLoad(t *testing.T) {
	args := []string{"run", "./cmd/bench", "-hallmark", tool(t, "hallmark")}
	load := exec.Command("go", append(args, "-load", "45s", "-clients", "200")...)
	load.Dir = root(t)
	t.Log(mustRun(t, load))
	fair := exec.Command("go", append(args, "-fair", "3000000000")...)
	fair.Dir = root(t)
	out := mustRun(t, fair)
	t.Log(out)
	if strings.Count(out, "\n") != 4 {
		t.Error("small pulls do not go on beside a large push")
	}
}
