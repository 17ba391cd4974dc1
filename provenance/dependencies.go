package provenance

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The bounds of what is kept of the list of what a build used.
const (
	maxMaterials    = MaxClaims // images
	maxRepositories = 1024      // commits of repositories; elements of any kind from the first on
)

// dependencies are what a build used, as far as it is asked for: images, and repositories. The list is read to its end: that there
// were more than are kept is known.
type dependencies struct {
	images       []usedImage
	imagesLeft   int // elements beyond maxMaterials that are other images than these
	repositories []usedRepository
	cut          bool          // there are more repositories: one that is not kept may contradict those that are
	first        []*descriptor // whatever they are: a place in the list may be named
}

type usedImage struct {
	digest digest.Digest
	name   string
}

type usedRepository struct {
	uri, source, commit, name string
}

func (u *dependencies) take(d *descriptor) {
	d.uri = cmp.Or(d.uri, d.place, d.name) // some name it, and nothing else
	d.spellUsually()
	if len(u.first) < maxRepositories {
		u.first = append(u.first, d)
	}
	if image, ok := imageOf(d); ok {
		u.takeImage(image)
		return
	}
	switch {
	case u.cut || !d.isRepository():
	case len(u.repositories) == maxRepositories:
		u.cut = true
	default:
		u.repositories = append(u.repositories, usedRepository{d.uri, NormalSource(d.uri), d.revision(), d.name})
	}
}

func (u *dependencies) takeImage(image usedImage) {
	known := func(other usedImage) bool { return other.digest == image.digest }
	switch {
	case image.digest == "" || slices.ContainsFunc(u.images, known):
	case len(u.images) == maxMaterials:
		u.imagesLeft++
	default:
		u.images = append(u.images, image)
	}
}

// unread says what of the list is not kept, or "".
func (u *dependencies) unread() string {
	why := u.unreadSource()
	if why == "" && u.imagesLeft > 0 {
		return fmt.Sprintf("it lists more than %d images that its build used, and those behind are not read", maxMaterials)
	}
	return why
}

// unreadSource says why the source may be among what is not kept, or "". An image is none.
func (u *dependencies) unreadSource() string {
	if !u.cut {
		return ""
	}
	return fmt.Sprintf("it lists more than %d repositories that its build used, so which of them is the source is not known", maxRepositories)
}

// revision is the commit that an element names, in its digest set or in its URI.
func (d *descriptor) revision() string {
	if commit := d.commit(); commit != "" {
		return commit
	}
	_, commit := readSource(d.uri)
	return commit
}

// isRepository says whether an element is a repository, and not a file that was downloaded: by how it is named, or by
// the commit in its digest set. A file may have a SHA-1, too.
func (d *descriptor) isRepository() bool {
	if !isLocation(d.uri) {
		return false
	}
	bare, _, _ := strings.Cut(strings.SplitN(d.uri, "#", 2)[0], "?")
	scheme, _, _ := strings.Cut(d.uri, "://")
	host, _, _ := strings.Cut(NormalSource(d.uri), "/")
	_, isForge := ofForge(d.uri)
	switch {
	case strings.HasPrefix(d.uri, "pkg:"):
		return isForge
	case isForge, strings.HasPrefix(scheme, "git"), strings.HasSuffix(scheme, "ssh"), strings.HasSuffix(bare, ".git"), strings.Contains(bare, ".git@"):
		return true
	case d.hashes["gitCommit"] != "":
		return d.commit() != ""
	case d.commit() == "":
		return false
	}
	extension := path.Ext(bare)
	return isShallow(host) || host == "gitlab.com" || d.hashes["sha1"] == "" || extension == "" || strings.ContainsAny(extension, "@/")
}

// at is the element that an index names, or nil.
func (u *dependencies) at(index string) *descriptor {
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(u.first) {
		return nil
	}
	return u.first[i]
}

// commitOf is the commit of a repository, or "": where several are named, that of a branch or tag. Of a list that is cut nothing is
// known, as another commit of it may come later.
func (u *dependencies) commitOf(uri, ref string) string {
	if u.cut {
		return ""
	}
	source, whole := NormalSource(uri), refOf(uri)
	var all, atRef []string
	for _, r := range u.repositories {
		if r.source != source || r.commit == "" {
			continue
		}
		all = append(all, r.commit)
		if is := refOf(r.uri); is != "" && (is == shortRef(ref) || is == whole) {
			atRef = append(atRef, r.commit)
		}
	}
	if commit := theOne(atRef); commit != "" {
		return commit
	}
	return theOne(all)
}

// theOne returns what all of these are, or "".
func theOne(all []string) string {
	if all = slices.Compact(all); len(all) != 1 {
		return ""
	}
	return all[0]
}

// refOf is the branch or tag that a URI names behind @ or #, as shortRef has it.
func refOf(uri string) string {
	_, after, _ := strings.Cut(uri, "://")
	after = after[strings.IndexByte(after, '/')+1:]
	if before, fragment, ok := strings.Cut(after, "#"); ok && !strings.Contains(before, "@") {
		return shortRef(strings.Split(fragment, ":")[0])
	}
	_, version := cutVersion(strings.Split(after, "#")[0])
	return shortRef(version)
}

// shortRef is a branch or tag without what git calls its kind.
func shortRef(ref string) string {
	for _, kind := range []string{"refs/heads/", "refs/tags/", "refs/"} {
		if rest, ok := strings.CutPrefix(ref, kind); ok {
			return rest
		}
	}
	return ref
}

// definitions are what Tekton calls those that it ran, in the list of what it used.
var definitions = []string{"pipeline", "pipelineTask", "task", "step", "stepAction"}

// source is the source among what was used: the only repository, but for those of definitions and tools; else that of
// the run; else that which Tekton was given.
func (u *dependencies) source(run string, tools ...string) origin {
	left := slices.DeleteFunc(slices.Clone(u.repositories), func(r usedRepository) bool { return slices.Contains(definitions, r.name) })
	for _, narrower := range []func(usedRepository) bool{
		func(r usedRepository) bool { return slices.Contains(tools, r.source) },
		func(r usedRepository) bool { return run == "" || NormalSource(run) != r.source },
		func(r usedRepository) bool { return !strings.HasPrefix(r.name, "inputs/") && r.name != "source" },
	} {
		if oneRepository(left) {
			break
		}
		if some := slices.DeleteFunc(slices.Clone(left), narrower); len(some) > 0 {
			left = some
		}
	}
	if u.cut || !oneRepository(left) {
		return origin{}
	}
	var commits []string
	for _, r := range left {
		if r.commit != "" {
			commits = append(commits, r.commit)
		}
	}
	return origin{left[0].uri, theOne(commits), "materials"}
}

func oneRepository(all []usedRepository) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(r usedRepository) bool { return r.source != all[0].source })
}
