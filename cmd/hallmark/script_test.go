package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"golang.org/x/crypto/bcrypt"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// TestMain makes this binary hallmark itself, for the processes that tests start.
func TestMain(m *testing.M) {
	passwordCost = bcrypt.MinCost
	// Where they are built with the race detector, a race ends them, which a test notices; and they do not wait for a
	// second at their end, as they would else.
	os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0")
	testscript.Main(m, map[string]func(){"hallmark": main})
}

// TestScripts runs whole servers, each a process of its own with real TLS, as a shell session would.
// Beside testscript's commands there are:
//
//	start [ARG...]       start `hallmark serve` on a free port and wait until it is ready; $URL and $HOST name it. Where $RACED
//	                     is set, it has the race detector: in scripts in which a server does something on its own beside requests
//	hup                  let it read its configuration again, and wait until it has, or has not
//	halt [SIGNAL]        end it, by SIGTERM or another signal, and wait
//	push USER:PASSWORD REPO:TAG CONTENT [LABEL=VALUE...]   push an image of one layer; $DIGEST is its digest
//	pushthing USER:PASSWORD REPO:TAG CONFIGTYPE CONFIG LAYERTYPE CONTENT   push something of other types
//	pushindex USER:PASSWORD REPO:TAG DIGEST   push an index that lists one manifest of the repository
//	pull USER:PASSWORD REPO:TAG CONTENT                    pull it, and compare the layer
//	get [-u USER:PASSWORD] STATUS PATH                     ask the server; the answer is on stdout
//	let VARIABLE FIELD   set a variable to a field of the JSON that the last command printed
//	cell VARIABLE LINE COLUMN   set a variable to a cell of the table that the last command printed, counted from 1
//	cut VARIABLE MOMENT  set a variable to a moment without its fraction of a second
//	lasts ROBOT TIME     want a robot of the list that the last command printed to have a secret that is good for so long
//	fingerprints CA SERVER   set variables to the fingerprints that `hallmark cert show --json` printed
//	port VARIABLE        set a variable to a port that was free just now
//	metrics STATUS TOKEN ask for the metrics at the port $ADMIN, with a token
//	give DIR             give a directory, with all below it, to a user without rights
//	given DIR            want all of it to be theirs
//	carry out|in USER:PASSWORD REPO:TAG DIR   copy an image with all that refers to it into an OCI layout, or out of one
//	asnobody COMMAND...  run hallmark as a user without rights
//	examples             run the examples of the help
//	sample PAGE COMMAND  want a page of the documentation to show what the last command printed
func TestScripts(t *testing.T) {
	wantNoStop(t)
	verbs := filepath.Dir(plainProgram(t))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": startCmd, "halt": haltCmd, "hup": hupCmd, "push": pushCmd, "pull": pullCmd, "get": getCmd, "let": letCmd, "cell": cellCmd, "cut": cutCmd, "lasts": lastsCmd, "give": giveCmd, "metrics": metricsCmd, "port": portCmd, "given": givenCmd,
			"fingerprints": fingerprintsCmd, "asnobody": asNobodyCmd, "examples": examplesCmd,
			"attach": attachCmd, "carry": carryCmd, "pushthing": pushThingCmd, "sample": sampleCmd, "pushindex": pushIndexCmd,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HALLMARK_ADMIN_PASSWORD", adminPassword)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("PATH", verbs+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Values[processKey{}] = &process{}
			e.Defer(func() { e.Values[processKey{}].(*process).kill() })
			return nil
		},
		RequireExplicitExec: true,
	})
}

// wantNoStop refuses testscript's own command "stop", which ends a script in silence where "halt" was meant.
func wantNoStop(t *testing.T) {
	t.Helper()
	scripts, err := filepath.Glob("testdata/script/*")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are the scripts %q, %v", scripts, err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(text), "\nstop") {
			t.Errorf("%s says stop, which ends the script there", path)
		}
	}
}

const adminPassword = "correct horse"

type processKey struct{}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

// kill ends a process that launch started, and what it started: a server that strace runs would outlive that, and who waits
// for the end of what it says would wait for ever.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	select {
	case <-p.done: // it has ended, and its number may be somebody else's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended just now
		<-p.done
	}
	p.cmd = nil
}

// launch starts hallmark and waits for its ready line. It returns the URL in it.
func launch(cmd *exec.Cmd) (*process, string, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	p := &process{cmd: cmd, done: make(chan error, 1)}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "hallmark: ready at "); ok {
				ready <- url
			}
		}
		p.done <- cmd.Wait()
		close(ready)
	}()
	select {
	case url, ok := <-ready:
		if !ok {
			return nil, "", errors.New("it ended before it was ready")
		}
		return p, url, nil
	case <-time.After(longest):
		p.kill()
		return nil, "", errors.New("it was not ready in time")
	}
}

// serverOf is the program of a script's servers: without the race detector, as one thing after another happens to most of them.
func serverOf(ts *testscript.TestScript) (string, error) {
	if ts.Getenv("RACED") != "" {
		return exec.LookPath("hallmark")
	}
	return plain()
}

func startCmd(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(processKey{}).(*process)
	if p.cmd != nil {
		ts.Fatalf("a server runs already")
	}
	hallmark, err := serverOf(ts)
	ts.Check(err)
	cmd := exec.Command(hallmark, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "none"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+ts.Getenv("HALLMARK_ADMIN_PASSWORD"), "HOME="+ts.Getenv("HOME"),
		"HALLMARK_POLICY_FILE="+ts.Getenv("HALLMARK_POLICY_FILE"), "HALLMARK_MIRRORS_FILE="+ts.Getenv("HALLMARK_MIRRORS_FILE"),
		"HALLMARK_REGISTRY_SMALL_BLOBS="+ts.Getenv("HALLMARK_REGISTRY_SMALL_BLOBS"))
	errors := filepath.Join(ts.MkAbs("."), "stderr.log")
	log, err := os.OpenFile(errors, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	cmd.Stderr = log
	started, url, err := launch(cmd)
	if neg {
		if err == nil {
			started.kill()
			ts.Fatalf("it started")
		}
		return
	}
	if err != nil {
		said, _ := os.ReadFile(errors)
		ts.Fatalf("start: %v\n%s", err, said)
	}
	*p = *started
	ts.Setenv("URL", url)
	ts.Setenv("HOST", addressOf(url))
}

// hupCmd waits for one more line about it in the log.
func hupCmd(ts *testscript.TestScript, _ bool, _ []string) {
	p := ts.Value(processKey{}).(*process)
	count := func() int { return strings.Count(ts.ReadFile("stderr.log"), "reloaded") }
	before := count()
	ts.Check(p.cmd.Process.Signal(syscall.SIGHUP))
	for end := time.Now().Add(30 * time.Second); count() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("it said nothing of reading its configuration again")
		}
	}
}

func haltCmd(ts *testscript.TestScript, neg bool, args []string) {
	p := ts.Value(processKey{}).(*process)
	if p.cmd == nil {
		ts.Fatalf("no server runs")
	}
	signal := syscall.SIGTERM
	if len(args) > 0 && args[0] == "KILL" {
		signal = syscall.SIGKILL
	}
	ts.Check(p.cmd.Process.Signal(signal))
	err := <-p.done
	p.cmd = nil
	if signal == syscall.SIGTERM && (err != nil) != neg {
		ts.Fatalf("it ended with %v", err)
	}
}

// httpClient trusts the CA in a data directory.
func httpClient(dataDir string) (*http.Client, error) {
	pem, err := os.ReadFile(filepath.Join(dataDir, certsDir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &http.Client{Timeout: longest, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}, nil
}

// repository opens REPO:TAG at a server with an OCI client of others' making.
func repository(client *http.Client, host, login, ref string) (*remote.Repository, error) {
	repo, err := remote.NewRepository(host + "/" + ref)
	if err != nil {
		return nil, err
	}
	repo.Client = signedIn(client, host, login)
	return repo, nil
}

// signedIn is a client that signs in as clients do, and keeps its tokens.
func signedIn(client *http.Client, host, login string) *auth.Client {
	user, password, _ := strings.Cut(login, ":")
	return &auth.Client{Client: client, Credential: auth.StaticCredential(host, auth.Credential{Username: user, Password: password}), Cache: auth.NewCache()}
}

func scriptRepository(ts *testscript.TestScript, login, ref string) *remote.Repository {
	client, err := httpClient(ts.MkAbs("hallmark-data"))
	ts.Check(err)
	repo, err := repository(client, ts.Getenv("HOST"), login, ref)
	ts.Check(err)
	return repo
}

func pushCmd(ts *testscript.TestScript, neg bool, args []string) {
	repo := scriptRepository(ts, args[0], args[1])
	labels := map[string]string{}
	for _, l := range args[3:] {
		name, value, _ := strings.Cut(l, "=")
		labels[name] = value
	}
	d, err := pushTo(context.Background(), repo, repo.Reference.Reference, args[2], labels)
	if neg {
		if err == nil {
			ts.Fatalf("it was pushed")
		}
		fmt.Fprintln(ts.Stdout(), err)
		return
	}
	ts.Check(err)
	ts.Setenv("DIGEST", d.String())
}

func pushThingCmd(ts *testscript.TestScript, neg bool, args []string) {
	ctx, repo := context.Background(), scriptRepository(ts, args[0], args[1])
	config, err := pushBlob(ctx, repo, args[2], []byte(args[3]))
	ts.Check(err)
	layer, err := pushBlob(ctx, repo, args[4], []byte(args[5]))
	ts.Check(err)
	d, err := pushManifest(ctx, repo, repo.Reference.Reference, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}})
	if neg != (err != nil) {
		ts.Fatalf("it was pushed: %t, and %v", err == nil, err)
	}
	ts.Setenv("DIGEST", d.String())
}

// pushTo pushes an image of one layer.
func pushTo(ctx context.Context, repo *remote.Repository, tag, layer string, labels map[string]string) (digest.Digest, error) {
	config, err := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Labels": labels}})
	if err != nil {
		return "", err
	}
	configDescriptor, err := pushBlob(ctx, repo, ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return "", err
	}
	layerDescriptor, err := pushBlob(ctx, repo, ocispec.MediaTypeImageLayer, []byte(layer))
	if err != nil {
		return "", err
	}
	return pushManifest(ctx, repo, tag, ocispec.Manifest{Config: configDescriptor, Layers: []ocispec.Descriptor{layerDescriptor}})
}

func pushBlob(ctx context.Context, repo *remote.Repository, mediaType string, data []byte) (ocispec.Descriptor, error) {
	d := content.NewDescriptorFromBytes(mediaType, data)
	ok, err := repo.Blobs().Exists(ctx, d)
	if err == nil && !ok {
		err = repo.Blobs().Push(ctx, d, strings.NewReader(string(data)))
	}
	return d, err
}

func pushIndexCmd(ts *testscript.TestScript, _ bool, args []string) {
	ctx, repo := context.Background(), scriptRepository(ts, args[0], args[1])
	child, err := repo.Resolve(ctx, args[2])
	ts.Check(err)
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child}}
	index.SchemaVersion = 2
	data, err := json.Marshal(index)
	ts.Check(err)
	ts.Check(repo.PushReference(ctx, content.NewDescriptorFromBytes(index.MediaType, data), bytes.NewReader(data), repo.Reference.Reference))
}

// pushManifest pushes a manifest, by its digest where tag is empty.
func pushManifest(ctx context.Context, repo *remote.Repository, tag string, m ocispec.Manifest) (digest.Digest, error) {
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	data, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	d := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, data)
	if tag == "" {
		return d.Digest, repo.Push(ctx, d, strings.NewReader(string(data)))
	}
	return d.Digest, repo.PushReference(ctx, d, strings.NewReader(string(data)), tag)
}

// carryCmd copies as `oras cp -r` does.
func carryCmd(ts *testscript.TestScript, _ bool, args []string) {
	repo := scriptRepository(ts, args[1], args[2])
	layout, err := oci.New(ts.MkAbs(args[3]))
	ts.Check(err)
	from, to := oras.ReadOnlyGraphTarget(repo), oras.Target(layout)
	if args[0] == "in" {
		from, to = layout, repo
	}
	tag := repo.Reference.Reference
	d, err := oras.ExtendedCopy(context.Background(), from, tag, to, tag, oras.DefaultExtendedCopyOptions)
	ts.Check(err)
	ts.Setenv("DIGEST", d.Digest.String())
}

// attachCmd is "attach USER:PASSWORD REPO:TAG FILE": it attaches an in-toto statement to an image.
func attachCmd(ts *testscript.TestScript, _ bool, args []string) {
	ctx, repo := context.Background(), scriptRepository(ts, args[0], args[1])
	image, err := repo.Resolve(ctx, repo.Reference.Reference)
	ts.Check(err)
	layer, err := pushBlob(ctx, repo, "application/vnd.in-toto+json", []byte(ts.ReadFile(args[2])))
	ts.Check(err)
	config, err := pushBlob(ctx, repo, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	ts.Check(err)
	d, err := pushManifest(ctx, repo, "", ocispec.Manifest{
		ArtifactType: "application/vnd.in-toto+json", Config: config, Layers: []ocispec.Descriptor{layer}, Subject: &image,
	})
	ts.Check(err)
	ts.Setenv("DIGEST", d.String())
}

func pullCmd(ts *testscript.TestScript, neg bool, args []string) {
	repo := scriptRepository(ts, args[0], args[1])
	got, err := pullFrom(context.Background(), repo, repo.Reference.Reference)
	if neg {
		if err == nil {
			ts.Fatalf("it was pulled")
		}
		fmt.Fprintln(ts.Stdout(), err)
		return
	}
	ts.Check(err)
	if got != args[2] {
		ts.Fatalf("the layer is %q", got)
	}
}

func pullFrom(ctx context.Context, repo *remote.Repository, ref string) (layer string, err error) {
	_, data, err := repo.FetchReference(ctx, ref)
	if err != nil {
		return "", err
	}
	defer data.Close()
	body, err := io.ReadAll(data)
	if err != nil {
		return "", err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return "", err
	}
	b, err := content.FetchAll(ctx, repo.Blobs(), m.Layers[0])
	return string(b), err
}

func getCmd(ts *testscript.TestScript, _ bool, args []string) {
	client, err := httpClient(ts.MkAbs("hallmark-data"))
	ts.Check(err)
	method, login := http.MethodGet, ""
	for strings.HasPrefix(args[0], "-") {
		if args[0] == "-u" {
			login = args[1]
		} else {
			method = args[1] // -X
		}
		args = args[2:]
	}
	r, err := http.NewRequest(method, ts.Getenv("URL")+args[1], nil)
	ts.Check(err)
	if user, password, ok := strings.Cut(login, ":"); ok {
		r.SetBasicAuth(user, password)
	}
	resp, err := client.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if fmt.Sprint(resp.StatusCode) != args[0] {
		ts.Fatalf("%s: status %d, want %s\n%s", args[1], resp.StatusCode, args[0], body)
	}
	fmt.Fprintf(ts.Stdout(), "%s\n", body)
}

func letCmd(ts *testscript.TestScript, _ bool, args []string) {
	var fields map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &fields))
	value, ok := fields[args[1]].(string)
	if !ok {
		ts.Fatalf("there is no text %s", args[1])
	}
	ts.Setenv(args[0], value)
}

func cellCmd(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(ts.ReadFile("stdout"), "\n")
	line, err := strconv.Atoi(args[1])
	ts.Check(err)
	column, err := strconv.Atoi(args[2])
	ts.Check(err)
	if line > len(lines) {
		ts.Fatalf("there are only %d lines", len(lines))
	}
	cells := regexp.MustCompile("  +").Split(lines[line-1], -1)
	if column > len(cells) {
		ts.Fatalf("there are only %d cells in %q", len(cells), lines[line-1])
	}
	ts.Setenv(args[0], cells[column-1])
}

func cutCmd(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], regexp.MustCompile(`\.\d+`).ReplaceAllString(args[1], ""))
}

func lastsCmd(ts *testscript.TestScript, _ bool, args []string) {
	var list struct{ Robots []access.Robot }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	for _, r := range list.Robots {
		if r.Name != args[0] {
			continue
		}
		lasts := units.Duration(r.Expires.Sub(r.SecretSet.Time).Round(time.Minute))
		if lasts.String() != args[1] {
			ts.Fatalf("the secret of %s is good for %s", r.Name, lasts)
		}
		return
	}
	ts.Fatalf("there is no robot %s", args[0])
}

func fingerprintsCmd(ts *testscript.TestScript, _ bool, args []string) {
	var found certificates
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &found))
	ts.Setenv(args[0], found.CA.Fingerprint)
	ts.Setenv(args[1], found.Server.Fingerprint)
}

const nobody = 65534

// isRoot says whether what takes root can be tried. In CI it can.
func isRoot(ts *testscript.TestScript) bool {
	if os.Geteuid() == 0 {
		return true
	}
	if os.Getenv("CI") != "" {
		ts.Fatalf("CI has to run as root")
	}
	ts.Logf("skipped: it takes root")
	return false
}

func portCmd(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(errors.Join(err, l.Close()))
	ts.Setenv(args[0], port)
}

func metricsCmd(ts *testscript.TestScript, _ bool, args []string) {
	client, err := httpClient(ts.MkAbs("hallmark-data"))
	ts.Check(err)
	r, err := http.NewRequest(http.MethodGet, "https://localhost:"+ts.Getenv("ADMIN")+"/metrics", nil)
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+args[1])
	resp, err := client.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("status %d, want %s\n%s", resp.StatusCode, args[0], body)
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}

func giveCmd(ts *testscript.TestScript, _ bool, args []string) {
	if isRoot(ts) {
		ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, nobody, nobody))
		}))
	}
}

func givenCmd(ts *testscript.TestScript, _ bool, args []string) {
	if !isRoot(ts) {
		return
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != nobody {
			err = fmt.Errorf("%s belongs to another", path)
		}
		return err
	}))
}

// asNobodyCmd runs hallmark as a user who owns nothing. That takes root; in CI it is there.
func asNobodyCmd(ts *testscript.TestScript, neg bool, args []string) {
	if !isRoot(ts) {
		return
	}
	hallmark, err := exec.LookPath("hallmark")
	ts.Check(err)
	copied := filepath.Join(os.TempDir(), fmt.Sprintf("hallmark-nobody-%d", os.Getpid())) // where nobody can read it
	data, err := os.ReadFile(hallmark)
	ts.Check(err)
	ts.Check(os.WriteFile(copied, data, 0o755))
	defer os.Remove(copied)
	cmd := exec.Command(copied, args...)
	cmd.Args[0] = "hallmark"
	cmd.Path = copied
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); (err == nil) == neg {
		ts.Fatalf("it ended with %v", err)
	}
}
