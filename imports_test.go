package hallmark_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed-260924e6/hallmark"

// floors are the rooms, the upper first. A room may import those below it, never those above or beside.
var floors = []string{"cmd", "server", "web", "api", "mirror", "retention", "trust", "registry", "access", "provenance", "storage"}

// TestImportDirection holds the house together: docs/design/rooms.md.
func TestImportDirection(t *testing.T) {
	for _, p := range listPackages(t) {
		room := roomOf(p.ImportPath)
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module+"/") {
				if !mayImport(p.ImportPath, imported) {
					t.Errorf("%s imports %s, which one package alone may import", p.ImportPath, imported)
				}
				continue
			}
			if !goesDown(room, roomOf(imported)) {
				t.Errorf("%s imports %s, which is not below it", p.ImportPath, imported)
			}
		}
	}
}

// owners are the packages that alone may import something.
var owners = map[string]string{
	"go.etcd.io/bbolt":             module + "/storage/bolt",
	"github.com/minio/minio-go/v7": module + "/storage/s3",
	"github.com/jackc/pgx/v5":      module + "/storage/postgres",

	"github.com/distribution/distribution/v3/registry/handlers": module + "/registry",
}

func mayImport(pkg, imported string) bool {
	for owned, owner := range owners {
		if (imported == owned || strings.HasPrefix(imported, owned+"/")) && pkg != owner {
			return false
		}
	}
	return true
}

// TestOneFileImportsHandlers wants distribution's handlers in one file.
func TestOneFileImportsHandlers(t *testing.T) {
	out, err := exec.Command("grep", "-rl", "--include=*.go", `distribution/v3/registry/handlers"$`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if files := strings.Fields(string(out)); len(files) != 1 || files[0] != "./registry/app.go" {
		t.Errorf("distribution's handlers are imported by %v", files)
	}
}

// goesDown says whether a room may import another.
func goesDown(room, below string) bool {
	leaf := func(r string) bool { return r == "internal" || r == "certs" }
	switch {
	case below == "internal":
		return true
	case room == "internal" || room == "certs":
		return false
	case leaf(below):
		return true
	case below == "client": // it asks a registry as anybody may, and needs no room for it
		return room == "cmd" || room == "client"
	case room == "client":
		return false
	case room == below:
		return true
	}
	if sameFloor := []string{"mirror", "retention", "trust"}; slices.Contains(sameFloor, room) && slices.Contains(sameFloor, below) {
		return false
	}
	from, to := slices.Index(floors, room), slices.Index(floors, below)
	return from >= 0 && to > from
}

func roomOf(path string) string {
	room, _, _ := strings.Cut(strings.TrimPrefix(path, module+"/"), "/")
	return room
}

type listed struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) (packages []listed) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath != module {
			packages = append(packages, p)
		}
	}
	if len(packages) < 10 {
		t.Fatalf("go list finds %d packages", len(packages))
	}
	return packages
}

// commandMayImport are the packages below server that the command line imports, each with the reason. Everything else it has
// from server and client: no rule of the registry is decided in a verb.
var commandMayImport = map[string]string{
	"access":                "the words in which rights are written, and read offline: subjects, patterns, roles",
	"registry":              "the names of digests, and the answer about a scrub",
	"provenance":            "records as they are printed",
	"provenance/audit":      "checks a registry from outside, as a client does",
	"provenance/checkpoint": "checks a log from outside",
	"provenance/evidence":   "verifies evidence files and provenance referrers offline",
	"provenance/follow":     "follows a log from outside",
	"provenance/receipt":    "verifies receipts offline",
	"provenance/replay":     "replays records that an audit has read",
	"provenance/witness":    "is a witness, for another registry",
	"retention":             "reads plans as they are printed",
	"storage/archive":       "lists and opens backups, which are no registry yet",
	"trust":                 "reports as they are printed",
	"trust/host":            "grades another registry, from outside",
	"trust/image":           "grades an image of another registry",
	"trust/policy":          "compiles a file of rules offline",
	"trust/signature":       "reads whom the user of an inspection trusts",
}

// TestCommandImports wants the command line to import server and client, what prints, and what is listed.
func TestCommandImports(t *testing.T) {
	unused := map[string]bool{}
	for p := range commandMayImport {
		unused[p] = true
	}
	for _, p := range listPackages(t) {
		if p.ImportPath != module+"/cmd/hallmark" {
			continue
		}
		for _, imported := range p.Imports {
			path, ours := strings.CutPrefix(imported, module+"/")
			room, _, _ := strings.Cut(path, "/")
			delete(unused, path)
			if ours && !slices.Contains([]string{"server", "client", "certs", "internal"}, room) && commandMayImport[path] == "" {
				t.Errorf("the command line imports %s: let server or client do it, or say here why not", path)
			}
		}
	}
	for p := range unused {
		t.Errorf("the command line does not import %s any more", p)
	}
}
