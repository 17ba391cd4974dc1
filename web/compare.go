package web

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// comparison is what changed from one image to another, by their manifests and configs.
type comparison struct {
	Before  digest.Digest
	Gone    string // why the image before cannot be compared, or ""
	Removed []ocispec.Descriptor
	Added   []ocispec.Descriptor
	Same    int   // layers that both have
	Grew    int64 // bytes that the layers have more
	Config  []configChange
	Source  *sourceChange
}

// configChange is one entry of the config that differs. Values that look like secrets stay masked.
type configChange struct {
	Name        string
	Before, Now string // "" is none
	Masked      bool
}

// sourceChange is from which commit to which.
type sourceChange struct {
	Before, Now string
	Compare     string // where the host shows what lies between, or ""
}

// Nothing says that they are the same but for what stands in neither.
func (c comparison) Nothing() bool {
	return c.Gone == "" && len(c.Removed)+len(c.Added)+len(c.Config) == 0 && c.Source == nil
}

// Smaller is by how many bytes the layers shrank.
func (c comparison) Smaller() int64 { return -c.Grew }

// compare compares an image with one before it, that may be gone by now.
func (pg *page) compare(now *imageView, before digest.Digest) error {
	c := &comparison{Before: before}
	now.Changed = c
	var old contents
	a := pg.get("/api/v1/contents", url.Values{"repo": {now.Repository}, "ref": {before.String()}})
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
	c.layers(old.Layers, now.Contents.Layers)
	c.Config = configChanges(&old, &now.Contents, now.Reveal)
	var was imageAnswer
	if err := pg.ask("/api/v1/image", url.Values{"repo": {now.Repository}, "ref": {before.String()}}, &was); err != nil {
		return err
	}
	c.Source = sourceBetween(was.Built, now.Built)
	return nil
}

// layers notes which layers came and went, each once.
func (c *comparison) layers(before, now []ocispec.Descriptor) {
	has := func(list []ocispec.Descriptor, d ocispec.Descriptor) bool {
		return slices.ContainsFunc(list, func(x ocispec.Descriptor) bool { return x.Digest == d.Digest })
	}
	for _, d := range before {
		c.Grew -= max(d.Size, 0)
		if !has(now, d) {
			c.Removed = append(c.Removed, d)
		}
	}
	for _, d := range now {
		c.Grew += max(d.Size, 0)
		if has(before, d) {
			c.Same++
		} else {
			c.Added = append(c.Added, d)
		}
	}
}

// configChanges are the entries of two configs that differ, by name.
func configChanges(before, now *contents, reveal bool) (changes []configChange) {
	was, is := before.settings(), now.settings()
	for _, name := range slices.Sorted(maps.Keys(joined(was, is))) {
		if was[name] == is[name] {
			continue
		}
		c := configChange{Name: name, Before: was[name], Now: is[name]}
		if looksSecret(name) && !reveal {
			c.Before, c.Now, c.Masked = "", "", true
		}
		changes = append(changes, c)
	}
	return changes
}

func joined(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// settings are the entries of a config, by names for people.
func (c *contents) settings() map[string]string {
	s := map[string]string{}
	if c.Config == nil {
		return s
	}
	of := c.Config.Config
	s["platform"] = strings.Trim(c.Config.OS+"/"+c.Config.Architecture+"/"+c.Config.Variant, "/")
	s["user"], s["directory"] = of.User, of.WorkingDir
	s["entrypoint"], s["command"] = strings.Join(of.Entrypoint, " "), strings.Join(of.Cmd, " ")
	s["ports"] = strings.Join(slices.Sorted(maps.Keys(of.ExposedPorts)), ", ")
	for _, e := range of.Env {
		name, value, _ := strings.Cut(e, "=")
		s["variable "+name] = value
	}
	for name, value := range of.Labels {
		s["label "+name] = value
	}
	return s
}

// sourceBetween is from which commit to which, where both are said to be of one source; nil where they are not, or are the same.
func sourceBetween(before, now *provenance.Built) *sourceChange {
	if before == nil || now == nil || before.Revision == "" || now.Revision == "" || before.Revision == now.Revision {
		return nil
	}
	c := &sourceChange{Before: before.Revision, Now: now.Revision}
	if provenance.NormalSource(before.Source) == provenance.NormalSource(now.Source) {
		c.Compare = compareURL(now.Source, before.Revision, now.Revision)
	}
	return c
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
func (pg *page) before(at place, now digest.Digest) (digest.Digest, error) {
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
	var found struct {
		Moves []move `json:"moves"`
	}
	if err := pg.ask("/api/v1/history", url.Values{"repo": {at.Repository}, "tag": {at.Ref}, "limit": {"20"}}, &found); err != nil {
		return "", err
	}
	for _, m := range found.Moves {
		if d := cmp.Or(m.From, m.To); d != "" && d != now {
			return d, nil
		}
	}
	return "", nil
}
