package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/powerloss"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/archive"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// The power-loss tests record every call by which a process changes its files, and then open a registry on what a
// power loss at some moment may have left of them: whatever a client was told before that moment must be so.

// A fact is what a client was told. It holds from then on, until somebody asks for what ends it.
type fact struct {
	says        string
	from, until float64 // seconds since 1970
	holds       func(*survivor) error
}

// recording is what a process did to the directory dir, and the facts that it let clients know.
type recording struct {
	t          *testing.T
	dir, trace string
	disk       *powerloss.Disk
	events     []powerloss.Event
	facts      []*fact
	older      bool // what is left may have to be adopted
}

func newRecording(t *testing.T, dir string) *recording {
	return &recording{t: t, dir: dir, trace: filepath.Join(t.TempDir(), "trace"), disk: powerloss.NewDisk(dir)}
}

func (r *recording) know(says string, holds func(*survivor) error) *fact {
	f := &fact{says: says, from: seconds(), until: 1e18, holds: holds}
	r.facts = append(r.facts, f)
	return f
}

func seconds() float64 { return float64(time.Now().UnixMicro()) / 1e6 }

// end reads what a process did, after those before it, and wants the recorder to have seen everything.
func (r *recording) end() {
	r.t.Helper()
	events, err := powerloss.Read(r.trace)
	if err != nil {
		r.t.Fatal(err)
	}
	disk := r.disk.Clone()
	for _, e := range r.events {
		err = errors.Join(err, disk.Apply(e))
	}
	for _, e := range events {
		settled, settleErr := disk.Settle(e)
		err = errors.Join(err, settleErr, disk.Apply(settled))
		r.events = append(r.events, settled)
	}
	if err = errors.Join(err, disk.Compare()); err != nil {
		r.t.Fatal(err)
	}
}

// program is the command `hallmark`, to be recorded.
func (r *recording) program(args ...string) *exec.Cmd {
	r.t.Helper()
	cmd := exec.Command(plainProgram(r.t), args...)
	cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_REGISTRY_LEASE=2s", "HALLMARK_TRASH_KEEP=2s")
	powerloss.Command(r.t, cmd, r.trace)
	return cmd
}

// recordedServer is a server whose calls are recorded, and who asks it for things.
type recordedServer struct {
	*testServer
	rec   *recording
	state follow.State
	live  map[string]*fact // of images that are there, by digest
}

func recordServer(t *testing.T, r *recording, args ...string) *recordedServer {
	t.Helper()
	cmd := r.program(append([]string{"serve", "--data", r.dir, "--listen", "127.0.0.1:0", "--admin-listen", "none"}, args...)...)
	log, err := os.Create(r.dir + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	p, url, err := launch(cmd)
	if err != nil {
		said, _ := os.ReadFile(r.dir + ".log")
		t.Fatalf("%v\n%s", err, said)
	}
	t.Cleanup(func() { killTraced(p) })
	s := &recordedServer{testServer: &testServer{process: p, t: t, dir: r.dir, url: url}, rec: r, live: map[string]*fact{}}
	s.trustCA()
	s.rec.know("admin signs in", signsIn("admin", adminPassword))
	if !r.older { // it begins its log by hand
		s.sawLog()
	}
	return s
}

// killTraced kills the child of strace, which then ends by itself.
func killTraced(p *process) {
	if p.cmd == nil {
		return
	}
	pid := p.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var child int
	if _, scanErr := fmt.Sscan(string(children), &child); err == nil && scanErr == nil {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
	}
	select {
	case <-p.done:
		p.cmd = nil
	case <-time.After(longest):
		p.kill()
	}
}

func (s *recordedServer) kill() {
	killTraced(s.process)
	s.rec.end()
}

// trustCA makes a client that trusts the CA there is, and takes note of it.
func (s *recordedServer) trustCA() (fact *fact) {
	s.t.Helper()
	ca, err := os.ReadFile(filepath.Join(s.dir, certsDir, "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.client, err = httpClient(s.dir); err != nil {
		s.t.Fatal(err)
	}
	return s.rec.know("the certificate authority", func(v *survivor) error {
		if status, body := v.do("GET", "/ca.pem", ""); status != 200 || body != string(ca) {
			return fmt.Errorf("it is another one: %d", status)
		}
		return nil
	})
}

// sawLog checks the log, and remembers what it was.
func (s *recordedServer) sawLog() {
	s.t.Helper()
	get := func(_ context.Context, path string) ([]byte, error) {
		status, _, body := s.do("GET", path, "none", "")
		if status != 200 {
			return nil, fmt.Errorf("%s: status %d", path, status)
		}
		return []byte(body), nil
	}
	if report, err := follow.Check(context.Background(), get, &s.state, time.Now()); err != nil || report.Outcome.Bad() {
		s.t.Fatalf("%+v, %v", report, err)
	}
	seen, err := json.Marshal(s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	s.rec.know("the log goes on", func(v *survivor) error { return v.continues(seen) })
}

// push pushes an image, and knows that it is there.
func (s *recordedServer) push(repo, tag, layer string) (digest string) {
	s.t.Helper()
	digest = s.testServer.push(repo, tag, layer, nil)
	s.live[digest] = s.rec.know(repo+":"+tag, func(v *survivor) error { return v.hasImage(repo, tag, digest, layer) })
	s.sawLog()
	return digest
}

// remove deletes an image, and knows that it is gone.
func (s *recordedServer) remove(repo, digest string) {
	s.t.Helper()
	s.live[digest].until = seconds()
	path := "/v2/" + repo + "/manifests/" + digest
	s.want(202, "DELETE", path)
	s.rec.know("no "+digest, func(v *survivor) error {
		if status, _ := v.do("GET", path, ""); status != 404 {
			return fmt.Errorf("a deleted image is back: status %d", status)
		}
		return nil
	})
	s.sawLog()
}

// command runs a command of the operator's.
func (s *recordedServer) command(stdin string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(plainProgram(s.t), append(args, "--data", s.dir)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// keys are the receipt keys that the registry has had.
func (s *recordedServer) keys() {
	s.t.Helper()
	want := s.want(200, "GET", "/keys/receipts.json")
	s.rec.know("the keys", func(v *survivor) error {
		var before, now struct{ Keys []struct{ Hint string } }
		_, body := v.do("GET", "/keys/receipts.json", "")
		if err := errors.Join(json.Unmarshal([]byte(want), &before), json.Unmarshal([]byte(body), &now)); err != nil {
			return err
		}
		if len(before.Keys) == 0 || len(now.Keys) < len(before.Keys) {
			return fmt.Errorf("there were %v, and are %v", before, now)
		}
		return nil
	})
}

func signsIn(user, password string) func(*survivor) error {
	return func(v *survivor) error {
		if status, _ := v.do("GET", "/v2/", user+":"+password); status != 200 {
			return fmt.Errorf("status %d", status)
		}
		return nil
	}
}

// survivor is a registry on what a power loss left, in this process.
type survivor struct {
	*servertest.Server
	said bytes.Buffer
}

func survive(dir string) (*survivor, error) {
	o := servertest.Options()
	o.AdminPassword, o.Config.Registry.Lease = adminPassword, units.Duration(300*time.Millisecond)
	s, err := servertest.TryOn(dir, o)
	return &survivor{Server: s}, err
}

// do asks as the operator, or with a login.
func (v *survivor) do(method, path, login string, body ...string) (status int, answer string) {
	var err error
	if login != "" {
		status, answer, err = v.Do(method, path, login, []byte(strings.Join(body, "")))
	} else {
		status, answer, err = v.asOperator(method, path, strings.Join(body, ""))
	}
	if err != nil {
		return 0, err.Error()
	}
	return status, answer
}

func (v *survivor) asOperator(method, path, body string) (status int, answer string, err error) {
	r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := v.Operator.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

// hasImage wants an image to be there with its layer, and its record.
func (v *survivor) hasImage(repo, tag, want, layer string) error {
	status, body := v.do("GET", "/v2/"+repo+"/manifests/"+tag, "")
	if got := digest.FromString(body).String(); status != 200 || got != want {
		return fmt.Errorf("status %d, digest %s, want %s", status, got, want)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		status, body := v.do("GET", "/v2/"+repo+"/blobs/"+d.Digest.String(), "")
		if status != 200 || digest.FromString(body) != d.Digest {
			return fmt.Errorf("its blob %s: status %d, %d bytes", d.Digest, status, len(body))
		}
	}
	var page struct {
		Records []struct{ Digest string }
	}
	_, body = v.do("GET", "/api/v1/records?repo="+repo+"&tag="+tag, "")
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Records) == 0 || page.Records[0].Digest != want {
		return fmt.Errorf("its records: %.200s, %w", body, err)
	}
	return nil
}

// continues wants the log to continue what was seen of it.
func (v *survivor) continues(seen []byte) error {
	var state follow.State
	if err := json.Unmarshal(seen, &state); err != nil {
		return err
	}
	get := func(_ context.Context, path string) ([]byte, error) {
		status, body := v.do("GET", path, "")
		if status != 200 {
			return nil, fmt.Errorf("%s: status %d", path, status)
		}
		return []byte(body), nil
	}
	report, err := follow.Check(context.Background(), get, &state, time.Now())
	if err == nil && report.Outcome.Bad() {
		err = errors.New(report.Says)
	}
	return err
}

// push pushes an image: the registry is not only there, it goes on.
func (v *survivor) push() error {
	config, repo := `{"n":1}`, "power/back"
	d := digest.FromString(config)
	m, err := json.Marshal(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: d, Size: int64(len(config))}, Layers: []ocispec.Descriptor{},
	})
	if err != nil {
		return err
	}
	text := strings.Replace(string(m), "{", `{"schemaVersion":2,`, 1)
	text = strings.Replace(text, `"schemaVersion":0,`, "", 1)
	for try := range 50 { // on a busy machine the lease of the blob, which is short here, ends before the manifest comes
		if status, body := v.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), "", config); status != 201 {
			return fmt.Errorf("push a blob: %d %s", status, body)
		}
		status, body := v.do("PUT", "/v2/"+repo+"/manifests/1", "", text)
		if status == 201 {
			break
		}
		if try == 49 || !strings.Contains(body, "MANIFEST_BLOB_UNKNOWN") {
			return fmt.Errorf("push a manifest: %d %s", status, body)
		}
	}
	return v.hasImage(repo, "1", digest.FromString(text).String(), "")
}

// clean wants everything to fit together once what interrupted requests left is swept.
func (v *survivor) clean() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		v.said.Reset()
		cl := connectSocket(v.Dir)
		err := errors.Join((&env{stdout: &v.said, stderr: &v.said}).check(context.Background(), cl, true, false), cl.close())
		if err == nil || time.Now().After(deadline) {
			if err != nil {
				err = fmt.Errorf("fsck: %w\n%s", err, v.said.String())
			}
			return err
		}
	}
}

// holds wants the facts known at a moment to be so.
func holds(v *survivor, facts []*fact, at float64) error {
	for _, f := range facts {
		if f.from < at && at <= f.until {
			if err := f.holds(v); err != nil {
				return fmt.Errorf("%s: %w", f.says, err)
			}
		}
	}
	return nil
}

// adopt takes over what an older version left, unless that was done.
func (v *survivor) adopt() error {
	for _, path := range []string{server.AdoptLogPath, server.AdoptAccessPath} {
		if status, said := v.do("POST", path, "", "{}"); status != 200 && status != 409 {
			return fmt.Errorf("%s: %d %s", path, status, said)
		}
	}
	return nil
}

// isWhole opens a registry on what is left in a directory, and wants all facts to hold, also after it has gone on.
func (r *recording) isWhole(dir string, at float64) (err error) {
	v, err := survive(dir)
	if err != nil {
		return fmt.Errorf("it does not start: %w", err)
	}
	defer v.Stop()
	if err := errors.Join(leavesOut(dir), holds(v, r.facts, at)); err != nil {
		return err
	}
	if r.older {
		if err := v.adopt(); err != nil {
			return err
		}
	}
	if err := v.push(); err != nil {
		return err
	}
	if err := holds(v, r.facts, at); err != nil {
		return fmt.Errorf("after a push: %w", err)
	}
	return v.clean()
}

// goesOn opens a registry on what is left in a directory, and wants all facts to hold, and a push. That things do not fit
// together would show as well, but only after the time that their check leaves them.
func (r *recording) goesOn(dir string, at float64) (err error) {
	v, err := survive(dir)
	if err != nil {
		return fmt.Errorf("it does not start: %w", err)
	}
	defer v.Stop()
	if err := errors.Join(leavesOut(dir), holds(v, r.facts, at)); err != nil {
		return err
	}
	return v.push()
}

// leavesOut wants git and docker to leave a data directory out, where it was made by a first start: private keys are in it.
func leavesOut(dir string) error {
	for _, name := range []string{".gitignore", ".dockerignore"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && !strings.HasSuffix(string(text), "\n*\n") {
			return fmt.Errorf("%s says %q, and leaves nothing out", name, text)
		}
	}
	return nil
}

// holds lets the power fail at moments that powerloss.Moments chooses, and wants what is left to be whole.
func (r *recording) holds(what string, strict, others int, isWhole func(dir string, at float64) error) {
	r.t.Helper()
	tried, err := r.replay(powerloss.Moments(r.events, strict, others, uint64(time.Now().UnixNano())), isWhole)
	if err != nil {
		r.t.Error(err)
	}
	r.t.Logf("%s: %d of the moments of %d events", what, tried, len(r.events))
}

// replay lets the power fail at each of the moments.
func (r *recording) replay(losses powerloss.Losses, isWhole func(dir string, at float64) error) (tried int, err error) {
	root := r.t.TempDir()
	err = r.disk.Clone().Replay(r.events, losses, func(n int, at float64, loss powerloss.Loss, d *powerloss.Disk) error {
		tried++
		left := filepath.Join(root, fmt.Sprint(tried), filepath.Base(r.dir))
		if err := os.Mkdir(filepath.Dir(left), 0o700); err != nil {
			return err
		}
		err := d.Build(left, loss.Keep)
		if err == nil {
			err = isWhole(left, at)
		}
		if err != nil {
			return fmt.Errorf("power lost before event %d of %d, %s: %w", n, len(r.events), loss.Name, err)
		}
		return os.RemoveAll(filepath.Dir(left))
	})
	return tried, err
}

// recordLife records a registry from its first start on: users, pushes, a delete and its collection, and new keys
// and certificates.
func recordLife(t *testing.T, images int) *recordedServer {
	t.Helper()
	s := recordServer(t, newRecording(t, filepath.Join(t.TempDir(), "data")))
	s.keys()
	s.command("pw-of-alice-4711\n", "user", "add", "alice", "--password-stdin")
	s.rec.know("alice signs in", signsIn("alice", "pw-of-alice-4711"))
	var last string
	for i := range images {
		last = s.push("team/app", fmt.Sprint(i), strings.Repeat(fmt.Sprintf("layer %d ", i), 400+2000*((i+1)%2))) // in a file, and in the store
	}
	gone := s.push("team/gone", "1", strings.Repeat("a layer of its own", 1000))
	blobs := len(filesOf(t, s.dir, 0o400))
	s.remove("team/gone", gone)
	waitCollected(t, s.dir, blobs)
	s.command("", "key", "rotate")
	s.keys()
	s.push("team/app", "rotated", "layer behind a rotation")
	s.command("", "cert", "renew")
	for _, f := range s.rec.facts { // a new authority ends what was known of the old one
		if f.says == "the certificate authority" {
			f.until = seconds()
		}
	}
	s.command("", "cert", "renew", "--ca")
	s.trustCA()
	s.push("team/app", "renewed", "layer behind a new authority")
	s.remove("team/app", last)
	s.kill()
	return s
}

// waitCollected waits until there are fewer blobs. To ask for one would keep it.
func waitCollected(t *testing.T, dir string, before int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(filesOf(t, dir, 0o400)) >= before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("there are %d blobs still", before)
		}
	}
}

// TestPowerLoss lets the power fail at a few moments of a registry's life; TestSoakPowerLoss at all of them.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	s := recordLife(t, 2)
	s.rec.holds("life", 4, 2, s.rec.isWhole)
	wantCaught(t, s)
}

// wantCaught leaves out the flush of a blob, and wants that to be noticed: else the tests here show nothing.
func wantCaught(t *testing.T, s *recordedServer) {
	t.Helper()
	flush := s.flushOf(filepath.Join(blobsDir, "files"))
	forgetful := *s.rec
	forgetful.events = powerloss.Without(s.rec.events, flush)
	end := powerloss.Losses{len(forgetful.events): {{Name: "strict", Keep: powerloss.Strict}}}
	if _, err := forgetful.replay(end, forgetful.isWhole); err == nil {
		t.Error("nobody notices that the bytes of a blob were not flushed")
	}
}

// imageThere knows an image that a server has.
func (r *recording) imageThere(s *testServer, repo, tag string) {
	r.t.Helper()
	m := s.want(200, "GET", "/v2/"+repo+"/manifests/"+tag)
	r.know(repo+":"+tag, func(v *survivor) error { return v.hasImage(repo, tag, digest.FromString(m).String(), "") })
}

// recordBackups makes two backups of a registry, and removes the first.
func recordBackups(t *testing.T) (r *recording, done []float64) {
	t.Helper()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	r = newRecording(t, t.TempDir())
	saved := filepath.Join(r.dir, "of", "all", "saved")
	for i, args := range [][]string{nil, {"--keep", "1"}} {
		s.push("team/app", fmt.Sprint(i), strings.Repeat(fmt.Sprintf("layer %d", i), 3000), nil)
		r.imageThere(s, "team/app", fmt.Sprint(i))
		cmd := r.program(append([]string{"backup", saved, "--data", s.dir}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		done = append(done, seconds())
		r.end()
	}
	ca := s.want(200, "GET", "/ca.pem")
	r.know("the certificate authority", func(v *survivor) error {
		if _, body := v.do("GET", "/ca.pem", ""); body != ca {
			return errors.New("it is another one")
		}
		return nil
	})
	return r, done
}

// savedIsWhole wants the newest of all backups that were made to be there, and each that is there to be whole.
func savedIsWhole(saved string, backups int) error {
	a, err := archive.Create(saved)
	if err != nil {
		return err
	}
	defer a.Close()
	names, err := a.Names()
	if err != nil || backups > 0 && len(names) == 0 {
		return fmt.Errorf("%d backups were made, and there are %q, %w", backups, names, err)
	}
	for _, name := range names {
		s, err := a.Snapshot(name)
		if err == nil {
			err = s.CopyFiles(func(_ string, content io.Reader) error {
				_, err := io.Copy(io.Discard, content)
				return err
			})
		}
		if err == nil {
			err = s.EachBlob(func(b archive.Blob) error { return s.CopyBlob(io.Discard, b) })
		}
		if err != nil {
			return fmt.Errorf("backup %s: %w", name, err)
		}
		if n := len(names) - 1; name == names[n] && backups == 2 && s.Blobs.Count != 2 { // their config is in the store
			return fmt.Errorf("the newest backup, %s, has %d blobs: the second is lost", name, s.Blobs.Count)
		}
	}
	return nil
}

// replayBackups lets the power fail while backups are made.
func replayBackups(t *testing.T, strict, others int) (r *recording) {
	t.Helper()
	r, done := recordBackups(t)
	r.holds("backups", strict, others, func(dir string, at float64) error {
		backups := 0
		for _, end := range done {
			if end < at {
				backups++
			}
		}
		return savedIsWhole(filepath.Join(dir, "of", "all", "saved"), backups)
	})
	return r
}

// replayRestore lets the power fail while a backup is restored. Once the restore has ended, everything is there; before
// that it is there, or nothing is and the restore can be run again.
func replayRestore(t *testing.T, made *recording, strict, others int) {
	t.Helper()
	r := newRecording(t, t.TempDir())
	saved, place := filepath.Join(made.dir, "of", "all", "saved"), filepath.Join("a", "new", "data")
	cmd := r.program("restore", saved, "--data", filepath.Join(r.dir, place))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	done := seconds()
	r.end()
	for _, f := range made.facts {
		f.from = 0
		r.facts = append(r.facts, f)
	}
	r.holds("restore", strict, others, func(dir string, at float64) error {
		data := filepath.Join(dir, place)
		_, err := os.Stat(filepath.Join(data, storeFile))
		if errors.Is(err, fs.ErrNotExist) && done < at {
			return errors.New("the registry that was restored is lost")
		}
		if errors.Is(err, fs.ErrNotExist) {
			said, err := exec.Command(plainProgram(t), "restore", saved, "--data", data).CombinedOutput()
			if err != nil {
				return fmt.Errorf("restore again: %w\n%s", err, said)
			}
		}
		return r.isWhole(data, at)
	})
}

// replayLayout lets the power fail while a store of an older version is brought up to date. The store as it was is
// beside it from the first change on.
func replayLayout(t *testing.T, strict, others int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xzf", "testdata/layout1.tar.gz", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := newRecording(t, dir)
	var err error
	if r.disk, err = powerloss.Load(dir); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	r.older = true
	s := recordServer(t, r, "--listen", address, "--url", "https://"+address)
	s.command("", "log", "adopt")
	s.sawLog()
	s.command("", "access", "adopt")
	for _, image := range []string{"team/app:2.0", "team/app:latest", "other/copy:2.0"} {
		repo, tag, _ := strings.Cut(image, ":")
		r.imageThere(s.testServer, repo, tag)
	}
	for _, f := range r.facts {
		if strings.Contains(f.says, ":") {
			f.from = 0
		}
	}
	s.push("team/new", "1", "layer")
	s.kill()
	r.holds("layout", strict, others, func(dir string, at float64) error {
		if err := r.isWhole(dir, at); err != nil {
			return err
		}
		old, err := bolt.Open(bolt.Aside(filepath.Join(dir, storeFile), 1), bolt.Config{MapBytes: 1 << 20})
		if err != nil {
			return fmt.Errorf("the store as it was: %w", err)
		}
		return old.Close()
	})
}

// TestPowerLossElsewhere lets the power fail at a few moments of backups, a restore, a change of the layout, and the
// healing of a blob.
func TestPowerLossElsewhere(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	replayRestore(t, replayBackups(t, 3, 2), 1, 1)
	replayLayout(t, 1, 1)
	replayHeal(t, 2, 2)
}

// replayHeal lets the power fail while a blob is pushed again whose file is damaged. Once that is acknowledged it is whole;
// before, it is whole or not there, and never what the damaged file holds.
func replayHeal(t *testing.T, strict, others int) {
	t.Helper()
	layer := strings.Repeat("a layer, of which the disk has lost a bit", 500)
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	s.push("team/app", "1", layer, nil)
	for _, path := range filesOf(t, s.dir, 0o400) {
		if content, err := os.ReadFile(path); err != nil || string(content) == layer {
			damage(t, path, strings.Replace(layer, "lost", "lOst", 1))
		}
	}
	if said, status := hallmarkOn(t, s.dir, "scrub", "now"); status == 0 {
		t.Fatalf("the damage is not seen: %s", said)
	}
	s.kill()

	r := newRecording(t, s.dir)
	var err error
	if r.disk, err = powerloss.Load(s.dir); err != nil {
		t.Fatal(err)
	}
	blob := "/v2/team/app/blobs/" + digest.FromString(layer).String()
	r.know("no wrong bytes", func(v *survivor) error {
		if status, body := v.do("GET", blob, ""); status != 404 && (status != 200 || body != layer) {
			return fmt.Errorf("status %d, %q", status, body)
		}
		return nil
	}).from = 0
	healing := recordServer(t, r)
	healing.push("team/app", "1", layer)
	healed := seconds()
	healing.kill()
	r.holds("healing", strict, others, func(dir string, at float64) error {
		if at < healed { // fsck says rightly that it is damaged
			return r.goesOn(dir, at)
		}
		return r.isWhole(dir, at)
	})
}

// damage replaces the content of a blob's file, as a disk does: nothing else of it changes.
func damage(t *testing.T, path, content string) {
	t.Helper()
	write := func() error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(content), 0)
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(os.Chmod(path, 0o600), write(), os.Chmod(path, 0o400)); err != nil {
		t.Fatal(err)
	}
}

// flushOf returns the event that ends the first flush of a file below a directory that anything was written to.
func (s *recordedServer) flushOf(below string) int {
	s.t.Helper()
	files, written := map[string]bool{}, map[string]bool{}
	for n, e := range s.rec.events {
		switch {
		case e.Call == "openat" && e.Ret >= 0 && !e.Begin:
			fd := fmt.Sprint(e.Ret)
			files[fd], written[fd] = strings.Contains(powerloss.Text(e.Args[1]), below+"/"), false
		case e.Call == "write" && e.Ret > 0:
			written[e.Args[0]] = true
		case e.Flush() && files[e.Args[0]] && written[e.Args[0]]:
			return n
		}
	}
	s.t.Fatalf("no file below %s was flushed", below)
	return 0
}
