package registry

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxName is the longest name of a repository, in bytes: clients add a host and a tag, and 255 is what
// OCI suggests for all of it.
const maxName = 255

// validName says that a repository's name is <name> of the OCI distribution specification:
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
func validName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for component := range strings.SplitSeq(name, "/") {
		if !validComponent(component) {
			return false
		}
	}
	return true
}

func validComponent(s string) bool {
	if s == "" || !isAlphanumeric(s[0]) || !isAlphanumeric(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		if isAlphanumeric(s[i]) {
			i++
			continue
		}
		end := i
		for !isAlphanumeric(s[end]) { // the last byte is alphanumeric
			end++
		}
		if !validSeparator(s[i:end]) {
			return false
		}
		i = end
	}
	return true
}

func validSeparator(s string) bool {
	return s == "." || s == "_" || s == "__" || strings.Trim(s, "-") == ""
}

func isAlphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// ofThePast ends the tags that are kept free for what a tag meant: as of a record (1.0--r41), or of the end of a unit of time
// (1.0--at-20261123T0900Z).
var ofThePast = regexp.MustCompile(`--(r(0|[1-9][0-9]*)|at-[0-9]{8}T[0-9]{4}([0-9]{2}(\.[0-9]{1,6})?)?Z)$`)

// mayBeSet is nil where a tag of this name can be set. One of a reserved name that was set before it was reserved can be read
// and removed.
func mayBeSet(tag string) error {
	switch {
	case !validTag(tag):
		return errTag(tag)
	case ofThePast.MatchString(tag):
		return newFailure(http.StatusBadRequest, "TAG_INVALID",
			"%.60q cannot be set: names that end in --rNUMBER or --at-TIME are reserved for what a tag meant; choose another", tag)
	}
	return nil
}

// validTag says that a tag is [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for _, c := range []byte(tag) {
		if !isAlphanumeric(c) && (c < 'A' || c > 'Z') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// parseDigest reads a digest of an algorithm that we keep: sha256 or sha512, in lower-case hexadecimal.
func parseDigest(s string) (digest.Digest, bool) {
	var size int
	algorithm, encoded, _ := strings.Cut(s, ":")
	switch digest.Algorithm(algorithm) {
	case digest.SHA256:
		size = 64
	case digest.SHA512:
		size = 128
	}
	if size == 0 || len(encoded) != size || strings.Trim(encoded, "0123456789abcdef") != "" {
		return "", false
	}
	return digest.Digest(s), true
}

// label is a digest as a blob's label.
func label(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }
