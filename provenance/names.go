package provenance

import (
	"slices"
	"strings"
)

// The bounds of the names of one image in one signature that are kept.
const (
	maxNames = 4
	maxName  = 512 // bytes
)

// Names are what a signature or statement calls an image, without credentials.
type Names struct {
	Names []string `json:"names,omitempty"`
	// NamesCut says that there are more names, or longer ones, than are kept.
	NamesCut bool `json:"namesCut,omitempty"`
}

// Add adds a name, unless it is empty or known.
func (n *Names) Add(name string) {
	name = Bounded(strings.TrimSpace(name))
	switch {
	case name == "" || slices.Contains(n.Names, name):
	case len(name) > maxName || len(n.Names) == maxNames:
		n.NamesCut = true
	default:
		n.Names = append(n.Names, name)
	}
}

// SplitImageName takes the name of an image apart: REGISTRY/REPOSITORY, perhaps with a scheme, a tag and a digest, or a package
// URL of the types oci and docker, and perhaps with a slash behind it. What cannot be such a name has no repository.
func SplitImageName(name string) (host, repository string) {
	name, _, _ = splitImage(name)
	name, _, _ = strings.Cut(name, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	host, repository, _ = strings.Cut(strings.TrimRight(name, "/"), "/")
	return host, repository
}
