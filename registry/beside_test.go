package registry

import (
	"strings"
	"testing"
)

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
