package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestDigestsLike wants every length of a digest to find it, and no other repository's.
func TestDigestsLike(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	defer s.stop()
	var all []string
	for _, content := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q"} {
		all = append(all, s.pushImage("team/app", content, content).digest.String())
	}
	s.pushImage("team/web", "1", "x")
	for _, d := range all {
		for n := len("sha256:") + 1; n <= len(d); n++ {
			var want []string
			for _, other := range all {
				if strings.HasPrefix(other, d[:n]) {
					want = append(want, other)
				}
			}
			found, err := s.DigestsLike(background, "team/app", d[:n], 100)
			if err != nil || len(found) != len(want) {
				t.Fatalf("%s: %d, %v, want %d", d[:n], len(found), err, len(want))
			}
		}
	}
	for _, prefix := range []string{"", "sha256", "sha256:", "sha256:g", "sha256:A", "sha512:", "md5:0", "sha256:" + strings.Repeat("0", 65)} {
		if ValidPrefix(prefix) {
			t.Errorf("%q passes for the beginning of a digest", prefix)
		}
	}
	if found, err := s.DigestsLike(background, "team/app", string(digest.SHA512)+":0", 100); err != nil || len(found) > 0 {
		t.Errorf("of another algorithm: %v, %v", found, err)
	}
}
