package web

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// comparison is what changed from one image to another, by their manifests and configs.
type comparison struct {
	Before    digest.Digest
	Gone      string   // why the image before cannot be compared, or ""
	Unread    []string // what was not read, or not whole, and so is not compared
	Same      string   // what was compared and does not differ, where nothing that was read does
	Kinds     string   // from what to what, where one is an index and the other is not
	Platforms changed[platformChange]
	Layers    changed[ocispec.Descriptor]
	Grew      int64 // bytes that the layers have more
	Config    []configChange
	Source    *sourceChange
}

// changed is what came and went of a list.
type changed[T any] struct {
	Added, Removed []T
	Kept           int
	Reordered      bool // what both have stands in another order, or another number of times
}

// Any says that the lists differ.
func (c changed[T]) Any() bool { return len(c.Added)+len(c.Removed) > 0 || c.Reordered }

// configChange is one entry of the config that differs. Values that look like secrets stay masked.
type configChange struct {
	Name        string
	Before, Now string // "" is none
	Masked      bool
}

// platformChange is what an index lists for a platform. One of the digests is "" for what came or went, and both are there for
// what stands in the place of another.
type platformChange struct {
	Platform    string
	Before, Now digest.Digest
}

// sourceChange is what is known of the source of each, where that differs.
type sourceChange struct {
	Before, Now provenance.Built
	Elsewhere   bool   // the sources differ
	Compare     string // where the host shows what lies between, or ""
}

// Nothing says that nothing differs of what was read of both.
func (c comparison) Nothing() bool {
	return c.Gone == "" && c.Kinds == "" && !c.Platforms.Any() && !c.Layers.Any() && len(c.Config) == 0 && c.Source == nil
}

// compare compares an image with one before it, that may be gone by now.
func (pg *page) compare(now *imageView, before digest.Digest) error {
	c := &comparison{Before: before}
	now.Changed = c
	var old contents
	a := pg.get("/api/v1/contents", url.Values{"repo": {now.Repository}, "ref": {before.String()}}, nil)
	if a.status == http.StatusNotFound {
		var refused *refusal
		if errors.As(pg.refused(a), &refused) {
			c.Gone = refused.says
		}
		return nil
	}
	if err := pg.read(a, "/api/v1/contents", &old); err != nil {
		return err
	}
	var was imageAnswer
	if err := pg.ask("/api/v1/image", url.Values{"repo": {now.Repository}, "ref": {before.String()}}, &was); err != nil {
		return err
	}
	switch {
	case was.IsIndex() != now.IsIndex():
		c.Kinds = was.kind() + " to " + now.kind()
	case now.IsIndex():
		c.indexes(was.Children, now.Children)
	default:
		c.images(&old, &now.Contents, now.Reveal)
	}
	c.sources(&was, &now.imageAnswer)
	return nil
}

// kind says what a digest names.
func (a *imageAnswer) kind() string {
	if a.IsIndex() {
		return "an index of " + plural(len(a.Children), "manifest")
	}
	return "a single image"
}

// same notes what does not differ.
func (c *comparison) same(says string) {
	c.Same = strings.TrimSpace(c.Same + " " + says)
}

// indexes compares what two indexes list, by platform and digest.
func (c *comparison) indexes(before, now []provenance.Child) {
	of := changedIn(before, now, func(p provenance.Child) provenance.Child { return p })
	c.Platforms.Kept, c.Platforms.Reordered = of.Kept, of.Reordered
	for _, p := range of.Added {
		change := platformChange{Platform: p.Platform, Now: p.Digest}
		if at := slices.IndexFunc(of.Removed, func(x provenance.Child) bool { return x.Platform == p.Platform }); at >= 0 {
			change.Before = of.Removed[at].Digest
			of.Removed = slices.Delete(of.Removed, at, at+1)
		}
		c.Platforms.Added = append(c.Platforms.Added, change)
	}
	for _, p := range of.Removed {
		c.Platforms.Removed = append(c.Platforms.Removed, platformChange{Platform: p.Platform, Before: p.Digest})
	}
	if !c.Platforms.Any() {
		c.same("Both indexes list the same manifests for the same platforms, in the same order.")
	}
}

// images compares layers and configs, as far as both were read whole.
func (c *comparison) images(before, now *contents, reveal bool) {
	if layers := unreadOf(before, now, (*contents).layersUnread); layers != "" {
		c.Unread = append(c.Unread, "The layers are not compared: "+layers)
	} else {
		c.Layers = changedIn(before.Layers, now.Layers, func(d ocispec.Descriptor) digest.Digest { return d.Digest })
		c.Grew = total(now.Layers) - total(before.Layers)
		if !c.Layers.Any() {
			c.same("The layers are the same, in the same order.")
		}
	}
	if config := unreadOf(before, now, (*contents).configUnread); config != "" {
		c.Unread = append(c.Unread, "The configs are not compared: "+config)
	} else if c.Config = configChanges(before, now, reveal); len(c.Config) == 0 {
		c.same("The configs set the same platform, user, directory, entrypoint, command, ports, volumes, stop signal, environment and labels; nothing else of them is compared.")
	}
}

// unreadOf says what was not read of one image or the other, or "".
func unreadOf(before, now *contents, unread func(*contents) string) string {
	if says := unread(now); says != "" {
		return says + "."
	}
	if says := unread(before); says != "" {
		return "of the image before, " + says + "."
	}
	return ""
}

// layersUnread is why not all layers are known, or "".
func (c *contents) layersUnread() string {
	switch {
	case slices.Contains(c.Cut, "layers"):
		return "there are more layers than are read"
	case c.Config == nil && len(c.Layers) == 0 && c.Unread != "":
		return c.Unread
	}
	return ""
}

// configUnread is why the config is not known, or "".
func (c *contents) configUnread() string {
	if c.Config == nil {
		return cmp.Or(c.Unread, "there is no config of a container image")
	}
	return ""
}

// total is the size of layers, as the manifest says.
func total(layers []ocispec.Descriptor) (bytes int64) {
	for _, d := range layers {
		bytes += max(d.Size, 0)
	}
	return bytes
}

// changedIn compares two lists by the keys of their entries.
func changedIn[T any, K comparable](before, now []T, key func(T) K) (c changed[T]) {
	left, kept := split(before, now, key)
	right, stayed := split(now, before, key)
	return changed[T]{Added: right, Removed: left, Kept: len(stayed), Reordered: !slices.Equal(kept, stayed)}
}

// split tells the entries of a list that another one lacks from the keys of those that it has.
func split[T any, K comparable](list, other []T, key func(T) K) (lacks []T, has []K) {
	known := map[K]bool{}
	for _, x := range other {
		known[key(x)] = true
	}
	for _, x := range list {
		if known[key(x)] {
			has = append(has, key(x))
		} else {
			lacks = append(lacks, x)
		}
	}
	return lacks, has
}

// configChanges are the entries of two configs that differ, by name.
func configChanges(before, now *contents, reveal bool) (changes []configChange) {
	was, is := before.settings(), now.settings()
	for _, name := range slices.Sorted(maps.Keys(joined(was, is))) {
		old, had := was[name]
		value, has := is[name]
		if old == value && had == has {
			continue
		}
		c := configChange{Name: name, Before: setting(old, had), Now: setting(value, has)}
		if looksSecret(name) && !reveal {
			c.Before, c.Now, c.Masked = "", "", true
		}
		changes = append(changes, c)
	}
	return changes
}

// setting is a value as it is shown, "" where none is set.
func setting(value string, set bool) string {
	if set && value == "" {
		return "(empty)"
	}
	return value
}

func joined(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// settings are the entries of a config that are set, by names for people.
func (c *contents) settings() map[string]string {
	s, of := map[string]string{}, c.Config.Config
	for name, value := range map[string]string{
		"platform": strings.Trim(c.Config.OS+"/"+c.Config.Architecture+"/"+c.Config.Variant, "/"),
		"user":     of.User, "directory": of.WorkingDir, "stop signal": of.StopSignal,
		"entrypoint": inWords(of.Entrypoint), "command": inWords(of.Cmd),
		"ports": inWords(slices.Sorted(maps.Keys(of.ExposedPorts))), "volumes": inWords(slices.Sorted(maps.Keys(of.Volumes))),
	} {
		if value != "" {
			s[name] = value
		}
	}
	if of.ArgsEscaped { //nolint:staticcheck // old images have it, and it changes how the command is run
		s["arguments escaped"] = "yes"
	}
	for _, e := range of.Env {
		name, value, _ := strings.Cut(e, "=")
		s["variable "+name] = value
	}
	for name, value := range of.Labels {
		s["label "+name] = value
	}
	return s
}

// inWords joins words, those in quotes that would read as others.
func inWords(list []string) string {
	quoted := make([]string, len(list))
	for i, word := range list {
		if quoted[i] = word; word == "" || strings.ContainsAny(word, " \"") {
			quoted[i] = strconv.Quote(word)
		}
	}
	return strings.Join(quoted, " ")
}

// sources compares what is known of the sources of two images.
func (c *comparison) sources(before, now *imageAnswer) {
	for _, x := range []struct {
		of    *imageAnswer
		whose string
	}{{now, "this image"}, {before, "the image before"}} {
		if x.of.sourceUnread() {
			c.Unread = append(c.Unread, "Not all that is said of the source of "+x.whose+" was read, or it does not agree.")
		}
	}
	switch c.Source = sourceBetween(before.Built, now.Built); {
	case c.Source != nil || before.sourceUnread() || now.sourceUnread():
	case now.Built == nil || now.Built.Source == "" && now.Built.Revision == "":
		c.same("No source is known of either.")
	case now.Built.Revision == "":
		c.same("Both name the same source, and no commit.")
	default:
		c.same("Both name the same source and commit.")
	}
}

// sourceUnread says that more, or something else, may be said of the source of an image than Built has.
func (a *imageAnswer) sourceUnread() bool {
	if b := a.Built; b != nil && (b.Unread != "" || slices.Contains(b.Disputed, provenance.FactSource) || slices.Contains(b.Disputed, provenance.FactRevision)) {
		return true
	}
	return slices.ContainsFunc(a.Cut, func(list string) bool { return strings.HasPrefix(list, "provenance.") })
}

// sourceBetween is from which source and commit to which, nil where they are the same. What is known of only one differs.
func sourceBetween(before, now *provenance.Built) *sourceChange {
	c := &sourceChange{Before: knownOf(before), Now: knownOf(now)}
	c.Elsewhere = !provenance.Same(provenance.FactSource, c.Before.Source, c.Now.Source)
	if c.Before.Revision == c.Now.Revision {
		if c.Elsewhere {
			return c
		}
		return nil
	}
	if !c.Elsewhere {
		c.Compare = compareURL(c.Now.Source, c.Before.Revision, c.Now.Revision)
	}
	return c
}

// knownOf is what is known of a source, empty where that is nothing.
func knownOf(b *provenance.Built) provenance.Built {
	if b == nil {
		return provenance.Built{}
	}
	return *b
}

// compareURL is where a known host shows what lies between two commits, or "".
func compareURL(source, before, now string) string {
	u, err := url.Parse(link(strings.TrimSuffix(source, ".git")))
	if err != nil || !isCommit(before) || !isCommit(now) {
		return ""
	}
	paths := map[string]string{
		"github.com": "/compare/" + before + "..." + now, "codeberg.org": "/compare/" + before + "..." + now,
		"gitlab.com": "/-/compare/" + before + "..." + now, "bitbucket.org": "/branches/compare/" + now + ".." + before,
	}
	path := paths[u.Hostname()]
	if path == "" || u.Port() != "" {
		return ""
	}
	return "https://" + u.Hostname() + strings.TrimSuffix(u.EscapedPath(), "/") + path
}

func isCommit(s string) bool {
	return len(s) >= 7 && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// before is the image that a tag meant before this one, or "": the one that is asked for, or by the tag's newest moves.
func (pg *page) before(at target, now digest.Digest) (digest.Digest, error) {
	if asked := pg.r.URL.Query().Get("before"); asked != "" {
		d, err := digest.Parse(asked)
		if err != nil {
			return "", refusalf(http.StatusBadRequest, "%q is not the digest of an image.", plain(asked))
		}
		return d, nil
	}
	if strings.Contains(at.Ref, ":") {
		return "", nil // a digest has no image before it
	}
	for _, limit := range []string{"2", "20"} { // the first is enough unless the same image was pushed again and again
		d, more, err := pg.movedFrom(at, now, limit)
		if err != nil || d != "" || !more {
			return d, err
		}
	}
	return "", nil
}

// movedFrom is another image that the newest moves of a tag name, or "", and whether there are more moves.
func (pg *page) movedFrom(at target, now digest.Digest, limit string) (d digest.Digest, more bool, err error) {
	var found struct {
		Moves []struct {
			From digest.Digest `json:"from"`
			To   digest.Digest `json:"to"`
		} `json:"moves"`
		Next string `json:"next"`
	}
	if err := pg.ask("/api/v1/history", url.Values{"repo": {at.Repository}, "tag": {at.Ref}, "limit": {limit}}, &found); err != nil {
		return "", false, err
	}
	for _, m := range found.Moves {
		if d := cmp.Or(m.From, m.To); d != "" && d != now {
			return d, false, nil
		}
	}
	return "", found.Next != "", nil
}
