package server_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/servertest"
)

// TestJobsChoose wants each job to be done under a lease, or to say why each process does it. A lease's name never changes: an older and a newer
// program may work on the store together.
func TestJobsChoose(t *testing.T) {
	t.Parallel()
	leases := map[string]bool{}
	for i, j := range servertest.Start(t).Jobs() {
		if (j.Lease == "") == (j.Each == "") {
			t.Errorf("job %d has the lease %q, and %q as the reason why each process does it", i, j.Lease, j.Each)
		}
		if leases[j.Lease] && j.Lease != "" {
			t.Errorf("two jobs have the lease %s", j.Lease)
		}
		leases[j.Lease] = true
	}
	delete(leases, "")
	want := []string{
		"addresses", "collector", "deletions", "diffs", "mirrors", "objects", "pulls", "rendered", "retention", "scrub", "sessions", "uploads", "witnesses",
	}
	if got := slices.Sorted(maps.Keys(leases)); !slices.Equal(got, want) {
		t.Errorf("the leases are %q, want %q", got, want)
	}
}

// waits are the functions of the rooms that go on by themselves: that wait for a time, or begin something that nobody waits for. Each is part of a
// job of background.go, or of a request, or says here what else it is.
var waits = map[string]string{
	"access.ForgetSessions":       "job",
	"access.KeepUses":             "job",
	"access.retry":                "part of a job",
	"access.wait":                 "of a request: as long as a hash takes",
	"access/oidc.ask":             "each process keeps its issuers' keys",
	"access/oidc.pause":           "each process keeps its issuers' keys",
	"certs.Watch":                 "job",
	"mirror.Keep":                 "job",
	"mirror.Read":                 "of a request or of a job",
	"mirror.RoundTrip":            "of a request or of a job",
	"mirror.telling":              "of a request",
	"provenance.KeepIndexed":      "job",
	"provenance/audit.fetchAhead": "of a verb",
	"registry.CleanUp":            "job",
	"registry.Collect":            "job",
	"registry.EndDeletions":       "job",
	"registry.FollowClock":        "job",
	"registry.KeepPulls":          "job",
	"registry.Scrub":              "job",
	"registry.SweepPulls":         "job",
	"registry.sleep":              "of a job",
	"retention.Schedule":          "job",
	"retention.pullsForPlan":      "of a request",
	"retention.rest":              "of a request or of a job",
	"server.RoundTrip":            "of a verb",
	"server.forget":               "job",
	"server.keepRulesOnRecord":    "job",
	"server.listen":               "each process listens",
	"server.whenWhole":            "part of jobs",
	"server/backup.serveSnapshot": "of a request",
	"server/cosigning.loop":       "job",
	"server/keyring.Keep":         "job",
	"server/pace.giveBack":        "each process gives back its own memory",
	"storage/lease.Keep":          "job",
	"storage/s3.Tidy":             "job",
	"storage/s3.get":              "of a request",
	"storage/s3.hurry":            "of a request: makes room for its bytes",
	"storage/s3.send":             "of a request",
	"storage/s3.take":             "of a request: makes room for its bytes",
}

// TestWaitsAreKnown finds what goes on by itself in the rooms, so that whoever adds something has to choose who does it where several processes
// work on one store: as a job, or by saying why that does not matter.
func TestWaitsAreKnown(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, room := range []string{"access", "certs", "mirror", "provenance", "registry", "retention", "server", "trust", "web", "api", "storage/lease", "storage/s3"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, d os.DirEntry, err error) error {
			inTests := d != nil && d.IsDir() && strings.HasSuffix(path, "test")
			switch {
			case err != nil:
				return err
			case inTests:
				return filepath.SkipDir
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			return findWaits(path, found)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range found {
		if waits[name] == "" {
			t.Errorf("%s goes on by itself: make it a job in background.go, and add it here", name)
		}
	}
	for name := range waits {
		if !found[name] {
			t.Errorf("%s is known, and does not go on by itself", name)
		}
	}
}

// findWaits adds the functions of a file that wait for a time or begin a goroutine.
func findWaits(path string, found map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if isWait(n) {
				found[fmt.Sprintf("%s.%s", pkg, fn.Name.Name)] = true
			}
			return true
		})
	}
	return nil
}

func isWait(n ast.Node) bool {
	if _, ok := n.(*ast.GoStmt); ok {
		return true
	}
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := fn.X.(*ast.Ident)
	return ok && of.Name == "time" && slices.Contains([]string{"After", "AfterFunc", "NewTicker", "NewTimer", "Tick"}, fn.Sel.Name)
}
