//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A thing is something of a kind that people keep in a registry. The tool that is made for it pushes it.
type thing struct {
	name string
	kind string // as reports call it
	push func(w *world, ref string)
	// pull is nil for what no client pulls as a whole.
	pull map[string]func(w *world, ref string)
}

// copiers copy anything from one repository to another, by its digest.
func copiers(t *testing.T) map[string][]string {
	return map[string][]string{
		"skopeo": {"skopeo", "copy", "--all"},
		"crane":  {tool(t, "crane"), "copy"},
		"oras":   {tool(t, "oras"), "copy", "-r"},
	}
}

// thingColumns are the columns of the table of things, in its order.
var thingColumns = []string{"docker", "skopeo", "podman", "crane", "oras"}

// TestThings pushes one thing of each kind, has it copied and pulled by every client that can, and wants
// the copies to be the same to the last byte. docs/clients.md shows the same table.
func TestThings(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "docs/clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	dockerHome(t)
	s := start(t)
	s.trust("docker")
	s.trust("podman")
	s.systemCA()
	s.signIn()
	address := buildkit(t, s)
	for _, th := range things(t, address) {
		t.Run(th.name, func(t *testing.T) {
			if row := th.row(t); !strings.Contains(string(doc), row) {
				t.Errorf("docs/clients.md does not hold\n%s", row)
			}
			th.test(&world{T: t, s: s, dir: t.TempDir()})
		})
	}
	s.wantClean()
}

func (th thing) row(t *testing.T) string {
	cells := []string{"", th.name}
	for _, client := range thingColumns {
		var can []string
		if th.pull[client] != nil {
			can = append(can, "pull")
		}
		if copiers(t)[client] != nil {
			can = append(can, "copy")
		}
		if can == nil {
			can = []string{"–"}
		}
		cells = append(cells, strings.Join(can, ", "))
	}
	return strings.TrimSpace(strings.Join(cells, " | ") + " |")
}

func (th thing) test(w *world) {
	repo := "things/" + strings.ReplaceAll(strings.ToLower(th.name), " ", "-")
	th.push(w, w.s.host+"/"+repo+":1.0")
	digest := w.s.digestOf(repo, "1.0")
	w.s.wantKind(repo, "1.0", th.kind)
	ref := w.s.host + "/" + repo + "@" + digest
	for client, copying := range copiers(w.T) {
		target := repo + "-by-" + client
		from, to := ref, w.s.host+"/"+target+":1.0"
		if client == "skopeo" {
			from, to = "docker://"+from, "docker://"+to
		}
		w.run(copying[0], append(copying[1:], from, to)...)
		if got := w.s.digestOf(target, "1.0"); got != digest {
			w.Errorf("%s made %s of %s", client, got, digest)
		}
	}
	for _, pull := range th.pull {
		pull(&world{T: w.T, s: w.s, dir: w.TempDir()}, ref)
	}
}

func things(t *testing.T, buildkit string) []thing {
	build := func(w *world, args ...string) {
		dir := scratch(w.T, source, revision)
		w.run(tool(w.T, "buildctl"), append([]string{
			"--addr", buildkit, "build", "--frontend", "dockerfile.v0", "--local", "context=" + dir, "--local", "dockerfile=" + dir,
			"--opt", "platform=linux/amd64,linux/arm64", "--opt", "attest:provenance=mode=max",
		}, args...)...)
	}
	images := map[string]func(w *world, ref string){
		"docker": func(w *world, ref string) { w.run("docker", "pull", ref); w.run("docker", "rmi", ref) },
		"podman": func(w *world, ref string) { w.run("podman", "pull", ref); w.run("podman", "rmi", "-f", ref) },
		"skopeo": func(w *world, ref string) { w.run("skopeo", "copy", "--all", "docker://"+ref, "oci:layout") },
		"crane":  func(w *world, ref string) { w.run(tool(w.T, "crane"), "pull", "--format", "oci", ref, "layout") },
		"oras": func(w *world, ref string) {
			w.run(tool(w.T, "oras"), "copy", "-r", ref, "--to-oci-layout", "layout:1.0")
		},
	}
	artifacts := func(file, content string) map[string]func(w *world, ref string) {
		return map[string]func(w *world, ref string){
			"skopeo": images["skopeo"],
			"crane":  images["crane"],
			"oras": func(w *world, ref string) {
				w.run(tool(w.T, "oras"), "pull", "-o", "out", ref)
				w.says(content, "sh", "-c", "tar xzOf out/"+file+" 2>/dev/null || cat out/"+file)
			},
		}
	}
	return []thing{
		{"image", "image", func(w *world, ref string) { w.run(tool(w.T, "crane"), "push", archive(w.T), ref) }, images},
		{"index with attestations", "image", func(w *world, ref string) {
			build(w, "--output", "type=image,name="+ref+",push=true,oci-mediatypes=true")
		}, images},
		{"BuildKit cache", "cache", func(w *world, ref string) {
			build(w, "--export-cache", "type=registry,ref="+ref+",mode=max")
		}, map[string]func(w *world, ref string){
			"skopeo": images["skopeo"], "crane": images["crane"], "oras": images["oras"],
		}},
		{"Helm chart", "chart", pushChart, artifacts("hello-0.1.0.tgz", "name: hello")},
		{"files", "unknown", func(w *world, ref string) {
			write(w.T, filepath.Join(w.dir, "hello.txt"), "hello")
			w.run(tool(w.T, "oras"), "push", ref, "--artifact-type", "application/vnd.example.files", "hello.txt:text/plain")
		}, artifacts("hello.txt", "hello")},
	}
}

// pushChart pushes what `helm push` does: a config and a layer of Helm's own types.
func pushChart(w *world, ref string) {
	write(w.T, filepath.Join(w.dir, "config.json"), `{"name":"hello","version":"0.1.0","apiVersion":"v2"}`)
	write(w.T, filepath.Join(w.dir, "hello/Chart.yaml"), "apiVersion: v2\nname: hello\nversion: 0.1.0\n")
	w.run("tar", "czf", "hello-0.1.0.tgz", "hello")
	w.run(tool(w.T, "oras"), "push", ref, "--config", "config.json:application/vnd.cncf.helm.config.v1+json",
		"--annotation", "org.opencontainers.image.source="+source, "hello-0.1.0.tgz:application/vnd.cncf.helm.chart.content.v1.tar+gzip")
	repo, _, _ := strings.Cut(strings.TrimPrefix(ref, w.s.host+"/"), ":")
	if out := mustRun(w.T, w.s.hallmark("history", repo+":1.0")); !strings.Contains(out, "alice") || !strings.Contains(out, source) {
		w.Errorf("history:\n%s", out)
	}
}

// wantKind wants the report about something to be of a kind, and to ask what containers run as of images alone.
func (s *server) wantKind(repo, ref, kind string) {
	s.t.Helper()
	out := s.get("/api/v1/report?repo=" + repo + "&ref=" + ref)
	var report struct {
		Kind, Ungraded string
		Checks         []struct{ ID, Result string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		s.t.Fatalf("%s: %v in %s", repo, err, out)
	}
	if report.Kind != kind || (report.Ungraded != "") != (kind == "cache" || kind == "unknown") {
		s.t.Errorf("%s is of the kind %s (%s), want %s", repo, report.Kind, report.Ungraded, kind)
	}
	for _, c := range report.Checks {
		if (c.ID == "not-root" || c.ID == "platforms") && (c.Result == "na") != (kind != "image") {
			s.t.Errorf("%s: %s is %s", repo, c.ID, c.Result)
		}
	}
}

// TestFileKinds pushes files, a directory and a module with oras as people do, and wants them to be taken for what they are.
func TestFileKinds(t *testing.T) {
	s := start(t)
	s.systemCA()
	dockerHome(t)
	oras, dir := tool(t, "oras"), t.TempDir()
	login := exec.Command(oras, "login", s.host, "-u", "alice", "--password-stdin")
	login.Stdin = strings.NewReader(alicePassword)
	mustRun(t, login)
	write(t, filepath.Join(dir, "hello.txt"), "hello")
	write(t, filepath.Join(dir, "docs/page.md"), "a page")
	write(t, filepath.Join(dir, "app.wasm"), "\x00asm\x01\x00\x00\x00")
	write(t, filepath.Join(dir, "config.json"), `{"name":"hello","version":"0.1.0"}`)
	for repo, c := range map[string]struct{ kind, args string }{
		"things/files":     {"files", "hello.txt"},
		"things/directory": {"files", "docs/"},
		"things/older":     {"files", "--image-spec v1.0 hello.txt"},
		"things/rocket":    {"unknown", "--artifact-type application/vnd.example.rocket hello.txt"},
		"things/chart":     {"chart", "--config config.json:application/vnd.cncf.helm.config.v1+json hello.txt:application/vnd.cncf.helm.chart.content.v1.tar+gzip"},
		"things/module":    {"wasm", "--config config.json:application/vnd.wasm.config.v0+json app.wasm:application/wasm"},
		"things/plain":     {"wasm", "app.wasm:application/vnd.wasm.content.layer.v1+wasm"},
	} {
		cmd := exec.Command(oras, append([]string{"push", s.host + "/" + repo + ":1.0"}, strings.Fields(c.args)...)...)
		cmd.Dir = dir
		mustRun(t, cmd)
		s.wantKind(repo, "1.0", c.kind)
	}
	s.wantClean()
}
