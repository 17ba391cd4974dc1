//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// helmAt returns what makes commands of helm in a directory, with a home of its own and a chart in it.
func helmAt(t *testing.T, dir string) func(input string, args ...string) *exec.Cmd {
	t.Helper()
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(name, filepath.Join(dir, name))
	}
	write(t, filepath.Join(dir, "hello/Chart.yaml"), "apiVersion: v2\nname: hello\nversion: 0.1.0\n")
	write(t, filepath.Join(dir, "hello/templates/hello.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\n")
	return func(input string, args ...string) *exec.Cmd {
		cmd := command(input, tool(t, "helm"), args...)
		cmd.Dir = dir
		return cmd
	}
}

// TestHelm lets the real helm sign in with a personal access token, push a chart and pull it, and be refused beyond
// the token; and pull without any login what strangers may.
func TestHelm(t *testing.T) {
	s := start(t)
	s.systemCA()
	mustRun(t, s.hallmark("grant", "anonymous", "public/**", "pull"))
	secret := s.addToken("team/** push", "public/** push")
	dir := t.TempDir()
	helm := helmAt(t, dir)
	mustRun(t, helm("", "package", "hello"))
	chart, err := os.ReadFile(filepath.Join(dir, "hello-0.1.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	pull := func(repo string) *exec.Cmd {
		return helm("", "pull", "oci://"+s.host+"/"+repo+"/hello", "--version", "0.1.0", "--destination", t.TempDir())
	}
	push := func(repo string) *exec.Cmd { return helm("", "push", "hello-0.1.0.tgz", "oci://"+s.host+"/"+repo) }
	mustFail(t, push("team"), "")
	mustFail(t, helm("wrong-password", "registry", "login", s.host, "-u", "alice", "--password-stdin"), "")
	mustRun(t, helm(secret, "registry", "login", s.host, "-u", "alice", "--password-stdin"))
	for _, repo := range []string{"team", "public"} {
		mustRun(t, push(repo))
		s.wantKind(repo+"/hello", "0.1.0", "chart")
		cmd := pull(repo)
		mustRun(t, cmd)
		got, err := os.ReadFile(filepath.Join(cmd.Args[len(cmd.Args)-1], "hello-0.1.0.tgz"))
		if err != nil || !bytes.Equal(got, chart) {
			t.Errorf("%s: %d bytes were pulled, want %d; %v", repo, len(got), len(chart), err)
		}
	}
	mustFail(t, push("other"), "")
	mustRun(t, helm("", "registry", "logout", s.host))
	mustRun(t, pull("public"))
	mustFail(t, pull("team"), "")
	mustFail(t, push("public"), "")
	s.wantClean()
}

// TestHelmSigned lets the real helm sign charts with an OpenPGP key and push them: the report counts what a trusted key
// signed as a signature, what a stranger signed as none, and a rule can want the one. helm verifies what it pulls.
func TestHelmSigned(t *testing.T) {
	dir := t.TempDir()
	keyring(t, dir, "charts")
	keyring(t, dir, "stranger")
	write(t, filepath.Join(dir, "trust.yaml"), "keys: [{name: charts, file: charts.asc, repositories: [team/**]}]\n")
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	s := start(t)
	s.systemCA()
	helm := helmAt(t, dir)
	mustRun(t, helm(alicePassword, "registry", "login", s.host, "-u", "alice", "--password-stdin"))
	for signer, want := range map[string]string{"charts": "pass", "stranger": "fail", "": "fail"} {
		repo, args := "team/by-"+signer, []string{"package", "hello"}
		if signer == "" {
			repo = "team/by-nobody"
			if err := os.RemoveAll(filepath.Join(dir, "hello-0.1.0.tgz.prov")); err != nil {
				t.Fatal(err)
			}
		} else {
			args = append(args, "--sign", "--key", signer, "--keyring", filepath.Join(dir, signer+".gpg"))
		}
		mustRun(t, helm("", args...))
		mustRun(t, helm("", "push", "hello-0.1.0.tgz", "oci://"+s.host+"/"+repo))
		s.wantKind(repo+"/hello", "0.1.0", "chart")
		if got, says := s.checkOf(repo+"/hello", "0.1.0", "signature"); got != want {
			t.Errorf("signed by %q: %s: %s", signer, got, says)
		}
	}
	mustRun(t, helm("", "pull", "oci://"+s.host+"/team/by-charts/hello", "--version", "0.1.0", "--verify",
		"--keyring", filepath.Join(dir, "charts.gpg"), "--destination", t.TempDir()))
	s.wantClean()
}

// keyring makes an OpenPGP key: NAME.gpg is a secret keyring, as helm reads it, and NAME.asc the public key.
func keyring(t *testing.T, dir, name string) {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	var secret, public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	for _, do := range []func() error{
		func() error { return e.SerializePrivate(&secret, nil) },
		func() error { return e.Serialize(w) },
		func() error { return w.Close() },
	} {
		if err == nil {
			err = do()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".gpg"), secret.String())
	write(t, filepath.Join(dir, name+".asc"), public.String())
}

// checkOf is the result of one check in a report, and what it says.
func (s *server) checkOf(repo, ref, id string) (result, says string) {
	s.t.Helper()
	var report struct {
		Checks []struct{ ID, Result, Says string }
	}
	if err := json.Unmarshal([]byte(s.get("/api/v1/report?repo="+repo+"&ref="+ref)), &report); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range report.Checks {
		if c.ID == id {
			return c.Result, c.Says
		}
	}
	s.t.Fatalf("%s: no check %s", repo, id)
	return "", ""
}
