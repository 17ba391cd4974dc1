//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// actions are what people do with a registry, in the order in which a client does them here.
var actions = []string{"login", "push", "pull", "copy", "list tags", "inspect", "attach", "discover", "delete"}

// client is a tool, and how it does what it can do.
type client struct {
	name string
	// login is nil for clients that have none of their own.
	login func(*world) *exec.Cmd
	// mistrusts is what login says while the certificate is not trusted; empty where it does not connect.
	mistrusts string
	// trust is what `hallmark cert trust` calls it; empty for those that use the system's roots.
	trust string
	// prepare sets up what the client needs besides; nil for most.
	prepare func(*world)
	does    map[string]func(*world)
}

// world is what a client finds.
type world struct {
	*testing.T
	s       *server
	archive string // an image as a file
	ref     string // team/hello:1.0, the image that it pushes, or that was pushed for it
	copied  string // team/copied:1.0
	dir     string // an empty directory
}

// digest is the image by its digest.
func (w *world) digest() string {
	return w.s.host + "/team/hello@" + w.s.digestOf("team/hello", "1.0")
}

// run runs a command, in the empty directory.
func (w *world) run(name string, args ...string) string {
	w.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = w.dir
	return mustRun(w.T, cmd)
}

// says runs a command, and wants its output to hold something.
func (w *world) says(want, name string, args ...string) {
	w.Helper()
	if out := w.run(name, args...); !strings.Contains(out, want) {
		w.Errorf("%s %s does not say %q:\n%s", filepath.Base(name), strings.Join(args, " "), want, out)
	}
}

// signIn writes alice's login where docker keeps its own, for all that look there.
func (s *server) signIn() {
	s.t.Helper()
	mustRun(s.t, command(alicePassword, tool(s.t, "oras"), "login", s.host, "-u", "alice", "--password-stdin"))
}

// loginBy is how most clients sign in.
func loginBy(name string, args ...string) func(*world) *exec.Cmd {
	return func(w *world) *exec.Cmd {
		return command(alicePassword, name, append(args, "-u", "alice", "--password-stdin", w.s.host)...)
	}
}

// TestClients lets each client do what it can. docs/clients.md shows the same table.
func TestClients(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root(t), "docs/clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients(t) {
		t.Run(c.name, func(t *testing.T) {
			if row := c.row(); !strings.Contains(string(doc), row) {
				t.Errorf("docs/clients.md does not hold\n%s", row)
			}
			c.test(t)
		})
	}
}

func (c client) row() string {
	cells := []string{"", c.name}
	for _, action := range actions {
		if c.does[action] != nil || action == "login" && c.login != nil {
			cells = append(cells, "yes")
		} else {
			cells = append(cells, "–")
		}
	}
	return strings.TrimSpace(strings.Join(cells, " | ") + " |")
}

func (c client) test(t *testing.T) {
	dockerHome(t)
	s := start(t)
	w := &world{T: t, s: s, archive: archive(t), ref: s.host + "/team/hello:1.0", copied: s.host + "/team/copied:1.0", dir: t.TempDir()}
	if c.mistrusts != "" {
		mustFail(t, c.login(w), c.mistrusts)
	}
	if c.trust != "" {
		s.trust(c.trust)
	}
	s.systemCA()
	if c.login != nil {
		mustRun(t, c.login(w))
	} else {
		s.signIn()
	}
	if c.prepare != nil {
		c.prepare(w)
	}
	if c.does["push"] == nil {
		sh(t, tool(t, "crane"), "push", w.archive, w.ref)
	}
	for _, action := range actions {
		if do := c.does[action]; do != nil {
			t.Run(action, func(t *testing.T) {
				w.T = t
				do(w)
				w.check(action)
			})
		}
	}
	w.T = t
	s.wantClean()
}

// check asks the registry whether what a client did has happened.
func (w *world) check(action string) {
	w.Helper()
	switch action {
	case "push":
		w.s.wantHistory("team/hello:1.0", w.s.digestOf("team/hello", "1.0"), "alice", source, revision)
	case "copy":
		if a, b := w.s.digestOf("team/hello", "1.0"), w.s.digestOf("team/copied", "1.0"); a != b {
			w.Errorf("the copy is %s, and the image %s", b, a)
		}
	case "attach":
		_, digest, _ := strings.Cut(w.digest(), "@")
		if out := w.s.get("/v2/team/hello/referrers/" + digest); !strings.Contains(out, "sha256:") {
			w.Errorf("nothing refers to the image: %s", out)
		}
	case "delete":
		mustFail(w.T, w.s.hallmark("show", "team/hello:1.0"), "there is no 1.0 in this repository any more: record ")
	}
}

func clients(t *testing.T) []client {
	crane, oras, cosign, buildx := tool(t, "crane"), tool(t, "oras"), tool(t, "cosign"), tool(t, "buildx")
	const unknown = "certificate signed by unknown authority"
	return []client{
		{
			name: "docker", login: loginBy("docker", "login"), mistrusts: unknown, trust: "docker",
			does: map[string]func(*world){
				"push": func(w *world) {
					w.run("docker", "build", "-q", "-t", w.ref, scratch(w.T, source, revision))
					w.run("docker", "push", w.ref)
				},
				"pull": func(w *world) {
					w.run("docker", "rmi", w.ref)
					w.run("docker", "pull", w.digest())
					w.says("hello from "+revision, "docker", "run", "--rm", w.digest())
					w.run("docker", "rmi", w.digest())
				},
				"inspect": func(w *world) { w.says("sha256:", "docker", "manifest", "inspect", w.ref) },
			},
		},
		{
			name: "buildx",
			prepare: func(w *world) {
				address := buildkit(w.T, w.s)
				w.Setenv("BUILDX_CONFIG", w.TempDir())
				w.run(buildx, "create", "--name", "hallmark-e2e", "--driver", "remote", "--use", address)
			},
			does: map[string]func(*world){
				"push": func(w *world) {
					w.run(buildx, "build", "--provenance", "mode=max", "-t", w.ref, "--push", scratch(w.T, source, revision))
				},
				"pull": func(w *world) { // as the base of another image
					write(w.T, filepath.Join(w.dir, "Dockerfile"), "FROM "+w.digest()+"\n")
					w.run(buildx, "build", "--output", "type=local,dest=out", ".")
					w.says("hello from "+revision, "sh", "-c", "out/hello 2>&1")
				},
				"copy": func(w *world) { w.run(buildx, "imagetools", "create", "-t", w.copied, w.digest()) },
				"inspect": func(w *world) {
					w.says(strings.TrimPrefix(w.digest(), w.s.host+"/team/hello@"), buildx, "imagetools", "inspect", w.ref)
				},
			},
		},
		{
			name: "skopeo", login: loginBy("skopeo", "login"), mistrusts: unknown, trust: "podman",
			does: map[string]func(*world){
				"push":      func(w *world) { w.run("skopeo", "copy", "docker-archive:"+w.archive, "docker://"+w.ref) },
				"pull":      func(w *world) { w.run("skopeo", "copy", "docker://"+w.ref, "oci:layout:1.0") },
				"copy":      func(w *world) { w.run("skopeo", "copy", "docker://"+w.digest(), "docker://"+w.copied) },
				"list tags": func(w *world) { w.says(`"1.0"`, "skopeo", "list-tags", "docker://"+w.s.host+"/team/hello") },
				"inspect":   func(w *world) { w.says(revision, "skopeo", "inspect", "docker://"+w.ref) },
				"delete":    func(w *world) { w.run("skopeo", "delete", "docker://"+w.ref) },
			},
		},
		{
			name: "podman", login: loginBy("podman", "login"), mistrusts: unknown, trust: "podman",
			does: map[string]func(*world){
				"push": func(w *world) {
					w.run("podman", "build", "-t", w.ref, scratch(w.T, source, revision))
					w.run("podman", "push", w.ref)
				},
				"pull": func(w *world) {
					w.run("podman", "rmi", "-f", w.ref)
					w.run("podman", "pull", w.digest())
					w.says(revision, "podman", "image", "inspect", w.digest())
					w.run("podman", "rmi", "-f", w.digest())
				},
				"list tags": func(w *world) { w.says("1.0", "podman", "search", "--list-tags", w.s.host+"/team/hello") },
			},
		},
		{
			name: "buildah", login: loginBy("buildah", "login"), mistrusts: unknown, trust: "podman",
			does: map[string]func(*world){
				"push": func(w *world) {
					w.run("buildah", "build", "-t", w.ref, scratch(w.T, source, revision))
					w.run("buildah", "push", w.ref)
				},
				"pull": func(w *world) {
					w.run("buildah", "rmi", "-f", w.ref)
					w.run("buildah", "pull", w.digest())
					w.says(revision, "buildah", "inspect", w.digest())
					w.run("buildah", "rmi", "-f", w.digest())
				},
			},
		},
		{
			name: "crane", login: loginBy(crane, "auth", "login"),
			does: map[string]func(*world){
				"push": func(w *world) { w.run(crane, "push", w.archive, w.ref) },
				"pull": func(w *world) {
					w.run(crane, "validate", "--remote", w.ref)
					w.run(crane, "pull", w.digest(), "pulled.tar")
				},
				"copy": func(w *world) { w.run(crane, "copy", w.digest(), w.copied) },
				"list tags": func(w *world) {
					w.says("1.0\n", crane, "ls", w.s.host+"/team/hello")
					w.says("team/hello\n", crane, "catalog", w.s.host)
				},
				"inspect": func(w *world) { w.says(revision, crane, "config", w.ref) },
				"delete":  func(w *world) { w.run(crane, "delete", w.digest()) },
			},
		},
		{
			name: "oras", login: loginBy(oras, "login"), mistrusts: unknown,
			does: map[string]func(*world){
				"push": func(w *world) {
					write(w.T, filepath.Join(w.dir, "hello.txt"), "hello")
					w.run(oras, "push", w.ref, "--annotation", "org.opencontainers.image.source="+source,
						"--annotation", "org.opencontainers.image.revision="+revision, "hello.txt:text/plain")
				},
				"pull":      func(w *world) { w.run(oras, "pull", "-o", "out", w.digest()); w.says("hello", "cat", "out/hello.txt") },
				"copy":      func(w *world) { w.run(oras, "cp", w.digest(), w.copied) },
				"list tags": func(w *world) { w.says("1.0\n", oras, "repo", "tags", w.s.host+"/team/hello") },
				"inspect":   func(w *world) { w.says(revision, oras, "manifest", "fetch", w.ref) },
				"attach": func(w *world) {
					write(w.T, filepath.Join(w.dir, "sbom.json"), "{}")
					w.run(oras, "attach", "--artifact-type", "application/spdx+json", w.digest(), "sbom.json:application/spdx+json")
				},
				"discover": func(w *world) { w.says("application/spdx+json", oras, "discover", w.digest()) },
				"delete":   func(w *world) { w.run(oras, "manifest", "delete", "--force", w.digest()) },
			},
		},
		{
			name: "cosign", login: loginBy(cosign, "login"),
			does: map[string]func(*world){
				"attach": func(w *world) {
					w.Setenv("COSIGN_PASSWORD", "")
					w.run(cosign, "generate-key-pair")
					w.run(cosign, "sign", "--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", w.digest())
					w.run(cosign, "sign", "--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false", w.digest())
				},
				"discover": func(w *world) {
					for _, bundle := range []string{"true", "false"} { // the newer and the older way
						w.run(cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--new-bundle-format="+bundle, w.digest())
					}
				},
			},
		},
		{
			name: "containerd", trust: "containerd",
			does: map[string]func(*world){
				"pull": func(w *world) {
					address := containerd(w.T)
					args := []string{"--address", address, "images", "pull", "--user", "alice:" + alicePassword}
					w.run("ctr", append(args, "--hosts-dir", "/etc/containerd/certs.d", w.ref)...)
				},
			},
		},
	}
}
