package registry

import (
	"fmt"
	"strings"
	"testing"
)

// TestBesideOwnRecord wants the registry's own record of an image not to be among what others have put beside it.
func TestBesideOwnRecord(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1.0", "one")
	list, err := s.Beside(background, []RepoDigest{{Repository: "app", Digest: one.digest}})
	if err != nil || !list[0].Present || len(list[0].Attached) > 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if x, err := s.Deletable(background, "app", one.digest); err != nil || len(x.Attached) > 0 {
		t.Errorf("%+v, %v", x, err)
	}
}

// TestIsBeside tells the tags that tools make from digests from others that look like them.
func TestIsBeside(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for tag, want := range map[string]bool{
		"sha256-" + hash: true, "sha256-" + hash + ".sig": true, "sha256-" + hash + ".att": true, "sha256-" + hash + ".other": true,
		"sha512-" + hash: true, "sha512-" + hash + hash + ".sig": true,
		"sha256-" + hash[1:]: false, "sha256-" + strings.ToUpper(hash): false, "sha256-" + hash[2:] + "xy": false,
		"sha1-" + hash: false, "sha256": false, "sha256-": false, "1.0": false, "": false, "sha256." + hash: false,
	} {
		if got := IsBeside(tag); got != want {
			t.Errorf("%s: %v", tag, got)
		}
	}
}

// TestBesideBounds passes over tags that only look like a signing tool's, and says when there are too many to look at.
func TestBesideBounds(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1.0", "one")
	for n := range 4*MaxBeside + 1 {
		s.pushManifest("app", fallbackTag(one.digest)+fmt.Sprintf("-x%03d", n), one.body)
		want := n >= 4*MaxBeside
		if n < 4*MaxBeside-1 {
			continue
		}
		list, err := s.Beside(background, []RepoDigest{{Repository: "app", Digest: one.digest}})
		if err != nil || len(list[0].Tags) > 0 || list[0].Cut != want {
			t.Errorf("%d tags: %+v, %v", n+1, list, err)
		}
	}
}
