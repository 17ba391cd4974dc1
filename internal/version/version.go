// Package version says which build this is.
package version

import "runtime/debug"

// release is set by the linker for builds that are released.
var release string

// String returns the release, or the version and revision that the Go toolchain recorded.
func String() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return info.Main.Version + " " + s.Value[:12]
		}
	}
	return info.Main.Version
}
