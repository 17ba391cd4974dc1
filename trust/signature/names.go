package signature

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A signature is over a digest and, mostly, over a name beside it: anyone who signs app:1.0 in a registry for trials has not
// said that it is prod's. The name is shown, and counts where somebody asks for it.

// named is what a signer's signatures have to call an image.
type named struct {
	repository bool // as the repository that it is in, under one of the registry's names
	patterns   []access.Glob
}

// ownRepository is the pattern that stands for the image's own repository.
const ownRepository = "repository"

// standing says that a signature was made for another name than its signer's may be, or "".
func (n named) standing(v *provenance.Verdict, repository string, hosts []string) (provenance.Reason, string) {
	free := !n.repository && len(n.patterns) == 0
	if free || slices.ContainsFunc(v.Names.Names, func(name string) bool { return n.takes(name, repository, hosts) }) {
		return "", ""
	}
	return provenance.OtherName, fmt.Sprintf("it was made for %s, for which no signature of %s counts here", inWords(&v.Names), v.Signer)
}

func (n named) takes(name, repository string, hosts []string) bool {
	return n.repository && isPlace(name, repository, hosts) || slices.ContainsFunc(n.patterns, func(g access.Glob) bool { return g.Matches(name) })
}

// inWords are names in a sentence.
func inWords(n *provenance.Names) string {
	var said []string
	for _, name := range n.Names {
		said = append(said, fmt.Sprintf("%.120q", name))
	}
	if n.NamesCut {
		said = append(said, "more or longer names than are kept")
	}
	if len(said) == 0 {
		return "no name that is on record"
	}
	return strings.Join(said, ", ")
}

// Names says whether a signature calls the image by the name of its repository, under one of the registry's names.
func (t *Trust) Names(v *provenance.Verdict, repository string) bool {
	return t != nil && slices.ContainsFunc(v.Names.Names, func(name string) bool { return isPlace(name, repository, t.hosts) })
}

// isPlace says whether the name of an image is in a repository, under one of the registry's names.
func isPlace(name, repository string, hosts []string) bool {
	host, in := provenance.SplitImageName(name)
	return in == repository && slices.ContainsFunc(hosts, func(h string) bool {
		return strings.EqualFold(h, host) || strings.EqualFold(h, withoutPort(host))
	})
}

func withoutPort(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}
