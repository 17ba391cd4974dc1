package provenance

import "regexp"

// DefaultName says that a public name is that of a registry that was never given one.
func DefaultName(name string) bool { return localhost.MatchString(name) }

var localhost = regexp.MustCompile(`^https?://localhost:\d+$`)

// SameName says that the public name that a record states is the one that is kept or served, or that neither was ever given.
func SameName(said, kept string) bool {
	return said == kept || DefaultName(said) && (kept == "" || DefaultName(kept))
}
