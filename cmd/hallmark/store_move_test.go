package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// TestStoreMoveKilled kills moves of a store into a database, and back, at any moment. What was pushed before is there after each, with its
// records, and its receipts count: the log is the same one, and goes on.
func TestStoreMoveKilled(t *testing.T) {
	t.Parallel()
	v := newVictimOf(t, plainProgram(t))
	for i := range 30 {
		a := acknowledged{repo: "team/app", tag: fmt.Sprint(i), layer: strings.Repeat(fmt.Sprintf("layer %d ", i), 1+i*100)}
		if !v.push(t.Context(), a) {
			t.Fatal("the push failed")
		}
	}
	kept := func(path string) string {
		_, _, said := v.send(t.Context(), "GET", "https://"+v.address+path, "", "")
		return writeFile(t, said)
	}
	verifying := []string{"verify", "team/app:7", "--trusted-root", kept("/keys/logs.json"), "--key", kept("/keys/receipts.json")}
	v.kill()
	inDatabase, inFile := writeFile(t, "store: "+engines.Database(t, v.dir)+"\n"), writeFile(t, "")
	for _, way := range []struct{ from, to string }{{inFile, inDatabase}, {inDatabase, inFile}, {inFile, inDatabase}} {
		v.movedWithKills(t, way.from, way.to)
		v.env = []string{"HALLMARK_CONFIG=" + way.to}
		v.run(t, "fsck", "--deep", "--data", v.dir)
		v.start()
		for _, a := range v.done {
			verify(t, v.address, v.dir, a)
		}
		if said := v.verb(verifying...); !strings.Contains(said, "verified") {
			t.Errorf("a receipt from before: %s", said)
		}
		if !v.push(t.Context(), acknowledged{repo: "team/app", tag: fmt.Sprint(len(v.done)), layer: "behind it"}) {
			t.Error("behind the move a push fails")
		}
		v.kill()
	}
}
