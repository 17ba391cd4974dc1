package provenance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// witnessList is the list of what in-toto's witness saw in one step: the predicate of a collection.
const witnessList = "/predicate/attestations"

// isWitness says whether a predicate type is that of a collection, under whichever name witness has.
func isWitness(predicateType string) bool {
	return strings.HasSuffix(predicateType, "/attestation-collection/v0.1")
}

// A collection is what is kept of the attestations of a step, one after the other.
type collection struct {
	all []*witnessed
	cut bool // there are more
}

// witnessed is one attestation: its type, and what the attestors of git, of CI systems and of docker say.
type witnessed struct {
	kind    string
	texts   map[string]string
	remotes []string
	list    descriptors // what builds of docker used, one list after the other
	used    dependencies
}

// The bounds of what is kept.
const (
	maxSteps   = 64
	maxRemotes = 16
)

// element returns who reads an attestation.
func (c *collection) element(int) strictjson.Visitor {
	if c.cut = len(c.all) == maxSteps; c.cut {
		return nil
	}
	w := &witnessed{texts: map[string]string{}}
	w.list.take = w.used.take
	c.all = append(c.all, w)
	return keyed(func(key string) strictjson.Visitor {
		switch key {
		case "type":
			return heard(func(s string) { w.kind = s })
		case "attestation":
			return keyed(w.member)
		}
		return nil
	})
}

// member returns who reads what is under a key of the body of an attestation.
func (w *witnessed) member(key string) strictjson.Visitor {
	switch key {
	case "commithash", "projecturl", "ciserverurl", "cihost", "jenkinsurl":
		return heard(func(s string) { w.texts[key] = s })
	case "remotes":
		return listed(func(i int) strictjson.Visitor {
			return heard(func(s string) {
				if i < maxRemotes {
					w.remotes = append(w.remotes, s)
				}
			})
		})
	case "products": // by image, each with materials by platform
		return keyed(func(string) strictjson.Visitor { return keyed(w.product) })
	}
	return nil
}

func (w *witnessed) product(key string) strictjson.Visitor {
	if key != "materials" {
		return nil
	}
	return keyed(func(string) strictjson.Visitor { return listed(w.list.element) })
}

// unread says what of the collection is not kept, or "", where of says that of one list.
func (c *collection) unread(of func(*dependencies) string) string {
	for _, w := range c.all {
		w.list.end()
		if why := of(&w.used); why != "" {
			return why
		}
	}
	if c.cut {
		return fmt.Sprintf("it has more than %d attestations, and those behind are not read", maxSteps)
	}
	return ""
}

// attestor is the name of the attestor, as git in https://witness.dev/attestations/git/v0.1.
func (w *witnessed) attestor() string {
	_, rest, _ := strings.Cut(w.kind, "/attestations/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// facts are what the collection says: the repository that the CI system or else git names, its commit, which system ran
// the step, and the images that its build used.
func (c *collection) facts() []stated {
	f := &facts{predicate: "witness v0.1"}
	for _, w := range c.all {
		f.add(FactSource, w.texts["projecturl"], "", w.attestor())
	}
	named := len(f.all) > 0
	for _, w := range c.all {
		if w.attestor() != "git" {
			continue
		}
		if !named && oneSource(w.remotes) {
			f.add(FactSource, w.remotes[0], "", "git")
		}
		f.add(FactRevision, wholeCommit(w.texts["commithash"]), "", "git")
	}
	for _, w := range c.all {
		for _, name := range []string{"ciserverurl", "cihost", "jenkinsurl"} {
			if w.texts[name] != "" {
				f.add(FactBuilder, w.texts[name], "", w.attestor())
				break
			}
		}
	}
	for _, w := range c.all {
		w.list.end()
		if n := w.used.imagesLeft; n > 0 {
			f.add(FactMaterialsLeft, strconv.Itoa(n), "", w.attestor())
		}
		for _, image := range w.used.images {
			f.add(FactMaterial, image.digest.String(), image.name, w.attestor())
		}
	}
	return f.all
}

// oneSource says whether these are one source, however it is spelled.
func oneSource(remotes []string) bool {
	return len(remotes) > 0 && !slices.ContainsFunc(remotes, func(r string) bool { return NormalSource(r) != NormalSource(remotes[0]) })
}
