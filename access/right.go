package access

import (
	"errors"
	"fmt"
	"slices"
)

// A Right is something that one may be allowed to do in a repository. Each includes those before it, so
// a role is the highest right that it gives. The zero Right is none.
type Right uint8

// The rights in a repository.
const (
	Pull   Right = 1 + iota // read images, and know that the repository is there
	Push                    // add images and move tags; it also makes the repository
	Delete                  // remove images and tags
	Admin                   // grant rights in it
)

var rightNames = []string{"nothing", "pull", "push", "delete", "admin"}

// ErrRole says that a role is none of ours.
var ErrRole = errors.New("a role is pull, push, delete or admin, each with the former")

// ParseRight reads a role. Error: ErrRole.
func ParseRight(s string) (Right, error) {
	i := slices.Index(rightNames, s)
	if i < 1 {
		return 0, fmt.Errorf("role %.20q: %w", s, ErrRole)
	}
	return Right(i), nil
}

// String returns the right's name.
func (r Right) String() string { return rightNames[r] }

// MarshalText implements encoding.TextMarshaler.
func (r Right) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Right) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRight(string(text))
	return err
}

// A Scope is a part of what a token may do: exactly these rights, and none that they would include.
type Scope struct {
	Pattern Pattern `json:"pattern"`
	Rights  []Right `json:"rights"`
}

// Scopes are the ceiling of a token: what its owner may do and no scope names, the token may not. An
// empty list allows nothing.
type Scopes []Scope

// UpTo returns the scope of a role: its right with all that it includes.
func UpTo(p Pattern, role Right) Scope {
	s := Scope{Pattern: p}
	for r := Pull; r <= role; r++ {
		s.Rights = append(s.Rights, r)
	}
	return s
}

// Allows implements provenance.Ceiling. `on` is a repository, or a pattern that has to be within a scope.
func (s Scopes) Allows(right, on string) bool {
	wanted, err := ParseRight(right)
	p := compileGlob(on)
	return err == nil && slices.ContainsFunc(s, func(scope Scope) bool {
		return slices.Contains(scope.Rights, wanted) && scope.Pattern.matches(p.program)
	})
}
