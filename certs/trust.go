package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Clients lists what Trust knows, in the order in which help shows them.
var Clients = []string{"docker", "podman", "containerd", "buildkit", "debian", "fedora", "rhel", "alpine", "macos", "windows", "kubernetes"}

// A Registry is what a client is to trust.
type Registry struct {
	Address string // host[:port], as it stands in image names
	CA      *x509.Certificate
}

// A Plan is how to make one client trust a registry.
type Plan struct {
	Files    []File
	Commands [][]string // to run after the files are written
	Notes    []string   // what is left to do by hand, a paragraph each
	Undo     []string   // what undoes by hand what was done by hand, a paragraph each
}

// A File is to be written. With Section set, it is appended to an existing file that does not have it.
type File struct {
	Path    string
	Content []byte
	Section string // the line that begins what is appended
}

// Dirs say where the client's files are.
type Dirs struct {
	Root string // "" for the real file system; else a directory that stands for "/"
	Home string // the home directory of a user who is not root, or "" for the whole machine
}

func (p Dirs) path(elements ...string) string {
	return filepath.Join(append([]string{p.Root + "/"}, elements...)...)
}

// config is the directory of a client's settings: system for root, user below the home directory.
func (p Dirs) config(system, user string) string {
	if p.Home != "" {
		return filepath.Join(p.Home, user)
	}
	return p.path(system)
}

// Trust returns the plan for a client. It does nothing yet.
func Trust(client string, r Registry, at Dirs) (Plan, error) {
	// In image names the port of HTTPS is left out, and so it is in the names of these directories.
	r.Address = strings.TrimSuffix(r.Address, ":443")
	if err := checkAddress(r.Address); err != nil {
		return Plan{}, err
	}
	plans := map[string]func(Registry, Dirs) Plan{
		"docker": trustDocker, "podman": trustPodman, "containerd": trustContainerd, "buildkit": trustBuildkit,
		"debian": trustDebian, "fedora": trustFedora, "rhel": trustFedora, "alpine": trustDebian, "macos": trustMacOS, "windows": trustWindows, "kubernetes": trustKubernetes,
	}
	plan, ok := plans[client]
	if !ok {
		return Plan{}, fmt.Errorf("%q is not a client that this program knows; it knows %s", client, strings.Join(Clients, ", "))
	}
	return plan(r, at), nil
}

// checkAddress keeps what goes into a path and into TOML to host[:port].
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	if _, err := ParseNames(host); err != nil || strings.Trim(port, "0123456789") != "" {
		return fmt.Errorf("%q is not host[:port]", address)
	}
	return nil
}

func trustDocker(r Registry, at Dirs) Plan {
	dir := at.config("etc/docker/certs.d", ".config/docker/certs.d")
	return Plan{Files: []File{{Path: filepath.Join(dir, r.Address, "ca.crt"), Content: EncodePEM(r.CA)}}}
}

func trustPodman(r Registry, at Dirs) Plan {
	dir := at.config("etc/containers/certs.d", ".config/containers/certs.d")
	return Plan{Files: []File{{Path: filepath.Join(dir, r.Address, "ca.crt"), Content: EncodePEM(r.CA)}}}
}

func trustContainerd(r Registry, at Dirs) Plan {
	dir := at.path("etc/containerd/certs.d", r.Address)
	ca := filepath.Join(dir, "ca.crt")
	// What a host does not have, containerd asks of the server once more: with an authority of its own, or a missing
	// image is told as a certificate that cannot be verified.
	hosts := fmt.Sprintf("server = \"https://%s\"\nca = %q\n\n[host.\"https://%s\"]\n  ca = %q\n", r.Address, ca, r.Address, ca)
	return Plan{
		Files: []File{{Path: ca, Content: EncodePEM(r.CA)}, {Path: filepath.Join(dir, "hosts.toml"), Content: []byte(hosts)}},
		Notes: []string{"containerd reads this directory where its config.toml has, under " +
			`[plugins."io.containerd.grpc.v1.cri".registry] (containerd 1) or [plugins."io.containerd.cri.v1.images".registry] (containerd 2),` + "\n" +
			fmt.Sprintf("    config_path = %q\n", at.path("etc/containerd/certs.d")) +
			"ctr and nerdctl take --hosts-dir with the same path."},
	}
}

func trustBuildkit(r Registry, at Dirs) Plan {
	dir := at.config("etc/buildkit", ".config/buildkit")
	ca := filepath.Join(dir, "certs", fileName(r.Address)+".crt")
	section := fmt.Sprintf("[registry.%q]", r.Address)
	config := filepath.Join(dir, "buildkitd.toml")
	return Plan{
		Files: []File{
			{Path: ca, Content: EncodePEM(r.CA)},
			{Path: config, Section: section, Content: fmt.Appendf(nil, "%s\n  ca = [%q]\n", section, ca)},
		},
		Notes: []string{
			"A running buildkitd reads this file when it starts again.",
			"For `docker buildx`, make a builder that has it (buildx copies the CA into the builder):\n" +
				"    docker buildx create --name hallmark --use --buildkitd-config " + config,
			"buildctl and `docker buildx` get the tokens for buildkitd themselves, and trust the system's store:\n" +
				"    hallmark cert trust debian          (or, for one command, SSL_CERT_FILE=" + ca + ")",
		},
	}
}

// trustDebian is for Alpine, too, where the package ca-certificates brings the command.
func trustDebian(r Registry, at Dirs) Plan {
	return Plan{
		Files: []File{{
			Path:    at.path("usr/local/share/ca-certificates", "hallmark-"+fileName(r.Address)+".crt"),
			Content: EncodePEM(r.CA),
		}},
		Commands: [][]string{{"update-ca-certificates"}},
		Notes:    []string{"Programs that run already, the Docker engine among them, see it when they start again."},
	}
}

func trustFedora(r Registry, at Dirs) Plan {
	plan := trustDebian(r, at)
	plan.Files[0].Path = at.path("etc/pki/ca-trust/source/anchors", "hallmark-"+fileName(r.Address)+".crt")
	plan.Commands = [][]string{{"update-ca-trust", "extract"}}
	return plan
}

func trustMacOS(r Registry, _ Dirs) Plan {
	return Plan{Notes: []string{
		"Save this certificate as hallmark-ca.pem:\n" + string(EncodePEM(r.CA)),
		"Let the whole Mac trust it:\n" +
			"    sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain hallmark-ca.pem",
		"Docker Desktop takes it from the keychain when it starts again. To trust it for this registry only:\n" +
			"    mkdir -p ~/.docker/certs.d/" + r.Address + " && cp hallmark-ca.pem ~/.docker/certs.d/" + r.Address + "/ca.crt\n" +
			"and restart Docker Desktop.",
	}, Undo: []string{
		"    sudo security delete-certificate -c \"" + r.CA.Subject.CommonName + "\" /Library/Keychains/System.keychain\n" +
			"    rm -r ~/.docker/certs.d/" + r.Address,
	}}
}

func trustWindows(r Registry, _ Dirs) Plan {
	return Plan{Notes: []string{
		"Save this certificate as hallmark-ca.crt:\n" + string(EncodePEM(r.CA)),
		"In PowerShell, as administrator:\n" +
			`    Import-Certificate -FilePath hallmark-ca.crt -CertStoreLocation Cert:\LocalMachine\Root`,
		"Docker Desktop takes it from there when it starts again. The Docker engine for Windows containers reads\n" +
			`    C:\ProgramData\docker\certs.d\` + strings.ReplaceAll(r.Address, ":", "") + `\ca.crt`,
	}, Undo: []string{
		"In PowerShell, as administrator:\n" +
			`    Get-ChildItem Cert:\LocalMachine\Root | Where-Object Subject -like "CN=` + r.CA.Subject.CommonName + `*" | Remove-Item`,
	}}
}

func trustKubernetes(r Registry, at Dirs) Plan {
	hosts := trustContainerd(r, at)
	return Plan{Notes: []string{
		"The nodes pull images, not the pods, so each node has to trust the CA. Nodes with containerd want these two\n" +
			"files, put there by whatever sets up your nodes (an image, cloud-init, a privileged DaemonSet):\n\n" +
			hosts.Files[0].Path + "\n" + string(hosts.Files[0].Content) + "\n" +
			hosts.Files[1].Path + "\n" + string(hosts.Files[1].Content),
		hosts.Notes[0],
		"Nodes with CRI-O read " + at.path("etc/containers/certs.d", r.Address, "ca.crt") + ".",
		"And the pods need the login:\n    kubectl create secret docker-registry hallmark --docker-server=" + r.Address +
			" --docker-username=NAME --docker-password=PASSWORD",
	}, Undo: []string{
		"Whatever put these files on the nodes takes them away: " + hosts.Files[0].Path + " and " + hosts.Files[1].Path + ".",
		"    kubectl delete secret hallmark",
	}}
}

// fileName makes an address into a file's name.
func fileName(address string) string {
	return strings.Trim(strings.NewReplacer(":", "-", "[", "", "]", "").Replace(address), "-")
}

// Do carries out a plan, and says on out what it does.
func (p Plan) Do(ctx context.Context, out io.Writer) error {
	for _, f := range p.Files {
		if err := f.write(out); err != nil {
			return err
		}
	}
	if err := p.run(ctx, out); err != nil {
		return err
	}
	for _, note := range p.Notes {
		fmt.Fprintf(out, "\n%s\n", note)
	}
	return nil
}

func (p Plan) run(ctx context.Context, out io.Writer) error {
	for _, command := range p.Commands {
		fmt.Fprintf(out, "run %s\n", joined(command))
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", command[0], err, output)
		}
	}
	return nil
}

func joined(command []string) string { return strings.Join(command, " ") }

func (f File) write(out io.Writer) error {
	content, err := f.merged()
	if err != nil || content == nil {
		return err
	}
	fmt.Fprintf(out, "write %s\n", f.Path)
	err = os.MkdirAll(filepath.Dir(f.Path), 0o755)
	if err == nil {
		err = os.WriteFile(f.Path, content, 0o644)
	}
	return asRoot(err)
}

// asRoot says what to do about a lack of rights, where that is what is wrong.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run it as root (sudo), or see with --print what it would do", err)
	}
	return err
}

// merged returns what the file is to hold, or nil when it holds that already.
func (f File) merged() ([]byte, error) {
	old, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Content, nil
	}
	if err != nil || bytes.Contains(old, f.Content) && (f.Section != "" || len(old) == len(f.Content)) {
		return nil, err
	}
	if f.Section == "" {
		return f.Content, nil
	}
	lines := strings.Split(string(old), "\n")
	if slices.ContainsFunc(lines, func(l string) bool { return strings.TrimSpace(l) == f.Section }) {
		return nil, fmt.Errorf("%s has a section %s of its own; put this into it yourself:\n%s", f.Path, f.Section, f.Content)
	}
	return slices.Concat(bytes.TrimRight(old, "\n"), []byte("\n\n"), f.Content), nil
}

// Print says on out what Do would do.
func (p Plan) Print(out io.Writer) {
	for _, f := range p.Files {
		verb := "write"
		if f.Section != "" {
			verb = "append to"
		}
		fmt.Fprintf(out, "%s %s:\n%s\n", verb, f.Path, f.Content)
	}
	for _, command := range p.Commands {
		fmt.Fprintf(out, "run %s\n", joined(command))
	}
	for _, note := range p.Notes {
		fmt.Fprintf(out, "\n%s\n", note)
	}
}
