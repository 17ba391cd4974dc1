//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// inspected is a report about a host.
type inspected struct {
	Grade  string
	Checks []struct {
		ID, Result, Says string
		Points, Of       int
	}
}

// inspectHost looks at a host of this machine, trusting the registry's CA.
func (s *server) inspectHost(t *testing.T, address string) (r inspected) {
	t.Helper()
	cmd := exec.Command(tool(t, "hallmark"), "inspect", "host", address, "--ca", filepath.Join(s.dir, "certs/ca.pem"), "--repo", "team/app", "--json")
	cmd.Env = append(cmd.Environ(), "HALLMARK_USER=alice", "HALLMARK_PASSWORD="+alicePassword)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("inspect host %s: %v\n%s", address, err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// want wants the results of checks that are named, and pass of all others.
func (r inspected) want(t *testing.T, grade string, other map[string]string) {
	t.Helper()
	if r.Grade != grade || len(r.Checks) < 13 {
		t.Errorf("grade %s with %d checks, want %s", r.Grade, len(r.Checks), grade)
	}
	for _, c := range r.Checks {
		want := other[c.ID]
		if want == "" {
			want = "pass"
		}
		if c.Result != want || want == "pass" && c.Points != c.Of {
			t.Errorf("%s: %s, %d of %d: %s", c.ID, c.Result, c.Points, c.Of, c.Says)
		}
	}
}

// TestInspectHost looks at Hallmark as it is installed, which has to earn an A, and at upstream's registry as it
// is installed, which asks nobody who they are.
func TestInspectHost(t *testing.T) {
	dockerHome(t)
	tarball := archive(t)
	s := start(t)
	s.systemCA()
	s.login("alice", alicePassword)
	sh(t, tool(t, "crane"), "push", tarball, s.host+"/team/app:1.0")
	s.inspectHost(t, s.host).want(t, "A", nil)

	address := s.upstream()
	push := func() error { return exec.Command(tool(t, "crane"), "push", tarball, address+"/team/app:1.0").Run() }
	eventually(t, 30*time.Second, "upstream's registry takes an image", push)
	s.inspectHost(t, address).want(t, "C", map[string]string{
		"hsts": "fail", "login-challenge": "fail", "anonymous-read": "fail", "referrers": "fail", "transparency-log": "fail",
	})
}
