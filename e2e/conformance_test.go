//go:build e2e

package e2e

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestConformance runs the OCI suite, as the specification stands and as it is developed, with everything
// on but sparse images: an image whose blobs are not there is refused here.
func TestConformance(t *testing.T) {
	for _, version := range []string{"1.1", "dev"} {
		t.Run(version, func(t *testing.T) {
			s := start(t)
			s.systemCA()
			results := t.TempDir()
			cmd := exec.Command(tool(t, "conformance"))
			cmd.Env = append(os.Environ(), "OCI_VERSION="+version, "OCI_REGISTRY="+s.host, "OCI_USERNAME=alice", "OCI_PASSWORD="+alicePassword,
				"OCI_RESULTS_DIR="+results, "OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_API_BLOBS_DIGEST_HEADER=true",
				"OCI_API_MANIFESTS_DIGEST_HEADER=true", "OCI_API_MANIFESTS_TAG_PARAM=true")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			wantAllPassed(t, filepath.Join(results, "junit.xml"))
			s.wantClean()
		})
	}
}

// wantAllPassed reads the suite's report: it ends well, too, where a registry has not got a feature.
func wantAllPassed(t *testing.T, report string) {
	t.Helper()
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Tests []struct {
				Name   string `xml:"name,attr"`
				Status string `xml:"status,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, suite := range suites.Suites {
		for _, test := range suite.Tests {
			if test.Status != "passed" {
				t.Errorf("%s: %s", test.Name, test.Status)
			}
			passed++
		}
	}
	if passed < 700 {
		t.Errorf("only %d tests ran", passed)
	}
	t.Logf("%d tests passed", passed)
}
