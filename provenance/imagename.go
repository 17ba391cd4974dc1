package provenance

import (
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// imageSchemes are those with which builders say that what follows is the name of an image.
var imageSchemes = []string{"oci://", "docker://", "docker-pullable://", "docker-image://", "container://", "containers://", "image://"}

// imageOf reads the image that an element of a list names: by a scheme, as a package URL, by a name that ends with a digest,
// or by one with a registry and a tag beside a digest. The digest is the element's, or that in the name; "" where there is
// none.
func imageOf(d *descriptor) (image usedImage, ok bool) {
	image.name, image.digest, ok = splitImage(strings.TrimSpace(d.uri))
	if own := d.image(); own != "" {
		image.digest, ok = own, ok || isTagged(strings.TrimSpace(d.uri))
	}
	image.name = CutSecrets(image.name)
	return image, ok && image.name != ""
}

// isTagged says whether a text is the name of an image at a registry, with a tag, as registry.example/team/app:1.0.
func isTagged(text string) bool {
	host, way, _ := strings.Cut(text, "/")
	last := way[strings.LastIndexByte(way, '/')+1:]
	name, tag, _ := strings.Cut(last, ":")
	return strings.ContainsAny(host, ".:") && name != "" && tag != "" && !strings.ContainsAny(text, "@#? ") && !strings.Contains(text, "://") && !strings.Contains(tag, ":")
}

// splitImage returns the name of an image with its tag, and the digest that its spelling has, if any.
func splitImage(uri string) (name string, d digest.Digest, ok bool) {
	if strings.HasPrefix(uri, "pkg:docker/") || strings.HasPrefix(uri, "pkg:oci/") {
		return splitPackage(uri)
	}
	rest := uri
	for _, scheme := range imageSchemes {
		if after, is := cutPrefixFold(uri, scheme); is {
			rest, ok = after, true
		}
	}
	if !ok {
		for _, scheme := range []string{"https://", "http://"} {
			rest = strings.TrimPrefix(rest, scheme)
		}
	}
	if name, d, found := cutDigest(rest); found && !strings.Contains(name, "://") {
		return name, d, true
	}
	return rest, "", ok
}

// cutDigest cuts "@sha256:…" from a name.
func cutDigest(text string) (name string, d digest.Digest, found bool) {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text, "", false
	}
	d = digest.Digest(text[at+1:])
	if d.Validate() != nil {
		return text, "", false
	}
	return text[:at], d, true
}

// splitPackage reads a package URL of the types docker and oci, with all its qualifiers.
func splitPackage(uri string) (name string, d digest.Digest, ok bool) {
	rest, query, _ := strings.Cut(strings.SplitN(uri, "#", 2)[0], "?")
	kind, rest, _ := strings.Cut(rest, "/")
	name, version := rest, ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 { // the last one: before it may be a name and a password
		name, version = rest[:at], rest[at+1:]
	}
	for _, part := range []*string{&name, &version} {
		if unescaped, err := url.PathUnescape(*part); err == nil {
			*part = unescaped
		}
	}
	if name == "" {
		return "", "", false
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		values = nil
	}
	name = inRepositoryURL(kind, name, values.Get("repository_url"))
	d = digest.Digest(version)
	if d.Validate() != nil {
		if d = digest.Digest(values.Get("digest")); d.Validate() != nil {
			d = ""
		}
	}
	switch {
	case version != "" && !strings.Contains(version, ":"): // else it is the digest again
		name += ":" + version
	case values.Get("tag") != "":
		name += ":" + values.Get("tag")
	}
	return name, d, true
}

// inRepositoryURL returns the name of an image that is somewhere else than at Docker Hub. For type oci the URL is that
// of the repository, for type docker often of the registry alone.
func inRepositoryURL(kind, name, repository string) string {
	for _, scheme := range []string{"https://", "http://", "oci://"} {
		repository = strings.TrimPrefix(repository, scheme)
	}
	repository = strings.TrimSuffix(repository, "/")
	switch {
	case repository == "":
		return name
	case repository == name, strings.HasSuffix(repository, "/"+name), kind == "pkg:oci" && strings.Contains(repository, "/"):
		return repository
	}
	return repository + "/" + name
}
